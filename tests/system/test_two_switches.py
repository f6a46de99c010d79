"""Two switches with the same tables, over which a router spreads clients' flows and servers' answers.

The router can be told to give each flow to the other switch (`move_flows`), as routers may do by themselves.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.conftest import EMBEDDED, running_lab
from tests.system.traffic import (
    CLIENTS,
    PATIENCE,
    answered,
    ask,
    assert_spread,
    broken,
    clients,
    failures,
    pool_of,
    settle,
    shares,
    sluice,
    status,
)
from topo import plan
from topo.demo.traffic import Traffic
from topo.lab import Lab
from topo.processes import wait_until

pytestmark = pytest.mark.root

CONFIG = Path(__file__).with_name("two_switches.yaml")
S1, S2 = "s1", "s2"
URLS = {plan.POOL: plan.VIP_URL, "web6": "http://[fd00::100]/", "direct": "http://10.0.0.101:8080/"}
STREAMS = 10
"""Of each client."""


ON_BMV2 = pytest.param("bmv2", id="bmv2", marks=[pytest.mark.bmv2, pytest.mark.soak])


@pytest.fixture(scope="module", params=[EMBEDDED, ON_BMV2])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with running_lab(request.param, CONFIG, ["b1", "b2", "b3"]) as lab:
        yield lab


@pytest.fixture(autouse=True)
def as_configured(lab: Lab) -> None:
    """Every test begins with both switches in the routing, the pool as in the file, all buckets settled."""
    lab.spread_over(S1, S2)
    sluice(lab, "apply", "-f", str(CONFIG))
    assert wait_until(lambda: is_as_configured(lab), PATIENCE)


def is_as_configured(lab: Lab) -> bool:
    pool = pool_of(lab)
    return not pool.moving and {round(one.share, 1) for one in pool.backends} == {0.3}


def packets(lab: Lab) -> dict[str, int]:
    """Of all VIPs, by switch."""
    return {switch.name: switch.packets for switch in status(lab).switches}


def in_step(lab: Lab, name: str) -> bool:
    return {one.name: one.synchronized for one in status(lab).switches}[name]


def moving(lab: Lab, pool: str = plan.POOL) -> int:
    return pool_of(lab, pool).moving


def await_traffic_over(lab: Lab, *names: str) -> None:
    """Wait until each of these switches has counted more packets."""
    before = packets(lab)
    assert wait_until(lambda: all(packets(lab)[name] > before[name] for name in names), PATIENCE), names


def await_streams(traffic: Traffic) -> Counter[str]:
    """Wait until all long-lived connections are open; how many there are, by backend."""
    assert wait_until(lambda: traffic.streams().total() == len(CLIENTS) * STREAMS, PATIENCE)
    return traffic.streams()


def move_flows(lab: Lab, *order: str) -> float:
    """The router spreads in another order: each flow goes to the other switch, and sends something there."""
    lab.spread_over(*order)
    return settle(0.6)


def test_connections_spread_over_servers_and_switches(lab: Lab) -> None:
    before = packets(lab)
    for pool, url in URLS.items():
        assert_spread(ask(lab, url, 300), shares(lab, pool))
    # A connection has more than three packets, and a switch gets more than a quarter of the connections.
    enough = 3 * len(URLS) * 300 / 4
    assert wait_until(lambda: all(packets(lab)[name] - before[name] > enough for name in before), PATIENCE)


def test_a_switch_dies_and_comes_back_under_load(lab: Lab) -> None:
    with clients(lab, rate=50, streams=STREAMS) as traffic:
        await_streams(traffic)
        lab.kill_switch(S2)
        settle(0.3)  # as long as the router takes to find out
        lab.spread_over(S1)
        withdrawn = settle(1)
        lab.start_switch(S2)
        assert wait_until(lambda: in_step(lab, S2), PATIENCE)
        lab.spread_over(S1, S2)
        await_traffic_over(lab, S1, S2)
        back = settle(1)
    assert failures(traffic) == []
    assert broken(traffic) == []
    assert answered(traffic, since=withdrawn, until=withdrawn + 1).total() > 50
    assert answered(traffic, since=back).total() > 50


def test_connections_keep_their_backend_whichever_switch_they_come_to(lab: Lab) -> None:
    """Old ones while their buckets move; those that began meanwhile as soon as the buckets have settled."""
    with contextlib.ExitStack() as those_that_end, contextlib.ExitStack() as those_that_stay:
        old = those_that_end.enter_context(clients(lab, rate=1, streams=STREAMS))
        streams = await_streams(old)
        sluice(lab, "backend", "weight", "web", "b1", "3")
        sluice(lab, "backend", "drain", "web", "b3")
        move_flows(lab, S2, S1)
        assert moving(lab) > 0 and streams["b3"] > 0
        assert old.streams() == streams and broken(old) == []

        later = those_that_stay.enter_context(clients(lab, rate=1, streams=STREAMS))
        streams = await_streams(later)
        assert streams["b3"] == 0
        assert broken(old) == []
        those_that_end.close()
        assert wait_until(lambda: moving(lab) == 0, PATIENCE)
        move_flows(lab, S1, S2)
        assert later.streams() == streams and broken(later) == []


def test_what_begins_while_its_bucket_moves_is_known_to_that_switch_alone(lab: Lab) -> None:
    """The limit: a router that gives it to the other switch meanwhile breaks it. Older ones go on."""
    with clients(lab, URLS["direct"], rate=1, streams=STREAMS) as old:
        await_streams(old)
        sluice(lab, "backend", "drain", "direct", "b1")
        with clients(lab, URLS["direct"], rate=1, streams=STREAMS) as recorded:
            streams = await_streams(recorded)
            lab.spread_over(S2, S1)
            assert wait_until(lambda: broken(recorded) != [], PATIENCE)
            settle(0.6)
        assert moving(lab, "direct") > 0
    assert len(broken(recorded)) < streams.total(), "half of the buckets were not b1's, and do not move"
    assert broken(old) == []


def test_the_controller_is_killed_and_begins_again_under_load(lab: Lab) -> None:
    with clients(lab, rate=50, streams=STREAMS) as traffic:
        await_streams(traffic)
        sluice(lab, "backend", "weight", "web", "b1", "3")  # so that buckets are moving
        lab.kill_daemon()
        settle(0.5)
        lab.start_daemon()
        assert moving(lab) > 0
        await_traffic_over(lab, S1, S2)
        assert shares(lab)["b1"] == pytest.approx(0.6, abs=0.02), "what was changed is still so"
    assert failures(traffic) == []
    assert broken(traffic) == []
