"""Who is where: the hosts, their addresses and the switch ports that they are plugged into.

`demo.yaml` beside this file is the same network as the controller sees it; a test compares the two.

      clients 10.0.0.0/24                            servers 10.0.1.0/24
      c1 .11 --1-\\                                /-3-- b1 .11
      c2 .12 --2--+------------- s1 -------------+--4-- b2 .12
                                 | 8              +--5-- b3 .13
                     health 10.255.0.2            +--6-- b4 .14
                 (the controller's checks)         \\-7-- b5 .15   (the spare)
"""

from dataclasses import dataclass, field
from pathlib import Path

CONFIG = Path(__file__).parent / "demo.yaml"
TWO_SWITCHES = Path(__file__).parent / "two_switches.yaml"
"""The configuration of a lab with two switches and a router."""
SWITCH_NAME = "s1"
"""Of the only switch."""
DEVICE_ID = 1
CPU_PORT = 255
P4RUNTIME_PORT = 9559  # IANA's port for P4Runtime
SERVICE_PORT = 8080
"""The TCP port that the backends' servers listen on."""

POOL = "web"
VIP_URL = "http://10.0.0.100/"

SERVICES = {
    POOL: {"c1": VIP_URL, "c2": VIP_URL},
    "web6": {"c2": "http://[fd00::100]/"},
    "direct": {"c1": "http://10.0.0.101:8080/"},
    "direct6": {"c2": "http://[fd00::101]:8080/"},
    "vxlan": {"c1": "http://10.0.0.102:8080/", "c2": "http://[fd00::102]:8080/"},
}
"""What the demonstration asks for: pool, client, and where the client finds it."""

HEALTH_HOST = "health"
"""The interface that the controller's health checks leave from. It stays in the namespace of the daemon."""

RETURN_BRIDGE = "return0"
"""A bridge past the switch, between clients and backends, where the answers of direct return go."""
CLIENT_SUBNET = "10.0.0.0/24"


@dataclass(frozen=True)
class SwitchPlan:
    """One switch by its number, from 1."""

    number: int

    @classmethod
    def called(cls, name: str) -> "SwitchPlan":
        """The one that has this name."""
        return cls(int(name.removeprefix("s")))

    @property
    def name(self) -> str:
        return f"s{self.number}"

    @property
    def p4runtime_port(self) -> int:
        """The TCP port of its P4Runtime server, on the loopback address."""
        return P4RUNTIME_PORT + self.number - 1


@dataclass(frozen=True)
class HostPlan:
    """One host: its switch port and its IPv4 and IPv6 interface addresses (address/prefix length)."""

    name: str
    port: int
    ipv4: str
    ipv6: str
    gateway4: str
    gateway6: str
    return_ipv4: str = ""
    return_ipv6: str = ""
    """Its addresses on the return path, for hosts that have one (see `RETURN_BRIDGE`)."""

    @property
    def address4(self) -> str:
        return self.ipv4.partition("/")[0]

    @property
    def address6(self) -> str:
        return self.ipv6.partition("/")[0]

    @property
    def mac(self) -> str:
        """A locally administered MAC that tells the port: 02:00:00:00:01:<port>."""
        return f"02:00:00:00:01:{self.port:02x}"

    @property
    def interface(self) -> str:
        """The name Mininet gives to a host's first interface."""
        return f"{self.name}-eth0"

    @property
    def return_interface(self) -> str:
        return f"{self.name}-eth1"

    @property
    def switch_interface(self) -> str:
        return f"{SWITCH_NAME}-eth{self.port}"


def _client(number: int, port: int) -> HostPlan:
    last = 10 + number
    return HostPlan(
        f"c{number}",
        port,
        f"10.0.0.{last}/24",
        f"fd00::{last}/64",
        "10.0.0.1",
        "fd00::1",
        f"10.9.0.{last}/24",
        f"fd00:9::{last}/64",
    )


def _backend(number: int, port: int) -> HostPlan:
    last = 10 + number
    return HostPlan(
        f"b{number}",
        port,
        f"10.0.1.{last}/24",
        f"fd00:1::{last}/64",
        "10.0.1.1",
        "fd00:1::1",
        f"10.9.0.{100 + last}/24",
        f"fd00:9::{100 + last}/64",
    )


@dataclass(frozen=True)
class Plan:
    """A whole network around one switch, or several (see `topo.routed`)."""

    clients: tuple[HostPlan, ...] = tuple(_client(n, port) for n, port in ((1, 1), (2, 2)))
    backends: tuple[HostPlan, ...] = tuple(
        _backend(n, port) for n, port in ((1, 3), (2, 4), (3, 5), (4, 6), (5, 7))
    )
    health: HostPlan = field(
        default=HostPlan(HEALTH_HOST, 8, "10.255.0.2/24", "fd00:ff::2/64", "10.255.0.1", "fd00:ff::1")
    )
    switches: tuple[SwitchPlan, ...] = (SwitchPlan(1),)

    @property
    def hosts(self) -> tuple[HostPlan, ...]:
        """Everything that has an address."""
        return (*self.clients, *self.backends, self.health)

    def host(self, name: str) -> HostPlan:
        """The host called `name`; raises KeyError with the names there are."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise KeyError(f"there is no host {name!r}; there are {', '.join(h.name for h in self.hosts)}")
