"""Who sends clients past dead servers in `bench.failover`: Sluice on its two switches, and HAProxy.

Each stands between clients and the same three servers in a lab of its own (topo/), and has a load of new
connections. Sluice's comes from c1, as bare SYNs: the client's kernel, which knows nothing of them, resets
what the servers answer. HAProxy stands on c2 and speaks to the servers through the switch, which leaves its
packets as they are; its clients are beside it on c2.
"""

import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import yaml
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from bench.traffic import fast_socket, sending
from tests.packets.wires import in_namespace
from topo.errors import StartFailed
from topo.lab import READY, Lab
from topo.plan import SERVICE_PORT, HostPlan, Plan
from topo.targets import BMV2

CONFIG = Path(__file__).with_name("failover.yaml")
CHECK_PORT = 8081
"""The servers listen there too: so that checks can be told from clients."""
PROXY_PORT = 8000
HAPROXY = "haproxy"

FIRST_PORT = 10000
PORTS = 50000
"""How many connections begin before one is like an earlier one, that has long been reset."""

CLIENT = Plan().host("c1")
PROXY = Plan().host("c2")


@dataclass(frozen=True)
class Contender(ABC):
    """Who chooses a server for each new connection. `target` is the lab's switch, `misses` its liveness's."""

    name: str
    target: str = "embedded"
    misses: int = 3
    period: float = 0.01
    """Seconds from one question whether a server lives to the next."""

    needs: ClassVar[str | None] = None
    """The program that has to be on PATH."""
    client: ClassVar[HostPlan]
    """Whose SYNs the servers see."""
    patience: ClassVar[float]
    """Seconds within which it must have noticed a death, or a server's return."""

    @property
    def absent(self) -> bool:
        return self.needs is not None and shutil.which(self.needs) is None

    @abstractmethod
    def load(self, lab: Lab, rate: float) -> AbstractContextManager[None]:
        """New connections, `rate` a second, while the block lasts."""

    def configuration(self) -> str:
        """Of the lab's controller, as YAML."""
        config = yaml.safe_load(CONFIG.read_text())
        config["liveness"]["misses"] = self.misses
        return yaml.safe_dump(config, sort_keys=False)


@dataclass(frozen=True)
class Sluice(Contender):
    client = CLIENT
    patience = 10.0

    @contextmanager
    def load(self, lab: Lab, rate: float) -> Iterator[None]:
        sock = in_namespace(namespace_of(lab, CLIENT), lambda: fast_socket(CLIENT.interface))
        with sock, sending(sock, syns(), rate):
            yield


@dataclass(frozen=True)
class SluiceOnBMv2(Sluice):
    target: str = "bmv2"

    needs = BMV2


@dataclass(frozen=True)
class HAProxy(Contender):
    """In TCP mode. `checks`: more words for its servers, beyond its defaults.

    Retries are off: a second attempt of the same connection is no new connection.
    """

    checks: str = ""

    needs = HAPROXY
    client = PROXY
    patience = 30.0

    @contextmanager
    def load(self, lab: Lab, rate: float) -> Iterator[None]:
        config = lab.run_dir / "haproxy.cfg"
        config.write_text(self._settings())
        lab.start_on(PROXY.name, HAPROXY, [HAPROXY, "-db", "-f", str(config)])
        command = lab.python("bench.connector", "--port", str(PROXY_PORT), "--rate", str(rate))
        start_until_ready(lab, PROXY.name, "connector", command)
        yield  # both end with the lab

    def _settings(self) -> str:
        lines = [
            "global",
            "  maxconn 2000",
            "defaults",
            "  mode tcp",
            "  timeout connect 1s",
            "  timeout client 5s",
            "  timeout server 5s",
            "  retries 0",
            "listen service",
            f"  bind 127.0.0.1:{PROXY_PORT}",
        ]
        for server in servers():
            where = f"{server.address4}:{SERVICE_PORT}"
            lines.append(f"  server {server.name} {where} check port {CHECK_PORT} {self.checks}")
        return "\n".join(lines) + "\n"


def servers() -> list[HostPlan]:
    """The backends of the lab's one pool."""
    [pool] = yaml.safe_load(CONFIG.read_text())["pools"]
    return [Plan().host(backend["name"]) for backend in pool["backends"]]


def namespace_of(lab: Lab, host: HostPlan) -> str:
    return f"/proc/{lab.network['hosts'][host.name]}/ns/net"


def start_until_ready(lab: Lab, host: str, name: str, command: list[str]) -> None:
    """Start a command on a host and wait until it says that it is ready. Raises StartFailed."""
    child = lab.start_on(host, name, command)
    assert child.stdout is not None
    if child.stdout.readline().strip() != READY:
        raise StartFailed(f"{name} did not start on {host}; see {lab.logs / name}.log")


def syns() -> list[bytes]:
    """The SYN of each of many connections from c1 to the VIP.

    The sequence number makes up for the port in the sum, so that one checksum is right for all.
    """
    config = yaml.safe_load(CONFIG.read_text())
    [vip] = config["vips"]
    ethernet = Ether(src=CLIENT.mac, dst=config["switch"]["mac"])
    ip = IP(src=CLIENT.address4, dst=vip["address"])
    tcp = TCP(sport=FIRST_PORT, dport=vip["port"], seq=_sequence(FIRST_PORT), flags="S")
    first = bytes(ethernet / ip / tcp)
    head, tail = first[:34], first[42:]
    middles = (
        port.to_bytes(2) + first[36:38] + _sequence(port).to_bytes(4)
        for port in range(FIRST_PORT, FIRST_PORT + PORTS)
    )
    return [head + middle + tail for middle in middles]


def _sequence(port: int) -> int:
    return 0x5000_0000 + 0xFFFF - port
