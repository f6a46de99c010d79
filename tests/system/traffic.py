"""Clients of the system tests, and what they saw."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from controller.api.client import Client
from controller.api.schemas import PoolView, Status
from controller.events import Event
from controller.report import BackendReport
from controller.report import Traffic as TrafficReport
from tests.fakes.cli import in_process
from topo import plan
from topo.client import StreamEvent
from topo.demo.traffic import Load, Traffic
from topo.demo.verdict import FALSE_ALARM, tolerance
from topo.lab import Lab
from topo.processes import wait_until

CLIENTS = [client.name for client in plan.Plan().clients]
PATIENCE = 15.0
HERE = Path(__file__).parent


@contextmanager
def clients(lab: Lab, url: str = plan.VIP_URL, *, rate: float = 40.0, streams: int = 6) -> Iterator[Traffic]:
    """Real clients on every client host, while the block lasts; then all that they saw has been reported."""
    traffic = Traffic(lab, dict.fromkeys(CLIENTS, Load(url, rate=rate, streams=streams)))
    traffic.start()
    try:
        assert wait_until(lambda: traffic.observed.requests != [], PATIENCE), "the clients do not start"
        yield traffic
        assert traffic.dead_clients() == []
    finally:
        traffic.stop()


def failures(traffic: Traffic, since: float = 0.0, until: float = float("inf")) -> list[str]:
    """New connections that failed, of those begun between two moments."""
    requests = traffic.observed.requests
    return [request.error for request in requests if request.error and since <= request.began < until]


def broken(traffic: Traffic, *, but_of: str = "") -> list[StreamEvent]:
    """Long-lived connections that broke or did not come about, but those of one backend."""
    return [event for event in traffic.observed.events if event.what != "opened" and event.backend != but_of]


def answered(traffic: Traffic, since: float = 0.0, until: float = float("inf")) -> Counter[str]:
    """Requests that each backend answered, of those begun between two moments."""
    requests = traffic.observed.requests
    return Counter(
        request.backend for request in requests if request.backend and since <= request.began < until
    )


def shares(lab: Lab, pool: str = plan.POOL) -> dict[str, float]:
    """The part of the pool's buckets that each backend has for new connections."""
    return {backend.name: backend.share for backend in backends(lab, pool)}


def backends(lab: Lab, pool: str = plan.POOL) -> tuple[BackendReport, ...]:
    """As the controller knows them. Asked without a process for each time: it is asked again and again."""
    return pool_of(lab, pool).backends


def pool_of(lab: Lab, name: str = plan.POOL) -> PoolView:
    with Client(lab.socket) as daemon:
        return daemon.get(PoolView, "pools", name)


def in_step(lab: Lab) -> bool:
    """Whether the switch holds all that is decided."""
    return status(lab).switch.synchronized


def status(lab: Lab) -> Status:
    with Client(lab.socket) as daemon:
        return daemon.get(Status, "status")


def dropped(lab: Lab, reason: str) -> int:
    """Packets so far."""
    with Client(lab.socket) as daemon:
        return daemon.get(dict[str, TrafficReport], "drops")[reason].packets


def sluice(lab: Lab, *arguments: str) -> str:
    """What `sluice ...` prints, which must succeed."""
    printed = in_process(lab.socket, *arguments)
    assert printed.code == 0, printed.err
    return printed.out


def told(lab: Lab, subject: str) -> list[str]:
    """What the controller's events say about it."""
    with Client(lab.socket) as daemon:
        return [event.text for event in daemon.get(list[Event], "events") if event.subject == subject]


def assert_spread(counts: Counter[str], predicted: Mapping[str, float]) -> None:
    """Each backend's part of the requests is what its buckets predict, but for chance."""
    total = counts.total()
    assert total > 200, "too few requests to tell"
    for backend, share in predicted.items():
        room = tolerance(total, share, FALSE_ALARM / len(predicted))
        measured = counts[backend] / total
        assert abs(measured - share) <= room, f"{backend}: {measured:.3f} instead of {share:.3f} ±{room:.3f}"


def await_shares(lab: Lab, wanted: Mapping[str, float], pool: str = plan.POOL) -> None:
    """Wait until some backends have certain shares, and the switch knows; fails with what they have."""

    def reached() -> bool:
        now = shares(lab, pool)
        decided = all(abs(now[backend] - share) < 0.01 for backend, share in wanted.items())
        return decided and in_step(lab)

    assert wait_until(reached, PATIENCE), f"wanted {wanted}, have {shares(lab, pool)}"


def run_on(lab: Lab, host: str, script: str, *arguments: str) -> str:
    """Run a script of this folder on a host and return what it prints."""
    command = lab.inside_host(host, [sys.executable, str(HERE / script), *arguments])
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return result.stdout


def ask(lab: Lab, url: str, count: int, host: str = "c1") -> Counter[str]:
    """Send requests, a connection each, all of which have to be answered."""
    command = lab.inside_host(host, lab.python("topo.ask", "--json", "--url", url, str(count)))
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    said = json.loads(result.stdout)
    assert said["failures"] == {}, said
    return Counter(said["answers"])


def settle(seconds: float) -> float:
    """Let traffic flow for a while; returns the moment before."""
    began = time.monotonic()
    time.sleep(seconds)
    return began
