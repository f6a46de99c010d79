"""What one packet did: the events that a program's traced build notes (runtime/trace.h), with their names."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from switch.compiler.layout import WORD, DataLayout, KeyLayout
from switch.compiler.model import Action, Program, TableNode
from switch.compiler.parser import error_numbers
from switch.compiler.pipelines import conditions
from switch.compiler.primitives import log_messages
from switch.compiler.widths import ones
from switch.entries import Entry, MatchKind
from switch.packing import joined
from switch.table import RunningTable

MAX_WORDS = 1 << 16
"""Room for the events of one packet with all that it causes; what is beyond is left out."""

MAX_EXACT = (1 << 53) - 1
"""Above it, readers of JSON that know only floating-point numbers round (RFC 8259, 6)."""

INSTANCE_TYPES = {
    0: "normal",
    1: "ingress clone",
    2: "egress clone",
    4: "recirculated",
    5: "replicated",
    6: "resubmitted",
}


class Kind(IntEnum):
    """enum trace_kind."""

    PACKET = 0
    STATE = 1
    EXTRACT = 2
    ERROR = 3
    KEY = 4
    HIT = 5
    MISS = 6
    ACTION = 7
    CONDITION = 8
    CLONE = 9
    DIGEST = 10
    MULTICAST = 11
    EGRESS = 12
    AGAIN = 13
    DROP = 14
    EMIT = 15
    LOG = 16


@dataclass(frozen=True, slots=True)
class Event:
    """kind: in lower case, as in Kind; KEY, HIT and MISS come as one "table" event.

    name: of the state, header, error, table, action, condition, learn list, drop reason, or a log's text.
    values: what belongs to it: keys, an action's data, port, length, value ...
    entry: of a table that was hit.
    source: the P4 line, where the program knows it.
    """

    kind: str
    name: str = ""
    values: Mapping[str, int | str | bool] = ()  # type: ignore[assignment]
    entry: Entry | None = None
    source: str = ""

    def as_json(self) -> dict[str, Any]:
        """A JSON document, without what is empty. Numbers above MAX_EXACT are strings, "0x..."."""
        values: dict[str, int | str | bool] = {
            name: hex(value) if type(value) is int and value > MAX_EXACT else value
            for name, value in dict(self.values).items()
        }
        if self.entry is not None and self.entry.priority:
            values["priority"] = self.entry.priority
        parts = {"kind": self.kind, "name": self.name, "values": values, "source": self.source}
        return {name: part for name, part in parts.items() if part}

    def __str__(self) -> str:
        return event_text(self.as_json())


def event_text(event: Mapping[str, Any]) -> str:
    """The line for people, of an event's document."""
    values = ", ".join(
        f"{name}={value:#x}" if type(value) is int else f"{name}={value}"
        for name, value in event.get("values", {}).items()
    )
    where = f"  ({event['source']})" if "source" in event else ""
    return " ".join(filter(None, (f"{event['kind']:10}", event.get("name"), values))) + where


class TraceReader:
    """Gives the events of one program their names."""

    def __init__(
        self, program: Program, tables: Mapping[str, RunningTable], drop_names: Sequence[str]
    ) -> None:
        self._program = program
        self._tables = tables
        self._drop_names = drop_names
        self._states = list(program.parser.states)
        self._headers = list(program.headers)
        self._errors = {value: name for name, value in error_numbers(program).items()}
        self._nodes = list(program.tables.values())
        self._conditions = conditions(program)
        self._messages = log_messages(program)

    def read(self, words: Sequence[int]) -> list[Event]:
        """Events from the words as trace.h lays them out. An entry that is gone since is not named."""
        return self._read(words, _Entries(self._tables))

    def read_all(self, packets: Sequence[Sequence[int]]) -> list[list[Event]]:
        """As `read`, for several packets."""
        entries = _Entries(self._tables)
        return [self._read(words, entries) for words in packets]

    def _read(self, words: Sequence[int], entries: "_Entries") -> list[Event]:
        found: list[Event] = []
        table: TableNode | None = None
        key: list[int] = []
        for kind, data in _split(words):
            if kind is Kind.KEY:
                node = self._nodes[data[0]]
                key = [*key, *data[1:]] if table is node else data[1:]
                table = node
                if not node.keys:
                    found.append(Event("table", node.name, {"hit": False}, source=str(node.source or "")))
                    table = None
            elif kind in (Kind.HIT, Kind.MISS):
                assert table is not None
                found.append(self._applied(table, key, entries, data[0] if kind is Kind.HIT else None))
                table = None
            else:
                found.append(self._event(kind, data))
        return found

    def _applied(
        self, table: TableNode, key: Sequence[int], entries: "_Entries", address: int | None
    ) -> Event:
        values: dict[str, int | str | bool] = {"hit": address is not None}
        layout = KeyLayout.of(table)
        whole = sum(word << (WORD * place) for place, word in enumerate(key[: layout.words]))
        for field, place in zip(table.keys, layout.places, strict=True):
            if place.kind is MatchKind.RANGE:
                first = layout.words + place.shift
                values[field.name] = joined(key[first : first + place.words])
            else:
                values[field.name] = whole >> place.shift & ones(place.bits)
        entry = None if address is None else entries.at(table.name, address)
        return Event("table", table.name, values, entry, str(table.source or ""))

    def _event(self, kind: Kind, data: list[int]) -> Event:
        name = kind.name.lower()
        match kind:
            case Kind.PACKET:
                values = {
                    "type": INSTANCE_TYPES.get(data[0], str(data[0])),
                    "port": data[1],
                    "length": data[2],
                }
                return Event(name, values=values)
            case Kind.STATE:
                return Event(name, self._states[data[0]])
            case Kind.EXTRACT:
                return Event(name, self._headers[data[0]])
            case Kind.ERROR:
                return Event(name, self._errors.get(data[0], str(data[0])))
            case Kind.ACTION:
                action = self._program.actions[data[0]]
                source = next((str(p.source) for p in action.primitives if p.source), "")
                return Event(name, action.name, _parameters(action, data[1:]), source=source)
            case Kind.CONDITION:
                condition = self._conditions[data[0]]
                text = condition.source.fragment if condition.source else condition.name
                return Event(name, text, {"value": bool(data[1])}, source=str(condition.source or ""))
            case Kind.DIGEST:
                return Event(name, self._program.learn_lists[data[0]].name)
            case Kind.CLONE:
                return Event(name, values={"session": data[0]})
            case Kind.MULTICAST:
                return Event(name, values={"group": data[0]})
            case Kind.EGRESS:
                return Event(name, values={"port": data[0]})
            case Kind.AGAIN:
                return Event(name, INSTANCE_TYPES.get(data[0], str(data[0])))
            case Kind.DROP:
                return Event(name, self._drop_names[data[0]])
            case Kind.EMIT:
                return Event(name, values={"port": data[0], "length": data[1]})
            case _:
                text = self._messages[data[0]]
                for value in data[1:]:
                    text = text.replace("{}", str(value), 1)
                return Event(name, text)


class _Entries:
    """Finds entries by where the C side has them; asks each table once which ones these are."""

    def __init__(self, tables: Mapping[str, RunningTable]) -> None:
        self._tables = tables
        self._handles: dict[str, set[int]] = {}

    def at(self, table: str, address: int) -> Entry | None:
        if table not in self._handles:
            self._handles[table] = self._tables[table].handles()
        return self._tables[table].entry_at(address) if address in self._handles[table] else None


def _split(words: Sequence[int]) -> Iterator[tuple[Kind, list[int]]]:
    at = 0
    while at < len(words):
        kind, count = Kind(words[at] >> 32), words[at] & ones(32)
        yield kind, list(words[at + 1 : at + 1 + count])
        at += 1 + count


def _parameters(action: Action, words: Sequence[int]) -> dict[str, int | str | bool]:
    layout = DataLayout.of(action)
    whole = sum(word << (WORD * place) for place, word in enumerate(words))
    return {place.name: whole >> (8 * place.offset) & ones(place.bits) for place in layout.places}
