"""When a moving bucket is settled and a removed backend let go: not before nobody can need it."""

from ipaddress import ip_address

import numpy as np
import pytest

from controller.assignment import Assignment, PoolAssignment
from controller.members import Member
from controller.model import Backend, Pool
from controller.settle import FASTEST, SLOWEST, Settling, poll_interval
from controller.stillness import Stillness

NOW = 1_000_000.0
IDLE = 10.0


def up(name: str) -> bool | None:
    return True


def stillness(cell: int, still: Stillness) -> float:
    return float(still.of(np.array([cell]))[0])


def test_nothing_is_known_of_a_cell_that_was_never_read() -> None:
    assert stillness(3, Stillness(8)) < 0


def test_a_count_stands_still_between_the_answer_that_showed_it_and_the_last_question() -> None:
    still = Stillness(8)
    still.observe({3: 5}, asked=100.0, answered=101.0)
    assert stillness(3, still) < 0
    still.observe({3: 5}, asked=107.0, answered=109.0)
    assert stillness(3, still) == 6.0


def test_a_count_that_changes_begins_anew() -> None:
    still = Stillness(8)
    for at, count in ((100.0, 5), (110.0, 5), (111.0, 6), (115.0, 6)):
        still.observe({3: count}, at, at)
    assert stillness(3, still) == 4.0


def test_a_cell_with_a_new_meaning_begins_anew() -> None:
    still = Stillness(8)
    still.observe({3: 5}, 100.0, 100.0)
    still.observe({3: 5}, 110.0, 110.0)
    still.restart([3])
    assert stillness(3, still) < 0
    still.observe({3: 5}, 120.0, 120.0)
    assert stillness(3, still) == 0.0


def test_no_cells_are_no_trouble() -> None:
    Stillness(8).observe({}, 1.0, 2.0)


class World:
    """A pool of which b1 was taken out, so that some buckets move."""

    def __init__(self) -> None:
        backends = [Backend(name=f"b{n}", address=ip_address(f"10.0.1.{n}")) for n in (1, 2, 3)]
        self.pool = Pool(
            name="web", buckets=16, idle_timeout=IDLE, drain_deadline=100.0, backends=tuple(backends)
        )
        self.assignment = Assignment()
        self.assignment.update(self.pool, up, NOW)
        self.pool = self.pool.model_copy(update={"backends": tuple(backends[1:])})
        self.assignment.update(self.pool, up, NOW)
        self.member = Member()
        self.settling = Settling({"": self.member})

    @property
    def assigned(self) -> PoolAssignment:
        return self.assignment.pools["web"]

    def look(self, at: float, counts: dict[int, int], backend_packets: int = 0) -> None:
        self.member.slots.observe(counts, at, at)
        self.member.backends.observe({1: backend_packets}, at, at)

    def settled(self, now: float = NOW) -> set[int]:
        """The slots of the buckets that may be settled."""
        buckets = self.assigned.buckets
        return {*buckets.motion[self.settling.settled(self.pool, buckets, now)].tolist()}

    def may_go(self, now: float = NOW) -> bool:
        return self.settling.may_go(self.pool, self.assigned, self.assigned.backends[1], now)

    def settle_all(self) -> None:
        self.assignment.settle("web", self.assigned.buckets.moving)


def test_a_bucket_is_settled_when_its_count_stood_still_for_the_idle_timeout() -> None:
    world = World()
    slots = world.assigned.buckets.motion[world.assigned.buckets.moving].tolist()
    busy = slots[0]
    world.look(0.0, dict.fromkeys(slots, 7))
    world.look(IDLE - 0.1, dict.fromkeys(slots, 7) | {busy: 8})
    assert world.settled() == set()
    world.look(IDLE, dict.fromkeys(slots, 7) | {busy: 8})
    assert world.settled() == {*slots} - {busy}


def test_a_bucket_is_settled_at_the_drain_deadline_whatever_its_count() -> None:
    world = World()
    assert world.settled(NOW + 99.9) == set()
    assert len(world.settled(NOW + 100.0)) == world.assigned.buckets.moving.sum()


def test_a_settled_bucket_is_not_settled_again() -> None:
    world = World()
    world.settle_all()
    assert world.settled(NOW + 1000.0) == set()


def test_a_removed_backend_stays_while_a_bucket_has_it() -> None:
    world = World()
    world.look(0.0, {})
    world.look(IDLE, {})
    assert not world.may_go(NOW + 1000.0)


def test_a_removed_backend_stays_while_recorded_flows_go_to_it() -> None:
    world = World()
    world.settle_all()
    world.look(0.0, {}, backend_packets=1)
    world.look(IDLE, {}, backend_packets=2)
    assert not world.may_go()
    world.look(2 * IDLE, {}, backend_packets=2)
    assert world.may_go()


def test_a_removed_backend_goes_at_the_drain_deadline() -> None:
    world = World()
    world.settle_all()
    assert not world.may_go(NOW + 99.0)
    assert world.may_go(NOW + 100.0)


def test_a_backend_that_is_configured_stays() -> None:
    world = World()
    world.settle_all()
    identity = world.assigned.backends[2]
    assert not world.settling.may_go(world.pool, world.assigned, identity, NOW + 1000.0)


@pytest.mark.parametrize(
    ("idle_timeouts", "interval"),
    [([300.0, 20.0], 1.0), ([1.0], FASTEST), ([2000.0], SLOWEST), ([], SLOWEST)],
)
def test_counters_are_read_often_enough_for_the_shortest_timeout(
    idle_timeouts: list[float], interval: float
) -> None:
    pools = tuple(Pool(name=f"p{n}", idle_timeout=timeout) for n, timeout in enumerate(idle_timeouts))
    assert poll_interval(pools) == interval
