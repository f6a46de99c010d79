"""Several switches under one assignment: what each says counts, and who comes back is taken in as it is."""

from ipaddress import ip_address

import numpy as np
import pytest

from controller.announcements import PATIENCE
from controller.assignment import Assignment
from controller.config import parse
from controller.desired import Desired
from controller.events import EventLog
from controller.identities import QUARANTINE
from controller.members import Kept
from controller.model import Config, change_backend, remove_backend, replace
from controller.program import BACKENDS, POOLS, VIPS, Do, backend_address
from controller.reconciler import Holdings
from controller.wanted import wanted

NOW = 1_000_000.0
IDLE = 10.0
DOCUMENT = """
switch: {mac: "02:00:00:00:00:01"}
switches: [{name: a, address: "192.0.2.1:9559"}, {name: b, address: "192.0.2.2:9559"}]
interfaces: [{name: all, ports: [1], addresses: [10.0.0.1/16]}]
pools:
  - name: web
    buckets: 16
    idle_timeout: 10s
    drain_deadline: 1h
    announcement: %s
    health: {type: tcp}
    backends: [{name: b1, address: 10.0.1.11, port: 80}, {name: b2, address: 10.0.1.12, port: 80}]
vips: [{name: web, address: 10.0.0.100, port: 80, pool: web}]
"""


class World:
    """Decisions about two switches that hold what they should."""

    def __init__(self, announcement: str = "0s") -> None:
        self.events = EventLog(clock=lambda: NOW)
        self.desired = Desired(parse(DOCUMENT % announcement), Assignment(), self.events)
        for name in ("a", "b"):
            self.desired.adopt(Holdings(), NOW, name)
        self.decide()
        self.write("a", "b")

    @property
    def config(self) -> Config:
        return self.desired.config

    @property
    def buckets(self):  # type: ignore[no-untyped-def]
        return self.desired.assignment.pools["web"].buckets

    def decide(self, now: float = NOW) -> None:
        self.desired.refresh(now)

    def configure(self, config: Config) -> None:
        self.desired.configure(config, drain=True)
        self.decide()

    def write(self, *switches: str, now: float = NOW) -> None:
        """These have all that was decided."""
        for switch in switches:
            for pool in self.desired.awaited(switch):
                self.desired.written(pool, now, switch)

    def look(self, at: float, *switches: str, count: int = 0) -> None:
        """Counters of moving buckets, and of all backends, read from these switches."""
        for switch in switches:
            member = self.desired.members[switch]
            slots = dict.fromkeys(self.desired.moving_slots(switch), count)
            member.slots.observe(slots, at, at)
            member.backends.observe(dict.fromkeys((1, 2), count), at, at)

    def holdings(self, switch: str) -> Holdings:
        """What a switch holds when it has all that it should."""
        want = wanted(self.config.for_switch(switch), self.desired.assignment_of(switch), {})
        return Holdings(
            {table: dict(rows) for table, rows in want.rows.items()},
            {pool: rows.astype(np.int32) for pool, rows in want.buckets.items()},
        )

    def own(self, switch: str) -> set[tuple[int, int]]:
        """Current and previous of the buckets, as a switch is to have them."""
        buckets = self.desired.assignment_of(switch).pools["web"].buckets
        return {*zip(buckets.current.tolist(), buckets.previous.tolist(), strict=True)}


@pytest.fixture
def world() -> World:
    return World()


def test_a_bucket_settles_when_it_was_quiet_on_all_switches(world: World) -> None:
    world.configure(change_backend(world.config, "web", "b1", state="drain"))
    world.write("a", "b")
    for at in (0.0, IDLE):
        world.look(at, "a")
    assert not world.desired.settle(NOW), "b has said nothing"
    for at in (0.0, IDLE):
        world.look(at, "b")
    assert world.desired.settle(NOW)
    assert not world.buckets.moving.any()


def test_a_packet_on_either_keeps_it_moving(world: World) -> None:
    world.configure(change_backend(world.config, "web", "b1", state="drain"))
    world.write("a", "b")
    world.look(0.0, "a", "b")
    world.look(IDLE, "a")
    world.look(IDLE, "b", count=1)
    assert not world.desired.settle(NOW)


def test_the_idle_timeout_counts_from_the_last_write(world: World) -> None:
    world.configure(change_backend(world.config, "web", "b1", state="drain"))
    world.write("a")
    for at in (0.0, IDLE):
        world.look(at, "a", "b")
    assert not world.desired.settle(NOW), "b does not have the move yet"
    world.write("b")
    world.look(IDLE + 1, "a", "b")
    world.look(2 * IDLE + 1, "a", "b")
    assert world.desired.settle(NOW)


def test_a_switch_that_is_away_is_waited_for_until_the_drain_deadline(world: World) -> None:
    world.configure(change_backend(world.config, "web", "b1", state="drain"))
    world.write("a", "b")
    world.look(0.0, "a", "b")
    world.look(IDLE, "a", "b")
    world.desired.leave("b", NOW)
    for at in (0.0, 100 * IDLE):
        world.look(at, "a")
    assert not world.desired.settle(NOW + 3599), "it may forward, and what it counts nobody knows"
    assert world.desired.settle(NOW + 3600)


def test_a_death_waits_for_nobody(world: World) -> None:
    world.desired.leave("b", NOW)
    world.desired.set_health("web", "b1", False, "refused")
    world.decide()
    assert {*world.buckets.current.tolist()} == {2}
    assert not world.buckets.moving.any()


def test_who_is_not_configured_any_more_is_not_waited_for(world: World) -> None:
    world.configure(change_backend(world.config, "web", "b1", state="drain"))
    world.write("a", "b")
    world.desired.leave("b", NOW)
    only_a = replace(world.config, switches=world.config.switches[:1] if world.config.switches else None)
    world.configure(only_a)
    for at in (0.0, IDLE):
        world.look(at, "a")
    assert world.desired.settle(NOW)


def test_what_waits_for_a_switch_that_is_away_is_told_with_the_way_out(world: World) -> None:
    world.configure(remove_backend(world.config, "web", "b1"))
    world.write("a", "b")
    world.look(0.0, "a", "b")
    world.desired.leave("b", NOW)
    assert not world.desired.settle(NOW)
    assert held_up(world) == (0, 0), "a's counter has not stood still for long enough"
    world.look(IDLE, "a")
    for _ in range(2):
        assert not world.desired.settle(NOW)
    assert held_up(world) == (8, 1)
    (told,) = [event for event in world.events.since() if event.subject == "b"]
    assert told.text == "is away, and 8 buckets and 1 removed backend wait for it"
    assert "`sluice get > sluice.yaml`, delete b below `switches`, `sluice apply -f" in told.cause


def held_up(world: World) -> tuple[int, int]:
    return world.desired.settling.held_up(world.config.pool("web"), world.desired.assignment.pools["web"])


def test_to_take_it_out_ends_all_that_waiting_at_once(world: World) -> None:
    numbers = world.desired.assignment.backend_numbers
    world.desired.adopt(world.holdings("b"), NOW, "b")
    world.configure(remove_backend(world.config, "web", "b1"))
    world.write("a", "b")
    world.look(0.0, "a", "b")
    world.desired.leave("b", NOW)
    world.look(IDLE, "a")
    assert not world.desired.settle(NOW)
    world.configure(replace(world.config, switches=(world.config.switches or ())[:1]))
    assert world.desired.settle(NOW)
    assert not world.buckets.moving.any()
    assert world.desired.assignment.pools["web"].backends.keys() == {2}, "with what it settles it is let go"
    world.desired.adopt(Holdings(), NOW, "a")
    late = NOW + QUARANTINE + 1
    numbers.last = numbers.last_used
    assert numbers.take(late) == 1, "and its number is free when it has rested"


def test_an_announcement_waits_no_longer_for_one_that_is_taken_out() -> None:
    world = World("4s")
    world.configure(change_backend(world.config, "web", "b1", weight=3))
    world.write("a")
    assert world.desired.due(NOW) == NOW + 4 + PATIENCE
    world.configure(replace(world.config, switches=(world.config.switches or ())[:1]))
    assert world.desired.due(NOW) == NOW + 4


def test_a_removed_backend_stays_while_one_switch_sends_to_it(world: World) -> None:
    world.configure(remove_backend(world.config, "web", "b1"))
    world.write("a", "b")
    world.look(0.0, "a", "b")
    world.look(IDLE, "a", "b")
    assert world.desired.settle(NOW)
    assert world.desired.assignment.pools["web"].backends.keys() == {2}

    world = World()
    world.configure(remove_backend(world.config, "web", "b1"))
    world.write("a", "b")
    for at in (0.0, IDLE):
        world.look(at, "a", "b")
        world.desired.members["b"].backends.observe({1: round(at)}, at, at)
    world.desired.settle(NOW)
    assert world.desired.assignment.pools["web"].backends.keys() == {1, 2}, "b still sends to it"


# who comes back


def settled_without_b(world: World) -> Holdings:
    """Buckets move from b1, b is lost, and at the drain deadline they settle; returns what b still holds."""
    before = world.holdings("b")
    world.configure(change_backend(world.config, "web", "b1", state="drain"))
    world.write("a")
    world.desired.leave("b", NOW)
    assert world.desired.settle(NOW + 3600)
    world.decide(NOW + 3600)
    return before


def test_who_comes_back_keeps_its_own_flows_where_they_are(world: World) -> None:
    held = settled_without_b(world)
    world.desired.adopt(held, NOW + 4000, "b")
    assert world.own("a") == {(2, 2)}
    assert world.own("b") == {(2, 1), (2, 2)}, "what it had at b1 is still there, and new flows go to b2"


def test_it_keeps_them_until_its_own_counter_stands_still(world: World) -> None:
    world.desired.adopt(settled_without_b(world), NOW + 4000, "b")
    world.write("b", now=NOW + 4000)
    world.look(0.0, "b")
    world.look(IDLE - 1, "b")
    assert not world.desired.settle(NOW + 4001)
    world.look(IDLE, "b")
    assert world.desired.settle(NOW + 4001)
    assert world.own("b") == {(2, 2)}


def test_or_for_the_drain_deadline(world: World) -> None:
    world.desired.adopt(settled_without_b(world), NOW + 4000, "b")
    assert not world.desired.settle(NOW + 7599)
    assert world.desired.settle(NOW + 7600)
    assert world.own("b") == {(2, 2)}


def test_a_backend_that_one_switch_has_kept_is_not_let_go(world: World) -> None:
    held = settled_without_b(world)
    world.desired.adopt(held, NOW + 4000, "b")
    world.configure(remove_backend(world.config, "web", "b1"))
    world.write("a", "b")
    for at in (0.0, IDLE - 1):
        world.look(at, "a", "b")
        world.desired.settle(NOW + 4001)
    assert 1 in world.desired.assignment.pools["web"].backends


def test_what_it_kept_goes_with_its_backend(world: World) -> None:
    world.desired.adopt(settled_without_b(world), NOW + 4000, "b")
    world.desired.set_health("web", "b1", False, "refused")
    world.decide(NOW + 4001)
    assert world.own("b") == {(2, 2)}


def test_a_kept_bucket_that_moves_back_stays_where_its_flows_are(world: World) -> None:
    """New flows go there again, without being recorded: nobody may end that but the common move."""
    world.desired.adopt(settled_without_b(world), NOW + 4000, "b")
    world.configure(change_backend(world.config, "web", "b1", state="active"))
    world.write("a", "b")
    assert (1, 1) in world.own("b")
    assert (1, 2) in world.own("a")
    world.desired.settle(NOW + 4000 + 3600 - 1)
    assert (1, 1) in world.own("b")


def test_what_is_kept_grows_with_its_pool() -> None:
    kept = Kept(np.array([1, 2], dtype=np.uint32), np.array([True, False]), NOW)
    world = World()
    kept.previous, kept.here = np.tile(kept.previous, 8), np.tile(kept.here, 8)
    world.desired.configure(
        replace(world.config, pools=(world.config.pools[0].model_copy(update={"buckets": 32}),)), drain=True
    )
    world.decide()
    kept.follow(world.desired.assignment.pools["web"])
    assert len(kept.of(world.buckets)) == 32


def test_a_switch_that_begins_anew_gets_what_the_others_have(world: World) -> None:
    world.configure(change_backend(world.config, "web", "b1", state="drain"))
    world.write("a", "b")
    world.desired.leave("b", NOW)
    world.desired.adopt(Holdings(), NOW + 1, "b")
    assert world.own("b") == world.own("a")
    for at in (0.0, IDLE):
        world.look(at, "a", "b")
    assert not world.desired.settle(NOW + 1), "it does not have the move yet"


def test_the_first_that_is_read_back_decides_and_others_keep_what_they_have() -> None:
    """The store is lost, and the controller was killed while it settled."""
    world = World()
    world.configure(change_backend(world.config, "web", "b1", state="drain"))
    moving = world.holdings("b")
    for at in (0.0, IDLE):
        world.write("a", "b")
        world.look(at, "a", "b")
    world.desired.settle(NOW)
    settled = world.holdings("a")
    again = World.__new__(World)
    again.events = EventLog()
    again.desired = Desired(world.config, Assignment(), again.events)
    again.desired.adopt(settled, NOW, "a")
    again.desired.adopt(moving, NOW, "b")
    assert again.own("a") == {(2, 2)}
    assert again.own("b") == {(2, 1), (2, 2)}


def test_a_server_that_two_switches_know_by_two_numbers_keeps_both(world: World) -> None:
    held = world.holdings("b")
    address = backend_address(ip_address("10.0.1.11"), 80)
    held.rows[BACKENDS][9,] = address
    held.buckets[1][:, 1] = 9
    world.desired.leave("b", NOW)
    world.desired.adopt(held, NOW, "b")
    backends = world.desired.assignment.pools["web"].backends
    assert (backends[1].name, backends[9].name) == ("b1", "10.0.1.11:80")
    world.decide()
    assert {previous for _, previous in world.own("b")} == {9}


def test_a_pool_that_a_switch_knows_by_another_number_is_recognised(world: World) -> None:
    held = world.holdings("b")
    held.rows[POOLS][7,] = held.rows[POOLS].pop((1,))
    held.rows[VIPS] = {
        key: Do(do.action, (do.values[0], 7, *do.values[2:])) for key, do in held.rows[VIPS].items()
    }
    held.buckets[7] = held.buckets.pop(1)
    held.buckets[7][:, 1] = 2
    world.desired.leave("b", NOW)
    world.desired.adopt(held, NOW, "b")
    assert {previous for _, previous in world.own("b")} == {2}


# numbers


def test_a_number_that_an_absent_switch_holds_is_nobody_elses(world: World) -> None:
    held, numbers = world.holdings("b"), world.desired.assignment.backend_numbers
    world.desired.adopt(held, NOW, "b")
    world.desired.leave("b", NOW)
    world.desired.set_health("web", "b1", False, "refused")
    world.decide()
    late = NOW + QUARANTINE + 1
    numbers.last = numbers.last_used
    assert numbers.take(late) == 3, "1 rests for as long as b may know it"
    world.desired.adopt(held, late, "b")
    assert numbers.resting[1] == late, "and from then on, since b forgets it only now"


def test_nor_is_one_that_a_switch_may_hold_of_which_nothing_is_known(world: World) -> None:
    again = Desired(world.config, world.desired.assignment, world.events)
    numbers = again.assignment.backend_numbers
    numbers.give_up(1, NOW)
    numbers.last = numbers.last_used
    assert numbers.take(NOW + QUARANTINE + 1) == 3
    for name in ("a", "b"):
        again.adopt(Holdings(), NOW, name)
    numbers.last = numbers.last_used
    assert numbers.take(NOW + 2 * QUARANTINE + 1) == 1


# announcements


def test_a_move_waits_until_all_have_announced_it() -> None:
    world = World("4s")
    world.configure(change_backend(world.config, "web", "b1", weight=0))
    world.write("a")
    world.decide(NOW + 5)
    assert not world.buckets.moving.any(), "b was not told yet"
    world.write("b", now=NOW + 5)
    assert world.desired.due(NOW + 5) == NOW + 9, "from when the last one was told"
    world.decide(NOW + 9)
    assert world.buckets.moving.any()


def test_one_that_takes_no_announcement_is_not_waited_for_forever() -> None:
    world = World("4s")
    world.configure(change_backend(world.config, "web", "b1", weight=0))
    world.write("a")
    world.decide(NOW + 14)
    assert world.buckets.moving.any()


def test_one_that_is_lost_is_not_waited_for() -> None:
    world = World("4s")
    world.configure(change_backend(world.config, "web", "b1", weight=0))
    world.write("a")
    world.desired.leave("b", NOW + 0.1)
    assert world.desired.due(NOW) == NOW + 4


def test_each_switch_gets_what_is_its_own() -> None:
    document = (DOCUMENT % "0s").replace(
        '"192.0.2.2:9559"}',
        '"192.0.2.2:9559", mac: "02:00:00:00:00:02", '
        "interfaces: [{name: all, ports: [7], addresses: [10.0.0.2/16]}]}",
    )
    config = parse(document)
    assert [config.for_switch(name).switch.mac for name in config.switch_names] == [
        "02:00:00:00:00:01",
        "02:00:00:00:00:02",
    ]
    assert config.for_switch("b").interfaces[0].ports == (7,)
    assert config.for_switch("a").pools is config.pools
