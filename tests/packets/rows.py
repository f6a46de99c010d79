"""What a case installs, as data and in the program's own names, whatever the target: table entries mostly.

Addresses are written as people write them ("10.0.0.100", "fd00::100"); the program sees 128 bits, IPv4 as
IPv4-mapped IPv6 (RFC 4291, 2.5.5.2).
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network

from scapy.utils import mac2str

MAPPED = 0xFFFF << 32

TCP = 6
UDP = 17

NAT, DSR, IPIP, GRE, VXLAN, GUE = range(1, 7)
SILENCE, RESET, UNREACHABLE = range(3)
"""What a VIP says when nobody serves."""

ALL_ONES = (1 << 128) - 1
EVERY_PORT = (0, 0xFFFF)
VNI = 0x123456
INNER_SOURCE_MAC = "02:00:00:00:0e:01"
INNER_DESTINATION_MAC = "02:00:00:00:0e:02"


@dataclass(frozen=True, slots=True)
class Prefix:
    """An LPM value: the first `length` bits count."""

    value: int
    length: int


@dataclass(frozen=True, slots=True)
class Masked:
    """A ternary value; mask 0 is "don't care"."""

    value: int
    mask: int


ANY = Masked(0, 0)


@dataclass(frozen=True, slots=True)
class Span:
    """A range; both ends are in it."""

    low: int
    high: int


Value = int | Prefix | Masked | Span


@dataclass(frozen=True, slots=True)
class Row:
    """A table entry, or a default action. `match`, `params`: (name, value) in the order of the P4Info."""

    table: str
    match: tuple[tuple[str, Value], ...]
    action: str
    params: tuple[tuple[str, int], ...] = ()
    priority: int = 0
    default: bool = False

    @property
    def key(self) -> tuple[object, ...]:
        """What no two entries may share."""
        return self.table, self.match, self.priority, self.default


@dataclass(frozen=True, slots=True)
class Meter:
    """A cell of a meter. `burst` packets pass at once, and `rate` more in a second; the others are red."""

    meter: str
    index: int
    burst: int
    rate: int = 0

    @property
    def key(self) -> tuple[object, ...]:
        return self.meter, self.index


@dataclass(frozen=True, slots=True)
class Group:
    """A multicast group. Each copy is (port, instance)."""

    number: int
    copies: tuple[tuple[int, int], ...]

    @property
    def key(self) -> tuple[object, ...]:
        return "group", self.number


Entry = Row | Meter | Group


def wide(address: str) -> int:
    """An address as the program's 128 bits."""
    parsed = ip_address(address)
    return MAPPED | int(parsed) if isinstance(parsed, IPv4Address) else int(parsed)


def mac_bits(mac: str) -> int:
    return int.from_bytes(mac2str(mac), "big")


def _row(table: str, match: dict[str, Value], action: str, params: dict[str, int], priority: int = 0) -> Row:
    return Row(table, tuple(match.items()), action, tuple(params.items()), priority)


def mac(mac: str) -> Row:
    return _row("macs", {"mac": mac_bits(mac)}, "ours", {})


def own(address: str, mac: str) -> Row:
    return _row("addresses", {"address": wide(address)}, "own", {"mac": mac_bits(mac)})


def _service(address: str, protocol: int, port: int) -> dict[str, Value]:
    return {"address": wide(address), "protocol": protocol, "port": port}


def own_source(address: str) -> Row:
    return _row("own_sources", {"address": wide(address)}, "from_us", {})


def _service_settings(
    pool: int, number: int, refusal: int, source_mask: int, port_mask: int
) -> dict[str, int]:
    return {
        "vip": number,
        "pool": pool,
        "source_mask": source_mask,
        "port_mask": port_mask,
        "refusal": refusal,
    }


def vip(
    address: str,
    protocol: int,
    port: int,
    pool: int,
    number: int = 1,
    *,
    refusal: int = SILENCE,
    source_mask: int = ALL_ONES,
    port_mask: int = 0xFFFF,
) -> Row:
    """By the five-tuple, and silent when nobody serves, unless told otherwise."""
    settings = _service_settings(pool, number, refusal, source_mask, port_mask)
    return _row("vips", _service(address, protocol, port), "serve", settings)


def _span(address: str, protocol: int, ports: tuple[int, int]) -> dict[str, Value]:
    return {"address": wide(address), "protocol": protocol, "port": Span(*ports)}


def vip_range(
    address: str, protocol: int, ports: tuple[int, int], pool: int, number: int = 1, *, priority: int = 1
) -> Row:
    settings = _service_settings(pool, number, SILENCE, ALL_ONES, 0xFFFF)
    return _row("vip_ranges", _span(address, protocol, ports), "serve", settings, priority)


def allowed(network: str, number: int = 1) -> Row:
    return _row("sources", {"vip": number, "source": prefix(network)}, "allow", {})


def denied(network: str, number: int = 1) -> Row:
    return _row("sources", {"vip": number, "source": prefix(network)}, "deny", {})


def pool(pool: int, mode: int, *, mask: int = 0, idle: int = 1145, udp_move: int = 0) -> Row:
    """idle: ticks of 2^18 microseconds; 1145 are five minutes."""
    params = {"mode": mode, "mask": mask, "idle": idle, "udp_move": udp_move}
    return _row("pools", {"pool": pool}, "pool_settings", params)


def bucket(
    pool: int,
    bucket: int,
    current: int,
    previous: int | None = None,
    *,
    standby: int = 0,
    announced: int = 0,
    motion: int = 0,
) -> Row:
    """Settled unless `previous` is given."""
    previous = current if previous is None else previous
    params = {
        "current": current,
        "previous": previous,
        "standby": standby,
        "announced": announced,
        "motion": motion,
    }
    return _row("buckets", {"pool": pool, "bucket": bucket}, "owners", params)


def backend(backend: int, address: str, port: int = 0) -> Row:
    return _row("backends", {"backend": backend}, "backend_address", {"address": wide(address), "port": port})


def tunnel(backend: int, source: str, mtu: int = 0) -> Row:
    """mtu: of the packets that it carries; 0 leaves that to the link."""
    params = {
        "source": wide(source),
        "vni": VNI,
        "inner_source_mac": mac_bits(INNER_SOURCE_MAC),
        "inner_destination_mac": mac_bits(INNER_DESTINATION_MAC),
        "mtu": mtu,
    }
    return _row("tunnels", {"backend": backend}, "tunnel", params)


def nat_host(address: str) -> Row:
    return _row("nat_hosts", {"address": wide(address)}, "translated", {})


def nat_answer(address: str, protocol: int, port: int, vip: str, vip_port: int, backend: int = 0) -> Row:
    """What comes from address:port gets vip:vip_port back as its source; it is the backend's."""
    params = {"address": wide(vip), "port": vip_port, "backend": backend}
    return _row("nat_answers", _service(address, protocol, port), "restore", params)


def nat_service(address: str, protocol: int, port: int) -> Row:
    return _row("nat_services", _service(address, protocol, port), "direct", {})


def nat_answer_range(address: str, protocol: int, ports: tuple[int, int], vip: str, backend: int = 0) -> Row:
    """Port 0: the answer keeps its own."""
    params = {"address": wide(vip), "port": 0, "backend": backend}
    return _row("nat_answer_ranges", _span(address, protocol, ports), "restore", params, priority=1)


def nat_service_range(address: str, protocol: int, ports: tuple[int, int]) -> Row:
    return _row("nat_service_ranges", _span(address, protocol, ports), "direct", {}, priority=1)


def health_checker(address: str) -> list[Row]:
    """Once as a source, once as a destination."""
    exact = Masked(wide(address), (1 << 128) - 1)
    return [
        _row("health_checkers", {"source": exact, "destination": ANY}, "untranslated", {}, priority=1),
        _row("health_checkers", {"source": ANY, "destination": exact}, "untranslated", {}, priority=1),
    ]


def prefix(network: str) -> Prefix:
    """IPv4's prefixes stand behind 96 bits."""
    parsed = ip_network(network)
    length = parsed.prefixlen + (96 if isinstance(parsed, IPv4Network) else 0)
    return Prefix(wide(str(parsed.network_address)), length)


def route(network: str, gateway: str | None = None) -> Row:
    """Connected, unless there is a gateway."""
    match: dict[str, Value] = {"destination": prefix(network)}
    if gateway is None:
        return _row("routes", match, "connected", {})
    return _row("routes", match, "via", {"gateway": wide(gateway)})


def neighbor(address: str, port: int, source_mac: str, destination_mac: str, vlan: int = 0) -> Row:
    params = {
        "port": port,
        "source_mac": mac_bits(source_mac),
        "destination_mac": mac_bits(destination_mac),
        "vlan": vlan,
    }
    return _row("neighbors", {"address": wide(address)}, "forward", params)


def link(port: int, mtu: int, vlan: int = 0) -> Row:
    """mtu: of IP packets, bytes."""
    return _row("links", {"port": port, "vlan": vlan}, "link", {"mtu": mtu})


def interface(port: int, address4: str, address6: str, vlan: int = 0) -> Row:
    """The addresses that the switch speaks from on the link."""
    params = {"address4": wide(address4) & 0xFFFFFFFF, "address6": wide(address6)}
    return _row("interfaces", {"port": port, "vlan": vlan}, "reply_from", params)


# ---- liveness


def prober(address: str, mac: str) -> Row:
    """One of our addresses, that probes come from."""
    return _row("addresses", {"address": wide(address)}, "prober", {"mac": mac_bits(mac)})


def probed(backend: int) -> list[Row]:
    """As a bucket's current backend, and as its standby."""
    return [
        _row(f"{role}.probed", {"backend": backend}, f"{role}.is_probed", {})
        for role in ("current", "standby")
    ]


def probe_target(
    backend: int,
    source_mac: str,
    destination_mac: str,
    source: str,
    destination: str,
    port: int | None = None,
    *,
    vlan: int = 0,
) -> Row:
    """Probed by SYNs to a port, or by echo requests if there is none."""
    params = {
        "source_mac": mac_bits(source_mac),
        "destination_mac": mac_bits(destination_mac),
        "vlan": vlan,
        "source": wide(source),
        "destination": wide(destination),
    }
    if port is None:
        return _row("probe_targets", {"backend": backend}, "echo", params)
    return _row("probe_targets", {"backend": backend}, "syn", {**params, "port": port})


def liveness_settings(*, tolerance: int = 3, gap: int = 0, longest_idle: int = 8192) -> Row:
    """tolerance: rounds; gap: microseconds; longest_idle: ticks of 2^18 microseconds."""
    params = {"tolerance": tolerance, "gap": gap, "longest_idle": longest_idle}
    return Row("liveness_settings", (), "settings", tuple(params.items()), default=True)
