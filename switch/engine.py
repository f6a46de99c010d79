"""A P4 program, compiled and running: its tables, counters, registers and meters, and packets through it.

    engine = Engine.load(Path("switch.json").read_bytes())
    engine.insert("MyIngress.routes", Entry((Lpm(0x0A000000, 8),), 0, "MyIngress.forward", (3,)))
    engine.process(1, packet)  # [(3, b"...")]

Threads: one thread processes packets at a time (`process`, or a worker through `process_address`); any number
of threads may call everything else meanwhile. A packet sees every entry either whole or not at all.
"""

import ctypes
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cache as cached
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from switch.arrays import Cells
from switch.build import RUNTIME, build
from switch.clock import microseconds
from switch.compiler.deparser import digest_words
from switch.compiler.model import ActionProfile as Profile
from switch.compiler.model import Counter, Meter, Program, Register
from switch.compiler.program import arrays, write_program
from switch.compiler.read import read_program
from switch.entries import (
    ActionSet,
    Array,
    Choice,
    Entry,
    Exact,
    Group,
    Key,
    Lpm,
    Match,
    MatchKind,
    Member,
    Param,
    Range,
    Rates,
    Table,
    Ternary,
    WeightedAction,
)
from switch.errors import (
    BadEntry,
    BuildError,
    EngineError,
    EntryError,
    EntryExists,
    ImmutableTable,
    InUse,
    LoadError,
    NoSuchEntry,
    TableFull,
)
from switch.library import EmitFunction, Replica, function_address, load_library
from switch.profiles import ActionProfile
from switch.table import RunningTable, Snapshot, TableLayout, describe
from switch.trace import MAX_WORDS, Event, TraceReader
from switch.value_sets import ValueSet

__all__ = [
    "ActionProfile",
    "ActionSet",
    "Array",
    "BadEntry",
    "BuildError",
    "Choice",
    "Engine",
    "EngineError",
    "Entry",
    "EntryError",
    "EntryExists",
    "Event",
    "Exact",
    "Group",
    "ImmutableTable",
    "InUse",
    "Key",
    "LoadError",
    "Lpm",
    "Match",
    "MatchKind",
    "Member",
    "NoSuchEntry",
    "Param",
    "Range",
    "Rates",
    "Table",
    "TableFull",
    "Ternary",
    "ValueSet",
    "WeightedAction",
]

SOURCES = tuple(
    RUNTIME / name
    for name in (
        "core.c",
        "tables.c",
        "reclaim.c",
        "blocks.c",
        "hashes.c",
        "meters.c",
        "profiles.c",
        "messages.c",
        "writes.c",
    )
)
"""What is compiled together with a program."""

MAX_GROUP = (1 << 16) - 1
MAX_SESSION = (1 << 15) - 1
COUNTER_BITS = 64
MAX_RATE = (1 << 63) - 1
"""Rates and bursts are P4Runtime's: int64."""
DIGESTS_AT_ONCE = 256

Replicas = tuple[tuple[int, int], ...]


@cached
def _compiler_sources() -> tuple[bytes, ...]:
    """The compiler itself, of which generated C is a function."""
    return tuple(path.read_bytes() for path in sorted((Path(__file__).parent / "compiler").glob("*.py")))


class Engine:
    """A loaded program. Everything that takes a name raises BadEntry when the program has no such object."""

    tables: Mapping[str, Table]
    counters: Mapping[str, Array]
    registers: Mapping[str, Array]
    meters: Mapping[str, Array]
    action_profiles: Mapping[str, ActionProfile]
    value_sets: Mapping[str, ValueSet]
    process_address: int
    quiesce_address: int
    state: int

    @classmethod
    def load(cls, config: bytes, *, cache: Path | None = None) -> Self:
        """Compile (or take from the cache) and load a BMv2 JSON.

        cache: directory for generated C and shared objects; default $SLUICE_CACHE or ~/.cache/sluice/switch.
        Raises LoadError or BuildError.
        """
        program = read_program(config)

        def compiled(*, traced: bool) -> Path:
            return build(
                "traced" if traced else "program",
                SOURCES,
                generate=lambda: write_program(program),
                inputs=(config, *_compiler_sources()),
                cache=cache,
                defines=("TRACE",) if traced else (),
            )

        return cls(program, compiled(traced=False), lambda: compiled(traced=True))

    def __init__(self, program: Program, path: Path, traced: Callable[[], Path]) -> None:
        """program and the shared object that was made of it, and what makes the traced one; see `load`."""
        self.path = path
        self._traced = traced
        self._tracer: tuple[Any, TraceReader] | None = None
        self._program = program
        self._library = load_library(path)
        state = self._library.program_create()
        if not state:
            raise MemoryError("no memory for the program's state")
        self.state: int = state
        self.process_address = function_address(self._library.program_process)
        self.quiesce_address = function_address(self._library.program_quiesce)
        self._lock = threading.Lock()
        self._processing = threading.Lock()
        self._virtual: int | None = None
        self._sent: list[tuple[int, bytes]] = []
        self._emit = EmitFunction(self._collect)
        self.action_profiles = MappingProxyType(
            {name: self._action_profile(profile) for name, profile in program.profiles.items()}
        )
        self._tables = {
            name: RunningTable(
                self._library,
                state,
                number,
                node,
                program,
                self.action_profiles[node.profile.name] if node.profile else None,
            )
            for number, (name, node) in enumerate(program.tables.items())
        }
        self.value_sets = MappingProxyType(
            {
                name: ValueSet(value_set, number, self._library, state, self._lock)
                for number, (name, value_set) in enumerate(program.value_sets.items(), len(program.tables))
            }
        )
        self._arrays: dict[str, Cells] = {}
        self._meter_cells: dict[str, int] = {}
        for number, array in enumerate(arrays(program)):
            address = self._library.program_array(state, number)
            if isinstance(array, Meter):
                self._meter_cells[array.name] = address
            else:
                self._arrays[array.name] = _cells(array, address)
        self._rates: dict[tuple[str, int], Rates] = {}
        self._groups: dict[int, Replicas] = {}
        self._sessions: dict[int, Replicas] = {}
        self.tables = MappingProxyType({name: describe(node) for name, node in program.tables.items()})
        self.counters = MappingProxyType(_describe_counters(program))
        self.registers = MappingProxyType(
            {r.name: Array(r.name, r.size, r.bits) for r in program.registers.values()}
        )
        self.meters = MappingProxyType({m.name: _describe_meter(program, m) for m in program.meters.values()})

    def _action_profile(self, declared: Profile) -> ActionProfile:
        numbers = {action.id: place for place, action in enumerate(self._program.actions)}
        tables = [t for t in self._program.tables.values() if t.profile is declared]
        actions = {a.name: (numbers[a.id], a) for table in reversed(tables) for a in table.actions}
        names = [table.name for table in tables]
        return ActionProfile(declared, names, actions, self._library, self.state, self._lock)

    def close(self) -> None:
        """Free the program's state. No thread may be processing. Calling it again is harmless."""
        with self._processing, self._lock:
            if self.state:
                for part in (*self.action_profiles.values(), *self.value_sets.values()):
                    part.close()
                self._library.program_destroy(self.state)
                self.state = 0

    def _table(self, name: str) -> RunningTable:
        self._check_open()
        if name not in self._tables:
            raise BadEntry(f"the program has no table '{name}'")
        return self._tables[name]

    def _check_open(self) -> None:
        if not self.state:
            raise EngineError("the program was closed")

    # Tables.

    def insert(self, table: str, entry: Entry) -> None:
        """Raises EntryExists, TableFull, ImmutableTable or BadEntry."""
        with self._lock:
            self._table(table).insert(entry, self.now())

    def modify(self, table: str, entry: Entry) -> None:
        """Give an existing entry another action or data; its direct counter goes on.

        Raises NoSuchEntry, ImmutableTable or BadEntry.
        """
        with self._lock:
            self._table(table).modify(entry)

    def delete(self, table: str, match: Sequence[Match], priority: int = 0) -> None:
        """Raises NoSuchEntry, ImmutableTable or BadEntry."""
        with self._lock:
            self._table(table).delete(match, priority)

    def table_layout(self, table: str) -> TableLayout:
        """How the entries of a table lie in memory. Raises BadEntry."""
        with self._lock:
            return self._table(table).layout()

    def apply_writes(self, writes: int, request: bytes, spans: Any, first: int, count: int) -> int:
        """writes_apply of runtime/writes.h. writes: the address of its struct; spans: UpdateSpans."""
        with self._lock:
            self._check_open()
            return self._library.writes_apply(self.state, writes, request, spans, first, count, self.now())

    def release_entries(self, table: str) -> None:
        """Let the program's own entries be changed, and others be added: P4's `entries` without `const`.

        (The JSON does not tell them from those with it.) Raises BadEntry.
        """
        with self._lock:
            self._table(table).release()

    def entry(self, table: str, match: Sequence[Match], priority: int = 0) -> Entry:
        """The entry with exactly this match and priority (not a lookup). Raises NoSuchEntry or BadEntry."""
        with self._lock:
            return self._table(table).entry(match, priority)

    def entries(self, table: str) -> list[Entry]:
        """All entries; by descending priority where there are priorities, in an exact table by key."""
        return list(self.snapshot(table))

    def snapshot(self, table: str) -> Snapshot:
        """The same as they are now, to be taken later. Raises BadEntry."""
        with self._lock:
            return self._table(table).snapshot()

    def default(self, table: str) -> tuple[str, tuple[int, ...]] | None:
        """The action of a packet that matches no entry, and its parameters."""
        with self._lock:
            return self._table(table).default

    def set_default(self, table: str, action: str, data: Sequence[int]) -> None:
        """Raises ImmutableTable or BadEntry."""
        with self._lock:
            self._table(table).set_default(action, tuple(data))

    def reset_default(self, table: str) -> None:
        """Back to the default action that the program names. Raises BadEntry."""
        with self._lock:
            self._table(table).reset_default()

    # Counters and registers.

    def _cells(self, kind: type[Counter] | type[Register], name: str) -> Cells:
        self._check_open()
        known = self._program.counters if kind is Counter else self._program.registers
        if name not in known:
            raise BadEntry(f"the program has no {kind.__name__.lower()} '{name}'")
        if name not in self._arrays:
            raise BadEntry(f"{name} is a direct counter: it has entries of a table, no indices")
        return self._arrays[name]

    def counter_read(self, name: str, index: int) -> tuple[int, int]:
        """(packets, bytes) of one cell of an indirect counter. Raises BadEntry."""
        with self._lock:
            packets, octets = self._cells(Counter, name).read(index)
            return packets, octets

    def counter_write(self, name: str, index: int, packets: int, octets: int) -> None:
        """Raises BadEntry."""
        with self._lock:
            self._cells(Counter, name).write(index, (packets, octets))

    def direct_counter_read(self, table: str, match: Sequence[Match], priority: int = 0) -> tuple[int, int]:
        """(packets, bytes) that hit an entry. Raises NoSuchEntry or BadEntry."""
        with self._lock:
            packets, octets = self._table(table).counter(match, priority).read(0)
            return packets, octets

    def direct_counter_write(
        self, table: str, match: Sequence[Match], priority: int, packets: int, octets: int
    ) -> None:
        """Raises NoSuchEntry or BadEntry."""
        with self._lock:
            self._table(table).counter(match, priority).write(0, (packets, octets))

    def register_read(self, name: str, index: int) -> int:
        """Raises BadEntry."""
        with self._lock:
            (value,) = self._cells(Register, name).read(index)
            return value

    def register_write(self, name: str, index: int, value: int) -> None:
        """Raises BadEntry."""
        with self._lock:
            self._cells(Register, name).write(index, (value,))

    # Meters.

    def _check_meter(self, name: str, index: int) -> None:
        self._check_open()
        if name not in self.meters:
            raise BadEntry(f"the program has no meter '{name}'")
        if name not in self._meter_cells:
            raise BadEntry(f"{name} is a direct meter: it has entries of a table, no indices")
        size = self.meters[name].size
        if not 0 <= index < size:
            raise BadEntry(f"{name} has {size} cells; there is no index {index}")

    def _set_rates(self, address: int, index: int, rates: Rates | None) -> None:
        numbers = None
        if rates is not None:
            numbers = (ctypes.c_uint64 * 4)(rates.cir, rates.cburst, rates.pir, rates.pburst)
        if not self._library.meter_configure(self.state, address, index, numbers):
            raise MemoryError("no memory for the meter's rates")

    def meter_read(self, name: str, index: int) -> Rates | None:
        """How a cell is configured; None when it is not. Raises BadEntry."""
        with self._lock:
            self._check_meter(name, index)
            return self._rates.get((name, index))

    def meter_write(self, name: str, index: int, cir: int, cburst: int, pir: int, pburst: int) -> None:
        """Configure a cell, as Rates has it; its buckets are full then. Raises BadEntry."""
        rates = _checked_rates(name, Rates(cir, cburst, pir, pburst))
        with self._lock:
            self._check_meter(name, index)
            self._set_rates(self._meter_cells[name], index, rates)
            self._rates[name, index] = rates

    def meter_reset(self, name: str, index: int) -> None:
        """Back to no configuration: all packets are green. Raises BadEntry."""
        with self._lock:
            self._check_meter(name, index)
            self._set_rates(self._meter_cells[name], index, None)
            self._rates.pop((name, index), None)

    def direct_meter_read(self, table: str, match: Sequence[Match], priority: int = 0) -> Rates | None:
        """How the meter of an entry is configured; None when it is not. Raises NoSuchEntry or BadEntry."""
        with self._lock:
            return self._table(table).rates(match, priority)

    def direct_meter_write(
        self, table: str, match: Sequence[Match], priority: int, rates: Rates | None
    ) -> None:
        """Configure the meter of an entry, whose buckets are full then; None: green for all packets again.

        Raises NoSuchEntry or BadEntry.
        """
        if rates is not None:
            _checked_rates(table, rates)
        with self._lock:
            self._set_rates(self._table(table).meter_address(match, priority), 0, rates)

    # Idle timeouts.

    def time_since_hit(self, table: str, match: Sequence[Match], priority: int = 0) -> int:
        """Microseconds since an entry was hit or inserted, in a table with idle timeouts.

        Raises NoSuchEntry or BadEntry.
        """
        with self._lock:
            return self._table(table).time_since_hit(match, priority, self.now())

    def expired(self) -> list[tuple[str, Entry]]:
        """(table, entry) for each whose idle timeout is over, once for each further timeout without a hit.

        Nothing is removed: that is the controller's to do.
        """
        with self._lock:
            now = self.now()
            return [(name, entry) for name, table in self._tables.items() for entry in table.expired(now)]

    def now(self) -> int:
        """The time of packets, in microseconds: virtual once `process` was given one."""
        if self._virtual is not None:
            return self._virtual
        return microseconds()

    # Ports.

    def set_port_up(self, port: int, *, up: bool) -> None:
        """Members that watch a port are chosen within groups only while it is up, as all are at first."""
        with self._lock:
            self._check_open()
            for profile in self.action_profiles.values():
                profile.set_port(port, up=up)

    # Replication.

    def set_multicast_group(self, group: int, replicas: Sequence[tuple[int, int]]) -> None:
        """Create or replace a group (1..65535); replicas: (port, rid) in the order in which copies
        are to be made.

        Raises BadEntry.
        """
        _check_number("multicast group", group, 1, MAX_GROUP)
        with self._lock:
            self._check_open()
            self._set_replicas(self._library.core_set_group, group, tuple(replicas))
            self._groups[group] = tuple(replicas)

    def delete_multicast_group(self, group: int) -> None:
        """Raises NoSuchEntry."""
        with self._lock:
            self._check_open()
            if self._groups.pop(group, None) is None:
                raise NoSuchEntry(f"there is no multicast group {group}")
            self._set_replicas(self._library.core_set_group, group, None)

    def multicast_groups(self) -> dict[int, Replicas]:
        """All groups with their replicas."""
        with self._lock:
            return dict(self._groups)

    def set_clone_session(self, session: int, replicas: Sequence[tuple[int, int]]) -> None:
        """Create or replace a session (0..32767), as a multicast group. Raises BadEntry."""
        _check_number("clone session", session, 0, MAX_SESSION)
        with self._lock:
            self._check_open()
            self._set_replicas(self._library.core_set_session, session, tuple(replicas))
            self._sessions[session] = tuple(replicas)

    def delete_clone_session(self, session: int) -> None:
        """Raises NoSuchEntry."""
        with self._lock:
            self._check_open()
            if self._sessions.pop(session, None) is None:
                raise NoSuchEntry(f"there is no clone session {session}")
            self._set_replicas(self._library.core_set_session, session, None)

    def clone_sessions(self) -> dict[int, Replicas]:
        """All sessions with their replicas."""
        with self._lock:
            return dict(self._sessions)

    def _set_replicas(self, function: Any, number: int, replicas: Replicas | None) -> None:
        array = None if replicas is None else (Replica * len(replicas))(*replicas)
        if not function(self.state, number, array, len(replicas or ())):
            raise MemoryError("no memory for the replicas")

    # What the program tells.

    def digests(self) -> list[tuple[str, tuple[int, ...]]]:
        """The digests sent since the last call: (learn list, values).

        The queue is bounded; `drops` counts what found no room.
        """
        with self._lock:
            self._check_open()
            words = self._library.core_digest_words(self.state)
            buffer = (ctypes.c_uint64 * (words * DIGESTS_AT_ONCE))()
            found = []
            while count := self._library.core_digests_take(self.state, buffer, DIGESTS_AT_ONCE):
                found += [self._digest(buffer[i * words : (i + 1) * words]) for i in range(count)]
            return found

    def _digest(self, record: Sequence[int]) -> tuple[str, tuple[int, ...]]:
        learn_list = self._program.learn_lists[record[0]]
        values, at = [], 1
        for reference in learn_list.fields:
            size = digest_words((reference,))
            values.append(sum(word << (64 * i) for i, word in enumerate(record[at : at + size])))
            at += size
        return learn_list.name, tuple(values)

    @property
    def drops(self) -> Mapping[str, int]:
        """Packets that ended inside the switch, by reason."""
        self._check_open()
        found, reason = {}, 0
        while name := self._library.core_drop_name(reason):
            found[name.decode()] = self._library.core_drops(self.state, reason)
            reason += 1
        return found

    # Packets.

    def _collect(self, _: int | None, port: int, address: int, length: int) -> None:
        self._sent.append((port, ctypes.string_at(address, length)))

    def process(self, port: int, packet: bytes, now: int | None = None) -> list[tuple[int, bytes]]:
        """Take a packet through the program; returns (port, bytes) of what leaves, in order.

        now: virtual time in microseconds since the start, not decreasing; default: the real time.
        """
        with self._processing:
            self._check_open()
            if now is not None:
                self._virtual = now
            now = self.now() if now is None else now
            self._library.program_process(self.state, port, packet, len(packet), now, self._emit, None)
            self._library.program_quiesce(self.state)
            sent, self._sent = self._sent, []
            return sent

    def trace(
        self, port: int, packet: bytes, now: int | None = None
    ) -> tuple[list[tuple[int, bytes]], list[Event]]:
        """As `process`, with everything that happened to the packet on its way.

        The first call compiles the program once more. Not while a worker takes packets through
        `process_address`. Raises BuildError.
        """
        if self._tracer is None:
            library = load_library(self._traced(), traced=True)
            self._tracer = library, TraceReader(self._program, self._tables, list(self.drops))
        library, reader = self._tracer
        words = (ctypes.c_uint64 * MAX_WORDS)()
        with self._processing:
            self._check_open()
            if now is not None:
                self._virtual = now
            used = library.program_trace(
                self.state, port, packet, len(packet), self.now(), self._emit, None, words, MAX_WORDS
            )
            with self._lock:  # no entry goes before its name is known
                events = reader.read(words[:used])
            library.program_quiesce(self.state)
            sent, self._sent = self._sent, []
            return sent, events


def _check_number(what: str, number: int, low: int, high: int) -> None:
    if not low <= number <= high:
        raise BadEntry(f"{what} {number} is not between {low} and {high}")


def _cells(array: Counter | Register, address: int) -> Cells:
    if isinstance(array, Register):
        return Cells(array.name, address, array.size, (array.bits,))
    return Cells(array.name, address, array.size, (COUNTER_BITS, COUNTER_BITS))


def _checked_rates(what: str, rates: Rates) -> Rates:
    for name, number in asdict(rates).items():
        _check_number(f"{what}: {name}", number, 0, MAX_RATE)
    if rates.cir > rates.pir:
        raise BadEntry(f"{what}: the committed rate {rates.cir} is above the peak rate {rates.pir}")
    return rates


def _describe_meter(program: Program, meter: Meter) -> Array:
    bound = program.tables.get(meter.table or "")
    return Array(meter.name, bound.size if bound else meter.size, COUNTER_BITS, meter.table)


def _describe_counters(program: Program) -> dict[str, Array]:
    found = {}
    for counter in program.counters.values():
        bound = program.tables.get(counter.table or "")
        size = bound.size if bound else counter.size
        found[counter.name] = Array(counter.name, size, COUNTER_BITS, counter.table)
    return found
