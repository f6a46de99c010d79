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
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from switch.arrays import CounterArray, MeterArray, MeterBlocks, RegisterArray
from switch.clock import microseconds
from switch.compiled import compiled
from switch.compiler.model import ActionProfile as Profile
from switch.compiler.model import Counter, Meter, Program, Register
from switch.compiler.program import arrays
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
from switch.table import RunningTable, describe
from switch.table_access import TableAccess
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

MAX_GROUP = (1 << 16) - 1
MAX_SESSION = (1 << 15) - 1


class Engine(TableAccess):
    """A loaded program."""

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
        made = partial(compiled, config, program, cache=cache)
        return cls(program, made(traced=False), partial(made, traced=True))

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

    # Time.

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
