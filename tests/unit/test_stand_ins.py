"""Who is to leave serves until somebody is up who is to: nobody is refused meanwhile, and it is told."""

from collections.abc import Mapping

import numpy as np
import pytest

from controller import reporting
from controller.assignment import Assignment
from controller.config import parse
from controller.counters import Counters
from controller.desired import Desired
from controller.errors import InvalidConfig, UnknownName
from controller.events import EventLog
from controller.health.monitor import watches
from controller.model import (
    Backend,
    Config,
    NoCheck,
    State,
    change_backend,
    make_backend,
    remove_backend,
    with_backends,
    with_pool,
)
from controller.probes import Silence, question_for
from controller.program import NAT_ANSWERS
from controller.report import PoolReport, SwitchReport
from controller.services import is_elsewhere, service_rows
from controller.store import SqliteStore

NOW = 1_000_000.0

DOCUMENT = """
switch: {mac: "02:00:00:00:00:01"}
interfaces: [{name: all, ports: [1], addresses: [10.0.0.1/16]}]
pools:
  - name: web
    buckets: 16
    idle_timeout: 10s
    announcement: 0s
    backends: [{name: a1, address: 10.0.1.11}, {name: a2, address: 10.0.1.12}]
  - {name: api, buckets: 16, backends: [{name: o1, address: 10.0.1.31, port: 81}]}
vips:
  - {name: web, address: 10.0.0.100, port: 80, pool: web}
  - {name: api, address: 10.0.0.100, port: 81, pool: api}
"""


def backends(*names: str) -> list[Backend]:
    """`b1` is at 10.0.1.21."""
    return [make_backend(name, f"10.0.1.{ord(name[0]) % 32}{name[1]}") for name in names]


class World:
    """A pool of a1 and a2, both healthy."""

    def __init__(self, **parts: object) -> None:
        self.now = NOW
        self.events = EventLog(clock=lambda: self.now)
        self.desired = Desired(parse(DOCUMENT), Assignment(), self.events)
        if parts:
            pool = self.desired.config.pool("web").model_copy(update=parts)
            self.desired.configure(with_pool(self.desired.config, pool), drain=True)
        self.verdict(a1=True, a2=True)

    @property
    def config(self) -> Config:
        return self.desired.config

    def configure(self, config: Config, *, drain: bool = True) -> None:
        self.desired.configure(config, drain=drain)
        self.refresh()

    def apply(self, *names: str) -> None:
        """The pool has these backends, and no others."""
        self.configure(with_backends(self.config, "web", backends(*names)))

    def state(self, name: str, state: str) -> None:
        self.configure(change_backend(self.config, "web", name, state=state))

    def verdict(self, names: Mapping[str, bool] = {}, **more: bool) -> None:
        for name, up in {**names, **more}.items():
            self.desired.set_health("web", name, up, "checked")
        self.refresh()

    def refresh(self) -> None:
        self.desired.refresh(self.now)
        self.desired.written("web", self.now)

    def begin_anew(self) -> None:
        """Another controller goes on from the store; it has heard of no check."""
        store = SqliteStore(":memory:")
        ejections = self.desired.outliers.ejections
        store.save(self.desired.assignment, ["web", "api"], self.desired.flaps, ejections)
        self.desired = Desired(self.config, store.load(), self.events)
        self.refresh()
        store.close()

    @property
    def new(self) -> dict[str, int]:
        """How many buckets each has for new flows."""
        assigned = self.desired.assignment.pools["web"]
        names = {0: "nobody"} | {n: identity.name for n, identity in assigned.backends.items()}
        found: dict[str, int] = {}
        for number in assigned.buckets.current.tolist():
            found[names[number]] = found.get(names[number], 0) + 1
        return dict(sorted(found.items()))

    def told(self) -> list[str]:
        return [f"{event.subject}: {event.text} ({event.cause})" for event in self.events.since()]


OLD = {"a1": 8, "a2": 8}
NOBODY = {"nobody": 16}


def test_replaced_backends_serve_until_a_new_one_has_passed_its_check() -> None:
    world = World()
    world.apply("b1", "b2")
    assert world.new == OLD
    assert not world.desired.assignment.pools["web"].buckets.moving.any()
    why = "none of b1, b2 is up"
    assert f"web: a1, a2 to leave, but still with new connections ({why})" in world.told()
    world.verdict(b1=False)
    assert world.new == OLD, "one that fails is none that serves"
    world.verdict(b2=True)
    assert world.new == {"b2": 16}
    assert world.desired.assignment.pools["web"].buckets.moving.all(), "old connections stay"
    assert "web: who was to leave gets no new connections any more (b2 is up)" in world.told()


def test_the_drain_begins_when_another_one_serves() -> None:
    world = World()
    world.apply("b1")
    world.now += 7200
    assert not world.desired.settle(world.now), "the pool's deadline for drains is an hour"
    world.verdict(b1=True)
    assert {i.removed for i in world.desired.assignment.pools["web"].backends.values()} == {None, world.now}
    assert not world.desired.settle(world.now + 3599)
    assert world.desired.settle(world.now + 3600)


def test_the_move_to_a_newcomer_is_announced_as_any() -> None:
    world = World(announcement=4.0)
    world.apply("b1")
    assert not world.desired.announced, "nothing is to move yet"
    world.verdict(b1=True)
    assert world.new == OLD
    assert world.desired.announced["web"].all()
    world.now += 4
    world.refresh()
    assert world.new == {"b1": 16}


@pytest.mark.parametrize("values", [{"state": State.DRAIN}, {"weight": 0}], ids=["drain", "weight 0"])
def test_who_is_drained_serves_while_a_newcomer_is_waited_for(values: dict[str, object]) -> None:
    world = World()
    leaving = [one.model_copy(update=values) for one in world.config.pool("web").backends]
    world.configure(with_backends(world.config, "web", [*leaving, *backends("b1")]))
    assert world.new == OLD
    world.verdict(a1=False)
    assert world.new == {"a2": 16}, "its checks go on"
    world.verdict(b1=True)
    assert world.new == {"b1": 16}


def test_all_drained_on_purpose_is_drained() -> None:
    world = World()
    world.state("a1", "drain")
    world.state("a2", "drain")
    assert world.new == NOBODY
    world.configure(with_backends(world.config, "web", [*world.config.pool("web").backends, *backends("b1")]))
    assert world.new == NOBODY, "who has handed over does not come back"


@pytest.mark.parametrize("cut", ["disabled", "by force"])
def test_what_is_to_be_out_at_once_is_out(cut: str) -> None:
    world = World()
    world.configure(with_backends(world.config, "web", [*world.config.pool("web").backends, *backends("b1")]))
    if cut == "disabled":
        world.state("a1", "disabled")
        world.state("a2", "disabled")
    else:
        world.configure(with_backends(world.config, "web", backends("b1")), drain=False)
    assert world.new == NOBODY


def test_force_against_another_one_leaves_those_that_stand_in() -> None:
    world = World()
    world.apply("b1", "b2")
    world.configure(remove_backend(world.config, "web", "b2"), drain=False)
    assert world.new == OLD


def test_when_the_newcomers_are_taken_back_nobody_is_waited_for() -> None:
    world = World()
    world.apply("b1")
    world.apply()
    assert world.new == NOBODY
    assert "web: nobody gets new connections (nobody is to)" in world.told()


def test_on_the_way_back_they_are_the_same_as_before() -> None:
    world = World()
    before = world.desired.assignment.pools["web"]
    world.apply("b1", "b2")
    world.apply("a1", "a2")
    assert world.desired.assignment.pools["web"].backends == before.backends
    assert world.new == OLD
    assert world.desired.stand_ins.checked == world.config


def test_another_controller_decides_the_same() -> None:
    world = World()
    world.apply("b1")
    world.begin_anew()
    assert world.new == OLD
    world.verdict(b1=True)
    world.begin_anew()
    assert world.new == {"b1": 16}, "it served, and is not doubted for want of a check"


def test_a_removed_one_is_checked_while_it_serves_and_cut_when_it_is_down() -> None:
    world = World()
    asked: list[list[str]] = []
    world.desired.on_stand_ins = lambda: asked.append(
        [watch.name for watch in watches(world.desired.stand_ins.checked) if watch.pool == "web"]
    )
    world.apply("b1")
    assert asked[-1] == ["web/b1", "web/a1#1", "web/a2#2"]
    world.verdict({"a1#1": False})
    assert world.new == {"a2": 16}
    assert 1 not in world.desired.assignment.pools["web"].backends
    assert asked[-1] == ["web/b1", "web/a2#2"]
    world.verdict({"a2#2": False})
    assert world.new == NOBODY
    assert "web: nobody gets new connections (who stood in for others has gone)" in world.told()
    world.verdict({"a2#2": False}, b1=True)
    assert world.new == {"b1": 16}


def test_a_newcomer_of_the_same_name_is_another_one() -> None:
    world = World()
    elsewhere = [make_backend("a1", "10.0.1.21"), make_backend("a2", "10.0.1.22")]
    world.configure(with_backends(world.config, "web", elsewhere))
    assert world.new == OLD
    world.verdict(a1=False)
    assert world.new == OLD, "that was said of the newcomer"
    world.verdict(a2=True)
    assert {i.address for i in world.desired.assignment.pools["web"].backends.values() if not i.removed} == {
        elsewhere[1].address
    }


def test_what_another_pool_has_by_now_does_not_stand_in() -> None:
    """An answer to clients is known by its source alone, in nat mode."""
    world = World()
    taken = with_backends(world.config, "web", backends("b1"))
    world.configure(taken)
    assert world.new == OLD
    of_a1 = make_backend("o2", "10.0.1.11", 80)
    world.configure(with_backends(world.config, "api", [*world.config.pool("api").backends, of_a1]))
    assert world.new == {"a2": 16}


@pytest.mark.parametrize(("port", "found"), [(80, True), (82, False)])
def test_only_the_same_service_is_elsewhere(port: int, found: bool) -> None:
    config = with_backends(parse(DOCUMENT), "web", backends("b1"))
    config = with_backends(config, "api", [make_backend("o2", "10.0.1.11", port)])
    assert is_elsewhere(config, "web", ("a1", backends("a1")[0].address, None)) is found


def test_answers_of_one_that_was_given_another_name_are_its_own_until_that_one_serves() -> None:
    world = World()
    renamed = [make_backend("x1", "10.0.1.11"), make_backend("x2", "10.0.1.12")]
    world.configure(with_backends(world.config, "web", renamed))
    assert numbers_of_answers(world) == {1, 2, 3}, "3 is the other pool's"
    world.verdict(x1=True)
    assert numbers_of_answers(world) == {4, 2, 3}


def numbers_of_answers(world: World) -> set[int]:
    return {do.values[2] for do in service_rows(world.config, world.desired.assignment)[NAT_ANSWERS].values()}


# with what else decides who serves


def test_a_backup_that_is_up_serves_and_nobody_stands_in() -> None:
    world = World()
    backup = make_backend("c1", "10.0.1.41").model_copy(update={"tier": 1})
    world.configure(with_backends(world.config, "web", [*world.config.pool("web").backends, backup]))
    world.verdict(c1=True)
    world.configure(with_backends(world.config, "web", [backup, *backends("b1")]))
    assert world.new == {"c1": 16}


def test_panic_does_not_believe_in_newcomers_while_the_old_ones_can_serve() -> None:
    world = World(panic=0.5)
    world.apply("b1", "b2", "b3")
    assert world.new == OLD, "who has not been checked has not failed"
    world.verdict(b1=False, b2=False)
    assert world.new == OLD, "all new ones fail, and the old ones serve"
    world.verdict(b3=True)
    assert world.new == {"b1": 6, "b2": 5, "b3": 5}, "one of three: the checks are not believed, as ever"


def test_without_checks_there_is_nothing_to_wait_for() -> None:
    world = World(health=NoCheck(type="none"))
    world.apply("b1")
    assert world.new == {"b1": 16}


def test_a_slow_start_begins_with_the_first_that_has_passed() -> None:
    world = World(slow_start=100.0)
    world.apply("b1", "b2")
    world.now += 500
    world.verdict(b1=True)
    assert world.new == {"b1": 16}, "who serves alone has nobody to leave the rest to"
    world.now += 90
    world.verdict(b2=True)
    assert world.new == {"b1": 15, "b2": 1}


def test_one_who_was_there_and_is_down_is_waited_for_as_a_newcomer_is() -> None:
    world = World()
    world.verdict(a2=False)
    world.state("a1", "drain")
    assert world.new == {"a1": 16}
    world.verdict(a2=True)
    assert world.new == {"a2": 16}


def test_those_that_stand_in_are_asked_by_the_switch_too() -> None:
    world = World()
    world.apply("b1")
    for identity in world.desired.assignment.pools["web"].backends.values():
        assert question_for(world.config, world.config.pool("web"), identity)
    world.verdict(b1=True)
    leaving = world.desired.assignment.pools["web"].backends[1]
    assert question_for(world.config, world.config.pool("web"), leaving) is None


# one that must not serve any longer


def cut(world: World, name: str) -> int:
    """How many buckets that was said to move."""
    servers = world.desired.stand_ins.leaving("web", name)
    moved, foreseen = world.desired.preview(world.config, world.now, servers)
    world.desired.cut(servers)
    world.refresh()
    assert np.array_equal(
        foreseen.pools["web"].buckets.current, world.desired.assignment.pools["web"].buckets.current
    )
    return moved


def test_one_that_stands_in_is_cut_off_and_the_others_stand_in_for_it() -> None:
    world = World()
    world.apply("b1")
    assert cut(world, "a1") == 8
    assert world.new == {"a2": 16}
    assert not world.desired.assignment.pools["web"].buckets.moving.any(), "its old connections are cut"
    world.begin_anew()
    assert world.new == {"a2": 16}, "it does not come again"


def test_when_the_last_that_stands_in_is_cut_off_nobody_serves_until_somebody_is_up() -> None:
    world = World()
    world.apply("b1")
    cut(world, "a1")
    assert world.desired.stand_ins.unserved(["web"]) == []
    cut(world, "a2")
    assert world.new == NOBODY
    why = "who stood in for others has gone"
    assert world.desired.stand_ins.unserved(["web", "api"]) == [f"web: nobody gets new connections: {why}"]
    assert f"web: nobody gets new connections ({why})" in world.told()
    world.verdict(b1=True)
    assert world.new == {"b1": 16}


def test_one_that_drains_is_cut_off_with_its_old_connections() -> None:
    world = World()
    world.apply("a2")
    assert world.desired.assignment.pools["web"].buckets.moving.sum() == 8
    assert cut(world, "a1") == 0
    assert not world.desired.assignment.pools["web"].buckets.moving.any()
    assert [i.name for i in world.desired.assignment.pools["web"].backends.values()] == ["a2"]


def test_a_newcomer_of_the_same_name_is_not_cut_off() -> None:
    world = World()
    world.configure(with_backends(world.config, "web", [make_backend("a1", "10.0.1.99"), *backends("a2")]))
    world.verdict(a1=True)
    there = {str(i.address) for i in world.desired.assignment.pools["web"].backends.values()}
    assert there == {"10.0.1.11", "10.0.1.12", "10.0.1.99"}
    cut(world, "a1")
    there = {str(i.address) for i in world.desired.assignment.pools["web"].backends.values()}
    assert there == {"10.0.1.12", "10.0.1.99"}


def test_who_cannot_be_cut_off_is_told_why() -> None:
    world = World()
    with pytest.raises(InvalidConfig, match=r"a1\]: is configured: `sluice backend disable` takes it out"):
        world.desired.stand_ins.leaving("web", "a1")
    world.apply("a2")
    with pytest.raises(UnknownName, match="no removed backend named 'a3'; there is: a1"):
        world.desired.stand_ins.leaving("web", "a3")
    with pytest.raises(UnknownName, match="no pool named 'shop'"):
        world.desired.stand_ins.leaving("shop", "a1")
    cut(world, "a1")
    with pytest.raises(UnknownName, match="there is: none"):
        world.desired.stand_ins.leaving("web", "a1")


# what an operator sees


def test_the_report_says_who_serves_and_for_whom() -> None:
    world = World()
    world.apply("b1", "b2")
    pool = report(world)
    assert pool.standing_in == "a1, a2 to leave, but still with new connections: none of b1, b2 is up"
    found = {one.name: (one.state, one.stands_in, one.buckets_wanted, one.drained) for one in pool.backends}
    assert found["a1"] == ("removing", True, 8, False)
    assert found["b1"] == ("active", False, 0, False)
    world.verdict(b2=True)
    pool = report(world)
    assert pool.standing_in == ""
    assert not pool.awaited


def report(world: World) -> PoolReport:
    switch = SwitchReport(
        address="", device_id=1, connected=True, primary=True, synchronized=True, cookie=1, error=""
    )
    return reporting.report(1, switch, world.desired, (), Counters(), Silence(), {}).pools[0]
