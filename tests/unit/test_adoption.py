"""A controller that begins anew goes on from what the switch holds, whatever it remembers itself."""

from ipaddress import ip_address

import numpy as np
import pytest

from controller.adoption import adopt
from controller.assignment import Assignment
from controller.config import parse
from controller.holdings import Holdings
from controller.identities import Identity
from controller.model import Config, add_backend, change_backend, make_backend, remove_backend
from controller.program import BACKENDS, BUCKETS, POOLS, Do, wide
from controller.reconciler import Reconciler
from controller.wanted import wanted
from tests.fakes.switch import FakeSwitch, at_once

NOW = 1_000_000.0
LATER = NOW + 500

DOCUMENT = """
switch: {mac: "02:00:00:00:00:01"}
interfaces: [{name: all, ports: [1], addresses: [10.0.0.1/16]}]
pools:
  - name: web
    buckets: 32
    health: {type: none}
    backends:
      - {name: b1, address: 10.0.1.11, port: 8080}
      - {name: b2, address: 10.0.1.12, port: 8080}
      - {name: b3, address: 10.0.1.13}
vips: [{name: web, address: 10.0.0.100, port: 80, pool: web}]
"""


class World:
    """A controller's assignment and a switch that holds it, until we let them differ."""

    def __init__(self) -> None:
        self.config: Config = parse(DOCUMENT)
        self.assignment = Assignment()
        self.switch = FakeSwitch()
        self.reconciler = Reconciler(self.switch)  # type: ignore[arg-type]
        self.write()

    def decide(self, now: float = NOW) -> None:
        for pool in self.config.pools:
            self.assignment.update(pool, lambda name: True, now)
        self.assignment.number_vips((vip.name for vip in self.config.vips), now)

    def write(self, now: float = NOW) -> None:
        self.decide(now)
        assert at_once(self.reconciler.apply(wanted(self.config, self.assignment, {}))).complete

    def holdings(self) -> Holdings:
        at_once(self.reconciler.read_back())
        return self.reconciler.holdings

    def adopted_by(self, assignment: Assignment) -> Assignment:
        adopt(assignment, self.config, self.holdings(), LATER)
        return assignment

    def drain(self, name: str) -> None:
        self.config = change_backend(self.config, "web", name, state="drain")


@pytest.fixture
def world() -> World:
    return World()


def owners(assignment: Assignment) -> tuple[list[int], list[int]]:
    buckets = assignment.pools["web"].buckets
    return buckets.current.tolist(), buckets.previous.tolist()


def on_switch(world: World) -> tuple[list[int], list[int]]:
    rows = [do.values for _, do in sorted(world.switch.tables[BUCKETS].items())]
    return [values[0] for values in rows], [values[1] for values in rows]


def test_what_both_know_is_not_touched(world: World) -> None:
    world.drain("b1")
    world.write()
    before = world.assignment.pools["web"].buckets
    after = world.adopted_by(world.assignment.copy()).pools["web"].buckets
    for part in ("current", "previous", "standby", "motion", "began"):
        assert (getattr(after, part) == getattr(before, part)).all()


def test_a_move_that_was_stored_but_not_written_is_not_taken_for_made(world: World) -> None:
    before = on_switch(world)
    world.drain("b1")
    world.decide()
    assert owners(world.adopted_by(world.assignment)) == before


def test_a_bucket_that_was_settled_only_in_the_store_still_moves(world: World) -> None:
    world.drain("b1")
    world.write()
    before = on_switch(world)
    world.assignment.settle("web", world.assignment.pools["web"].buckets.moving)
    after = world.adopted_by(world.assignment)
    assert owners(after) == before
    buckets = after.pools["web"].buckets
    assert (buckets.motion[buckets.moving] > 0).all()
    assert (buckets.began[buckets.moving] == LATER).all()
    assert after.slots_used.sum() == buckets.moving.sum() + 1


def test_a_death_that_was_stored_but_not_written_stays_a_death(world: World) -> None:
    world.assignment.update(world.config.pools[0], lambda name: name != "b1", NOW)
    decided = owners(world.assignment)
    assert owners(world.adopted_by(world.assignment)) == decided


def test_an_empty_switch_changes_nothing(world: World) -> None:
    world.drain("b1")
    world.decide()
    before = owners(world.assignment)
    world.switch = FakeSwitch()
    world.reconciler = Reconciler(world.switch)  # type: ignore[arg-type]
    assert owners(world.adopted_by(world.assignment)) == before


def test_growth_that_was_stored_but_not_written_copies_what_the_switch_has(world: World) -> None:
    pool = world.config.pools[0].model_copy(update={"buckets": 128})
    world.config = world.config.model_copy(update={"pools": (pool,)})
    world.decide()
    held = on_switch(world)
    assert owners(world.adopted_by(world.assignment)) == (held[0] * 4, held[1] * 4)


def test_growth_that_the_store_does_not_know_is_kept(world: World) -> None:
    small = world.assignment.copy()
    pool = world.config.pools[0].model_copy(update={"buckets": 128})
    world.config = world.config.model_copy(update={"pools": (pool,)})
    world.write()
    assert owners(world.adopted_by(small)) == on_switch(world)


# the store was lost


def test_without_a_store_pool_and_backends_are_recognised_by_their_addresses(world: World) -> None:
    world.drain("b1")
    world.write()
    after = world.adopted_by(Assignment())
    assert owners(after) == on_switch(world)
    assert after.pools["web"].id == 1
    assert after.pools["web"].backends == world.assignment.pools["web"].backends
    assert after.backend_numbers.used == {1, 2, 3}
    world.assignment = after
    world.switch.log.clear()
    world.write(LATER)
    assert world.switch.log == [], "and nothing has to be written"


def test_a_backend_that_the_store_does_not_know_of_a_pool_that_it_knows_has_just_come(world: World) -> None:
    """As at a takeover by a standby whose copy is a moment old."""
    copy = world.assignment.copy()
    world.config = add_backend(world.config, "web", make_backend("b4", "10.0.1.14", 8080))
    world.write()
    came = {i.name: i.came for i in world.adopted_by(copy).pools["web"].backends.values()}
    assert came == {"b1": None, "b2": None, "b3": None, "b4": LATER}
    alone = {i.name: i.came for i in world.adopted_by(Assignment()).pools["web"].backends.values()}
    assert alone == dict.fromkeys(came), "without a store nobody knows who came last"


def test_without_a_store_unknown_backends_may_end_their_flows(world: World) -> None:
    world.config = remove_backend(world.config, "web", "b2")
    world.write()
    world.config = parse(DOCUMENT.replace("      - {name: b2, address: 10.0.1.12, port: 8080}\n", ""))
    stranger = world.adopted_by(Assignment()).pools["web"].backends[2]
    assert stranger == Identity(2, "web", "10.0.1.12:8080", ip_address("10.0.1.12"), 8080, removed=LATER)


def test_without_a_store_a_backend_that_only_exceptions_name_is_kept(world: World) -> None:
    world.config = remove_backend(world.config, "web", "b2")
    world.write()
    world.assignment.settle("web", world.assignment.pools["web"].buckets.moving)
    world.write()
    after = world.adopted_by(Assignment())
    assert after.pools["web"].backends.keys() == {1, 2, 3}


def test_numbers_that_the_switch_knows_are_not_given_out(world: World) -> None:
    world.switch.tables[BACKENDS][7,] = Do("backend_address", (wide(ip_address("10.0.1.99")), 0))
    world.switch.tables[POOLS][3,] = Do("pool_settings", (1, 0, 10, 0))
    world.switch.tables[BUCKETS][3, 0] = Do("owners", (0, 0, 0, 0, 0))
    world.assignment.backend_numbers.resting[7] = NOW
    after = world.adopted_by(world.assignment)
    after.backend_numbers.last, after.pool_numbers.last = 6, 2
    assert after.backend_numbers.take(LATER) == 8
    assert after.pool_numbers.take(LATER) == 4


def test_slots_that_are_named_twice_are_given_out_anew(world: World) -> None:
    world.drain("b1")
    world.write()
    moving = np.flatnonzero(world.assignment.pools["web"].buckets.moving).tolist()
    for bucket in moving:
        row = world.switch.tables[BUCKETS][1, bucket]
        world.switch.tables[BUCKETS][1, bucket] = Do("owners", (*row.values[:4], 9))
    world.adopted_by(world.assignment)
    world.write(LATER)
    slots = [world.switch.tables[BUCKETS][1, bucket].values[4] for bucket in moving]
    assert len({*slots}) == len(slots)


def test_without_a_store_numbers_that_may_rest_are_not_given_out() -> None:
    """b3 dies; a controller that knows nothing of it adds b4, while flows of b3 may still be recorded."""
    world = World()
    world.config = remove_backend(world.config, "web", "b3")
    (resting,) = (n for n, i in world.assignment.pools["web"].backends.items() if i.name == "b3")
    world.assignment.remove("web", resting, NOW)
    world.write()
    fresh = world.adopted_by(Assignment())
    world.config = add_backend(world.config, "web", make_backend("b4", "10.0.1.14"))
    for pool in world.config.pools:
        fresh.update(pool, lambda name: True, LATER)
    (new,) = (n for n, i in fresh.pools["web"].backends.items() if i.name == "b4")
    assert new not in (*range(100), resting)
    assert fresh.pools["web"].id == world.assignment.pools["web"].id
