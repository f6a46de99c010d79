"""Active and standby: a backup takes over and gives back, with real clients all the time."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.conftest import BOTH_TARGETS, running_lab
from tests.system.traffic import PATIENCE, answered, await_shares, broken, clients, failures, settle, sluice
from topo.lab import Lab
from topo.processes import wait_until

pytestmark = pytest.mark.root

ACTIVE, BACKUP = {"b1": 1.0, "b2": 0.0}, {"b1": 0.0, "b2": 1.0}


@pytest.fixture(scope="module", params=BOTH_TARGETS)
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with running_lab(request.param, Path(__file__).with_name("tiers.yaml"), ["b1", "b2"]) as lab:
        yield lab


def test_a_backup_takes_over_and_gives_back_and_no_connection_breaks(lab: Lab) -> None:
    with clients(lab) as traffic:
        assert wait_until(lambda: traffic.streams()["b1"] == traffic.streams().total() == 12, PATIENCE)
        sluice(lab, "backend", "drain", "web", "b1")
        await_shares(lab, BACKUP)
        taken_over = settle(1)
        sluice(lab, "backend", "enable", "web", "b1")
        await_shares(lab, ACTIVE)
        given_back = settle(1)
        streams = traffic.streams()
        killed = lab.kill_server("b1")
        await_shares(lab, BACKUP)
        in_need = settle(1)
        lab.start_server("b1")
        await_shares(lab, ACTIVE)
        at_last = settle(1)
    assert streams == {"b1": 12}, "they stayed through both moves"
    assert failures(traffic, until=killed - 0.5) == []
    assert failures(traffic, since=in_need) == []
    assert broken(traffic, but_of="b1") == [], "nobody but the dead one's clients noticed anything"
    assert [*answered(traffic, since=taken_over, until=taken_over + 1)] == ["b2"]
    assert [*answered(traffic, since=given_back, until=given_back + 1)] == ["b1"]
    assert [*answered(traffic, since=in_need, until=in_need + 1)] == ["b2"]
    assert [*answered(traffic, since=at_last, until=at_last + 1)] == ["b1"]

    events = [json.loads(line) for line in sluice(lab, "events", "-o", "json").splitlines()]
    told = [event["text"] for event in events if event["subject"] == "web" and event["kind"] == "health"]
    assert told == 2 * ["tier 1 serves, too", "tier 1 serves no longer"]
