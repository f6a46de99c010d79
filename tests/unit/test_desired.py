"""The controller's decisions without wires: what is to be written, stored and told."""

import pytest

from controller.apportion import NOBODY
from controller.assignment import Assignment
from controller.config import parse
from controller.desired import Desired, refuse_what_cannot_change
from controller.errors import InvalidConfig
from controller.events import EventLog
from controller.model import (
    ONLY,
    Config,
    add_backend,
    change_backend,
    make_backend,
    remove_backend,
    replace,
    with_pool,
)
from controller.reconciler import Holdings
from controller.values import LAST_BACKEND

NOW = 1_000_000.0

DOCUMENT = """
switch: {mac: "02:00:00:00:00:01"}
interfaces: [{name: all, ports: [1], addresses: [10.0.0.1/16]}]
pools:
  - name: web
    buckets: 16
    idle_timeout: 10s
    announcement: 0s
    health: {type: tcp, port: 80}
    backends: [{name: b1, address: 10.0.1.11}, {name: b2, address: 10.0.1.12}]
  - {name: other, buckets: 16, health: {type: none}, backends: [{name: o1, address: 10.0.1.21}]}
"""


class World:
    def __init__(self) -> None:
        self.events = EventLog()
        self.desired = Desired(parse(DOCUMENT), Assignment(), self.events)
        self.desired.refresh(NOW)
        self.saved()

    @property
    def config(self) -> Config:
        return self.desired.config

    def saved(self) -> set[str]:
        """The pools that were to be stored since we last asked."""
        pools, self.desired.unsaved = self.desired.unsaved, set()
        return pools

    def configure(self, config: Config, *, drain: bool = True) -> None:
        self.desired.configure(config, drain=drain)
        self.desired.refresh(NOW)

    def look(self, at: float, count: int) -> None:
        slots = dict.fromkeys(self.desired.moving_slots(), count)
        self.desired.members[ONLY].slots.observe(slots, at, at)

    def told(self) -> list[str]:
        return [f"{event.subject}: {event.text} ({event.cause})" for event in self.events.since()]


@pytest.fixture
def world() -> World:
    return World()


def test_only_pools_that_changed_are_worked_on_and_stored(world: World) -> None:
    other = world.desired.assignment.pools["other"]
    world.configure(change_backend(world.config, "web", "b1", weight=3))
    assert world.saved() == {"web"}
    assert world.desired.assignment.pools["other"] is other


def test_a_verdict_that_changes_nothing_is_no_work(world: World) -> None:
    assert world.desired.set_health("web", "b1", True, "passed")
    assert not world.desired.set_health("web", "b1", True, "passed again")
    world.desired.refresh(NOW)
    assert world.saved() == set()


def test_moves_are_told_with_their_cause(world: World) -> None:
    world.desired.set_health("web", "b1", False, "refused")
    world.desired.refresh(NOW)
    assert world.told()[-1] == "web: 8 of 16 buckets moved, 0 may still have flows elsewhere (b1 left)"


def test_it_is_told_whose_part_an_operator_changed(world: World) -> None:
    def cause(**values: object) -> str:
        world.configure(change_backend(world.config, "web", "b1", **values))
        return world.told()[-1].rpartition(" (")[2]

    assert cause(weight=3) == "weight of b1)"
    assert cause(state="drain") == "b1 serves no longer)"
    assert cause(state="active") == "b1 serves again)"


def test_nothing_settles_before_the_move_was_written(world: World) -> None:
    world.configure(change_backend(world.config, "web", "b1", state="drain"))
    world.look(0.0, 1)
    world.look(100.0, 1)
    assert not world.desired.settle(NOW + 1)
    world.desired.written("web", NOW)
    world.look(100.0, 1)
    world.look(109.0, 1)
    assert not world.desired.settle(NOW + 1), "the idle timeout counts from the write"
    world.look(110.0, 1)
    assert world.desired.settle(NOW + 1)
    assert world.desired.moving_slots() == []
    assert world.saved() == {"web"}


def test_a_slot_begins_anew_with_its_next_bucket(world: World) -> None:
    world.configure(change_backend(world.config, "web", "b1", state="drain"))
    world.desired.written("web", NOW)
    world.look(0.0, 1)
    world.look(50.0, 1)
    assert world.desired.settle(NOW)
    world.configure(change_backend(world.config, "web", "b1", state="active"))
    world.desired.members[ONLY].unwritten.clear()
    assert not world.desired.settle(NOW)


def test_a_removed_backend_goes_when_it_has_drained(world: World) -> None:
    world.configure(remove_backend(world.config, "web", "b1"))
    world.desired.written("web", NOW)
    for at in (0.0, 10.0):
        world.look(at, 1)
        world.desired.members[ONLY].backends.observe({1: 5}, at, at)
    assert world.desired.settle(NOW)
    assert world.desired.assignment.pools["web"].backends.keys() == {2}
    assert world.told()[-1] == "web/b1: has drained and is removed ()"


def test_a_removed_backend_that_does_not_drain_goes_at_the_deadline(world: World) -> None:
    world.configure(remove_backend(world.config, "web", "b1"))
    world.desired.written("web", NOW)
    assert world.desired.settle(NOW + 3600)
    assert (
        "b1: is removed with flows that are still alive (its drain deadline has passed)" in world.told()[-1]
    )


def test_without_drain_what_is_taken_away_leaves_at_once(world: World) -> None:
    world.configure(remove_backend(world.config, "web", "b1"), drain=False)
    assert world.desired.assignment.pools["web"].backends.keys() == {2}
    assert world.desired.moving_slots() == []


@pytest.mark.parametrize(("pool", "name", "left"), [("other", "o1", {1, 2}), ("web", "b2", {1})])
def test_who_drains_already_is_spared_when_another_is_cut(
    world: World, pool: str, name: str, left: set[int]
) -> None:
    world.configure(remove_backend(world.config, "web", "b1"))
    world.configure(remove_backend(world.config, pool, name), drain=False)
    assert world.desired.assignment.pools["web"].backends.keys() == left


def test_a_pool_that_is_gone_is_forgotten(world: World) -> None:
    world.configure(replace(world.config, pools=world.config.pools[:1]))
    assert world.desired.assignment.pools.keys() == {"web"}
    assert world.saved() == {"other"}


def test_when_no_number_is_left_it_is_told(world: World) -> None:
    world.desired.assignment.backend_numbers.used = {*range(1, LAST_BACKEND + 1)}
    world.desired.set_health("web", "b1", False, "refused")
    world.desired.refresh(NOW)
    world.desired.set_health("web", "b1", True, "passed")
    world.desired.refresh(NOW)
    assert "web/b1: cannot serve: all numbers for backends are in use" in world.told()[-1]


def test_a_preview_changes_nothing(world: World) -> None:
    before = world.desired.assignment.pools["web"]
    moved, assignment = world.desired.preview(change_backend(world.config, "web", "b1", weight=3), NOW)
    assert moved == 4
    assert (assignment.pools["web"].buckets.current == 1).sum() == 12
    assert world.desired.assignment.pools["web"] is before
    assert world.saved() == set()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"mode": "dsr"}, r"pools\[web\].mode: is nat and cannot change"),
        ({"buckets": 8}, r"pools\[web\].buckets: can only grow, there are 16"),
    ],
)
def test_what_would_break_all_flows_of_a_pool_is_refused(
    world: World, changes: dict[str, object], complaint: str
) -> None:
    pool = world.config.pool("web").model_copy(update=changes)
    after = world.config.model_copy(update={"pools": (pool, *world.config.pools[1:])})
    with pytest.raises(InvalidConfig, match=complaint):
        refuse_what_cannot_change(world.config, after, {"web": 16})
    grown = world.config.pool("web").model_copy(update={"buckets": 32})
    refuse_what_cannot_change(world.config, world.config.model_copy(update={"pools": (grown,)}), {"web": 16})


# announced moves


class Announcing(World):
    """A pool whose planned moves are announced 4 s ahead."""

    def __init__(self) -> None:
        super().__init__()
        pool = self.config.pool("web").model_copy(update={"announcement": 4.0})
        self.configure(with_pool(self.config, pool))
        assert not self.desired.announced, "there was nothing to move"

    def after(self, seconds: float) -> int:
        """How many buckets have moved then."""
        self.desired.refresh(NOW + seconds)
        return int(self.desired.assignment.pools["web"].buckets.moving.sum())


def test_a_planned_move_is_announced_and_made_when_it_is_due() -> None:
    world = Announcing()
    world.configure(change_backend(world.config, "web", "b1", weight=0))
    assert int(world.desired.announced["web"].sum()) == 8
    assert world.desired.due(NOW) == NOW + 4
    assert "web: 8 of 16 buckets move in 4s (b1 serves no longer)" in world.told()
    assert world.after(3.9) == 0
    assert world.after(4) == 8
    assert not world.desired.announced
    assert world.desired.due(NOW) is None


def test_what_is_decided_during_an_announcement_goes_with_it() -> None:
    world = Announcing()
    world.configure(change_backend(world.config, "web", "b1", weight=3))
    world.desired.refresh(NOW + 3)
    world.configure(change_backend(world.config, "web", "b2", weight=0))
    assert world.after(4) == 8


def test_what_is_taken_back_during_an_announcement_was_never_made() -> None:
    world = Announcing()
    world.configure(change_backend(world.config, "web", "b1", weight=0))
    world.configure(change_backend(world.config, "web", "b1", weight=1))
    assert not world.desired.announced
    assert world.after(4) == 0


def test_a_death_is_not_announced_and_takes_the_announced_moves_along() -> None:
    world = Announcing()
    b3 = make_backend("b3", "10.0.1.13")
    world.configure(add_backend(world.config, "web", b3))
    for name in ("b1", "b2", "b3"):
        world.desired.set_health("web", name, True, "200")
    world.desired.set_health("web", "b1", False, "refused")
    world.desired.refresh(NOW + 1)
    assigned = world.desired.assignment.pools["web"]
    assert {identity.name for identity in assigned.backends.values()} == {"b2", "b3"}
    assert not world.desired.announced


def test_a_clock_that_is_set_back_does_not_put_a_move_off() -> None:
    world = Announcing()
    world.configure(change_backend(world.config, "web", "b1", weight=0))
    assert world.after(-3600) == 8


def test_a_new_connection_to_the_switch_announces_anew() -> None:
    world = Announcing()
    world.configure(change_backend(world.config, "web", "b1", weight=0))
    world.desired.adopt(Holdings(), NOW + 1)
    world.desired.refresh(NOW + 2)
    world.desired.written("web", NOW + 2)
    assert world.desired.due(NOW) == NOW + 6


def test_while_a_bucket_has_nobody_moves_are_not_announced() -> None:
    """All had died, one came back, and the controller was killed when some buckets had been written."""
    world = Announcing()
    for name in ("b1", "b2"):
        world.desired.set_health("web", name, False, "refused")
    world.desired.refresh(NOW)
    world.desired.set_health("web", "b1", True, "200")
    world.desired.refresh(NOW + 1)
    assigned = world.desired.assignment.pools["web"]
    assigned.buckets.current[:3] = NOBODY
    world.desired.adopt(Holdings(), NOW + 2)
    world.desired.refresh(NOW + 2)
    assert world.desired.assignment.pools["web"].buckets.current.all()
    assert not world.desired.announced
