"""Slow starts and penalties go on where they were, whoever is killed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.daemons import Zygote
from tests.crash.pair import Member, Sockets, Two, until

POOL = {"slow_start": "10m", "damping": {"half_life": "10m", "suppress": 2, "reuse": 1, "longest": "30m"}}


@pytest.fixture
def two(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    """a is active. b1 has gone up and down until it was held back; b2 has gone down once."""
    with Zygote(tmp_path_factory.mktemp("pair")) as zygote, Two(zygote, tmp_path, Sockets) as two:
        two.a.pool = two.b.pool = POOL
        two.a.start()
        until(two.a.is_whole, "a is active")
        until(lambda: two.a.backend("b1").health == "healthy", "b1 is checked")
        while not two.a.backend("b1").held_back:
            two.down("b1", "b2")
            until(lambda: two.a.backend("b1").health == "down", "b1 goes down")
            two.down("b2")
            until(lambda: two.a.backend("b1").health == "healthy", "b1 comes up")
        two.down()
        until(lambda: two.a.backend("b2").slow_start == 0.1, "b2 comes back slowly")
        until(two.a.is_whole, "the switch has it")
        yield two


def remembers(member: Member) -> None:
    until(member.is_whole, f"{member.name} goes on")
    for name in ("b1", "b2"):
        until(lambda name=name: member.backend(name).health == "healthy", f"{name} is checked")
    until(lambda: member.backend("b1").buckets == 0, "b1 gets nothing")
    until(member.is_whole, "the switch has what follows")
    held, slow = member.backend("b1"), member.backend("b2")
    assert held.held_back
    assert held.penalty > 1.9
    assert (slow.held_back, slow.slow_start) == (False, 0.1)
    assert 0 < slow.penalty < 2.0


def test_it_survives_a_restart(two: Two) -> None:
    for _ in range(2):
        two.a.kill()
        two.a.start()
        remembers(two.a)
    assert not two.clients.broken


def test_it_survives_a_failover_and_the_way_back(two: Two) -> None:
    two.b.start()
    until(lambda: two.b.is_("standby") and two.b.story()[-1].startswith("has a copy"), "b stands by")
    two.a.kill()
    remembers(two.b)
    two.a.start()
    until(lambda: two.a.is_("standby") and two.a.story()[-1].startswith("has a copy"), "a stands by")
    two.b.kill()
    remembers(two.a)
    two.nobody_is_disturbed()
