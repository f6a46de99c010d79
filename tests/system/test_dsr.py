"""Direct server return: the requests come through the switch, the answers go past it."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.conftest import BOTH_TARGETS, running_lab
from tests.system.traffic import ask, assert_spread, shares
from topo import plan
from topo.lab import Lab

pytestmark = pytest.mark.root

DSR = Path(__file__).parent / "dsr.yaml"
REQUESTS = 300


@pytest.fixture(scope="module", params=BOTH_TARGETS)
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with running_lab(request.param, DSR, ("b1", "b2", "b3"), server_port=80) as lab:
        yield lab


def received(lab: Lab, device: str) -> int:
    """Packets that an interface of c1 received."""
    command = lab.inside_host("c1", ["ip", "-json", "-statistics", "link", "show", "dev", device])
    shown = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return shown[0]["stats64"]["rx"]["packets"]


def test_answers_bypass_the_switch(lab: Lab) -> None:
    through, past = received(lab, "c1-eth0"), received(lab, "c1-eth1")
    counts = ask(lab, plan.VIP_URL, REQUESTS)
    through, past = received(lab, "c1-eth0") - through, received(lab, "c1-eth1") - past
    assert_spread(counts, shares(lab))
    assert past >= 3 * REQUESTS, "a SYN-ACK, an answer and a FIN for each connection"
    assert through < 20, "nothing but an ARP answer or two comes back through the switch"
