"""The data plane's rules for one packet (p4src/exceptions.p4, p4src/liveness.p4) as a model that can be run.

It reads the tables of a switch in memory, and has what the program has of its own: three ways of slots for
exceptions, in the places that the program's hashes give them, and what is known of the backends' lives.
"""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple
from zlib import crc32

from controller.apportion import NOBODY
from controller.program import (
    BACKEND_SYNS,
    BACKENDS,
    BUCKETS,
    CURRENT_PROBED,
    LIVENESS_SETTINGS,
    MOVING_PREVIOUS,
    MOVING_UNMOVED,
    POOLS,
    VIPS,
    wide,
)
from controller.trace import Decision
from controller.values import Address
from tests.fakes.switch import FakeSwitch

TICK_BITS = 18
"""A tick is 2^18 microseconds."""

TICKS = 1 << 14
EMBRYONIC = 57
"""Ticks that an exception lives of which only a SYN was seen."""

DIGEST_BITS = 30
"""Of a flow's digest, those that a slot has room for."""

SHIFTS = (0, 9, 18)
"""Of the hash of a flow, for its place in each of the ways."""


@dataclass(slots=True)
class Slot:
    """A recorded flow. `seen` is in ticks."""

    digest: int
    owner: int
    seen: int
    confirmed: bool = False
    closing: bool = False

    def is_void(self, now: int, idle: int) -> bool:
        return (now - self.seen) % TICKS > (idle if self.confirmed else EMBRYONIC)


@dataclass(frozen=True)
class Flow:
    """A TCP connection to a VIP (address, protocol and port as its entry has them), as the program hashes
    it."""

    source: Address
    port: int
    vip: tuple[int, int, int]

    @cached_property
    def _fields(self) -> tuple[bytes, bytes, bytes, bytes, bytes]:
        address, protocol, port = self.vip
        return (
            wide(self.source).to_bytes(16),
            address.to_bytes(16),
            bytes([protocol]),
            self.port.to_bytes(2),
            port.to_bytes(2),
        )

    @cached_property
    def hash(self) -> int:
        """Picks the bucket."""
        source, destination, protocol, source_port, port = self._fields
        return crc32(port + source_port + destination + source + protocol)

    @cached_property
    def places(self) -> int:
        source, destination, protocol, source_port, port = self._fields
        return crc32(source_port + source + port + destination + protocol)

    def digest(self, pool: int) -> int:
        return crc32(pool.to_bytes(2) + b"".join(self._fields)) % (1 << DIGEST_BITS)


class Bucket(NamedTuple):
    """An entry of the table of buckets."""

    current: int
    previous: int
    standby: int
    announced: int
    motion: int


class Verdict(NamedTuple):
    """What became of a packet."""

    owner: int
    decision: Decision


@dataclass(frozen=True, slots=True)
class _Packet:
    """What the exceptions are asked. `pick` is who gets the flow if it is new, and `idle` in ticks."""

    flow: Flow
    syn: bool
    fin: bool
    digest: int
    pick: int
    record: bool
    idle: int
    gone: bool


class DataPlane:
    """Takes packets through the tables of `switch`; `slots` of each way, a power of two, or 0 for no room."""

    def __init__(self, switch: FakeSwitch, slots: int) -> None:
        self.switch, self.slots, self.now = switch, slots, 0.0
        self.ways: tuple[dict[int, Slot], ...] = tuple({} for _ in SHIFTS)
        self.round, self._round_began = 0, 0
        self.answered: dict[int, int] = {}

    @property
    def microseconds(self) -> int:
        return round(self.now * 1e6)

    @property
    def tick(self) -> int:
        return (self.microseconds >> TICK_BITS) % TICKS

    def bucket(self, flow: Flow) -> Bucket:
        """The entry of the flow's bucket."""
        tables = self.switch.tables
        _, pool, *_ = tables[VIPS][flow.vip].values
        _, mask, *_ = tables[POOLS][pool,].values
        return Bucket(*tables[BUCKETS][pool, flow.hash & mask].values)

    def is_recorded(self, flow: Flow) -> bool:
        """Whether a live exception names the flow's owner."""
        _, pool, *_ = self.switch.tables[VIPS][flow.vip].values
        _, _, idle, _ = self.switch.tables[POOLS][pool,].values
        digest, found = flow.digest(pool), False
        for way, shift in zip(self.ways, SHIFTS, strict=True):
            slot = way.get(flow.places >> shift & (self.slots - 1)) if self.slots else None
            found |= slot is not None and slot.digest == digest and not slot.is_void(self.tick, idle)
        return found

    def owner(self, flow: Flow, *, syn: bool = False, fin: bool = False) -> int:
        """The backend that gets the packet; NOBODY if it is dropped."""
        return self.decide(flow, syn=syn, fin=fin).owner

    def decide(self, flow: Flow, *, syn: bool = False, fin: bool = False) -> Verdict:
        backends = self.switch.tables[BACKENDS]
        verdict = self._decide(flow, syn, fin, gone=False)
        if verdict.decision is Decision.EXCEPTION and (verdict.owner,) not in backends:
            verdict = self._decide(flow, syn, fin, gone=True)
        if verdict.owner != NOBODY:
            assert (verdict.owner,) in backends, f"backend {verdict.owner} is in no table"
            self._count(BACKEND_SYNS, verdict.owner, syn)
            self.switch.direct.setdefault(BACKENDS, Counter())[verdict.owner,] += 1
        return verdict

    def _decide(self, flow: Flow, syn: bool, fin: bool, *, gone: bool) -> Verdict:
        bucket = self.bucket(flow)
        current, previous, standby, announced, motion = bucket
        pick = current
        if syn and self.suspects(current) and standby != NOBODY and not self.suspects(standby):
            pick = standby
        refused = syn and pick == NOBODY
        record = syn and not refused and (pick != previous or bool(announced))

        _, pool, *_ = self.switch.tables[VIPS][flow.vip].values
        _, _, idle, _ = self.switch.tables[POOLS][pool,].values
        packet = _Packet(flow, syn, fin, flow.digest(pool), pick, record, idle, gone)
        known, placed = self._ask_exceptions(packet)
        if known != NOBODY:
            return Verdict(known, Decision.EXCEPTION)
        if placed:
            return Verdict(pick, Decision.CURRENT if pick == current else Decision.STANDBY)
        if refused:
            return Verdict(NOBODY, Decision.REFUSED)
        moving = current != previous
        if moving:
            self._count(MOVING_PREVIOUS, motion, True)
            self._count(MOVING_UNMOVED, motion, record)
        if record:
            return Verdict(previous, Decision.NO_ROOM)
        return Verdict(previous, Decision.PREVIOUS if moving else Decision.SETTLED)

    def _ask_exceptions(self, packet: _Packet) -> tuple[int, bool]:
        """Who has the flow by an exception, and whether it was recorded now."""
        found, placed, now = NOBODY, False, self.tick
        for way, shift in zip(self.ways, SHIFTS, strict=True):
            if not self.slots:
                break
            index = packet.flow.places >> shift & (self.slots - 1)
            slot = way.get(index)
            known = slot is not None and slot.digest == packet.digest
            over = slot is None or slot.is_void(now, packet.idle)
            if slot is not None and known:
                over = over or packet.gone or (packet.syn and slot.closing)
            if slot is not None and known and not over:
                found, slot.seen = slot.owner, now
                slot.confirmed |= not packet.syn
                slot.closing |= packet.fin
            elif over and packet.record and found == NOBODY and not placed:
                placed = True
                way[index] = Slot(packet.digest, packet.pick, now)
            elif known:
                del way[index]
        return found, placed

    # the lives of backends

    def suspects(self, backend: int) -> bool:
        """Whether a probed backend is more rounds behind than its silence may last."""
        if (backend,) not in self.switch.tables[CURRENT_PROBED]:
            return False
        tolerance, *_ = self.switch.tables[LIVENESS_SETTINGS][()].values
        last = self.answered.get(backend, 0)
        return last == 0 or self.round - last > tolerance

    def begin_round(self) -> None:
        """A probe round begins, if the last one did not just now, and scrubs one place of each way."""
        _, gap, longest_idle = self.switch.tables[LIVENESS_SETTINGS][()].values
        if self.microseconds - self._round_began < gap:
            return
        self.round, self._round_began = self.round + 1, self.microseconds
        for way in self.ways:
            index = self.round & (self.slots - 1) if self.slots else 0
            if index in way and way[index].is_void(self.tick, longest_idle):
                del way[index]

    def hear(self, backend: int) -> None:
        """A backend answers a probe of the present round."""
        self.answered[backend] = self.round

    def _count(self, counter: str, cell: int, applies: bool) -> None:
        self.switch.cells.setdefault(counter, Counter())[cell] += applies
