"""Real HTTP and UDP through the switch, while servers, the controller and the switch itself come and go."""

import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.system.conftest import WEB, WEB_BACKENDS
from tests.system.traffic import (
    HERE,
    PATIENCE,
    answered,
    ask,
    assert_spread,
    await_shares,
    broken,
    clients,
    dropped,
    failures,
    pool_of,
    run_on,
    settle,
    shares,
    sluice,
)
from topo import plan
from topo.demo.capture import SynWatch
from topo.demo.story import WRITE_SECONDS
from topo.lab import DAEMON, Lab
from topo.processes import wait_until

pytestmark = pytest.mark.root

SHARES = {"b1": 0.2, "b2": 0.2, "b3": 0.4, "b4": 0.2}
SHARES6 = {"b1": 0.5, "b2": 0.5}
SWITCH_OVER = 2 * 0.3 + WRITE_SECONDS
"""Two failed checks, 0.3 s apart, and the write."""


@pytest.fixture(autouse=True)
def as_configured(web: Lab) -> Iterator[None]:
    """Every test begins with all servers up and the pool as in the file."""
    for backend in WEB_BACKENDS:
        if not web.running(backend):
            web.start_server(backend)
    sluice(web, "apply", "-f", str(WEB))
    await_shares(web, SHARES)
    await_shares(web, SHARES6, "web6")  # its checks are others, and not as far as those of web
    yield


def test_new_connections_spread_as_the_buckets_say(web: Lab) -> None:
    with clients(web, rate=150, streams=0) as traffic:
        settle(5)
    assert failures(traffic) == []
    assert_spread(answered(traffic), shares(web))


def test_a_killed_server_gets_no_new_connection_and_comes_back(web: Lab) -> None:
    with clients(web) as traffic, SynWatch(web, "b2") as arrivals:
        settle(2)
        killed = web.kill_server("b2")
        await_shares(web, {"b2": 0.0})
        settle(2)
        last = arrivals.last_before(time.monotonic(), since=killed)
        web.start_server("b2")
        await_shares(web, SHARES)
        back = settle(2)
    assert last is not None, "the capture saw what went wrong before the checks found out"
    assert last - killed <= SWITCH_OVER
    assert failures(traffic, until=killed - 0.5) == []
    assert failures(traffic, since=killed + SWITCH_OVER) == []
    assert broken(traffic, but_of="b2") == []
    assert answered(traffic, since=back)["b2"] > 0


def test_a_drained_backend_keeps_its_connections_and_gets_no_new_ones(web: Lab) -> None:
    with clients(web, streams=10) as traffic:
        assert wait_until(lambda: traffic.streams().total() == 20, PATIENCE)
        sluice(web, "backend", "drain", "web", "b3")
        drained = time.monotonic()
        staying = traffic.streams()["b3"]
        settle(4)
        assert staying > 0, "with weight 2 of 5 it must have had some of twenty"
        assert traffic.streams()["b3"] == staying
    assert answered(traffic, since=drained)["b3"] == 0
    assert failures(traffic) == []
    assert broken(traffic) == []


def test_a_controller_killed_and_started_again_breaks_nothing(web: Lab) -> None:
    with clients(web) as traffic:
        settle(2)
        sluice(web, "backend", "weight", "web", "b1", "3")  # so that buckets are moving
        web.kill_daemon()
        settle(2)
        web.start_daemon()
        settle(2)
        assert shares(web)["b1"] == pytest.approx(3 / 7, abs=0.01), "what was changed is still so"
    assert failures(traffic) == []
    assert broken(traffic) == []


@pytest.mark.soak
def test_a_controller_killed_in_the_middle_of_changes_breaks_nothing(web: Lab) -> None:
    with clients(web) as traffic:
        for weight, delay in ((4, 0.005), (1, 0.02), (5, 0.06)):
            change = web.start_cli("backend", "weight", "web", "b4", str(weight))
            time.sleep(0.4 + delay)  # a command takes about that long to reach the daemon
            web.kill_daemon()
            change.wait()
            web.start_daemon()
        settle(1)
    assert failures(traffic) == []
    assert broken(traffic) == []


def test_a_switch_started_anew_is_filled_again(web: Lab) -> None:
    assert wait_until(lambda: pool_of(web).moving == 0, PATIENCE)
    with clients(web, rate=50) as traffic:
        settle(2)
        web.restart_switch()
        restarted = time.monotonic()
        assert wait_until(lambda: answered(traffic, since=restarted).total() > 50, PATIENCE)
        filled = settle(2)
        assert_present = shares(web)
    assert assert_present == pytest.approx(SHARES, abs=0.01)
    assert failures(traffic, since=filled) == []
    # No bucket is moving, so the switch had no state that the connections needed: they go on.
    assert broken(traffic) == []


def test_without_any_server_connections_are_refused_until_one_is_back(web: Lab) -> None:
    before = dropped(web, "no_backend")
    for backend in WEB_BACKENDS:
        web.kill_server(backend)
    await_shares(web, dict.fromkeys(WEB_BACKENDS, 0.0))
    with clients(web, rate=20, streams=0) as traffic:
        assert wait_until(lambda: dropped(web, "no_backend") > before, PATIENCE)
        assert answered(traffic).total() == 0
        web.start_server("b1")
        await_shares(web, {"b1": 1.0})
        settle(1)
    assert set(answered(traffic)) == {"b1"}


def test_ipv6(web: Lab) -> None:
    counts = ask(web, "http://[fd00::100]/", 300)
    assert_spread(counts, shares(web, "web6"))


def test_udp(web: Lab) -> None:
    servers = [
        web.start_on(host, f"udp-{host}", [sys.executable, str(HERE / "udp_echo.py"), host, "7007"])
        for host in ("b1", "b2")
    ]
    try:
        for server in servers:
            assert server.stdout is not None and server.stdout.readline() == "ready\n"
        flows = json.loads(run_on(web, "c1", "udp_ask.py", "10.0.0.100", "7", "40"))
    finally:
        for server in servers:
            server.send_signal(signal.SIGTERM)
            server.wait()
    assert all(len(set(names)) == 1 for names in flows), "each flow stays with its backend"
    assert set(Counter(names[0] for names in flows)) == {"b1", "b2"}


def test_the_daemon_is_not_in_the_way_of_packets(web: Lab) -> None:
    """Connections open while no controller runs at all."""
    ask(web, plan.VIP_URL, 10)  # so that every neighbour is known
    web.kill_daemon()
    try:
        assert not web.running(DAEMON)
        assert ask(web, plan.VIP_URL, 100).total() == 100
    finally:
        web.start_daemon()
