"""The switch itself notices that a server is silent, and sends new connections to others."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.conftest import BOTH_TARGETS, running_lab
from tests.system.traffic import (
    PATIENCE,
    answered,
    await_shares,
    backends,
    broken,
    clients,
    failures,
    settle,
    told,
)
from topo.lab import Lab
from topo.processes import wait_until

pytestmark = pytest.mark.root

SYN_RECV = "03"
"""In /proc/net/tcp."""

SERVERS = ("b1", "b2", "b3")


@pytest.fixture(scope="module", params=BOTH_TARGETS)
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with running_lab(request.param, Path(__file__).with_name("liveness.yaml"), SERVERS) as lab:
        yield lab


@pytest.fixture(autouse=True)
def all_alive(lab: Lab) -> Iterator[None]:
    for server in SERVERS:
        if not lab.running(server):
            lab.start_server(server)
    assert wait_until(lambda: suspects(lab) == set(), PATIENCE)
    yield


def suspects(lab: Lab, pool: str = "web") -> set[str]:
    """Those who do not answer probes, or are not asked yet."""
    return {one.name for one in backends(lab, pool) if one.suspect or not one.probe_answers}


def test_new_connections_go_past_a_silent_server_until_it_answers_again(lab: Lab) -> None:
    with clients(lab) as traffic:
        settle(2)
        killed = lab.kill_server("b2")
        assert wait_until(lambda: suspects(lab) == {"b2"}, PATIENCE)
        suspected = settle(3)  # the moment before
        revived = time.monotonic()
        lab.start_server("b2")
        assert wait_until(lambda: suspects(lab) == set(), PATIENCE)
        back = settle(2)
    assert failures(traffic, until=killed - 0.5) == [], "one that has begun may reach a server that is gone"
    assert failures(traffic, since=suspected, until=revived) == [], "the switch knew, and nobody else had to"
    assert answered(traffic, since=suspected, until=revived)["b2"] == 0
    assert answered(traffic, since=back)["b2"] > 0
    assert broken(traffic, but_of="b2") == []
    assert backends(lab)[1].buckets > 0, "no bucket has moved"


def test_a_suspicion_makes_the_checks_hurry(lab: Lab) -> None:
    """They come once a minute; the verdict comes at once."""
    lab.kill_server("b2")
    await_shares(lab, {"b1": 1.0, "b2": 0.0}, "slow")
    texts = told(lab, "slow/b2")
    assert texts.index("suspect: new connections go to others") < texts.index("down")


def test_a_controller_that_is_gone_makes_nobody_suspect(lab: Lab) -> None:
    with clients(lab) as traffic:
        settle(1)
        before = backends(lab)
        lab.kill_daemon()
        settle(2)
        lab.start_daemon()
        assert wait_until(lambda: suspects(lab) == set(), PATIENCE)
        settle(1)
        after = backends(lab)
    assert failures(traffic) == []
    assert broken(traffic) == []
    assert [one.suspected for one in after] == [one.suspected for one in before]


def test_nothing_is_left_half_open_on_the_servers(lab: Lab) -> None:
    """A probe's SYN-ACK is answered with a reset, so no backlog fills."""
    settle(1)
    for server in SERVERS:
        command = lab.inside_host(server, ["cat", "/proc/net/tcp"])
        table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        half_open = [line for line in table.splitlines() if line.split()[3] == SYN_RECV]
        assert len(half_open) <= 1, "at most the one that is being asked just now"
