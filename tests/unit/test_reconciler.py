"""The difference to what the switch holds: the fewest writes, in an order that never points at something
absent.

The switch in memory checks after every single write that no entry points at something which is not there.
"""

from collections.abc import Callable
from ipaddress import ip_address

import pytest
from finsy.proto import rpc_code

from controller.assignment import Assignment
from controller.config import parse
from controller.model import (
    Config,
    Mode,
    add_backend,
    change_backend,
    make_backend,
    remove_backend,
    remove_vip,
    replace,
)
from controller.program import (
    BACKENDS,
    BUCKETS,
    NEIGHBORS,
    POOLS,
    ROUTES,
    TABLES,
    VIP_RANGES,
    VIPS,
    Change,
    Do,
    Kind,
    wide,
)
from controller.reconciler import Reconciler, Result
from controller.wanted import Wanted, wanted
from tests.fakes.switch import FakeSwitch, at_once

DOCUMENT = """
switch: {mac: "02:00:00:00:00:01"}
interfaces: [{name: all, ports: [1], addresses: [10.0.0.1/16]}]
pools:
  - name: web
    buckets: 64
    health: {type: none}
    backends:
      - {name: b1, address: 10.0.1.11, port: 8080}
      - {name: b2, address: 10.0.1.12, port: 8080}
      - {name: b3, address: 10.0.1.13, port: 8080}
vips: [{name: web, address: 10.0.0.100, port: 80, pool: web}]
"""

FULL = (rpc_code.RESOURCE_EXHAUSTED, "the table is full")


class World:
    def __init__(self) -> None:
        self.switch = FakeSwitch()
        self.reconciler = Reconciler(self.switch)  # type: ignore[arg-type]
        self.config: Config = parse(DOCUMENT)
        self.assignment = Assignment()
        assert self.apply().complete

    def wanted(self) -> Wanted:
        for name in self.assignment.pools.keys() - {pool.name for pool in self.config.pools}:
            self.assignment.forget(name, 1000.0)
        for pool in self.config.pools:
            self.assignment.update(pool, lambda name: True, 1000.0)
        self.assignment.number_vips((vip.name for vip in self.config.vips), 1000.0)
        return wanted(self.config, self.assignment, {})

    def apply(self) -> Result:
        self.switch.log.clear()
        return at_once(self.reconciler.apply(self.wanted()))

    def written(self, table: object = None) -> list[Change]:
        return [change for change in self.switch.log if table in (None, change.table)]


@pytest.fixture
def world() -> World:
    return World()


def test_an_empty_switch_is_filled() -> None:
    world = World()
    assert {table.name for table in TABLES if world.switch.tables[table]} == {
        "macs",
        "reply_rate",
        "addresses",
        "own_sources",
        "interfaces",
        "liveness_settings",
        "nat_hosts",
        "routes",
        "vips",
        "pools",
        "buckets",
        "backends",
        "nat_answers",
        "nat_services",
    }


def test_nothing_changed_is_nothing_written(world: World) -> None:
    assert world.apply() == Result(0, 0, ())
    assert world.switch.log == []


def test_a_change_writes_the_buckets_that_move_and_no_others(world: World) -> None:
    before = dict(world.switch.tables[BUCKETS])
    world.config = add_backend(world.config, "web", make_backend("b4", "10.0.1.14", 8080))
    assert world.apply().complete
    moved = [key for key, do in world.switch.tables[BUCKETS].items() if do.values[0] != before[key].values[0]]
    changed = [key for key, do in world.switch.tables[BUCKETS].items() if do != before[key]]
    assert len(moved) == 16
    assert [change.key for change in world.written(BUCKETS)] == changed
    assert [change.kind for change in world.written(BACKENDS)] == [Kind.INSERT]


def test_what_the_switch_holds_is_read_back(world: World) -> None:
    again = Reconciler(world.switch)  # type: ignore[arg-type]
    at_once(again.read_back())
    assert at_once(again.apply(world.wanted())) == Result(0, 0, ())


def test_entries_of_nobody_are_removed(world: World) -> None:
    world.switch.tables[ROUTES][5, 128] = Do("connected")
    world.switch.tables[BACKENDS][99,] = Do("backend_address", (1, 1))
    world.switch.tables[BUCKETS][7, 3] = Do("owners", (99, 99, 0, 0, 0))
    again = Reconciler(world.switch)  # type: ignore[arg-type]
    at_once(again.read_back())
    assert at_once(again.apply(world.wanted())).complete
    assert (5, 128) not in world.switch.tables[ROUTES]
    assert (99,) not in world.switch.tables[BACKENDS]
    assert (7, 3) not in world.switch.tables[BUCKETS]


def drain_and_forget(world: World) -> None:
    world.config = remove_backend(world.config, "web", "b1")
    world.apply()
    world.assignment.settle("web", world.assignment.pools["web"].buckets.moving)
    world.assignment.remove("web", 1, 2000.0)


def disable(world: World) -> None:
    world.config = change_backend(world.config, "web", "b1", state="disabled")


def remove_the_vip(world: World) -> None:
    world.config = remove_vip(world.config, "web")


def remove_the_pool(world: World) -> None:
    world.config = replace(world.config, vips=(), pools=())


def grow(world: World) -> None:
    (pool,) = world.config.pools
    world.config = replace(world.config, pools=(pool.model_copy(update={"buckets": 256}),))


def another_pool(world: World) -> None:
    pool = world.config.pools[0].model_copy(update={"name": "new", "mode": Mode.DSR, "backends": ()})
    vip = world.config.vips[0].model_copy(
        update={"name": "new", "address": ip_address("10.0.0.101"), "pool": "new"}
    )
    world.config = replace(world.config, pools=(*world.config.pools, pool), vips=(*world.config.vips, vip))


CHANGES = [drain_and_forget, disable, remove_the_vip, remove_the_pool, grow, another_pool]


@pytest.mark.parametrize("change", CHANGES)
def test_no_write_leaves_an_entry_that_points_at_something_absent(
    world: World, change: Callable[[World], None]
) -> None:
    change(world)
    assert world.apply().complete
    again = Reconciler(world.switch)  # type: ignore[arg-type]
    at_once(again.read_back())
    assert at_once(again.apply(world.wanted())) == Result(0, 0, ()), (
        "and the switch holds exactly what is wanted"
    )


@pytest.mark.parametrize("table", TABLES, ids=repr)
@pytest.mark.parametrize("change", CHANGES)
def test_when_a_table_refuses_the_others_wait_and_catch_up_later(
    world: World, change: Callable[[World], None], table: object
) -> None:
    world.switch.refuse = lambda wanted: FULL if wanted.table is table else None
    change(world)
    result = world.apply()
    touched = any(refusal.change.table is table for refusal in result.refusals)
    assert result.complete == (not touched)
    world.switch.refuse = lambda wanted: None
    assert world.apply().complete
    assert world.apply() == Result(0, 0, ())


def test_buckets_wait_for_a_backend_that_was_refused(world: World) -> None:
    world.switch.refuse = lambda change: FULL if change.table is BACKENDS else None
    world.config = add_backend(world.config, "web", make_backend("b4", "10.0.1.14", 8080))
    result = world.apply()
    assert [refusal.change.key for refusal in result.refusals] == [(4,)]
    assert result.waiting >= 16
    assert not any(4 in do.values[:3] for do in world.switch.tables[BUCKETS].values())


def test_a_backend_waits_for_the_buckets_that_still_name_it(world: World) -> None:
    world.switch.refuse = lambda change: FULL if change.table is BUCKETS and change.key[1] == 0 else None
    disable(world)
    assert not world.apply().complete
    assert (1,) in world.switch.tables[BACKENDS]


def test_one_refused_entry_does_not_stop_a_failover(world: World) -> None:
    world.switch.refuse = lambda change: FULL if change.table is ROUTES else None
    more = ", {name: more, ports: [2], addresses: [10.9.0.1/24]}]"
    world.config = parse(DOCUMENT.replace("[10.0.0.1/16]}]", "[10.0.0.1/16]}" + more))
    disable(world)
    result = world.apply()
    assert [refusal.change.table for refusal in result.refusals] == [ROUTES]
    assert (1,) not in world.switch.tables[BACKENDS]


def test_a_switch_that_holds_something_else_is_noticed(world: World) -> None:
    key = (wide(ip_address("10.0.0.100")), 6, 80)
    del world.switch.tables[VIPS][key]
    remove_the_vip(world)
    assert world.apply().surprised
    at_once(world.reconciler.read_back())
    assert world.apply().complete


def test_what_holds_is_known_for_each_pool(world: World) -> None:
    want = world.wanted()
    assert world.reconciler.holds_buckets(1, want.buckets[1])
    disable(world)
    want = world.wanted()
    assert not world.reconciler.holds_buckets(1, want.buckets[1])


def test_neighbors_come_first_and_vips_last() -> None:
    assert TABLES[0] is NEIGHBORS
    assert TABLES.index(POOLS) < TABLES.index(VIPS) < TABLES.index(VIP_RANGES)
