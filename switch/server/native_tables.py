"""The tables of a pipeline as runtime/described.h takes them, for writes and reads without Python."""

import ctypes
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from switch.engine import Engine
from switch.entries import MatchKind
from switch.p4info import MatchField, TableInfo
from switch.table import TableLayout

if TYPE_CHECKING:
    from switch.server.pipeline import TableState

MOST_FIELDS = MOST_PARAMS = 64
MOST_DATA = 1024
"""Of what is written, as in messages.h and writes.h."""

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
    _fields_ = _numbers("id", "number", "first_param", "params", "data_size", "for_entries")


class DescribedTable(ctypes.Structure):
    _fields_ = _numbers(
        *("id", "number", "size", "rank", "first_field", "fields", "first_action", "actions"),
        *("written", "is_const", "counts_packets", "counts_octets"),
    )


class Described(ctypes.Structure):
    _fields_ = (
        ("table", ctypes.POINTER(DescribedTable)),
        ("field", ctypes.POINTER(FieldShape)),
        ("action", ctypes.POINTER(ActionShape)),
        ("param", ctypes.POINTER(ParamShape)),
        ("tables", ctypes.c_uint32),
    )


@dataclass(frozen=True, slots=True)
class TableInC:
    """number: among those described. writable: whether entries are of a kind that C writes."""

    number: int
    described: DescribedTable
    writable: bool

    def annotated(self, *, any_: bool) -> None:
        """Whether any entry is: C does not write the table then."""
        self.described.written = self.writable and not any_


class NativeTables:
    """What is described: `address` is that of the struct, which lives as long as this object.

    Says so in the states of the tables.
    """

    def __init__(self, states: Iterable["TableState"], engine: Engine) -> None:
        self._fields: list[FieldShape] = []
        self._actions: list[ActionShape] = []
        self._params: list[ParamShape] = []
        usual: list[TableState] = []
        tables: list[DescribedTable] = []
        for state in sorted(states, key=lambda state: state.codec.info.id):
            info = state.codec.info
            layout = engine.table_layout(info.name)
            if _is_usual(info, layout):
                usual.append(state)
                tables.append(self._table(info, layout, immutable=engine.tables[info.name].immutable))
        self._tables = (DescribedTable * len(tables))(*tables)
        for number, (state, described) in enumerate(zip(usual, self._tables, strict=True)):
            state.in_c = TableInC(number, described, bool(described.written))
        self._struct = Described(
            self._tables,
            (FieldShape * len(self._fields))(*self._fields),
            (ActionShape * len(self._actions))(*self._actions),
            (ParamShape * len(self._params))(*self._params),
            len(tables),
        )
        self.address = ctypes.addressof(self._struct)

    def _table(self, info: TableInfo, layout: TableLayout, *, immutable: bool) -> DescribedTable:
        unit = info.direct_counter
        table = DescribedTable(
            id=info.id,
            number=layout.number,
            size=layout.size,
            rank=RANKS[layout.kind],
            first_field=len(self._fields),
            fields=len(info.fields),
            first_action=len(self._actions),
            actions=len(info.actions),
            written=_is_writable(info, layout),
            is_const=immutable and not info.initial_entries,
            counts_packets=unit is not None and unit.packets,
            counts_octets=unit is not None and unit.octets,
        )
        for field, place in zip(info.fields, layout.key.places, strict=True):
            self._fields.append(FieldShape(field.id, _kind(field), place.bits, place.shift))
        for choice in info.actions.values():
            action = choice.action
            number, data = layout.actions[action.name]
            shape = (action.id, number, len(self._params), len(action.params), data.size, choice.for_entries)
            self._actions.append(ActionShape(*shape))
            for param, place in zip(action.params, data.places, strict=True):
                self._params.append(ParamShape(param.id, place.bits, place.offset, place.size))
        return table


def _kind(field: MatchField) -> int:
    return OPTIONAL if field.optional else KINDS[field.kind]


def _is_usual(info: TableInfo, layout: TableLayout) -> bool:
    """Whether C knows its entries."""
    names = {choice.action.name for choice in info.actions.values()}
    return (
        layout.own_actions
        and info.needs_priority == (layout.kind is MatchKind.TERNARY)
        and names == layout.actions.keys()
    )


def _is_writable(info: TableInfo, layout: TableLayout) -> bool:
    """Whether its entries are of a kind that C writes."""
    return (
        layout.plain
        and not info.const_entries
        and len(info.fields) <= MOST_FIELDS
        and all(len(choice.action.params) <= MOST_PARAMS for choice in info.actions.values())
        and all(data.size <= MOST_DATA for _, data in layout.actions.values())
    )
