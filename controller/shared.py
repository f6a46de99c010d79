"""What outlives a connection: what all switches have in common, and what there is of each."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from controller.assignment import Assignment
from controller.counters import Counters
from controller.desired import Desired
from controller.errors import StoreError
from controller.events import EventLog, Kind, Severity, Unheard
from controller.memory import Memory
from controller.model import ONLY, Config
from controller.neighbors import Neighbors
from controller.probes import Probes, Silence
from controller.store import Assignments, Nowhere
from controller.trace import Tracer
from controller.tunnel_errors import PathMtus
from controller.wanted import Wanted, wanted
from controller.work import Work

if TYPE_CHECKING:
    from controller.session import Session

FRAMES_WAITING = 4096
"""Frames of ours that wait to be sent; more are dropped, and asked again later."""

Suspected = Callable[[int, bool], None]
"""Told of a backend (by its identity) that seems to be dead, and that does no longer."""

Doubted = Callable[[str, str], None]
"""Told of a backend (by pool and name) that fails its clients, as far as their connections tell."""


@dataclass(slots=True)
class Shared:
    """What is decided once, for all switches."""

    desired: Desired
    store: Assignments
    events: EventLog
    clock: Callable[[], float]
    switches: "dict[str, SwitchState]" = field(default_factory=dict)
    """By name. Whoever makes them enters them."""
    _saving: asyncio.Lock = field(default_factory=asyncio.Lock)

    def ask(self, but: str | None = None) -> None:
        """There is something to write to all switches, `but` to this one."""
        for name, switch in self.switches.items():
            if name != but:
                switch.work.ask()

    async def save(self) -> None:
        """Keeps the assignment before a switch sees it. A store that fails must not stop a failover."""
        desired = self.desired
        async with self._saving:
            while pools := desired.unsaved:
                desired.unsaved = set()
                try:
                    ejections = desired.outliers.ejections.copy()
                    kept = desired.assignment.copy(), pools, desired.flaps.copy(), ejections
                    await asyncio.to_thread(self.store.save, *kept)
                except StoreError as error:
                    text = "the assignment of buckets cannot be stored; going on without"
                    self.events.record(Kind.DAEMON, "store", text, str(error), Severity.ERROR)
                    desired.unsaved |= pools
                    return

    def double(self) -> "Shared":
        """What decisions can be tried out with."""
        events = Unheard()
        return Shared(self.desired.copy(events), Nowhere(), events, self.clock)


class SwitchState:
    """What there is of one switch, whether it is connected or not."""

    def __init__(self, shared: Shared, suspected: Suspected, doubted: Doubted, name: str = ONLY) -> None:
        self.shared = shared
        self.name = name
        self.suspected = suspected
        self.doubted = doubted
        self.work = Work()
        self.frames: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue(FRAMES_WAITING)
        """Frames of ours that wait to be sent: port and bytes."""
        self.neighbors = Neighbors(self._send, self._ask, shared.events, shared.clock, name)
        self.counters = Counters()
        self.silence = Silence()
        self.path_mtus = PathMtus(shared.events, shared.clock)
        self.tracer = Tracer()
        self.memory = Memory()
        """Of the entries that were wanted."""
        self.brought_up = False
        """In the present connection, it has been given what it should hold, as far as it takes it."""
        self.trouble = ""
        """Why it does not hold what it should."""
        self.written = 0
        """Entries that it took, in all connections."""
        self.session: Session | None = None
        """The present one, while the switch is connected and has been read back."""

    def _send(self, port: int, frame: bytes) -> None:
        if not self.frames.full():
            self.frames.put_nowait((port, frame))

    def _ask(self) -> None:
        self.work.ask()

    @property
    def config(self) -> Config:
        """The configuration as this switch has it."""
        return self.shared.desired.config.for_switch(self.name)

    def double(self) -> "SwitchState":
        """What a session can work with that is only to show what it would do."""
        other = SwitchState(
            self.shared.double(), lambda number, suspect: None, lambda pool, backend: None, self.name
        )
        events = other.shared.events
        other.neighbors, other.path_mtus = self.neighbors.copy(events), self.path_mtus.copy(events)
        other.counters, other.silence, other.memory = self.counters, self.silence, self.memory
        return other

    def follow_configuration(self) -> None:
        """Neighbors are wanted for what is configured, and for the backends in the tables."""
        desired, config = self.shared.desired, self.config
        self.neighbors.configure(
            config.switch.mac,
            config.interfaces,
            config.routes,
            config.neighbors,
            {backend.address for pool in config.pools for backend in pool.backends} | desired.backends(),
            (vip.address for vip in config.vips),
        )

    def wanted(self, probes: Probes | None = None, assignment: Assignment | None = None) -> Wanted:
        """What the switch should hold now, or with another assignment."""
        desired = self.shared.desired
        assignment = assignment or desired.assignment_of(self.name)
        known = assignment.pools if self.path_mtus.known() else {}
        names = {n: f"{pool}/{i.name}" for pool, one in known.items() for n, i in one.backends.items()}
        mtus = self.path_mtus.present(names)
        rows = self.neighbors.rows()
        return wanted(self.config, assignment, rows, desired.announced, probes, mtus, self.memory)
