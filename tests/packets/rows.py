"""Table entries as data, in the program's own names: what a case installs, whatever the target.

Addresses are written as people write them ("10.0.0.100", "fd00::100"); the program sees 128 bits, IPv4 as
IPv4-mapped IPv6 (RFC 4291, 2.5.5.2).
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network

from scapy.utils import mac2str

MAPPED = 0xFFFF << 32

TCP = 6
UDP = 17

NAT = 1
DSR = 2


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

Value = int | Prefix | Masked


@dataclass(frozen=True, slots=True)
class Row:
    """One table entry. `match` and `params` are (name, value) in the order of the P4Info."""

    table: str
    match: tuple[tuple[str, Value], ...]
    action: str
    params: tuple[tuple[str, int], ...] = ()
    priority: int = 0

    @property
    def key(self) -> tuple[str, tuple[tuple[str, Value], ...], int]:
        """What no two entries may share."""
        return self.table, self.match, self.priority


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


def vip(address: str, protocol: int, port: int, pool: int, number: int = 1) -> Row:
    """By the five-tuple, and silent when nobody serves."""
    params = {
        "vip": number,
        "pool": pool,
        "source_mask": (1 << 128) - 1,
        "port_mask": 0xFFFF,
        "refusal": 0,
    }
    return _row("vips", _service(address, protocol, port), "serve", params)


def pool(pool: int, mode: int, *, mask: int = 0, idle: int = 1145, udp_move: int = 0) -> Row:
    """idle: ticks of 2^18 microseconds; 1145 are five minutes."""
    params = {"mode": mode, "mask": mask, "idle": idle, "udp_move": udp_move}
    return _row("pools", {"pool": pool}, "pool_settings", params)


def bucket(
    pool: int, bucket: int, current: int, previous: int | None = None, *, announced: int = 0, motion: int = 0
) -> Row:
    """Settled unless `previous` is given."""
    previous = current if previous is None else previous
    params = {
        "current": current,
        "previous": previous,
        "standby": 0,
        "announced": announced,
        "motion": motion,
    }
    return _row("buckets", {"pool": pool, "bucket": bucket}, "owners", params)


def backend(backend: int, address: str, port: int = 0) -> Row:
    return _row("backends", {"backend": backend}, "backend_address", {"address": wide(address), "port": port})


def nat_host(address: str) -> Row:
    return _row("nat_hosts", {"address": wide(address)}, "translated", {})


def nat_answer(address: str, protocol: int, port: int, vip: str, vip_port: int) -> Row:
    """What comes from address:port gets vip:vip_port back as its source."""
    params = {"address": wide(vip), "port": vip_port}
    return _row("nat_answers", _service(address, protocol, port), "restore", params)


def nat_service(address: str, protocol: int, port: int) -> Row:
    return _row("nat_services", _service(address, protocol, port), "direct", {})


def health_checker(address: str) -> list[Row]:
    """Once as a source, once as a destination."""
    exact = Masked(wide(address), (1 << 128) - 1)
    return [
        _row("health_checkers", {"source": exact, "destination": ANY}, "untranslated", {}, priority=1),
        _row("health_checkers", {"source": ANY, "destination": exact}, "untranslated", {}, priority=1),
    ]


def route(network: str, gateway: str | None = None) -> Row:
    """Connected, unless there is a gateway."""
    parsed = ip_network(network)
    length = parsed.prefixlen + (96 if isinstance(parsed, IPv4Network) else 0)
    match: dict[str, Value] = {"destination": Prefix(wide(str(parsed.network_address)), length)}
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
