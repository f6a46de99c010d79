"""The tables of a pipeline as runtime/writes.h takes them, which does the usual writes without Python."""

import ctypes
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from switch.engine import Engine
from switch.entries import MatchKind
from switch.p4info import MatchField, TableInfo
from switch.server.write_message import WriteMessage
from switch.table import TableLayout

if TYPE_CHECKING:
    from switch.server.pipeline import TableState

MOST_FIELDS = MOST_PARAMS = 64
MOST_DATA = 1024
"""As in messages.h and writes.h."""

AT_ONCE = 4096
"""Updates, between which others get at the engine: a port that goes down, digests, a trace."""

OPTIONAL = 7
KINDS = {MatchKind.EXACT: 2, MatchKind.TERNARY: 3, MatchKind.LPM: 4, MatchKind.RANGE: 6}
"""enum match_kind."""

RANKS = {MatchKind.EXACT: 0, MatchKind.LPM: 1, MatchKind.TERNARY: 2}
"""enum rank_kind."""


def _numbers(*names: str) -> Any:
    return tuple((name, ctypes.c_uint32) for name in names)


class FieldShape(ctypes.Structure):
    _fields_ = _numbers("id", "kind", "bits", "shift")


class ParamShape(ctypes.Structure):
    _fields_ = _numbers("id", "bits", "offset", "size")


class ActionShape(ctypes.Structure):
    _fields_ = _numbers("id", "number", "first_param", "params", "data_size")


class TableWrites(ctypes.Structure):
    _fields_ = _numbers(
        "id", "number", "size", "rank", "first_field", "fields", "first_action", "actions", "enabled"
    )


class Writes(ctypes.Structure):
    _fields_ = (
        ("table", ctypes.POINTER(TableWrites)),
        ("field", ctypes.POINTER(FieldShape)),
        ("action", ctypes.POINTER(ActionShape)),
        ("param", ctypes.POINTER(ParamShape)),
        ("tables", ctypes.c_uint32),
    )


class NativeWrites:
    """Not thread-safe but for the engine: the device's lock is held."""

    def __init__(self, states: Iterable["TableState"], engine: Engine) -> None:
        self._engine = engine
        states_of: list[TableState] = []
        tables: list[TableWrites] = []
        fields: list[FieldShape] = []
        actions: list[ActionShape] = []
        params: list[ParamShape] = []
        for state in sorted(states, key=lambda state: state.codec.info.id):
            info = state.codec.info
            layout = engine.table_layout(info.name)
            if not _is_usual(info, layout):
                continue
            choices = [choice.action for choice in info.actions.values() if choice.for_entries]
            states_of.append(state)
            tables.append(
                TableWrites(
                    id=info.id,
                    number=layout.number,
                    size=layout.size,
                    rank=RANKS[layout.kind],
                    first_field=len(fields),
                    fields=len(info.fields),
                    first_action=len(actions),
                    actions=len(choices),
                    enabled=True,
                )
            )
            for field, place in zip(info.fields, layout.key.places, strict=True):
                fields.append(FieldShape(field.id, _kind(field), place.bits, place.shift))
            for action in choices:
                number, data = layout.actions[action.name]
                actions.append(ActionShape(action.id, number, len(params), len(action.params), data.size))
                for param, place in zip(action.params, data.places, strict=True):
                    params.append(ParamShape(param.id, place.bits, place.offset, place.size))
        self._tables = (TableWrites * len(tables))(*tables)
        for state, table in zip(states_of, self._tables, strict=True):
            state.written_in_c = table
        self._writes = Writes(
            self._tables,
            (FieldShape * len(fields))(*fields),
            (ActionShape * len(actions))(*actions),
            (ParamShape * len(params))(*params),
            len(tables),
        )

    def apply(self, message: WriteMessage, first: int) -> int:
        """Does the updates from `first` on, until one is not of the usual kind or something is wrong with it.

        Returns that one's number, or how many there are.
        """
        address = ctypes.addressof(self._writes)
        while True:
            end = min(first + AT_ONCE, message.count)
            first = self._engine.apply_writes(address, message.octets, message.spans, first, end)
            if first < end or end == message.count:
                return first


def _kind(field: MatchField) -> int:
    return OPTIONAL if field.optional else KINDS[field.kind]


def _is_usual(info: TableInfo, layout: TableLayout) -> bool:
    """Whether its entries are of a kind that C writes."""
    return (
        layout.plain
        and not info.const_entries
        and info.needs_priority == (layout.kind is MatchKind.TERNARY)
        and len(info.fields) <= MOST_FIELDS
        and all(len(choice.action.params) <= MOST_PARAMS for choice in info.actions.values())
        and all(data.size <= MOST_DATA for _, data in layout.actions.values())
    )
