"""The data plane's rules for one packet (p4src/exceptions.p4), read from the tables of a switch in memory."""

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from controller.apportion import NOBODY
from controller.program import (
    BACKEND_SYNS,
    BACKENDS,
    BUCKETS,
    MOVING_PREVIOUS,
    MOVING_UNMOVED,
    POOLS,
    TICK,
    VIPS,
)
from tests.fakes.switch import FakeSwitch

EMBRYONIC = 15.0
"""Seconds that an exception lives of which only a SYN was seen."""


@dataclass(slots=True)
class Exception_:
    """A recorded flow."""

    owner: int
    seen: float
    idle: float
    confirmed: bool = False
    closing: bool = False

    def is_void(self, now: float) -> bool:
        return now - self.seen > (self.idle if self.confirmed else EMBRYONIC)


@dataclass(frozen=True, slots=True)
class Flow:
    """What a packet tells of its flow; `hash` picks the bucket."""

    number: int
    hash: int
    vip: tuple[int, int, int]


class Bucket(NamedTuple):
    """An entry of the table of buckets."""

    current: int
    previous: int
    announced: bool
    motion: int


class DataPlane:
    """Takes packets through the tables of `switch`. `room` is how many exceptions there is room for."""

    def __init__(self, switch: FakeSwitch, room: int) -> None:
        self.switch, self.room, self.now = switch, room, 0.0
        self.exceptions: dict[int, Exception_] = {}

    def owner(self, flow: Flow, *, syn: bool = False, fin: bool = False) -> int:
        """The backend that gets the packet; NOBODY if it is dropped."""
        tables = self.switch.tables
        _, pool, *_ = tables[VIPS][flow.vip].values
        _, mask, idle, _ = tables[POOLS][pool,].values
        current, previous, _, announced, motion = tables[BUCKETS][pool, flow.hash & mask].values
        bucket = Bucket(current, previous, bool(announced), motion)
        owner = self._decide(flow, syn, fin, bucket, idle * TICK)
        if owner == NOBODY:
            return NOBODY
        assert (owner,) in tables[BACKENDS], f"backend {owner} is in no table"
        self._count(BACKEND_SYNS, owner, syn)
        self.switch.direct.setdefault(BACKENDS, Counter())[owner,] += 1
        return owner

    def _decide(self, flow: Flow, syn: bool, fin: bool, bucket: Bucket, idle: float) -> int:
        current, previous, announced, motion = bucket
        known = self._known(flow, syn)
        if known:
            known.seen, known.confirmed = self.now, known.confirmed or not syn
            known.closing = known.closing or fin
            return known.owner
        unmoved = False
        if syn:
            if current == NOBODY:
                return NOBODY
            if current != previous or announced:
                if self._record(flow, current, idle):
                    return current
                unmoved = True
        if current != previous:
            self._count(MOVING_PREVIOUS, motion, True)
            self._count(MOVING_UNMOVED, motion, unmoved)
        return previous

    def _known(self, flow: Flow, syn: bool) -> Exception_ | None:
        known = self.exceptions.get(flow.number)
        if known is None:
            return None
        gone = (known.owner,) not in self.switch.tables[BACKENDS]
        if known.is_void(self.now) or gone or (syn and known.closing):
            del self.exceptions[flow.number]
            return None
        return known

    def _record(self, flow: Flow, owner: int, idle: float) -> bool:
        if len(self.exceptions) >= self.room:
            void = [number for number, known in self.exceptions.items() if known.is_void(self.now)]
            if not void:
                return False
            del self.exceptions[void[0]]
        self.exceptions[flow.number] = Exception_(owner, self.now, idle)
        return True

    def _count(self, counter: str, cell: int, applies: bool) -> None:
        self.switch.cells.setdefault(counter, Counter())[cell] += applies
