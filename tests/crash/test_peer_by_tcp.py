"""What may be wrong between the two of a pair on two hosts: it is told, and put right without a restart."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.api.client import Client, Refused, Remote, Unreachable
from controller.api.tokens import digest, new_token
from controller.events import Event
from tests.crash.daemons import Zygote
from tests.crash.pair import Member, Tls, Two, until
from tests.switch.certificates import make_certificate

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is absent")


@pytest.fixture
def two(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    """a is active, and began when there was no b."""
    with Zygote(tmp_path_factory.mktemp("pair")) as zygote, Two(zygote, tmp_path, Tls) as two:
        two.a.start()
        until(two.a.is_whole, "a is active")
        yield two


def latest(member: Member) -> str:
    """What it has told last of the two of them, with the cause; "" while it does not answer."""
    try:
        with member.api() as api:
            told = [event for event in api.get(list[Event], "events") if event.subject == "pair"]
    except Unreachable:
        return ""
    return f"{told[-1].text}: {told[-1].cause}" if told else ""


def test_what_is_wrong_between_them_is_told_and_mended(two: Two, tmp_path: Path) -> None:
    way = two.way
    assert isinstance(way, Tls)
    (begun, *_) = two.a.story()
    assert begun == "begins without the peer"
    assert "connection refused" in two.a.log.read_text()

    two.b.start()
    until(lambda: latest(two.b).startswith("has a copy"), "b follows")

    def tells(what: str) -> None:
        until(lambda: what in latest(two.b), what)

    def a_knows(role: str, token: str) -> None:
        way.write("a.tokens", f"b {role} {digest(token)}")
        os.kill(two.a.pid, signal.SIGHUP)

    a_knows("peer", new_token())
    tells("cannot follow the active: the peer at https://127.0.0.1:")
    tells("this token is not known here")
    a_knows("read", way.tokens["b"])
    tells("the token of b is for reading (the other controller of a pair needs a token with the role peer)")
    authority = (tmp_path / "authority.pem").read_text()
    make_certificate(tmp_path, "stranger")
    (tmp_path / "authority.pem").write_text((tmp_path / "stranger.pem").read_text())
    tells("its certificate is not accepted: unable to get local issuer certificate")
    (tmp_path / "authority.pem").write_text(authority)
    (tmp_path / "b.token").chmod(0o644)
    tells("b.token has mode 0644, so others may read the token")
    (tmp_path / "b.token").chmod(0o600)
    a_knows("peer", way.tokens["b"])
    tells("has a copy of all that the active knows")

    two.a.change_weight("b1", 3)
    assert two.b.weight("b1") == 3, "what was acknowledged is at the standby"
    for member in (two.a, two.b):
        said = member.log.read_text()
        assert not any(token in said for token in way.tokens.values())


def test_a_token_of_the_pair_opens_nothing_else(two: Two, tmp_path: Path) -> None:
    options = two.way.options("b", "a")
    place = Remote(options["peer"], tmp_path / "b.token", Path(options["peer_ca_file"]))
    with Client(place) as api:
        for ask in (lambda: api.get(dict, "status"), lambda: api.patch("pools", "web", body={})):
            with pytest.raises(Refused, match="the token of other is for the other controller of a pair"):
                ask()
