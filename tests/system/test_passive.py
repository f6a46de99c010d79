"""What real clients' connections say of real servers: who fails them is ejected, or has its checks hurry."""

import subprocess
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
    run_on,
    settle,
    told,
)
from topo.lab import Lab
from topo.processes import wait_until

pytestmark = pytest.mark.root

SERVERS = ("b1", "b2", "b3")
VIP6 = "http://[fd00::100]/"
CLIENTS = "10.0.0.0/24"


@pytest.fixture(scope="module", params=BOTH_TARGETS)
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with running_lab(request.param, Path(__file__).with_name("passive.yaml"), SERVERS) as lab:
        await_shares(lab, dict.fromkeys(SERVERS, 1 / 3))
        await_shares(lab, {"b1": 0.5, "b2": 0.5}, "slow")
        yield lab


def on_host(lab: Lab, host: str, *command: str) -> None:
    subprocess.run(lab.inside_host(host, [*command]), check=True)


def test_clients_that_reset_and_forge_eject_nobody(lab: Lab) -> None:
    """Nobody else comes meanwhile, whose connections would be accepted."""
    assert run_on(lab, "c1", "rude.py", "10.0.0.100", "80", "300") == "done\n"
    settle(2)
    of_pool = backends(lab)
    assert sum(one.syns for one in of_pool) >= 600
    assert [(one.signal, one.ejected, one.refused) for one in of_pool] == 3 * [("", None, 0)]
    assert [text for server in SERVERS for text in told(lab, f"web/{server}") if text != "healthy"] == []


def test_a_server_that_has_lost_its_way_to_the_clients_is_ejected_and_comes_back(lab: Lab) -> None:
    """Checks from elsewhere pass all the time."""
    with clients(lab, streams=4) as traffic:
        settle(1)
        lost = settle(0)
        on_host(lab, "b2", "ip", "route", "add", "blackhole", CLIENTS)
        await_shares(lab, {"b1": 0.5, "b2": 0.0, "b3": 0.5})
        ejected = settle(2)
        (b2,) = [one for one in backends(lab) if one.name == "b2"]
        on_host(lab, "b2", "ip", "route", "del", "blackhole", CLIENTS)
        assert wait_until(lambda: "is ejected no longer" in told(lab, "web/b2"), PATIENCE)
        await_shares(lab, dict.fromkeys(SERVERS, 1 / 3))
        back = settle(2)
    assert (b2.health, b2.ejected is None) == ("healthy", False)
    assert failures(traffic, until=lost - 1) == []
    assert failures(traffic, since=ejected, until=ejected + 2) == []
    assert answered(traffic, since=ejected, until=ejected + 2)["b2"] == 0
    assert answered(traffic, since=back)["b2"] > 0
    assert broken(traffic, but_of="b2") == []


def test_refused_clients_make_slow_checks_hurry(lab: Lab) -> None:
    """They come once a minute; the verdict comes at once."""
    with clients(lab, VIP6, streams=0):
        lab.kill_server("b2")
        await_shares(lab, {"b1": 1.0, "b2": 0.0}, "slow")
    texts = told(lab, "slow/b2")
    assert texts.index("refusing: it resets what clients begin") < texts.index("down")
