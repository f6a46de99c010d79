"""Whatever is remembered: what is wanted, and what is written, are as if nothing were."""

import random
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import ip_address

import pytest

import controller.reconciler
from controller.assignment import Assignment
from controller.config import parse
from controller.desired import Desired
from controller.errors import InvalidConfig, UnknownName, Unreachable
from controller.events import EventLog
from controller.memory import Memory
from controller.model import (
    Config,
    State,
    Vip,
    add_backend,
    add_vip,
    change_backend,
    make_backend,
    remove_backend,
    remove_vip,
    with_pool,
)
from controller.model import replace as with_parts
from controller.probes import Probes
from controller.program import (
    ADDRESSES,
    BACKENDS,
    BUCKETS,
    NAT_ANSWERS,
    NAT_HOSTS,
    NAT_SERVICES,
    PROBE_TARGETS,
    TABLES,
    VIPS,
    Change,
    Do,
    Rows,
    forward,
)
from controller.reconciler import Reconciler
from controller.wanted import Wanted, wanted
from controller.wire import Refusal
from tests.fakes.switch import FakeSwitch, at_once

DOCUMENT = """
switch: {mac: "02:00:00:00:00:01"}
interfaces: [{name: all, ports: [1], addresses: [10.0.0.1/16]}]
pools:
  - {name: nat, buckets: 16, backends: [{name: b0, address: 10.0.1.1, port: 80}]}
  - {name: twin, buckets: 16, announcement: 0s, backends: [{name: b0, address: 10.0.1.1, port: 81}]}
  - name: dsr
    mode: dsr
    buckets: 32
    probe: icmp
    health: {type: none}
    backends: [{name: b0, address: 10.0.2.1}]
  - {name: gre, mode: gre, buckets: 16, backends: [{name: b0, address: 10.0.3.1}]}
vips:
  - {name: nat, address: 10.1.0.1, port: 80, pool: nat}
  - {name: twin, address: 10.1.0.2, port: 80, pool: twin}
  - {name: dsr, address: 10.1.0.3, port: 80, pool: dsr}
  - {name: gre, address: 10.1.0.4, port: 80, pool: gre}
"""
SEEDS, STEPS = 10, 60


class World:
    """A controller with everything remembered, and beside it what would be made from nothing."""

    def __init__(self, seed: int) -> None:
        self.random, self.now = random.Random(seed), 1000.0
        self.desired = Desired(parse(DOCUMENT), Assignment(), EventLog(clock=lambda: self.now))
        self.memory, self.probes, self.forgetful = Memory(), Probes(), Probes()
        self.mtus: dict[int, int] = {}
        self.neighbors: Rows = {}
        self.last: Wanted | None = None
        self.switch = FakeSwitch()
        self.switch.dangling = lambda: []  # others may take away what entries point at
        self.reconciler = Reconciler(self.switch)  # type: ignore[arg-type]

    @property
    def config(self) -> Config:
        return self.desired.config

    def step(self) -> None:
        happens = (self.verdict, self.settle, self.meet, self.path, self.others_write)
        self.random.choice((*happens, *[self.edit] * 4))()
        self.now += self.random.choice((0.0, 1.0, 20.0))

    def edit(self) -> None:
        """Some change of the configuration, or none where the rules forbid it."""
        pool = self.random.choice(self.config.pools)
        backend = self.random.choice([b.name for b in pool.backends] or ["b0"])
        name, port = f"b{self.random.randrange(6)}", self.random.choice((None, 80, 81))
        new = make_backend(name, f"10.0.{self.random.randrange(1, 4)}.{self.random.randrange(1, 9)}", port)
        vip = self.random.choice(self.config.vips) if self.config.vips else None
        other = Vip(
            name=f"v{self.random.randrange(3)}", address=ip_address("10.1.0.9"), port=80, pool=pool.name
        )
        edits = (
            lambda c: change_backend(c, pool.name, backend, weight=self.random.randrange(4)),
            lambda c: change_backend(c, pool.name, backend, state=self.random.choice([*State])),
            lambda c: add_backend(c, pool.name, new),
            lambda c: remove_backend(c, pool.name, backend),
            lambda c: with_pool(
                c, pool.model_copy(update={"idle_timeout": float(self.random.randrange(5, 50))})
            ),
            lambda c: remove_vip(c, vip.name) if vip else c,
            lambda c: add_vip(c, other),
            lambda c: with_parts(c, pools=c.pools[::-1]),
            lambda c: parse(DOCUMENT),
        )
        try:
            config = self.random.choice(edits)(self.config)
        except (InvalidConfig, UnknownName):
            return
        self.desired.configure(config, drain=self.random.random() < 0.5)

    def verdict(self) -> None:
        pool = self.random.choice(self.config.pools)
        for backend in pool.backends:
            self.desired.set_health(pool.name, backend.name, self.random.random() < 0.5, "checked")

    def settle(self) -> None:
        """Nobody needs two places any more, nor who was removed."""
        for name, assigned in self.desired.assignment.copy().pools.items():
            self.desired.assignment.settle(name, assigned.buckets.moving)
            for number, identity in assigned.backends.items():
                buckets = assigned.buckets
                if identity.removed is not None and number not in {*buckets.current, *buckets.standby}:
                    self.desired.assignment.remove(name, number, self.now)

    def meet(self) -> None:
        """A neighbor is found, or has moved."""
        mac = self.random.randrange(1, 4)
        self.neighbors = {**self.neighbors, (self.random.randrange(1, 4),): forward(1, 1, mac, 0)}

    def path(self) -> None:
        self.mtus = {n: self.random.choice((1300, 1400)) for n in range(1, 8) if self.random.random() < 0.5}

    def others_write(self) -> None:
        """Somebody else takes an entry away, which is found when all is read back."""
        table = self.switch.tables[self.random.choice(TABLES)]
        if table:
            del table[self.random.choice([*table])]
        at_once(self.reconciler.read_back())

    def way_to(self, address: object) -> Do | None:
        return self.neighbors.get((int(str(address).split(".")[2]),))

    def wanted(self, probes: Probes, memory: Memory | None) -> Wanted:
        desired = self.desired
        return wanted(
            self.config, desired.assignment, self.neighbors, desired.announced, probes, self.mtus, memory
        )

    def compare(self) -> None:
        """One pass, beside what it would be from nothing; the switch then holds just that."""
        self.desired.refresh(self.now)
        assignment = self.desired.assignment
        self.probes.update(self.config, assignment, self.way_to, self.neighbors)
        self.forgetful.update(self.config, assignment, self.way_to)
        want, anew = self.wanted(self.probes, self.memory), self.wanted(self.forgetful, None)
        assert want.rows == anew.rows
        assert listed(want) == listed(anew)
        if self.random.random() < 0.2:
            refused = self.random.choice(TABLES)
            self.switch.refuse = lambda change: (3, "not now") if change.table is refused else None
            at_once(self.reconciler.apply(want))
            self.switch.refuse = lambda change: None
        self.turn_back(want)
        assert at_once(self.reconciler.apply(want)).complete
        self.last = want
        self.holds(anew)

    def holds(self, want: Wanted) -> None:
        for table, rows in want.rows.items():
            assert self.switch.tables[table] == rows, table.name
        held = {key: list(do.values) for key, do in self.switch.tables[BUCKETS].items()}
        assert held == {(pool, b): row for pool, rows in listed(want).items() for b, row in enumerate(rows)}

    def turn_back(self, want: Wanted) -> None:
        """Now and then writing stops between two calls, and what was wanted before is wanted again."""
        if self.last is None or self.random.random() < 0.6:
            return
        write, calls = self.switch.write, self.random.randrange(12)

        async def some(changes: Iterable[Change]) -> list[Refusal]:
            nonlocal calls
            calls -= 1
            if calls < 0:
                raise Unreachable("the test cut the connection")
            return await write(changes)

        self.switch.write = some
        with suppress(Unreachable):
            at_once(self.reconciler.apply(want))
        self.switch.write = write
        assert at_once(self.reconciler.apply(self.last)).complete
        self.holds(self.last)


def listed(want: Wanted) -> dict[int, list[list[int]]]:
    return {pool: owners.tolist() for pool, owners in want.buckets.items()}


@pytest.mark.parametrize("seed", range(SEEDS))
def test_what_is_remembered_is_what_would_be_made_anew(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller.reconciler, "AT_ONCE", 5)  # so that a table takes more than one call
    world = World(seed)
    for _ in range(STEPS):
        world.step()
        world.compare()


def test_what_has_not_changed_is_the_same_object() -> None:
    world = World(1)
    world.compare()
    before = world.wanted(world.probes, world.memory)
    world.desired.configure(change_backend(world.config, "nat", "b0", weight=3), drain=True)
    world.compare()
    after = world.wanted(world.probes, world.memory)
    big = (BACKENDS, NAT_ANSWERS, NAT_SERVICES, NAT_HOSTS, VIPS, ADDRESSES, PROBE_TARGETS)
    assert [table.name for table in big if after.rows[table] is not before.rows[table]] == []
    others = [world.desired.assignment.pools[name].id for name in ("twin", "dsr", "gre")]
    assert all(after.buckets[number] is before.buckets[number] for number in others)
