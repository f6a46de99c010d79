"""What happens to buckets and identities, change by change."""

from ipaddress import ip_address

import numpy as np
import pytest

from controller.assignment import Assignment, Outcome
from controller.buckets import SHARED_SLOT, Buckets
from controller.identities import Identity, Server, server_of
from controller.model import Backend, Pool, State
from controller.program import MOTION_SLOTS
from controller.values import LAST_BACKEND

NOW = 1_000_000.0


def backend(name: str, **values: object) -> Backend:
    return Backend(name=name, address=ip_address(f"10.0.1.{name[1:]}"), port=8080).model_copy(update=values)


class World:
    """One pool whose backends we change. `up` holds the verdicts."""

    def __init__(self, *names: str, buckets: int = 16) -> None:
        self.assignment = Assignment()
        self.pool = Pool(name="web", buckets=buckets)
        self.up: dict[str, bool] = {}
        self.now = NOW
        self.change(*(backend(name) for name in names))

    def change(self, *backends: Backend, cut: frozenset[Server] = frozenset(), **values: object) -> Outcome:
        if backends:
            values["backends"] = backends
        self.pool = self.pool.model_copy(update=values)
        self.now += 1
        return self.assignment.update(self.pool, self.up.get, self.now, cut=cut)

    def verdict(self, **up: bool) -> Outcome:
        self.up |= up
        return self.change()

    @property
    def buckets(self) -> Buckets:
        return self.assignment.pools["web"].buckets

    def id(self, name: str) -> int:
        """The number of a backend in the tables; 0 if it has none."""
        backends = self.assignment.pools["web"].backends.values()
        return next((identity.id for identity in backends if identity.name == name), 0)

    def held(self, name: str) -> int:
        return int((self.buckets.current == self.id(name)).sum())


def test_the_backends_of_a_new_pool_serve_until_somebody_knows_better() -> None:
    world = World("b1", "b2")
    assert (world.held("b1"), world.held("b2")) == (8, 8)
    assert not world.buckets.moving.any(), "there were no flows that could stay anywhere"


def test_a_backend_that_is_added_waits_for_its_first_verdict() -> None:
    world = World("b1", "b2")
    assert world.change(*world.pool.backends, backend("b3")).moved == 0
    assert world.id("b3") == 0
    assert world.verdict(b3=True).moved == 5
    assert world.held("b3") == 5


def test_a_planned_change_leaves_the_flows_where_they_are() -> None:
    world = World("b1", "b2")
    before = world.buckets.current
    outcome = world.change(backend("b1", weight=3), backend("b2"))
    moved = world.buckets.current != before
    assert outcome.moved == moved.sum() == 4
    assert (world.buckets.previous == before).all()
    assert (world.buckets.moving == moved).all()
    slots = world.buckets.motion[moved]
    assert len({*slots.tolist()} - {SHARED_SLOT}) == 4, "each has counters of its own"
    assert outcome.restarted == {*slots.tolist()}
    assert (world.buckets.began[moved] == world.now).all()


def test_a_settled_bucket_has_neither_slot_nor_time() -> None:
    world = World("b1", "b2")
    world.change(backend("b1", weight=3), backend("b2"))
    slots = world.buckets.motion[world.buckets.moving]
    world.assignment.settle("web", world.buckets.moving)
    assert not world.buckets.moving.any()
    assert not world.buckets.motion.any()
    assert not world.buckets.began.any()
    assert not world.assignment.slots_used[slots].any()


def test_death_settles_at_once_where_the_dead_one_was() -> None:
    world = World("b1", "b2", "b3")
    dead = world.id("b2")
    lost = world.buckets.current == dead
    outcome = world.verdict(b2=False)
    assert [identity.name for identity in outcome.left] == ["b2"]
    assert world.id("b2") == 0
    assert not (world.buckets.moving & lost).any()
    assert dead not in world.buckets.current
    assert dead not in world.buckets.standby
    assert outcome.moved == lost.sum()


def test_death_of_a_previous_owner_settles_its_buckets() -> None:
    world = World("b1", "b2", "b3")
    world.change(backend("b1", state=State.DRAIN), backend("b2"), backend("b3"))
    assert world.buckets.moving.sum() == 6
    outcome = world.verdict(b1=False)
    assert not world.buckets.moving.any()
    assert outcome.moved == 0
    assert world.assignment.slots_used.sum() == 1, "only the shared slot is in use"


def test_death_of_where_a_bucket_moved_to_keeps_its_older_flows() -> None:
    world = World("b1", "b2", "b3")
    world.change(backend("b1", state=State.DRAIN), backend("b2"), backend("b3"))
    first, moving = world.id("b1"), world.buckets.moving
    world.verdict(b2=False)
    assert (world.buckets.previous[moving] == first).all()
    assert (world.buckets.current == world.id("b3")).all()


def test_who_comes_back_from_the_dead_gets_a_fresh_number() -> None:
    world = World("b1", "b2")
    before = world.id("b1")
    world.verdict(b1=False)
    world.verdict(b1=True)
    assert world.id("b1") not in (0, before)


def test_a_moving_bucket_that_moves_on_keeps_its_previous_and_its_deadline() -> None:
    world = World("b1", "b2", "b3")
    drained = backend("b1", state=State.DRAIN)
    world.change(drained, backend("b2"), backend("b3"))
    moving, previous, began = world.buckets.moving, world.buckets.previous, world.buckets.began
    outcome = world.change(drained, backend("b2", state=State.DRAIN), backend("b3"))
    moved_on = moving & (world.buckets.current == world.id("b3"))
    assert (world.buckets.previous[moving] == previous[moving]).all()
    assert (world.buckets.began[moving] == began[moving]).all()
    assert {*world.buckets.motion[moving & moved_on].tolist()} & outcome.restarted, (
        "its idle clock begins anew"
    )


def test_a_drain_that_is_called_off_moves_the_same_buckets_back() -> None:
    world = World("b1", "b2", "b3", "b4")
    before, number = world.buckets.current, world.id("b1")
    others = (backend("b2"), backend("b3"), backend("b4"))
    world.change(backend("b1", state=State.DRAIN), *others)
    world.change(backend("b1"), *others)
    assert (world.buckets.current == before).all()
    assert not world.buckets.moving.any()
    assert world.id("b1") == number


def test_disabling_takes_out_at_once() -> None:
    world = World("b1", "b2")
    world.change(backend("b1", state=State.DISABLED), backend("b2"))
    assert world.id("b1") == 0
    assert not world.buckets.moving.any()


def test_removing_drains_and_cutting_does_not() -> None:
    for cut, stays in ((frozenset[Server](), True), (frozenset({server_of(backend("b1"))}), False)):
        world = World("b1", "b2")
        world.change(backend("b2"), cut=cut)
        assert bool(world.id("b1")) == world.buckets.moving.any() == stays
        identities = world.assignment.pools["web"].backends.values()
        assert [identity.name for identity in identities if identity.removed] == ["b1"] * stays


def test_who_is_added_again_while_it_still_drains_is_the_same_as_before() -> None:
    world = World("b1", "b2")
    number = world.id("b1")
    world.change(backend("b2"))
    world.verdict(b1=True)
    world.change(backend("b1"), backend("b2"))
    assert world.id("b1") == number
    assert world.assignment.pools["web"].backends[number].removed is None
    assert not world.buckets.moving.any()


def test_another_server_under_the_same_name_is_another_backend() -> None:
    world = World("b1", "b2")
    world.up["b1"] = True
    number = world.id("b1")
    world.change(backend("b1", address=ip_address("10.0.1.99")), backend("b2"))
    identities = {identity.id: identity for identity in world.assignment.pools["web"].backends.values()}
    assert identities[number].removed == world.now
    assert [i.address for i in identities.values() if i.removed is None and i.name == "b1"] == [
        ip_address("10.0.1.99")
    ]


def test_when_all_are_down_nobody_serves_and_the_first_who_is_back_gets_all() -> None:
    world = World("b1", "b2")
    world.verdict(b1=False, b2=False)
    assert not world.buckets.current.any()
    assert not world.buckets.moving.any()
    world.verdict(b2=True)
    assert world.held("b2") == 16
    assert not world.buckets.moving.any()


def test_when_all_drain_the_older_flows_stay_and_new_ones_are_refused() -> None:
    world = World("b1", "b2")
    before = world.buckets.current
    world.change(backend("b1", weight=0), backend("b2", state=State.DRAIN))
    assert not world.buckets.current.any()
    assert (world.buckets.previous == before).all()


def test_a_pool_grows_without_moving_a_flow() -> None:
    world = World("b1", "b2", buckets=16)
    world.change(backend("b1", weight=3), backend("b2"))
    before = world.buckets
    outcome = world.change(buckets=64)
    after = world.buckets
    assert len(after) == 64
    assert outcome.moved == 0
    for part in ("current", "previous"):
        assert (getattr(after, part) == np.tile(getattr(before, part), 4)).all()
    slots = after.motion[after.moving]
    assert len({*slots.tolist()}) == after.moving.sum(), "the new halves have counters of their own"
    assert outcome.restarted == {*slots.tolist()}


def test_buckets_that_find_no_slot_share_one() -> None:
    world = World("b1", "b2")
    world.assignment.slots_used[:-2] = True
    outcome = world.change(backend("b1", weight=3), backend("b2"))
    slots = world.buckets.motion[world.buckets.moving].tolist()
    assert sorted(slots) == [SHARED_SLOT, SHARED_SLOT, MOTION_SLOTS - 2, MOTION_SLOTS - 1]
    assert SHARED_SLOT in outcome.restarted


def test_a_bucket_that_shares_a_slot_gets_its_own_when_one_is_free() -> None:
    world = World("b1", "b2")
    world.assignment.slots_used[:] = True
    world.change(backend("b1", weight=3), backend("b2"))
    world.assignment.slots_used[1:] = False
    outcome = world.change()
    assert SHARED_SLOT not in world.buckets.motion[world.buckets.moving]
    assert len(outcome.restarted) == 4


def test_a_backend_for_which_no_number_is_left_has_to_wait() -> None:
    world = World("b1", "b2")
    world.assignment.backend_numbers.used = {*range(1, LAST_BACKEND + 1)}
    world.change(*world.pool.backends, backend("b3"))
    outcome = world.verdict(b3=True)
    assert outcome.starved == ("b3",)
    assert world.id("b3") == 0


def test_nothing_new_is_nothing_to_store() -> None:
    world = World("b1", "b2")
    assert not world.change().changed
    assert world.change(backend("b1", weight=2), backend("b2")).changed


def test_a_pool_that_goes_gives_everything_back() -> None:
    world = World("b1", "b2")
    world.change(backend("b1", weight=3), backend("b2"))
    numbers = {*world.assignment.pools["web"].backends}
    world.assignment.forget("web", NOW)
    assert not world.assignment.pools
    assert world.assignment.slots_used.sum() == 1
    assert world.assignment.backend_numbers.resting.keys() == numbers
    assert world.assignment.pool_numbers.resting.keys() == {1}


def test_a_copy_is_not_touched_by_what_happens_to_the_original() -> None:
    world = World("b1", "b2")
    copy = world.assignment.copy()
    before = copy.pools["web"]
    world.change(backend("b1", weight=3), backend("b2"), backend("b3"))
    world.verdict(b3=True)
    assert copy.pools["web"] is before
    assert copy.backend_numbers.used == {1, 2}
    assert copy.slots_used.sum() == 1


@pytest.mark.parametrize("removed", [None, NOW])
def test_an_identity_is_of_a_backend_by_name_and_address(removed: float | None) -> None:
    identity = Identity(1, "web", "b1", ip_address("10.0.1.1"), 8080, removed)
    assert identity.server == server_of(backend("b1", weight=9))
    assert identity.server != server_of(backend("b1", port=81))
    assert identity.server != server_of(backend("b2", address=ip_address("10.0.1.1")))
