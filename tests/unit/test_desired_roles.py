"""Tiers, panic, slow start, damping: what becomes of the buckets, when, and what is told. In virtual time."""

from collections import Counter

import pytest

from controller.assignment import Assignment
from controller.config import parse
from controller.desired import Desired
from controller.events import EventLog, Kind
from controller.model import Config, change_backend, with_pool

NOW = 1_000_000.0

DOCUMENT = """
switch: {{mac: "02:00:00:00:00:01"}}
interfaces: [{{name: all, ports: [1], addresses: [10.0.0.1/16]}}]
pools:
  - name: web
    buckets: 64
    announcement: {announcement}
    health: {{type: tcp, port: 80}}
    backends: [{backends}]
    {more}
"""


class World:
    """One pool of backends named by letters; `c1` is c in tier 1. All begin healthy."""

    def __init__(self, backends: str, more: str = "", announcement: str = "0s") -> None:
        described = [
            f"{{name: {text[0]}, address: 10.0.1.{number}, tier: {text[1:] or 0}}}"
            for number, text in enumerate(backends.split(), 11)
        ]
        document = DOCUMENT.format(backends=", ".join(described), more=more, announcement=announcement)
        self.now = NOW
        self.events = EventLog(clock=lambda: self.now)
        self.desired = Desired(parse(document), Assignment(), self.events)
        self.desired.refresh(self.now)
        self.verdict(**{text[0]: True for text in backends.split()})
        self.told()

    def verdict(self, **healthy: bool) -> None:
        for name, up in healthy.items():
            self.desired.set_health("web", name, up, "checked")
            self.desired.refresh(self.now)

    def configure(self, config: Config) -> None:
        self.desired.configure(config, drain=True)
        self.desired.refresh(self.now)

    def go_on(self, seconds: float) -> None:
        """As the session does: something is done when it is due."""
        end = self.now + seconds
        while (due := self.desired.due(self.now)) is not None and due <= end:
            assert due >= self.now, "the session would go round in circles"
            self.now = due
            self.desired.refresh(self.now)
            assert self.desired.due(self.now) != self.now, "what was due has been done"
        self.now = end

    @property
    def buckets(self) -> dict[str, int]:
        assigned = self.desired.assignment.pools["web"]
        names = {number: identity.name for number, identity in assigned.backends.items()} | {0: "nobody"}
        return dict(sorted(Counter(names[number] for number in assigned.buckets.current.tolist()).items()))

    def standbys(self) -> dict[tuple[str, str], int]:
        assigned = self.desired.assignment.pools["web"]
        names = {number: identity.name for number, identity in assigned.backends.items()}
        pairs = zip(assigned.buckets.current.tolist(), assigned.buckets.standby.tolist(), strict=True)
        return dict(Counter((names[current], names[standby]) for current, standby in pairs))

    def told(self, kind: Kind | None = None) -> list[str]:
        """What has been told since this was asked last, with its cause."""
        since, self._seen = getattr(self, "_seen", 0), self.events.last
        events = [event for event in self.events.since(since) if event.number > since]
        return [
            f"{event.subject}: {event.text} ({event.cause})" for event in events if kind in (None, event.kind)
        ]


# tiers


def test_a_backup_serves_when_all_others_are_down_and_goes_when_one_is_back() -> None:
    world = World("a b c1 d1")
    assert world.buckets == {"a": 32, "b": 32}
    world.verdict(a=False)
    assert world.buckets == {"b": 64}
    world.told()
    world.verdict(b=False)
    assert world.buckets == {"c": 32, "d": 32}
    assert world.told(Kind.HEALTH) == [
        "web: tier 1 serves, too (0 healthy in lower tiers, at least 1 are to serve)"
    ]
    world.verdict(a=True)
    assert world.buckets == {"a": 64}
    moved = world.desired.assignment.pools["web"].buckets
    assert moved.moving.all(), "the flows that the backups have stay with them"
    assert world.told(Kind.HEALTH) == [
        "web: tier 1 serves no longer (1 healthy in lower tiers, at least 1 are to serve)"
    ]


def test_who_serves_alone_has_the_next_tier_for_standby() -> None:
    """So the switch itself sends new flows to the backups, before any check has failed."""
    world = World("a b c1 d1 e2")
    assert world.standbys() == {("a", "b"): 32, ("b", "a"): 32}
    world.verdict(b=False)
    assert world.standbys() == {("a", "c"): 32, ("a", "d"): 32}
    world.verdict(a=False)
    assert world.buckets == {"c": 32, "d": 32}
    world.verdict(a=True, b=True)
    assert world.buckets == {"a": 32, "b": 32}


def test_the_next_tier_is_in_the_tables_where_the_switch_probes_it_and_further_ones_are_not() -> None:
    world = World("a b c1 d2")
    assert {i.name for i in world.desired.assignment.pools["web"].backends.values()} == {"a", "b", "c"}


def test_going_back_to_the_lowest_tier_is_announced_and_going_away_from_it_is_not() -> None:
    world = World("a c1", announcement="4s")
    world.verdict(a=False)
    assert world.buckets == {"c": 64}
    world.verdict(a=True)
    assert world.buckets == {"c": 64}
    assert world.desired.announced["web"].all()
    world.go_on(4)
    assert world.buckets == {"a": 64}


# panic


def test_in_panic_all_serve_and_afterwards_those_who_are_well() -> None:
    world = World("a b c d", "panic: 50%")
    world.verdict(a=False, b=False)
    assert world.buckets == {"c": 32, "d": 32}
    world.told()
    world.verdict(c=False)
    assert world.buckets == {"a": 16, "b": 16, "c": 16, "d": 16}
    assert world.told(Kind.HEALTH) == [
        "web: in panic: all backends serve, whatever the checks say "
        "(1 of 4 backends are healthy, fewer than 50%)"
    ]
    world.verdict(a=True)
    assert world.buckets == {"a": 32, "d": 32}
    assert world.told(Kind.HEALTH) == ["web: no longer in panic (2 of 4 backends are healthy)"]


def test_panic_keeps_the_flows_of_whom_it_does_not_believe_to_be_dead() -> None:
    world = World("a b", "panic: 60%")
    before = {*world.desired.assignment.pools["web"].backends}
    world.verdict(a=False)
    assert world.buckets == {"a": 32, "b": 32}
    assert {*world.desired.assignment.pools["web"].backends} == before


# slow start


def test_who_comes_back_gets_its_share_step_by_step_and_no_bucket_moves_twice() -> None:
    world = World("a b", "slow_start: 20s")
    world.verdict(b=False)
    world.told()
    world.verdict(b=True)
    found, before = [], world.desired.assignment.pools["web"].buckets.current
    moves = world.buckets["b"]
    for _ in range(10):
        found.append(world.buckets["b"])
        world.go_on(2)
        after = world.desired.assignment.pools["web"].buckets.current
        moves, before = moves + int((after != before).sum()), after
    assert found == [6, 11, 15, 18, 21, 24, 26, 28, 30, 32], "64 * n / (10 + n)"
    assert moves == 32
    assert world.desired.due(world.now) is None
    told = "web: 6 of 64 buckets moved, 6 may still have flows elsewhere"
    assert world.told()[0] == f"{told} (b came, slow start of b, step 1 of 10)"


def test_the_backends_of_a_new_pool_need_no_slow_start() -> None:
    assert World("a b", "slow_start: 20s").buckets == {"a": 32, "b": 32}


def test_who_is_enabled_after_a_drain_has_never_been_away() -> None:
    world = World("a b", "slow_start: 20s")
    world.configure(change_backend(world.desired.config, "web", "b", state="drain"))
    world.configure(change_backend(world.desired.config, "web", "b", state="active"))
    assert world.buckets == {"a": 32, "b": 32}


def test_who_serves_alone_has_nobody_to_leave_the_rest_to() -> None:
    world = World("a", "slow_start: 20s")
    world.verdict(a=False)
    assert world.buckets == {"nobody": 64}
    world.verdict(a=True)
    assert world.buckets == {"a": 64}


def test_steps_are_announced_one_by_one() -> None:
    world = World("a b", "slow_start: 20s", announcement="4s")
    world.verdict(b=False)
    world.verdict(b=True)
    assert world.buckets == {"a": 64}
    assert int(world.desired.announced["web"].sum()) == 6
    found = []
    for _ in range(12):
        world.go_on(2)
        found.append(world.buckets.get("b", 0))
    assert found == [0, 6, 11, 15, 18, 21, 24, 26, 28, 30, 32, 32], "each four seconds after it was decided"


def test_another_slow_start_counts_at_once() -> None:
    world = World("a b", "slow_start: 20s")
    world.verdict(b=False, a=True)
    world.verdict(b=True)
    pool = world.desired.config.pool("web").model_copy(update={"slow_start": 0.0})
    world.configure(with_pool(world.desired.config, pool))
    assert world.buckets == {"a": 32, "b": 32}


# damping


DAY = 86400.0


def test_a_slow_start_goes_on_after_a_clock_was_set_back() -> None:
    world = World("a b", "slow_start: 20s")
    world.verdict(b=False)
    world.verdict(b=True)
    world.go_on(10.0)
    before = world.buckets["b"]
    assert 0 < before < 32
    world.now -= DAY
    world.desired.refresh(world.now)
    assert world.buckets["b"] < before, "it begins anew"
    world.go_on(20.0)
    assert world.buckets == {"a": 32, "b": 32}


def test_what_was_stored_by_a_clock_that_was_ahead_counts_from_now() -> None:
    world = World("a b", "slow_start: 20s\n    damping: {half_life: 60s, suppress: 2, reuse: 1, longest: 4m}")
    flap(world, "b", 3)
    assert world.desired.flaps.held("web") == {"b"}
    stored = Desired(world.desired.config, world.desired.assignment, world.events, world.desired.flaps)
    stored.verdicts = world.desired.verdicts
    world.desired = stored
    world.now -= DAY
    world.desired.refresh(world.now)
    assert world.desired.unsaved == {"web"}, "the store learns it, too"
    world.go_on(240.0)
    assert world.desired.flaps.held("web") == set(), "it is held back for no longer than the longest time"


def flap(world: World, name: str, times: int) -> None:
    for _ in range(times):
        world.verdict(**{name: False})
        world.verdict(**{name: True})


def test_who_goes_up_and_down_is_held_back_until_its_penalty_has_decayed() -> None:
    world = World("a b", "damping: {half_life: 60s, suppress: 3, reuse: 1}")
    flap(world, "b", 2)
    assert world.buckets == {"a": 32, "b": 32}
    world.told()
    flap(world, "b", 1)
    assert world.buckets == {"a": 64}, "its checks pass, and it is not believed"
    assert world.told(Kind.HEALTH) == [
        "web/b: is held back: it goes up and down (its penalty is 3.0, from 3 on it is held back)"
    ]
    world.go_on(95)
    assert world.buckets == {"a": 64}
    world.go_on(1)
    assert world.buckets == {"a": 32, "b": 32}, "3 is down to 1 after 95.1 s"
    assert "web/b: is held back no longer (its penalty is down to 1)" in world.told(Kind.HEALTH)


def test_who_falls_and_is_back_before_anybody_looks_is_held_back_as_well() -> None:
    world = World("a b", "damping: {half_life: 60s, suppress: 3, reuse: 1}")
    for up in (False, True) * 3:
        world.desired.set_health("web", "b", up, "checked")
    world.desired.refresh(world.now)
    assert world.desired.flaps.held("web") == {"b"}
    assert world.buckets == {"a": 64}


def test_damping_never_leaves_a_pool_without_anybody() -> None:
    world = World("a b", "damping: {half_life: 60s, suppress: 3, reuse: 1}")
    flap(world, "b", 3)
    world.verdict(a=False)
    assert world.buckets == {"b": 64}
    world.verdict(a=True)
    assert world.buckets == {"a": 32, "b": 32}, "who is there already stays: its flows are alive"


def test_without_damping_nobody_is_held_back() -> None:
    world = World("a b")
    flap(world, "b", 50)
    assert world.buckets == {"a": 32, "b": 32}


# announcements


def test_only_buckets_that_will_move_are_announced() -> None:
    world = World("a b c d", announcement="4s")
    world.configure(change_backend(world.desired.config, "web", "d", state="drain"))
    announced, before = world.desired.announced["web"], world.desired.assignment.pools["web"].buckets.current
    assert int(announced.sum()) == 16
    world.go_on(4)
    after = world.desired.assignment.pools["web"].buckets.current
    assert ((after != before) == announced).all()
    assert not world.desired.announced


def test_what_is_decided_later_waits_for_its_own_announcement() -> None:
    world = World("a b c d", announcement="4s")
    world.configure(change_backend(world.desired.config, "web", "d", state="drain"))
    world.go_on(3)
    world.configure(change_backend(world.desired.config, "web", "c", state="drain"))
    assert int(world.desired.announced["web"].sum()) == 32
    world.go_on(1)
    assert "d" not in world.buckets and world.buckets["c"] == 16
    world.go_on(3)
    assert world.buckets == {"a": 32, "b": 32}


def test_a_death_takes_nothing_along_that_was_announced() -> None:
    world = World("a b c d", announcement="4s")
    world.configure(change_backend(world.desired.config, "web", "d", state="drain"))
    world.go_on(1)
    world.verdict(c=False)
    assert "c" not in world.buckets and world.buckets["d"] == 16
    world.go_on(3)
    assert world.buckets == {"a": 32, "b": 32}


@pytest.mark.parametrize("more", ["", "slow_start: 10s", "tier_minimum: 2"])
def test_nothing_is_due_in_a_pool_at_rest(more: str) -> None:
    world = World("a b c1", more, announcement="4s")
    world.go_on(3600)
    assert world.desired.due(world.now) is None
    assert not world.desired.announced
