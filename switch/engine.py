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
from functools import cache as cached
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from switch.arrays import CounterArray, MeterArray, MeterBlocks, RegisterArray, check_rates
from switch.build import RUNTIME, build
from switch.clock import microseconds
from switch.compiler.model import ActionProfile as Profile
from switch.compiler.model import Counter, Meter, Program, Register
from switch.compiler.program import arrays, write_program
from switch.compiler.read import read_program
from switch.entries import (
    ActionSet,
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
from switch.guard import Guard
from switch.learning import LearnQueue
from switch.library import EmitFunction, function_address, load_library
from switch.live_trace import LiveTrace
from switch.profiles import ActionProfile
from switch.replicas import ReplicaSets
from switch.table import RunningTable, Snapshot, TableLayout, describe
from switch.trace import MAX_WORDS, Event, TraceReader
from switch.trace_filter import TraceFilter
from switch.value_sets import ValueSet

__all__ = [
    "ActionProfile",
    "ActionSet",
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


@cached
def _compiler_sources() -> tuple[bytes, ...]:
    """The compiler itself, of which generated C is a function."""
    return tuple(path.read_bytes() for path in sorted((Path(__file__).parent / "compiler").rglob("*.py")))


class Engine:
    """A loaded program. What takes a table's name raises BadEntry when the program has no such table."""

    tables: Mapping[str, Table]
    counters: Mapping[str, CounterArray]
    registers: Mapping[str, RegisterArray]
    meters: Mapping[str, MeterArray]
    action_profiles: Mapping[str, ActionProfile]
    value_sets: Mapping[str, ValueSet]
    multicast_groups: ReplicaSets
    clone_sessions: ReplicaSets
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
                (*SOURCES, RUNTIME / "tracer.c") if traced else SOURCES,
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
        self._guard = Guard()
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
                name: ValueSet(value_set, number, self._library, state, self._guard)
                for number, (name, value_set) in enumerate(program.value_sets.items(), len(program.tables))
            }
        )
        self._blocks = MeterBlocks(self._library, state)
        self._make_arrays()
        self.multicast_groups = ReplicaSets(
            "multicast group", 1, MAX_GROUP, self._library.core_set_group, state, self._guard
        )
        self.clone_sessions = ReplicaSets(
            "clone session", 0, MAX_SESSION, self._library.core_set_session, state, self._guard
        )
        self._learned = LearnQueue(program, self._library, state)
        self.tables = MappingProxyType({name: describe(node) for name, node in program.tables.items()})

    def _make_arrays(self) -> None:
        program, library, guard = self._program, self._library, self._guard
        numbered = enumerate(arrays(program))
        addresses = {
            (type(array), array.name): library.program_array(self.state, number) for number, array in numbered
        }

        def size(array: Counter | Meter) -> int:
            return program.tables[array.table].size if array.table else array.size

        self.counters = MappingProxyType(
            {
                name: CounterArray(name, size(array), array.table, addresses.get((Counter, name), 0), guard)
                for name, array in program.counters.items()
            }
        )
        self.registers = MappingProxyType(
            {
                name: RegisterArray(name, array.size, array.bits, addresses[Register, name], guard)
                for name, array in program.registers.items()
            }
        )
        self.meters = MappingProxyType(
            {
                name: MeterArray(
                    name, size(array), array.table, addresses.get((Meter, name), 0), self._blocks, guard
                )
                for name, array in program.meters.items()
            }
        )

    def _action_profile(self, declared: Profile) -> ActionProfile:
        numbers = {action.id: place for place, action in enumerate(self._program.actions)}
        tables = [t for t in self._program.tables.values() if t.profile is declared]
        actions = {a.name: (numbers[a.id], a) for table in reversed(tables) for a in table.actions}
        names = [table.name for table in tables]
        return ActionProfile(declared, names, actions, self._library, self.state, self._guard)

    def close(self) -> None:
        """Free the program's state. No thread may be processing. Calling it again is harmless."""
        if self._guard.closed:
            return
        with self._processing, self._guard:
            for profile in self.action_profiles.values():
                profile.close()
            self._library.program_destroy(self.state)
            self.state = 0
            self._guard.close()

    def _table(self, name: str) -> RunningTable:
        if name not in self._tables:
            raise BadEntry(f"the program has no table '{name}'")
        return self._tables[name]

    # Tables.

    def insert(self, table: str, entry: Entry) -> None:
        """Raises EntryExists, TableFull, ImmutableTable or BadEntry."""
        with self._guard:
            self._table(table).insert(entry, self.now())

    def modify(self, table: str, entry: Entry) -> None:
        """Give an existing entry another action or data; its direct counter goes on.

        Raises NoSuchEntry, ImmutableTable or BadEntry.
        """
        with self._guard:
            self._table(table).modify(entry)

    def delete(self, table: str, match: Sequence[Match], priority: int = 0) -> None:
        """Raises NoSuchEntry, ImmutableTable or BadEntry."""
        with self._guard:
            self._table(table).delete(match, priority)

    def table_layout(self, table: str) -> TableLayout:
        """How the entries of a table lie in memory. Raises BadEntry."""
        with self._guard:
            return self._table(table).layout()

    def apply_writes(self, writes: int, request: bytes, spans: Any, first: int, count: int) -> int:
        """writes_apply of runtime/writes.h. writes: the address of its struct; spans: UpdateSpans."""
        with self._guard:
            return self._library.writes_apply(self.state, writes, request, spans, first, count, self.now())

    def release_entries(self, table: str) -> None:
        """Let the program's own entries be changed, and others be added: P4's `entries` without `const`.

        (The JSON does not tell them from those with it.) Raises BadEntry.
        """
        with self._guard:
            self._table(table).release()

    def entry(self, table: str, match: Sequence[Match], priority: int = 0) -> Entry:
        """The entry with exactly this match and priority (not a lookup). Raises NoSuchEntry or BadEntry."""
        with self._guard:
            return self._table(table).entry(match, priority)

    def entries(self, table: str) -> list[Entry]:
        """All entries; by descending priority where there are priorities, in an exact table by key."""
        return list(self.snapshot(table))

    def snapshot(self, table: str) -> Snapshot:
        """The same as they are now, to be taken later. Raises BadEntry."""
        with self._guard:
            return self._table(table).snapshot()

    def default(self, table: str) -> tuple[str, tuple[int, ...]] | None:
        """The action of a packet that matches no entry, and its parameters."""
        with self._guard:
            return self._table(table).default

    def set_default(self, table: str, action: str, data: Sequence[int]) -> None:
        """Raises ImmutableTable or BadEntry."""
        with self._guard:
            self._table(table).set_default(action, tuple(data))

    def reset_default(self, table: str) -> None:
        """Back to the default action that the program names. Raises BadEntry."""
        with self._guard:
            self._table(table).reset_default()

    # Direct counters and meters.

    def direct_counter_read(self, table: str, match: Sequence[Match], priority: int = 0) -> tuple[int, int]:
        """(packets, bytes) that hit an entry. Raises NoSuchEntry or BadEntry."""
        with self._guard:
            packets, octets = self._table(table).counter(match, priority).read(0)
            return packets, octets

    def direct_counter_write(
        self, table: str, match: Sequence[Match], priority: int, packets: int, octets: int
    ) -> None:
        """Raises NoSuchEntry or BadEntry."""
        with self._guard:
            self._table(table).counter(match, priority).write(0, (packets, octets))

    def direct_meter_read(self, table: str, match: Sequence[Match], priority: int = 0) -> Rates | None:
        """How the meter of an entry is configured; None when it is not. Raises NoSuchEntry or BadEntry."""
        with self._guard:
            return self._table(table).rates(match, priority)

    def direct_meter_write(
        self, table: str, match: Sequence[Match], priority: int, rates: Rates | None
    ) -> None:
        """Configure the meter of an entry, whose buckets are full then; None: green for all packets again.

        Raises NoSuchEntry or BadEntry.
        """
        if rates is not None:
            check_rates(table, rates)
        with self._guard:
            self._blocks.set(self._table(table).meter_address(match, priority), 0, rates)

    # Idle timeouts.

    def time_since_hit(self, table: str, match: Sequence[Match], priority: int = 0) -> int:
        """Microseconds since an entry was hit or inserted, in a table with idle timeouts.

        Raises NoSuchEntry or BadEntry.
        """
        with self._guard:
            return self._table(table).time_since_hit(match, priority, self.now())

    def expired(self) -> list[tuple[str, Entry]]:
        """(table, entry) for each whose idle timeout is over, once for each further timeout without a hit.

        Nothing is removed: that is the controller's to do.
        """
        with self._guard:
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
        with self._guard:
            for profile in self.action_profiles.values():
                profile.set_port(port, up=up)

    # What the program tells.

    def digests(self) -> list[tuple[str, tuple[int, ...]]]:
        """The digests sent since the last call: (learn list, values).

        The queue is bounded; `drops` counts what found no room.
        """
        with self._guard:
            return self._learned.take()

    @property
    def drops(self) -> Mapping[str, int]:
        """Packets that ended inside the switch, by reason. Raises EngineError once the program is closed."""
        found, reason = {}, 0
        with self._guard:
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
        return self._through(self._library.program_process, self.state, port, packet, now)

    def _through(
        self, process: Any, state: int, port: int, packet: bytes, now: int | None = None
    ) -> list[tuple[int, bytes]]:
        with self._processing:
            self._guard.check()
            if now is not None:
                self._virtual = now
            process(state, port, packet, len(packet), self.now(), self._emit, None)
            self._library.program_quiesce(self.state)
            sent, self._sent = self._sent, []
            return sent

    # What packets do on their way.

    def _traced_library(self) -> tuple[Any, TraceReader]:
        """Compiled when it is first asked for. Raises BuildError."""
        if self._tracer is None:
            library = load_library(self._traced(), traced=True)
            self._tracer = library, TraceReader(self._program, self._tables, list(self.drops))
        return self._tracer

    def trace(
        self, port: int, packet: bytes, now: int | None = None
    ) -> tuple[list[tuple[int, bytes]], list[Event]]:
        """As `process`, with everything that happened to the packet on its way.

        The first call compiles the program once more. Not while a worker takes packets through
        `process_address`; `live_trace` is for that. Raises BuildError.
        """
        library, reader = self._traced_library()
        words = (ctypes.c_uint64 * MAX_WORDS)()
        events: list[Event] = []

        def process(*arguments: Any) -> None:
            used = library.program_trace(*arguments, words, MAX_WORDS)
            with self._guard:  # no entry goes before its name is known
                events.extend(reader.read(words[:used]))

        return self._through(process, self.state, port, packet, now), events

    def live_trace(self, chosen: TraceFilter) -> LiveTrace:
        """What takes packets through this program in the engine's place, and tells what some of them do.

        To be closed before the engine. The first call compiles the program once more. Raises BuildError.
        """
        library, reader = self._traced_library()

        def name(packets: Sequence[Sequence[int]]) -> list[list[Event]]:
            with self._guard:
                return reader.read_all(packets)

        return LiveTrace(library, self.state, chosen, self._through, name)
