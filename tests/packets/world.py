"""The small network that every case starts from: who is where, and the entries that make it so.

    port 1  client, port 2  other client          10.0.0.0/24  fd00::/64
    port 3  backend one, port 4  backend two      10.0.1.0/24  fd00:1::/64
    port 4, VLAN 7  a tagged neighbor             10.0.7.0/24  fd00:7::/64

Every pool has one bucket, settled on backend one; a case that wants more overwrites the rows.
"""

from dataclasses import dataclass

from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6

from tests.packets import rows
from tests.packets.rows import DSR, NAT, TCP, UDP, Row

ROUTER = "02:00:00:00:00:01"
CPU = 255
PORTS = (1, 2, 3, 4)
VLAN = 7

HTTP = 80
DNS = 53
BACKEND_HTTP = 8080
BACKEND_DNS = 5353


@dataclass(frozen=True, slots=True)
class Station:
    """A host, or an interface of one."""

    port: int
    mac: str
    v4: str
    v6: str
    vlan: int = 0


CLIENT = Station(1, "02:00:00:00:0a:01", "10.0.0.11", "fd00::11")
OTHER_CLIENT = Station(2, "02:00:00:00:0a:02", "10.0.0.12", "fd00::12")
ONE = Station(3, "02:00:00:00:0b:01", "10.0.1.11", "fd00:1::11")
TWO = Station(4, "02:00:00:00:0b:02", "10.0.1.12", "fd00:1::12")
TAGGED = Station(4, "02:00:00:00:0b:07", "10.0.7.11", "fd00:7::11", VLAN)
GATEWAY = Station(2, "02:00:00:00:0c:01", "10.0.0.254", "fd00::254")
STATIONS = (CLIENT, OTHER_CLIENT, ONE, TWO, TAGGED, GATEWAY)


@dataclass(frozen=True, slots=True)
class Family:
    """What differs between IPv4 and IPv6. Pools and backends are their numbers in the tables."""

    name: str
    header: type[IP] | type[IPv6]
    router: str
    server_router: str
    nat_vip: str
    dsr_vip: str
    tcp_pool: int
    udp_pool: int
    dsr_pool: int
    tcp_one: int
    tcp_two: int
    udp_one: int
    udp_two: int
    dsr_one: int
    dsr_two: int
    far_away: str  # beyond the gateway
    nowhere: str  # without a route

    def of(self, station: Station) -> str:
        """The station's address in this family."""
        return station.v4 if self.header is IP else station.v6


PAGE = 1 << 16
"""Backends one and two have numbers whose lower 16 bits are the same: neither may be taken for the other."""

V4 = Family(
    name="IPv4",
    header=IP,
    router="10.0.0.1",
    server_router="10.0.1.1",
    nat_vip="10.0.0.100",
    dsr_vip="10.0.0.101",
    tcp_pool=1,
    udp_pool=2,
    dsr_pool=3,
    tcp_one=1,
    tcp_two=1 + PAGE,
    udp_one=3,
    udp_two=3 + 2 * PAGE,
    dsr_one=5 + 3 * PAGE,
    dsr_two=5,
    far_away="192.0.2.33",
    nowhere="203.0.113.5",
)
V6 = Family(
    name="IPv6",
    header=IPv6,
    router="fd00::1",
    server_router="fd00:1::1",
    nat_vip="fd00::100",
    dsr_vip="fd00::101",
    tcp_pool=11,
    udp_pool=12,
    dsr_pool=13,
    tcp_one=11 + PAGE,
    tcp_two=11 + 3 * PAGE,
    udp_one=13 + 2 * PAGE,
    udp_two=13,
    dsr_one=15 + PAGE,
    dsr_two=15,
    far_away="2001:db8::33",
    nowhere="2001:db9::5",
)
FAMILIES = (V4, V6)

HEALTH_CHECKER_V4 = "10.255.0.2"
HEALTH_CHECKER_V6 = "fd00:ffff::2"


def _services(family: Family) -> list[Row]:
    one, two = family.of(ONE), family.of(TWO)
    entries = [
        rows.vip(family.nat_vip, TCP, HTTP, family.tcp_pool),
        rows.vip(family.nat_vip, UDP, DNS, family.udp_pool),
        rows.vip(family.dsr_vip, TCP, HTTP, family.dsr_pool),
        rows.vip(family.dsr_vip, UDP, DNS, family.dsr_pool),
        rows.pool(family.tcp_pool, NAT),
        rows.pool(family.udp_pool, NAT),
        rows.pool(family.dsr_pool, DSR),
        rows.bucket(family.tcp_pool, 0, family.tcp_one),
        rows.bucket(family.udp_pool, 0, family.udp_one),
        rows.bucket(family.dsr_pool, 0, family.dsr_one),
        rows.backend(family.tcp_one, one, BACKEND_HTTP),
        rows.backend(family.tcp_two, two, BACKEND_HTTP),
        rows.backend(family.udp_one, one, BACKEND_DNS),
        rows.backend(family.udp_two, two, BACKEND_DNS),
        rows.backend(family.dsr_one, one),
        rows.backend(family.dsr_two, two),
    ]
    for address, http, dns in ((one, family.tcp_one, family.udp_one), (two, family.tcp_two, family.udp_two)):
        entries.append(rows.nat_host(address))
        for protocol, port, vip_port, backend in (
            (TCP, BACKEND_HTTP, HTTP, http),
            (UDP, BACKEND_DNS, DNS, dns),
        ):
            entries.append(rows.nat_answer(address, protocol, port, family.nat_vip, vip_port, backend))
            entries.append(rows.nat_service(address, protocol, port))
    return entries


def _own_addresses() -> list[Row]:
    addresses = [
        address
        for family in FAMILIES
        for address in (family.router, family.server_router, family.nat_vip, family.dsr_vip)
    ]
    own = [rows.own(address, ROUTER) for address in addresses]
    return [rows.mac(ROUTER), *own, *map(rows.own_source, addresses)]


def _routing() -> list[Row]:
    connected = ("10.0.0.0/24", "10.0.1.0/24", "10.0.7.0/24", "fd00::/64", "fd00:1::/64", "fd00:7::/64")
    entries = [rows.route(network) for network in connected]
    entries += [rows.route("192.0.2.0/24", GATEWAY.v4), rows.route("2001:db8::/32", GATEWAY.v6)]
    for station in STATIONS:
        for address in (station.v4, station.v6):
            entries.append(rows.neighbor(address, station.port, ROUTER, station.mac, station.vlan))
    return entries


BASE: tuple[Row, ...] = (
    *_own_addresses(),
    *_services(V4),
    *_services(V6),
    *rows.health_checker(HEALTH_CHECKER_V4),
    *rows.health_checker(HEALTH_CHECKER_V6),
    *_routing(),
)
