"""No flow is broken by anything but its own backend's death: a search for a counter-example.

Random histories of flows and of everything that happens to a pool, through the controller's own decisions
(all of `Desired`), its ordered writes (`Reconciler`) and the data plane's rules. Packets come between any
two writes. The controller is killed at any write, loses its store, or finds a switch that it did not write
to the end.
"""

import random
from ipaddress import ip_address

import pytest

from controller.assignment import Assignment
from controller.desired import Desired
from controller.errors import Unreachable
from controller.events import EventLog
from controller.model import Backend, Config, Pool, State
from controller.program import BACKENDS, MOVING_PREVIOUS, VIPS, wide
from controller.reconciler import Reconciler
from controller.store import SqliteStore
from controller.wanted import wanted
from tests.fakes.data_plane import DataPlane, Flow
from tests.fakes.switch import FakeSwitch, at_once

IDLE = 20.0
VIP = (wide(ip_address("10.0.0.100")), 6, 80)
EPOCH = 1_000_000.0
MOST_BUCKETS = 64
ROOM_FOR_ALL = 1000


ANNOUNCEMENT = 4.0


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
                }
            ],
            "vips": [{"name": "web", "address": "10.0.0.100", "port": 80, "pool": "web"}],
        }
    )


class History:
    """One random history, and what its clients and servers believe."""

    def __init__(self, seed: int, room: int, announcement: float) -> None:
        self.random, self.seed = random.Random(seed), seed
        self.switch = FakeSwitch()
        self.plane = DataPlane(self.switch, room)
        self.store = SqliteStore(":memory:")
        self.events = EventLog(clock=lambda: self.now)
        self.config = base_config(announcement)
        self.born = 0
        self.flows: dict[Flow, int] = {}
        self.last_sent: dict[Flow, float] = {}
        self.ended: list[Flow] = []
        self.lost: set[int] = set()
        """Identities whose flows are lost: dead, disabled or cut."""
        self.healthy: dict[str, bool] = {}
        self.opened = self.crashes = 0
        self.nobody_opens = False
        self.desired = Desired(self.config, Assignment(), self.events)
        self.reconciler = Reconciler(self.switch)  # type: ignore[arg-type]
        self.switch.between = self.packets_meanwhile
        for _ in range(4):
            self.add()
        self.bring_in_line()

    @property
    def now(self) -> float:
        return EPOCH + self.plane.now

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
            want = wanted(self.config, self.desired.assignment, {}, self.desired.announced)
            try:
                result = at_once(self.reconciler.apply(want))
            except Unreachable:
                self.begin_anew()
                continue
            assert result.complete, result
            for pool in [*self.desired.unwritten]:
                self.desired.written(pool)
            return

    def in_tables(self) -> set[int]:
        assigned = self.desired.assignment.pools.get("web")
        return {*assigned.backends} if assigned else set()

    def begin_anew(self) -> None:
        """The controller was killed, or lost its connection, and goes on from what the switch holds."""
        self.crashes += 1
        self.switch.lose_after = None
        verdicts = self.desired.verdicts
        killed = self.random.random() < 0.7
        assignment = self.store.load() if killed else self.desired.assignment
        if killed and self.random.random() < 0.3:
            assignment = Assignment()  # and its store with it
        self.desired = Desired(self.config, assignment, self.events)
        if not killed:
            self.desired.verdicts = verdicts
        self.reconciler = Reconciler(self.switch)  # type: ignore[arg-type]
        at_once(self.reconciler.read_back())
        self.desired.adopt(self.reconciler.holdings, self.now)
        if killed:  # the checks find out again
            for name, healthy in self.healthy.items():
                self.desired.set_health("web", name, healthy, "checked")

    def look_at_counters(self) -> None:
        desired = self.desired
        slots = at_once(self.switch.packet_counts(MOVING_PREVIOUS, desired.moving_slots()))
        desired.settling.slots.observe(slots, self.plane.now, self.plane.now)
        traffic = at_once(self.switch.traffic(BACKENDS))
        counts = {number: value.packets for (number,), value in traffic.items()}
        desired.settling.backends.observe(counts, self.plane.now, self.plane.now)
        if desired.settle(self.now):
            # Known residue: a SYN that finds no room in the moment between the last look and the settling
            # write.
            self.nobody_opens = self.plane.room < ROOM_FOR_ALL
            self.bring_in_line()
            self.nobody_opens = False

    # the operator, and fate

    def configure(self, *, drain: bool = True, **parts: object) -> None:
        pool = self.pool.model_copy(update=parts)
        self.config = self.config.model_copy(update={"pools": (pool,)})
        self.desired.configure(self.config, drain=drain)

    def add(self) -> None:
        self.born += 1
        name = f"b{self.born}"
        address = ip_address(f"10.0.{1 + self.born // 250}.{1 + self.born % 250}")
        backend = Backend(name=name, address=address, port=80, weight=self.random.randint(1, 3))
        if len(self.pool.backends) < 8:
            self.configure(backends=(*self.pool.backends, backend))
            self.healthy[name] = True
            self.desired.set_health("web", name, True, "checked")

    def remove(self) -> None:
        if self.pool.backends:
            gone = self.random.choice(self.pool.backends)
            rest = tuple(backend for backend in self.pool.backends if backend is not gone)
            self.configure(drain=self.random.random() < 0.8, backends=rest)
            del self.healthy[gone.name]

    def change_one(self) -> None:
        if self.pool.backends:
            one = self.random.choice(self.pool.backends)
            state = self.random.choices([*State], weights=[6, 3, 1])[0]
            new = one.model_copy(update={"state": state, "weight": self.random.randint(0, 3)})
            self.configure(backends=tuple(new if b is one else b for b in self.pool.backends))

    def change_health(self) -> None:
        if self.healthy:
            name = self.random.choice([*self.healthy])
            self.healthy[name] = not self.healthy[name] or self.random.random() < 0.5
            self.desired.set_health("web", name, self.healthy[name], "checked")

    def grow(self) -> None:
        if self.pool.buckets < MOST_BUCKETS:
            self.configure(buckets=self.pool.buckets * 2)

    # clients

    def open(self) -> None:
        again = [flow for flow in self.ended[-10:] if flow not in self.flows]
        if again and self.random.random() < 0.4:
            flow = self.random.choice(again)
        else:
            self.opened += 1
            flow = Flow(self.opened, self.random.getrandbits(16), VIP)
        owner = self.plane.owner(flow, syn=True)
        if owner:
            self.flows[flow], self.last_sent[flow] = owner, self.plane.now
            self.send(flow)

    def send(self, flow: Flow, *, fin: bool = False) -> None:
        got, owner = self.plane.owner(flow, fin=fin), self.flows[flow]
        self.last_sent[flow] = self.plane.now
        gone = (owner,) not in self.switch.tables[BACKENDS]
        if got != owner:
            lost = owner in self.lost
            assert lost, f"seed {self.seed}, {self.plane.now:g} s: {flow} went from {owner} to {got}"
        if got != owner or gone or fin:
            del self.flows[flow]
            self.ended.append(flow)

    def packets_meanwhile(self) -> None:
        if self.random.random() < 0.3:
            if self.flows and self.random.random() < 0.7:
                self.send(self.random.choice([*self.flows]))
            elif not self.nobody_opens and VIP in self.switch.tables[VIPS]:
                self.open()

    def pass_time(self, seconds: float) -> None:
        """Live flows are never silent for the idle timeout."""
        for flow in [*self.flows]:
            if self.plane.now + seconds - self.last_sent[flow] >= IDLE - 1:
                self.send(flow)
        self.plane.now += seconds

    # all of it

    def step(self) -> None:
        event = self.random.random()
        if event < 0.30 and len(self.flows) < 60:
            self.open()
        elif event < 0.55 and self.flows:
            self.send(self.random.choice([*self.flows]))
        elif event < 0.62 and self.flows:
            self.send(self.random.choice([*self.flows]), fin=True)
        elif event < 0.80:
            self.pass_time(self.random.choice([0.3, 1.0, 4.0]))
            due = self.desired.due()
            if due is not None and due <= self.now:
                self.bring_in_line()
        elif event < 0.92:
            self.look_at_counters()
        else:
            changes = [self.add, self.remove, self.change_one, self.change_health, self.grow]
            for change in self.random.choices(
                changes, weights=[4, 2, 4, 4, 1], k=self.random.choice([1, 1, 2])
            ):
                change()
            if self.random.random() < 0.3:
                self.switch.lose_after = self.random.randint(0, 12)
            self.bring_in_line()
            self.switch.lose_after = None


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("room", [0, 8, ROOM_FOR_ALL])
@pytest.mark.parametrize("announcement", [0.0, ANNOUNCEMENT])
def test_no_flow_is_broken(seed: int, room: int, announcement: float) -> None:
    history = History(seed, room, announcement)
    for _ in range(400):
        history.step()
    assert history.opened > 50
