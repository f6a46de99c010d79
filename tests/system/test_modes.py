"""Every forwarding mode between real kernels: whole transfers, survivors of a death, sizes, ICMP, policy."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from controller.api.client import Client
from controller.api.schemas import PoolView
from controller.config import load
from controller.model import Mode, Vip
from tests.system.conftest import BOTH_TARGETS, running_lab
from tests.system.traffic import HERE, PATIENCE, dropped, run_on, sluice
from topo.lab import Lab
from topo.processes import wait_until

pytestmark = pytest.mark.root

MODES = Path(__file__).parent / "modes.yaml"
CONFIG = load(MODES)
SERVERS = ("b1", "b2")
PORTS = ("9000", "9001", "9002", "9003")
MEGABYTES = 3_000_000

SERVICES = [
    pytest.param(vip, id=vip.name.replace("-tcp", ""))
    for vip in CONFIG.vips
    if vip.protocol == "tcp" and vip.pool != "nobody"
]
OVERHEAD = {Mode.IPIP: 0, Mode.GRE: 4, Mode.GUE: 12, Mode.VXLAN: 30, Mode.DSR: None, Mode.NAT: None}
"""Bytes between the outer IP header and the client's packet; None: no tunnel."""


class Services:
    """The servers of the lab, which come and go."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._running: dict[str, subprocess.Popen[str]] = {}

    def start(self, host: str) -> None:
        command = [sys.executable, str(HERE / "service.py"), host, *PORTS]
        service = self.lab.start_on(host, f"service-{host}", command)
        assert service.stdout is not None and service.stdout.readline() == "ready\n"
        self._running[host] = service

    def kill(self, host: str) -> None:
        service = self._running.pop(host)
        service.kill()
        service.wait()

    def await_shares(self, serving: dict[str, float]) -> None:
        """Wait until every pool spreads its buckets so."""

        def reached() -> bool:
            with Client(self.lab.socket) as daemon:
                pools = [
                    daemon.get(PoolView, "pools", pool.name) for pool in CONFIG.pools if pool.name != "nobody"
                ]
            return all({one.name: one.share for one in pool.backends} == serving for pool in pools)

        assert wait_until(reached, PATIENCE), f"not every pool has the shares {serving}"


@pytest.fixture(scope="module", params=BOTH_TARGETS)
def services(request: pytest.FixtureRequest) -> Iterator[Services]:
    with running_lab(request.param, MODES, servers=()) as lab:
        running = Services(lab)
        for host in SERVERS:
            running.start(host)
        running.await_shares({"b1": 0.5, "b2": 0.5})
        yield running


@pytest.fixture
def lab(services: Services) -> Lab:
    return services.lab


def customer(lab: Lab, *arguments: object, host: str = "c1") -> Any:
    return json.loads(run_on(lab, host, "customer.py", *map(str, arguments)))


def tunnel_mtu(vip: Vip) -> int:
    """What a tunnel leaves of 1500 bytes."""
    pool = CONFIG.pool(vip.pool)
    overhead = OVERHEAD[pool.mode]
    if overhead is None:
        return 1500
    return 1500 - overhead - (20 if pool.backends[0].address.version == 4 else 40)


@dataclass(frozen=True)
class Visit:
    """What a client told of one VIP."""

    vip: Vip
    told: dict[str, Any]


@pytest.fixture(scope="module", params=SERVICES)
def visit(request: pytest.FixtureRequest, services: Services) -> Visit:
    return Visit(request.param, customer(services.lab, "visit", request.param.address))


def test_megabytes_go_both_ways_and_the_client_learns_the_paths_mtu(visit: Visit) -> None:
    assert visit.told["transfer"]["name"] in SERVERS
    assert visit.told["transfer"]["mtu"] == tunnel_mtu(visit.vip)


def test_datagrams_are_echoed_whole_also_in_fragments(visit: Visit) -> None:
    assert visit.told["small"] in SERVERS
    assert visit.told["large"] in SERVERS


def test_traceroute_sees_the_router(visit: Visit) -> None:
    router = ["10.0.0.1", 11, 0] if visit.vip.address.version == 4 else ["fd00::1", 3, 0]
    assert visit.told["router"] == router, "time exceeded in transit"


@pytest.mark.parametrize("vip", [vip for vip in CONFIG.vips if vip.name in ("nat-udp-v4", "vxlan-udp-v6")])
def test_pings_are_answered(lab: Lab, vip: Vip) -> None:
    subprocess.run(lab.inside_host("c1", ["ping", "-c", "2", "-W", "5", str(vip.address)]), check=True)


@pytest.mark.parametrize(
    ("vip", "error"), [("10.0.0.124", ["10.0.0.124", 3, 3]), ("fd00::124", ["fd00::124", 1, 4])]
)
def test_a_servers_port_unreachable_reaches_the_client_of_a_nat_pool(
    lab: Lab, vip: str, error: list[object]
) -> None:
    assert customer(lab, "probe", vip, 9009, 2) == error
    assert customer(lab, "datagram", vip, 9009, 10) == "ECONNREFUSED"


def test_a_narrow_hop_before_the_client_is_heard_of_by_the_nat_backend(lab: Lab) -> None:
    """Beyond c1 there is another host, with a link on the way that takes 1300 bytes only."""
    hop = lab.start_on("c1", "far", ["unshare", "--net", "sh", "-c", "echo ready; exec sleep 600"])
    try:
        assert hop.stdout is not None and hop.stdout.readline() == "ready\n"
        inside = ["nsenter", f"--net=/proc/{hop.pid}/ns/net", "--"]
        on_c1 = f"""
            ip link add far type veth peer name eth0 netns {hop.pid}
            ip link set far mtu 1300 up
            ip address add 10.0.2.1/24 dev far
            echo 1 > /proc/sys/net/ipv4/ip_forward"""
        on_far = """
            ip link set eth0 up
            ip address add 10.0.2.2/24 dev eth0
            ip route add default via 10.0.2.1"""
        subprocess.run(lab.inside_host("c1", ["sh", "-ec", on_c1]), check=True)
        subprocess.run([*inside, "sh", "-ec", on_far], check=True)
        transfer = [str(HERE / "customer.py"), "transfer", "10.0.0.101", "0", str(MEGABYTES)]
        done = subprocess.run(
            [*inside, sys.executable, *transfer], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        server = json.loads(done.stdout)["name"]
        asked = lab.inside_host(server, ["ip", "route", "get", "10.0.2.2"])
        route = subprocess.run(asked, capture_output=True, text=True, check=True)
        assert "mtu 1300" in route.stdout, "the error came to the backend, about its own packet"
    finally:
        hop.kill()
        hop.wait()


def test_without_a_backend_the_client_is_told_what_the_vip_says(lab: Lab) -> None:
    for address in ("10.0.0.120", "fd00::120"):
        assert customer(lab, "connect", address) == "ConnectionRefusedError"
        assert customer(lab, "datagram", address, 9000, 10) == "ECONNREFUSED"


def test_who_may_use_a_vip(lab: Lab) -> None:
    assert customer(lab, "datagram", "10.0.0.121", 9001, 10) in SERVERS
    assert customer(lab, "pace", "10.0.0.121", 9001, 3, host="c2") == 0
    assert customer(lab, "datagram", "10.0.0.122", 9002, 10, host="c2") in SERVERS
    assert customer(lab, "pace", "10.0.0.122", 9002, 3) == 0


def test_more_than_the_rate_is_dropped(lab: Lab) -> None:
    assert customer(lab, "datagram", "10.0.0.123", 9003, 10) in SERVERS
    before = dropped(lab, "over_vip_rate")
    echoed = customer(lab, "pace", "10.0.0.123", 9003, 200)
    assert 0 < echoed < 200
    assert dropped(lab, "over_vip_rate") - before == 200 - echoed


@contextmanager
def held(lab: Lab, address: object, count: int) -> Iterator[tuple[IO[str], IO[str]]]:
    """A client that holds connections: what it is told, and what it says."""
    command = [sys.executable, str(HERE / "customer.py"), "hold", str(address), str(count)]
    with subprocess.Popen(
        lab.inside_host("c1", command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as client:
        assert client.stdin is not None and client.stdout is not None
        yield client.stdin, client.stdout
    assert client.returncode == 0


def test_deaths_returns_and_moves_break_nothing_on_the_survivors(services: Services) -> None:
    """In every mode at once: of two servers one dies and comes back; then buckets move to it."""
    vips = [next(vip for vip in CONFIG.vips if vip.pool == mode.value) for mode in Mode]
    with ExitStack() as stack:
        clients = [stack.enter_context(held(services.lab, vip.address, 16)) for vip in vips]
        names = [json.loads(says.readline()) for _, says in clients]
        assert all(set(of_client) == set(SERVERS) for of_client in names)
        survivors = [[name if name == "b1" else "dead" for name in of_client] for of_client in names]

        def asked() -> list[list[str]]:
            for told, _ in clients:
                print("b2", file=told, flush=True)
            return [json.loads(says.readline()) for _, says in clients]

        services.kill("b2")
        services.await_shares({"b1": 1.0, "b2": 0.0})
        assert asked() == survivors
        services.start("b2")
        services.await_shares({"b1": 0.5, "b2": 0.5})
        assert asked() == survivors
        for vip in vips:
            sluice(services.lab, "backend", "weight", vip.pool, "b2", "3")
            assert asked() == survivors  # a flow that is silent for the idle timeout would have ended
