"""One random history of a pool, its controller and its clients, and what the clients believe.

The controller's own decisions (all of `Desired`) and its ordered writes (`Reconciler`) bring a switch in
line. Packets come between any two writes; the controller is killed at any write, loses its store, or finds
a switch that it did not write to the end. Whoever drives the history calls its methods, each of which draws
what it needs from `random`.
"""

import random
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, ip_address
from typing import Protocol

from controller.assignment import Assignment
from controller.desired import Desired
from controller.errors import Unreachable
from controller.events import EventLog
from controller.health.passive import LOOKS, Handshakes, Listening
from controller.health.settings import Damping
from controller.model import Backend, Config, Pool, State
from controller.program import (
    ADDRESSES,
    BACKENDS,
    CURRENT_PROBED,
    MOVING_PREVIOUS,
    STANDBY_PROBED,
    VIPS,
    Do,
    Rows,
    Table,
    forward,
    wide,
)
from controller.reconciler import Reconciler
from controller.store import SqliteStore
from controller.trace import Decision
from controller.values import mac_to_int
from controller.wanted import Wanted, wanted
from tests.fakes.compiled import CompiledSwitch, Loaded, Program
from tests.fakes.data_plane import DataPlane, Flow, Verdict
from tests.fakes.switch import FakeSwitch, at_once

IDLE = 20.0
EMBRYO = 14.9
"""Seconds; a client that hears nothing has sent its SYN again by then."""
YOUNG = 3.0
"""Seconds within which a SYN may arrive twice."""
ANNOUNCEMENT = 4.0
VIP = (wide(ip_address("10.0.0.100")), 6, 80)
EPOCH = 1_000_000.0
MOST_BUCKETS, MOST_BACKENDS, MOST_FLOWS = 64, 8, 60
FIRST_CLIENT = IPv4Address("172.16.0.1")
ROUTER = mac_to_int("02:00:00:00:00:01")
HOST = mac_to_int("02:00:00:00:00:02")
CLIENT = mac_to_int("02:00:00:00:01:00")
PROBER = IPv4Address("10.0.0.7")


class Plane(Protocol):
    """What takes packets."""

    def decide(self, flow: Flow, *, syn: bool = False, fin: bool = False) -> Verdict: ...

    def begin_round(self) -> None: ...

    def hear(self, backend: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Kind:
    """What may happen in a history.

    `slots` of each way of the exception table. An `orderly` pool's backends neither die nor are cut off,
    are never suspected, and its table has room for all: then a SYN may arrive twice, too.
    """

    slots: int
    announcement: float = ANNOUNCEMENT
    orderly: bool = False
    tiers: bool = True
    """Some backends stand by for others."""


@dataclass(slots=True)
class Connection:
    """What a client knows. Times are in seconds."""

    owner: int
    server: Do
    opened: float
    sent: float
    confirmed: bool = False

    @property
    def patience(self) -> float:
        """For how long it may be silent."""
        return IDLE if self.confirmed else EMBRYO


def base_config(announcement: float) -> Config:
    return Config.model_validate(
        {
            "switch": {"mac": "02:00:00:00:00:01"},
            "interfaces": [{"name": "all", "ports": [1], "addresses": ["10.0.0.1/16"]}],
            "pools": [
                {
                    "name": "web",
                    "buckets": 16,
                    "idle_timeout": IDLE,
                    "drain_deadline": "30d",
                    "announcement": announcement,
                    "passive": {"refusing": "eject", "connections": 1, "ejection": "5s"},
                }
            ],
            "vips": [{"name": "web", "address": "10.0.0.100", "port": 80, "pool": "web"}],
        }
    )


class History:
    """Over the model alone or, given a compiled program, over both at once. `client` is the clients' MAC."""

    def __init__(self, kind: Kind, seed: int, program: Loaded | None = None, client: int = CLIENT) -> None:
        self.kind, self.random, self.seed = kind, random.Random(seed), seed
        self.probing = program is not None
        self.plane: Plane
        self.switch: FakeSwitch
        if program is None:
            self.switch = FakeSwitch()
            self.plane = self.model = DataPlane(self.switch, kind.slots)
        else:
            self.switch = CompiledSwitch(program.start())
            self.model = DataPlane(self.switch, kind.slots)
            self.plane = Program(self.switch, self.model, client, ROUTER, PROBER)
        self.store = SqliteStore(":memory:")
        self.events = EventLog(clock=lambda: self.now)
        self.config = base_config(kind.announcement)
        self.born = self.opened = self.crashes = 0
        self.flows: dict[Flow, Connection] = {}
        self.ended: list[Flow] = []
        self.lost: set[int] = set()
        """Identities whose flows are lost: dead, disabled or cut."""
        self.healthy: dict[str, bool] = {}
        self.nobody_opens = False
        self.desired = Desired(self.config, Assignment(), self.events)
        self.reconciler = Reconciler(self.switch)  # type: ignore[arg-type]
        self.switch.between = self.packets_meanwhile
        for _ in range(4):
            self.add()
        self.bring_in_line()
        self.probe(all_answer=True)

    def close(self) -> None:
        self.store.close()
        if isinstance(self.switch, CompiledSwitch):
            self.switch.engine.close()

    @property
    def now(self) -> float:
        return EPOCH + self.model.now

    @property
    def pool(self) -> Pool:
        return self.config.pools[0]

    # the controller

    def bring_in_line(self) -> None:
        """One pass, as the session makes it."""
        while True:
            before = (
                {*self.desired.assignment.pools["web"].backends} if self.desired.assignment.pools else set()
            )
            self.desired.refresh(self.now)
            self.lost |= before - {*self.desired.assignment.pools["web"].backends}
            self.store.save(self.desired.assignment, self.desired.unsaved)
            self.desired.unsaved.clear()
            want = wanted(self.config, self.desired.assignment, self._neighbors(), self.desired.announced)
            if self.probing:
                want = self._with_probes(want)
            try:
                result = at_once(self.reconciler.apply(want))
            except Unreachable:
                self.begin_anew()
                continue
            assert result.complete, result
            for pool in [*self.desired.unwritten]:
                self.desired.written(pool)
            self._check_assignment()
            return

    def _neighbors(self) -> Rows:
        return {(wide(address),): forward(2, ROUTER, HOST, 0) for address in self.desired.backends()}

    def _with_probes(self, want: Wanted) -> Wanted:
        probed = [*self.desired.assignment.pools["web"].backends]
        probes: dict[Table, Rows] = {
            CURRENT_PROBED: {(number,): Do("current.is_probed") for number in probed},
            STANDBY_PROBED: {(number,): Do("standby.is_probed") for number in probed},
            ADDRESSES: {**want.rows[ADDRESSES], (wide(PROBER),): Do("prober", (ROUTER,))},
        }
        return replace(want, rows={**want.rows, **probes})

    def _check_assignment(self) -> None:
        """New flows go to those who serve, and those are no more tiers than it takes."""
        assigned, roles = self.desired.assignment.pools["web"], self.desired.roles["web"]
        serving = {
            number
            for number, identity in assigned.backends.items()
            if identity.removed is None and identity.name in dict(roles.weights)
        }
        tiers = {backend.name: backend.tier for backend in self.pool.backends}
        below = [name for name, _ in roles.weights if tiers[name] < roles.tier]
        assert roles.panic or len(below) < self.pool.tier_minimum
        if self.desired.announced:
            return
        new = {*assigned.buckets.current.tolist()}
        assert new <= serving or (not serving and new == {0}), f"{new} get new flows, {serving} serve"

    def begin_anew(self) -> None:
        """The controller was killed, or lost its connection, and goes on from what the switch holds."""
        self.crashes += 1
        self.switch.lose_after = None
        verdicts = self.desired.verdicts
        killed = self.random.random() < 0.7
        assignment = self.store.load() if killed else self.desired.assignment
        if killed and self.random.random() < 0.3:
            assignment = Assignment()  # and its store with it, which knew the numbers that rest
        self.desired = Desired(self.config, assignment, self.events)
        if not killed:
            self.desired.verdicts = verdicts
        self.reconciler = Reconciler(self.switch)  # type: ignore[arg-type]
        at_once(self.reconciler.read_back())
        self.desired.adopt(self.reconciler.holdings, self.now)
        if killed:  # the checks find out again
            for name, healthy in self.healthy.items():
                self.desired.set_health("web", name, healthy, "checked")

    def restart(self) -> None:
        """The controller is killed between two writes."""
        self.begin_anew()
        self.bring_in_line()

    def look_at_counters(self) -> None:
        desired = self.desired
        if isinstance(self.plane, Program):
            self.plane.compare_counters()
        slots = at_once(self.switch.packet_counts(MOVING_PREVIOUS, desired.moving_slots()))
        desired.settling.slots.observe(slots, self.model.now, self.model.now)
        traffic = at_once(self.switch.traffic(BACKENDS))
        counts = {number: value.packets for (number,), value in traffic.items()}
        desired.settling.backends.observe(counts, self.model.now, self.model.now)
        if desired.settle(self.now):
            # Known residue: a SYN that finds no room in the moment between the last look and the settling
            # write.
            self.nobody_opens = not self.kind.orderly
            self.bring_in_line()
            self.nobody_opens = False

    def probe(self, *, all_answer: bool = False) -> None:
        """A probe round, to which some backends answer. Who is silent for a while is suspected, rightly or
        not."""
        if not self.probing:
            return
        self.plane.begin_round()
        for (number,) in [*self.switch.tables[BACKENDS]]:
            if all_answer or self.kind.orderly or self.random.random() < 0.6:
                self.plane.hear(number)

    # the operator, and fate

    def configure(self, *, drain: bool = True, **parts: object) -> None:
        pool = self.pool.model_copy(update=parts)
        self.config = self.config.model_copy(update={"pools": (pool,)})
        self.desired.configure(self.config, drain=drain)

    def add(self) -> None:
        self.born += 1
        name = f"b{self.born}"
        address = ip_address(f"10.0.{1 + self.born // 250}.{1 + self.born % 250}")
        weight = self.random.randint(1, 3)
        tier = self.random.choice([0, 0, 0, 1, 2]) if self.kind.tiers else 0
        backend = Backend(name=name, address=address, port=80, weight=weight, tier=tier)
        if len(self.pool.backends) < MOST_BACKENDS:
            self.configure(backends=(*self.pool.backends, backend))
            self.healthy[name] = True
            self.desired.set_health("web", name, True, "checked")

    def remove(self) -> None:
        if self.pool.backends:
            gone = self.random.choice(self.pool.backends)
            rest = tuple(backend for backend in self.pool.backends if backend is not gone)
            self.configure(drain=self.kind.orderly or self.random.random() < 0.8, backends=rest)
            del self.healthy[gone.name]

    def change_one(self) -> None:
        if self.pool.backends:
            one = self.random.choice(self.pool.backends)
            weights = [6, 3, 0 if self.kind.orderly else 1]
            state = self.random.choices([*State], weights=weights)[0]
            new = one.model_copy(update={"state": state, "weight": self.random.randint(0, 3)})
            self.configure(backends=tuple(new if b is one else b for b in self.pool.backends))

    def change_health(self) -> None:
        if self.healthy and not self.kind.orderly:
            name = self.random.choice([*self.healthy])
            self.healthy[name] = not self.healthy[name] or self.random.random() < 0.5
            self.desired.set_health("web", name, self.healthy[name], "checked")

    def change_policy(self) -> None:
        """When backups serve, whether checks are believed, how those who come begin."""
        self.configure(
            tier_minimum=self.random.choice([1, 1, 2, 3]),
            panic=self.random.choice([0.0, 0.0, 0.5, 1.0]),
            slow_start=self.random.choice([0.0, 10.0, 60.0]),
            damping=self.random.choice([None, Damping(half_life=10, suppress=2, longest=30)]),
        )

    def eject(self) -> None:
        """One refuses its clients, so that it gets no new flows for a while. Those that it has stay."""
        assigned = self.desired.assignment.pools.get("web")
        numbers = [n for n, one in assigned.backends.items() if one.removed is None] if assigned else []
        if self.kind.orderly or not numbers:
            return
        refusing, listening = self.random.choice(numbers), Listening()
        for look in range(LOOKS + 1):
            syns = 10 * look
            counts = {
                n: Handshakes(syns, 0, syns) if n == refusing else Handshakes(syns, syns, 0) for n in numbers
            }
            listening.observe(counts, dict.fromkeys(numbers, self.pool.passive), syns)
        self.desired.hear(listening, 10 * LOOKS, self.now)

    def grow(self) -> None:
        if self.pool.buckets < MOST_BUCKETS:
            self.configure(buckets=self.pool.buckets * 2)

    def change(self) -> None:
        """One or two changes, and what the controller makes of them; it may be killed on the way."""
        changes = {
            self.add: 4,
            self.remove: 2,
            self.change_one: 4,
            self.change_health: 4,
            self.change_policy: 1,
            self.eject: 2,
            self.grow: 1,
        }
        for change in self.random.choices([*changes], [*changes.values()], k=self.random.choice([1, 1, 2])):
            change()
        if self.random.random() < 0.3:
            self.switch.lose_after = self.random.randint(0, 12)
        self.bring_in_line()
        self.switch.lose_after = None

    # clients

    def _new_flow(self) -> Flow:
        self.opened += 1
        return Flow(FIRST_CLIENT + self.opened, 1024 + self.random.getrandbits(15), VIP)

    def open(self) -> None:
        """A flow begins, often from the tuple of one that ended; its handshake may take a while."""
        if len(self.flows) >= MOST_FLOWS:
            return
        again = [flow for flow in self.ended[-10:] if flow not in self.flows]
        flow = self.random.choice(again) if again and self.random.random() < 0.4 else self._new_flow()
        bucket = self.model.bucket(flow)
        owner, decision = self.plane.decide(flow, syn=True)
        if decision not in (Decision.EXCEPTION, Decision.NO_ROOM):
            assert owner in (bucket.current, bucket.standby), (
                f"{flow} begins at {owner}: {bucket}, {decision}"
            )
        if owner:
            server = self.switch.tables[BACKENDS][owner,]
            self.flows[flow] = Connection(owner, server, self.model.now, self.model.now)
            if self.random.random() < 0.7:
                self.send(flow)

    def flood(self) -> None:
        """SYNs that nothing follows."""
        for _ in range(self.random.randint(1, 8)):
            self.plane.decide(self._new_flow(), syn=True)

    def send(self, flow: Flow, *, fin: bool = False, syn: bool = False) -> None:
        """A packet of a live flow, which must go where all before it went, unless that is lost."""
        verdict, connection = self.plane.decide(flow, fin=fin, syn=syn), self.flows[flow]
        connection.sent = self.model.now
        connection.confirmed |= not syn
        owner, got = connection.owner, verdict.owner
        server = self.switch.tables[BACKENDS].get((owner,))
        gone = server is None
        if got == owner != 0:
            assert server == connection.server, (
                f"{flow} of a dead backend is sent to whoever has its number now"
            )
        if got != owner:
            lost = owner in self.lost
            where = f"seed {self.seed}, {self.model.now:g} s: {flow}"
            assert lost, f"{where} went from {owner} to {got} ({verdict.decision.name})"
        if got != owner or gone or fin:
            self._forget(flow)

    def _forget(self, flow: Flow) -> None:
        del self.flows[flow]
        self.ended.append(flow)

    def send_one(self, *, fin: bool = False) -> None:
        if self.flows:
            self.send(self.random.choice([*self.flows]), fin=fin)

    def repeat_syn(self) -> None:
        """SYNs arrive again: soon after the first in an orderly pool; in others, of all recorded flows."""
        again = [
            flow
            for flow, connection in self.flows.items()
            if (
                self.model.now - connection.opened <= YOUNG
                if self.kind.orderly
                else self.model.is_recorded(flow) and connection.owner not in self.lost
            )
        ]
        for flow in again:
            self.send(flow, syn=True)

    def vanish(self) -> None:
        """A client that says no more for the idle timeout, and then something nobody waits for."""
        if self.flows:
            flow = self.random.choice([*self.flows])
            self._forget(flow)
            self.pass_time(IDLE - 0.1)
            self.pass_time(self.random.choice([0.05, 0.7]))
            self.plane.decide(flow)

    def packets_meanwhile(self) -> None:
        if self.random.random() < 0.3:
            if self.flows and self.random.random() < 0.7:
                self.send(self.random.choice([*self.flows]))
            elif not self.nobody_opens and VIP in self.switch.tables[VIPS]:
                self.open()

    def pass_time(self, seconds: float) -> None:
        """Live flows are never silent for longer than they may be."""
        for flow, connection in [*self.flows.items()]:
            if self.model.now + seconds - connection.sent >= connection.patience:
                self.send(flow)
        self.model.now += seconds

    def wait(self) -> None:
        """Time passes, at most as much as a live flow may be silent; what was announced is done when it is
        due."""
        self.wait_for(self.random.choice([0.3, 1.0, 4.0, IDLE - 0.1]))

    def wait_for(self, seconds: float) -> None:
        self.pass_time(seconds)
        due = self.desired.due(self.now)
        if due is not None and due <= self.now:
            self.bring_in_line()

    # all of it

    def step(self) -> None:
        event = self.random.random()
        if event < 0.28:
            self.open()
        elif event < 0.50:
            self.send_one()
        elif event < 0.57:
            self.send_one(fin=True)
        elif event < 0.60:
            self.repeat_syn()
        elif event < 0.62:
            self.vanish()
        elif event < 0.65:
            self.flood()
        elif event < 0.68:
            self.probe()
        elif event < 0.82:
            self.wait()
        elif event < 0.92:
            self.look_at_counters()
        elif event < 0.93:
            self.restart()
        else:
            self.change()
