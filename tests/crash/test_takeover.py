"""Two controllers for one switch: whoever dies, the other one goes on, and no connection notices.

All of it twice: with the two reaching each other by sockets, and by TCP with TLS and tokens.
"""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.api.client import Refused
from tests.crash.daemons import Zygote
from tests.crash.pair import Sockets, Tls, Two, until


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    with Zygote(tmp_path_factory.mktemp("pair")) as zygote:
        yield zygote


needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is absent")


@pytest.fixture(params=[Sockets, pytest.param(Tls, marks=[needs_openssl, pytest.mark.soak])])
def two(zygote: Zygote, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Two]:
    """a is active, b stands by and has a copy; flows are open."""
    with Two(zygote, tmp_path, request.param) as two:
        two.a.start()
        until(two.a.is_whole, "a is active")
        two.b.start()
        until(lambda: two.b.is_("standby") and two.b.story()[-1].startswith("has a copy"), "b stands by")
        for _ in range(30):
            two.clients.open()
        two.clients.may_be_refused = False
        yield two


def test_the_standby_takes_over_and_the_other_one_comes_back_as_standby(two: Two) -> None:
    two.a.change_weight("b1", 3)
    assert two.b.weight("b1") == 3, "what was acknowledged is at the standby"
    with pytest.raises(Refused, match="this controller stands by"):
        two.b.change_weight("b1", 4)
    two.a.kill()
    until(two.b.is_whole, "b takes over")
    for _ in range(10):
        two.clients.open()
    two.b.change_weight("b2", 2)
    two.a.start()
    until(lambda: two.a.is_("standby") and two.a.weight("b2") == 2, "a follows")
    assert (two.a.weight("b1"), two.b.weight("b1")) == (3, 3)
    assert two.b.story() == ["stands by", "has a copy of all that the active knows", "is active"]
    two.b.kill()
    until(two.a.is_whole, "a takes over again")
    assert two.a.weight("b2") == 2
    two.a.change_weight("b3", 2)
    assert [*dict.fromkeys(two.written)] == [("a", 100), ("b", 101), ("a", 102)]
    two.nobody_is_disturbed()


def test_writes_of_one_that_is_no_longer_primary_are_refused(two: Two) -> None:
    """a has written when its connection breaks; the switch gets it after b has taken over."""
    two.hold["a"] = threading.Event()
    asked = threading.Thread(target=two.a.change_weight, args=("b3", 5))
    asked.start()
    until(lambda: bool(two.a.proxy.written) and two.b.weight("b3") == 5, "a writes, b knows")
    two.end_streams_of(two.a)
    until(two.b.is_whole, "b takes over")
    two.hold.pop("a").set()
    asked.join()
    until(lambda: two.a.is_("standby"), "a notices")
    until(lambda: bool(two.refused), "the late write arrives")
    assert two.refused == [("a", 100)]
    assert two.b.weight("b3") == 5
    two.nobody_is_disturbed()


def test_a_switch_that_begins_anew_has_one_of_the_two(two: Two) -> None:
    two.a.change_weight("b4", 2)
    two.clients.restart_switch()
    until(lambda: two.a.is_whole() or two.b.is_whole(), "one of them makes it whole")
    until(lambda: {"active", "standby"} == {m.status().switch.role for m in (two.a, two.b)}, "and one waits")  # type: ignore[union-attr]
    assert (two.a.weight("b4"), two.b.weight("b4")) == (2, 2)
    assert not two.clients.broken


def test_the_one_that_was_active_last_knows_what_is_right(two: Two) -> None:
    """b was active last, and changed something. Both are gone, and begin at the same time."""
    two.a.kill()
    until(two.b.is_whole, "b takes over")
    two.b.change_weight("b1", 4)
    two.b.kill()
    two.a.start()
    two.b.start()
    until(lambda: two.a.is_whole() or two.b.is_whole(), "one of them takes the switch")
    until(lambda: (two.a.weight("b1"), two.b.weight("b1")) == (4, 4), "both have what b knew")
    two.nobody_is_disturbed()
