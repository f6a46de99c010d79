"""One connection to the switch, from the first read back until it is lost.

Each task does one thing: writes what is wanted, settles, sends and hears for the neighbors, reads counters,
looks whether the switch is still there and runs our program. The first that finds the connection gone ends
them all.
"""

import asyncio
import logging
import math
import time
from collections.abc import Mapping
from copy import copy
from itertools import chain, count, repeat

from controller import recorded
from controller.counters import CounterReader
from controller.desired import Desired
from controller.errors import Unreachable
from controller.events import Kind, Severity
from controller.health.passive import Listening
from controller.identities import Identity
from controller.links import links
from controller.memory import Memory
from controller.model import Backend, Vip
from controller.probes import Probes
from controller.program import (
    DROPS,
    MOVING_PREVIOUS,
    NEIGHBORS,
    PROBE_ANSWERS,
    PROBE_GROUPS,
    PUNTS,
    TRACED,
    Order,
    Punt,
)
from controller.reconciler import Reconciler, Result
from controller.report import Recorded
from controller.settle import poll_interval
from controller.shared import SwitchState
from controller.trace import Fate
from controller.tunnel_errors import Tunnels, tunnels_in
from controller.values import Address
from controller.wire import Connection

logger = logging.getLogger("sluice.session")

FIRST_RETRY, LAST_RETRY = 0.2, 5.0
"""Seconds until what was refused is tried again; doubled each time."""

COUNTER_INTERVAL = 1.0
COUNTER_SHARE = 10
"""Reading the counters takes at most one part in so many of the time."""

PACKETS_AT_A_TIME = 64

ORDERS_APART = 0.001
"""Seconds between the orders of a round, where there is time for it: their copies share queues."""

LOOK_AT_ANSWERS = 0.2
"""Seconds between two looks at who has answered, probes or clients, at the least."""

DRIFT_INTERVAL = 30.0
DRIFT_SHARE = 20
"""Seconds between two comparisons of what the switch holds with what we have written, at the least, and the
part of the time that reading it back may take."""

LOOK_WAITS = 10.0
"""Seconds that a look for drift waits for writes at a time. The embedded switch hangs up on whoever does not
read on within 30 s."""

RECORDED_INTERVAL = 5.0
"""Seconds for which a count of the recorded flows is good enough."""

HEARTBEAT = 5.0
NEIGHBOR_TICK = 0.25


class Session:
    """The controller's work over one connection."""

    def __init__(self, switch: Connection, state: SwitchState, *, fresh: bool) -> None:
        """`fresh`: the switch has just taken the program and holds nothing."""
        self._switch = switch
        self._state = state
        self._shared = state.shared
        self._desired = state.shared.desired
        self._fresh = fresh
        self._reconciler = Reconciler(switch)
        self._reader = CounterReader(switch, state.counters, fresh=fresh)
        self._probes = Probes()
        self._tunnels: Tunnels = {}
        self._reading = asyncio.Lock()
        self._recorded: Recorded | None = None
        self._drifted = False
        """A look has found entries that are not as we left them."""
        self._whole = False
        self._followed: tuple[object, ...] | None = None
        self._places = Memory()

    async def run(self) -> None:
        """Never returns. Raises an ExceptionGroup of what ended it."""
        await self._read_back()
        holdings = self._reconciler.holdings
        if not self._fresh:
            self._state.neighbors.adopt(holdings.rows[NEIGHBORS])
        self._desired.adopt(holdings, time.time(), self._state.name)
        self._shared.ask(but=self._state.name)
        self._probes.adopt(holdings.rows[PROBE_GROUPS])
        self._state.silence.forget()
        self._state.session = self
        try:
            await self._work()
        finally:
            self._state.session = None
            self._desired.leave(self._state.name, time.time())

    async def _read_back(self) -> None:
        await self._reconciler.read_back()
        self._desired.members[self._state.name].holdings = self._reconciler.holdings

    async def _work(self) -> None:
        async with self._state.tracer.connected(self._switch), asyncio.TaskGroup() as tasks:
            for task in (
                self._switch.until_lost(),
                self._keep_in_line(),
                self._look_for_drift(),
                self._settle(),
                self._count(),
                self._begin_rounds(),
                self._listen_for_silence(),
                self._listen_to_clients(),
                self._hear(),
                self._send(),
                self._tick(),
                self._look_after(),
            ):
                tasks.create_task(task)

    def double(self, switch: Connection) -> "Session":
        """One that does with `switch` what this one would do, by copies of all that it knows."""
        other = Session(switch, self._state.double(), fresh=False)
        other._reconciler.holdings = self._reconciler.holdings.copy()
        other._probes = copy(self._probes)
        return other

    async def recorded(self) -> Recorded | None:
        """The flows that the switch has recorded; None where it does not tell.

        Reading takes part of a second: who asks again at once gets the same answer.
        """
        async with self._reading:
            now = time.time()
            if self._recorded and 0 <= now - self._recorded.time < RECORDED_INTERVAL:
                return self._recorded
            slots = await recorded.read(self._switch, clocked=bool(self._probes.targets))
            if slots:
                idle = recorded.idle_ticks(self._desired.config, self._desired.assignment)
                self._recorded = await asyncio.to_thread(recorded.count, slots, idle, now)
            return self._recorded

    async def told(self) -> tuple[int | None, dict[int, bool] | None]:
        """The cookie of the switch's program, and its ports with their links, as far as it tells."""
        return await self._switch.cookie(), await links(self._switch)

    @property
    def name(self) -> str:
        """Of the switch."""
        return self._state.name

    @property
    def desired(self) -> Desired:
        return self._desired

    # what is wanted

    async def _keep_in_line(self) -> None:
        """Writes what is wanted whenever that changes, and again later when the switch refused some of it."""
        retry, written = FIRST_RETRY, 0
        work = self._state.work
        while True:
            number = work.begin()
            self._compare()
            result = await self.write(time.time())
            self._state.brought_up = True
            self._state.written += result.written
            written += result.written
            if result.complete:
                self._tell_whole(written)
                await work.finish(number)
                retry = FIRST_RETRY
                await work.wait_for_more(self._until_due())
            else:
                self._tell_trouble(_trouble(result))
                await work.wait_for_more(retry)
                retry = min(2 * retry, LAST_RETRY)

    def _until_due(self) -> float:
        """Seconds until an announced move is to be made, or a path's MTU is forgotten; infinite without."""
        due = self._desired.due(time.time())
        move = math.inf if due is None else max(0.0, due - time.time())
        path = self._state.path_mtus.due()
        return move if path is None else min(move, path)

    async def _look_for_drift(self) -> None:
        """Compares what the switch holds with what we have written, now and then, beside the writes."""
        clock, interval = self._shared.clock, DRIFT_INTERVAL
        while True:
            await asyncio.sleep(interval)
            if self._state.brought_up and not self._drifted:
                began = clock()
                await self.look()
                interval = max(DRIFT_INTERVAL, DRIFT_SHARE * (clock() - began))

    async def look(self) -> None:
        """Compares all that the switch holds. What is not as we have left it the next write repairs."""
        self._drifted = await self._reconciler.look(self._let_writes_go_first)
        if self._drifted:
            self._state.work.wake()

    async def _let_writes_go_first(self) -> None:
        await asyncio.sleep(0)
        await self._state.work.rest(LOOK_WAITS)

    def _compare(self) -> None:
        """Takes over what a look has found that others have done; the next write repairs it."""
        if not self._drifted:
            return
        self._drifted = False
        if strangers := self._reconciler.compare():
            where = ", ".join(f"{count} of {table}" for table, count in strangers.items())
            text = f"holds entries that are not as we left them: {where}; repairing"
            self._record(text, "somebody else has written, or the switch has lost them", Severity.WARNING)

    async def write(self, now: float) -> Result:
        """One pass from the configuration to the switch; `now` in seconds since the epoch."""
        desired, name = self._desired, self._state.name
        await self._decide(now)
        self._follow_backends()
        neighbors, config = self._state.neighbors, self._state.config
        self._probes.update(config, desired.assignment, neighbors.way_to, neighbors.rows())
        # What other sessions decide while this is being written is of a later version.
        version, awaited, want = desired.version, desired.awaited(name), self._state.wanted(self._probes)
        pools = desired.assignment.pools
        numbers = {pool: pools[pool].id for pool in awaited & pools.keys()}
        self._tunnels = tunnels_in(want.rows, desired.assignment, config)
        began = self._shared.clock()
        result = await self._reconciler.apply(want)
        if result.surprised:
            text = "holds other entries than it should; reading all of them back"
            self._record(text, str(result.refusals[0].message), Severity.WARNING)
            await self._read_back()
            result = await self._reconciler.apply(want)
        done = now + self._shared.clock() - began
        for pool, number in numbers.items():
            if number in want.buckets and self._reconciler.holds_buckets(number, want.buckets[number]):
                desired.written(pool, done, name, version)
        return result

    async def _decide(self, now: float) -> None:
        """Brings the assignment in line and keeps it; again if the configuration changes meanwhile."""
        desired, before, config = self._desired, self._desired.version, None
        while config is not desired.config:
            config = desired.config
            desired.refresh(now)
            await self._shared.save()
        if desired.version != before:
            self._shared.ask(but=self._state.name)

    def _follow_backends(self) -> None:
        """Neighbors are wanted for what is configured, and for what was removed and still has flows."""
        config, memory = self._state.config, self._places
        memory.begin()
        configured = [memory.make((0, pool.name), _places, *pool.backends) for pool in config.pools]
        pools = self._desired.assignment.pools
        assigned = [memory.make((1, name), _places_in, one.backends) for name, one in pools.items()]
        backends = memory.make(2, frozenset[Address]().union, *configured, *assigned)
        vips = memory.make(3, _places, *config.vips)
        wants = (config.switch.mac, config.interfaces, config.routes, config.neighbors, backends, vips)
        if wants != self._followed:
            self._followed = wants
            self._state.follow_configuration()

    def _tell_trouble(self, trouble: str) -> None:
        """Notes why the switch is not as it should be; an event when that changes."""
        if trouble != self._state.trouble:
            self._record("does not take everything; trying again", trouble, Severity.ERROR)
        self._whole, self._state.trouble = False, trouble

    def _tell_whole(self, written: int) -> None:
        """An event when the switch is as it should be for the first time in this connection, or again;
        `written` entries since we are connected."""
        if not self._whole:
            cause = f"{written} entries written" if written else "nothing was missing"
            self._record("holds everything that it should", cause)
        self._whole, self._state.trouble = True, ""

    def _record(self, text: str, cause: str = "", severity: Severity = Severity.INFO) -> None:
        self._shared.events.record(
            Kind.SWITCH, self._state.name or self._switch.target.address, text, cause, severity
        )

    # what ends by itself

    async def _settle(self) -> None:
        """Looks at the counters of moving buckets, and settles those that nobody needs in two places."""
        desired, clock, name = self._desired, self._shared.clock, self._state.name
        while True:
            await asyncio.sleep(poll_interval(desired.config.pools))
            if slots := desired.moving_slots(name):
                asked = clock()
                counts = await self._switch.packet_counts(MOVING_PREVIOUS, slots)
                desired.members[name].slots.observe(counts, asked, clock())
                await self._reader.read_unmoved(desired.assignment, slots)
            if desired.settle(time.time()):
                self._shared.ask()

    async def _count(self) -> None:
        clock, counters = self._shared.clock, self._state.counters
        while True:
            asked = clock()
            identities = [
                number for pool in self._desired.assignment.pools.values() for number in pool.backends
            ]
            await self._reader.read_traffic(identities)
            packets = {number: traffic.packets for number, traffic in counters.backends.items()}
            self._desired.members[self._state.name].backends.observe(packets, asked, clock())
            counters.read = time.time()
            await asyncio.sleep(max(COUNTER_INTERVAL, COUNTER_SHARE * (clock() - asked)))

    # liveness

    async def _begin_rounds(self) -> None:
        """Orders a round of probes each interval. One that comes late is not made up for."""
        clock, silence = self._shared.clock, self._state.silence
        due = clock()
        while True:
            interval = self._desired.config.liveness.interval
            groups = sorted(group for (group,) in self._reconciler.holdings.rows[PROBE_GROUPS])
            apart = min(ORDERS_APART, interval / max(1, len(groups)) / 2)
            for group, order in zip(groups, chain([Order.BEGIN], repeat(Order.PROBE)), strict=False):
                await self._switch.send(group, b"", order)
                await asyncio.sleep(apart)
            silence.rounds += bool(groups)
            due = max(due + interval, clock())
            await asyncio.sleep(due - clock())

    async def _listen_for_silence(self) -> None:
        """Looks who has answered. What the switch decides by itself is only noted here, and passed on."""
        clock, silence = self._shared.clock, self._state.silence
        while True:
            settings, asked = self._desired.config.liveness, clock()
            if targets := [*self._probes.targets]:
                rounds = silence.rounds
                answers = await self._switch.packet_counts(PROBE_ANSWERS, targets)
                for number in sorted(silence.observe(answers, rounds, settings.misses)):
                    self._state.suspected(number, number in silence.suspects)
                await self._reader.read_suspicion(targets)
            took = clock() - asked
            await asyncio.sleep(
                max(LOOK_AT_ANSWERS, settings.interval * (settings.misses + 1), COUNTER_SHARE * took)
            )

    async def _listen_to_clients(self) -> None:
        """Looks what clients' connections come to, where that passes the switch (`health.passive`).

        Until the switch has what it should hold, nothing is held against anybody.
        """
        clock, desired, listening = self._shared.clock, self._desired, Listening()
        while True:
            asked = clock()
            limits = desired.outliers.listened(desired.config.pools, desired.assignment)
            counts = await self._reader.read_handshakes([*limits])
            if self._state.brought_up:
                listening.observe(counts, limits, clock())
                hurry, ejected = desired.hear(listening, clock(), time.time(), self._state.name)
                for pool, backend in hurry:
                    self._state.doubted(pool, backend)
                if ejected:
                    self._shared.ask()
            await asyncio.sleep(max(LOOK_AT_ANSWERS, COUNTER_SHARE * (clock() - asked)))

    # neighbors

    async def _hear(self) -> None:
        """Packets that the switch hands over."""
        neighbors = self._state.neighbors
        reasons = {key[0]: name for key, name in (await self._reader.reasons(PUNTS)).items()}
        drops = {key[0]: name for key, name in (await self._reader.reasons(DROPS)).items()}
        self._state.tracer.reasons = {Fate.PUNTED: reasons, Fate.DROPPED: drops}
        for number in count(1):
            if number % PACKETS_AT_A_TIME == 0:
                await asyncio.sleep(0)  # a flood of packets must not keep the others from their work
            packet = await self._switch.packets.get()
            if packet.reason == TRACED:
                self._state.tracer.answered(packet)
                continue
            match reasons.get(packet.reason):
                case Punt.GLEAN:
                    neighbors.gleaned(packet.payload)
                case Punt.ARP_REPLY | Punt.NEIGHBOR_ADVERTISEMENT:
                    neighbors.answered(packet.port, packet.payload)
                case Punt.TUNNEL_ERROR:
                    if self._state.path_mtus.heard(packet.payload, self._tunnels):
                        self._state.work.ask()
                case other:
                    logger.warning("a packet for an unknown reason: %s (%s)", packet.reason, other)

    async def _send(self) -> None:
        while True:
            port, frame = await self._state.frames.get()
            await self._switch.send(port, frame)

    async def _tick(self) -> None:
        while True:
            self._state.neighbors.tick()
            await asyncio.sleep(NEIGHBOR_TICK)

    # the switch

    async def _look_after(self) -> None:
        """A switch that hangs, or that somebody gave another program, is as good as lost."""
        while True:
            await asyncio.sleep(HEARTBEAT)
            if await self._switch.cookie() != self._switch.pipeline.cookie:
                raise Unreachable("the switch does not run our program any more")


def _places(*things: Backend | Vip) -> frozenset[Address]:
    return frozenset(thing.address for thing in things)


def _places_in(backends: Mapping[int, Identity]) -> frozenset[Address]:
    return frozenset(identity.address for identity in backends.values())


def _trouble(result: Result) -> str:
    """What the operator is told about refused entries."""
    if not result.refusals:
        return f"{result.waiting} entries wait for others"
    first = result.refusals[0]
    more = f", and {len(result.refusals) - 1} more" if len(result.refusals) > 1 else ""
    waiting = f"; {result.waiting} entries wait for these" if result.waiting else ""
    return f"{first.change.kind} in {first.change.table}: {first.message}{more}{waiting}"
