"""What the switch has counted, as it was last read."""

from dataclasses import dataclass, field

import numpy as np

from controller.assignment import Assignment
from controller.health.passive import Handshakes
from controller.program import (
    ALL_SUSPECT,
    BACKEND_ACCEPTS,
    BACKEND_REFUSALS,
    BACKEND_SYNS,
    BACKENDS,
    DROPS,
    MOTION_SLOTS,
    MOVING_UNMOVED,
    PUNTS,
    SUSPECTED,
    VIP_RANGES,
    VIPS,
    Key,
    Table,
)
from controller.wire import Connection, Traffic

NEVER = -1


@dataclass(slots=True)
class Counters:
    """Since the switch took the program; `unmoved` since we watch. `read` is when, 0 for never."""

    read: float = 0.0
    vips: dict[Key, Traffic] = field(default_factory=dict)
    backends: dict[int, Traffic] = field(default_factory=dict)
    syns: dict[int, int] = field(default_factory=dict)
    handshakes: dict[int, Handshakes] = field(default_factory=dict)
    """Of the backends that are listened to."""
    suspected: dict[int, int] = field(default_factory=dict)
    """New flows that went to a backend's standbys because it seemed to be dead."""
    all_suspect: dict[int, int] = field(default_factory=dict)
    """New flows that a backend got though it seemed to be dead, because its standby did, too."""
    drops: dict[str, Traffic] = field(default_factory=dict)
    punts: dict[str, Traffic] = field(default_factory=dict)
    unmoved: dict[str, int] = field(default_factory=dict)


class CounterReader:
    """Reads the counters over one connection, into `counters`."""

    def __init__(self, switch: Connection, counters: Counters, *, fresh: bool) -> None:
        """`fresh`: the switch has just taken the program, all counters were 0."""
        self._switch = switch
        self._counters = counters
        self._reasons: dict[Table, dict[Key, str]] = {}
        self._unmoved = np.full(MOTION_SLOTS, 0 if fresh else NEVER, dtype=np.int64)

    async def read_traffic(self, backends: list[int]) -> None:
        """VIPs, reasons, and `backends` by identity."""
        counters = self._counters
        counters.vips = await self._switch.traffic(VIPS) | await self._switch.traffic(VIP_RANGES)
        counters.backends = {
            key[0]: traffic for key, traffic in (await self._switch.traffic(BACKENDS)).items()
        }
        counters.syns = await self._switch.packet_counts(BACKEND_SYNS, backends)
        counters.drops = await self._by_reason(DROPS)
        counters.punts = await self._by_reason(PUNTS)

    async def read_handshakes(self, backends: list[int]) -> dict[int, Handshakes]:
        """What clients' connections came to, for `backends` by identity.

        SYNs are read first: so no answer is missed that came to one of them.
        """
        syns, accepts, refusals = [
            await self._switch.packet_counts(counter, backends)
            for counter in (BACKEND_SYNS, BACKEND_ACCEPTS, BACKEND_REFUSALS)
        ]
        read = {n: Handshakes(syns[n], accepts[n], refusals[n]) for n in backends}
        self._counters.handshakes = read
        return read

    async def read_suspicion(self, backends: list[int]) -> None:
        """What suspicion has led to, for `backends` by identity."""
        self._counters.suspected = await self._switch.packet_counts(SUSPECTED, backends)
        self._counters.all_suspect = await self._switch.packet_counts(ALL_SUSPECT, backends)

    async def reasons(self, table: Table) -> dict[Key, str]:
        """The names of the reasons in a table of constant entries."""
        if table not in self._reasons:
            self._reasons[table] = {key: do.action async for key, do in self._switch.rows(table)}
        return self._reasons[table]

    async def _by_reason(self, table: Table) -> dict[str, Traffic]:
        names = await self.reasons(table)
        traffic = await self._switch.traffic(table)
        return {names[key]: traffic[key] for key in names if key in traffic}

    async def read_unmoved(self, assignment: Assignment, slots: list[int]) -> None:
        """SYNs that found no room to move, added to the pools whose buckets have the slots."""
        counts = await self._switch.packet_counts(MOVING_UNMOVED, slots)
        more = np.zeros(MOTION_SLOTS, dtype=np.int64)
        for slot, count in counts.items():
            more[slot] = count - self._unmoved[slot] if self._unmoved[slot] != NEVER else 0
            self._unmoved[slot] = count
        for name, assigned in assignment.pools.items():
            buckets = assigned.buckets
            found = int(more[np.unique(buckets.motion[buckets.moving])].sum())
            self._counters.unmoved[name] = self._counters.unmoved.get(name, 0) + found
