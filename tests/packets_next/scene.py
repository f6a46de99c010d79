"""The network of the packet tests, as table entries: a client, two backends, and our router between them.

port 1  client    10.0.1.9   fd00:1::9      router 10.0.1.1  fd00:1::1
port 2  backend 1 10.0.2.11  fd00:2::11     router 10.0.2.1  fd00:2::1
port 2  backend 2 10.0.2.12  fd00:2::12
VIPs    10.0.0.100 and fd00::100, in pool 1, whose only bucket belongs to backend 1
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network

from bmv2 import Prefix, Row, Span
from scapy.layers.inet import ICMP, IP, in4_chksum
from scapy.layers.inet import TCP as TCP_LAYER
from scapy.layers.inet import UDP as UDP_LAYER
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, _ICMPv6, _IPv6ExtHdr, in6_chksum
from scapy.layers.l2 import Ether
from scapy.packet import Packet
from scapy.utils import checksum, mac2str

TCP, UDP = 6, 17
NAT, DSR, IPIP, GRE, VXLAN, GUE = range(1, 7)
ROUTER = "02:00:00:00:00:01"
CLIENT_MAC, BACKEND_MAC = "02:00:00:00:01:09", "02:00:00:00:02:0b"
ALL_ONES = (1 << 128) - 1
IDLE = 1145


def mac(text: str) -> int:
    return int.from_bytes(mac2str(text), "big")


def wide(address: str) -> int:
    parsed = ip_address(address)
    return (0xFFFF << 32 | int(parsed)) if isinstance(parsed, IPv4Address) else int(parsed)


@dataclass(frozen=True)
class Family:
    version: int
    client: str
    vip: str
    backends: tuple[str, str]
    routers: tuple[str, str]

    def ip(self, **fields: object) -> Packet:
        return IP(**fields) if self.version == 4 else IPv6(**fields)

    def to_vip(self, **fields: object) -> Packet:
        return self.from_client(dst=self.vip, **fields)

    def from_client(self, **fields: object) -> Packet:
        return Ether(src=CLIENT_MAC, dst=ROUTER) / self.ip(**{"src": self.client, **fields})

    def from_backend(self, **fields: object) -> Packet:
        return Ether(src=BACKEND_MAC, dst=ROUTER) / self.ip(**{"src": self.backends[0], **fields})


V4 = Family(4, "10.0.1.9", "10.0.0.100", ("10.0.2.11", "10.0.2.12"), ("10.0.1.1", "10.0.2.1"))
V6 = Family(6, "fd00:1::9", "fd00::100", ("fd00:2::11", "fd00:2::12"), ("fd00:1::1", "fd00:2::1"))
FAMILIES = (V4, V6)


def route(network: str) -> Row:
    parsed = ip_network(network)
    length = parsed.prefixlen + (96 if isinstance(parsed, IPv4Network) else 0)
    return Row("routes", {"destination": Prefix(wide(str(parsed.network_address)), length)}, "connected")


def neighbor(address: str, port: int, station: str, vlan: int = 0) -> Row:
    params = {"port": port, "source_mac": mac(ROUTER), "destination_mac": mac(station), "vlan": vlan}
    return Row("neighbors", {"address": wide(address)}, "forward", params)


def own(address: str) -> Row:
    return Row("addresses", {"address": wide(address)}, "own", {"mac": mac(ROUTER)})


def link(port: int, mtu: int) -> Row:
    return Row("links", {"port": port, "vlan": 0}, "link", {"mtu": mtu})


def interface(port: int) -> Row:
    address4, address6 = wide(V4.routers[port - 1]) & 0xFFFFFFFF, wide(V6.routers[port - 1])
    return Row(
        "interfaces", {"port": port, "vlan": 0}, "reply_from", {"address4": address4, "address6": address6}
    )


def backend(identity: int, address: str, port: int = 0) -> Row:
    return Row("backends", {"backend": identity}, "backend_address", {"address": wide(address), "port": port})


def tunnel(identity: int, source: str, mtu: int = 0, vni: int = 0x123456) -> Row:
    macs = {"inner_source_mac": mac("02:00:00:00:0a:01"), "inner_destination_mac": mac("02:00:00:00:0a:02")}
    return Row(
        "tunnels", {"backend": identity}, "tunnel", {"source": wide(source), "vni": vni, "mtu": mtu, **macs}
    )


def pool(number: int, mode: int, *, mask: int = 0, udp_move: int = 0) -> Row:
    params = {"mode": mode, "mask": mask, "idle": IDLE, "udp_move": udp_move}
    return Row("pools", {"pool": number}, "pool_settings", params)


def bucket(
    pool: int,
    current: int,
    previous: int | None = None,
    *,
    number: int = 0,
    standby: int = 0,
    motion: int = 0,
) -> Row:
    params = {"current": current, "previous": current if previous is None else previous}
    params |= {"standby": standby, "announced": 0, "motion": motion}
    return Row("buckets", {"pool": pool, "bucket": number}, "owners", params)


def service(family: Family, protocol: int, port: int) -> dict[str, int]:
    return {"address": wide(family.vip), "protocol": protocol, "port": port}


def serve(
    pool: int, number: int = 1, *, source_mask: int = ALL_ONES, port_mask: int = 0xFFFF, refusal: int = 0
) -> dict[str, int]:
    masks = {"source_mask": source_mask, "port_mask": port_mask}
    return {"vip": number, "pool": pool, "refusal": refusal, **masks}


def vip(family: Family, protocol: int, port: int, pool: int = 1, **settings: int) -> Row:
    return Row("vips", service(family, protocol, port), "serve", serve(pool, **settings))


def vip_range(family: Family, protocol: int, low: int, high: int, pool: int = 1, **settings: int) -> Row:
    match = {"address": wide(family.vip), "protocol": protocol, "port": Span(low, high)}
    return Row("vip_ranges", match, "serve", serve(pool, **settings), priority=1)


def nat_answer(address: str, protocol: int, port: int, vip_address: str, vip_port: int) -> Row:
    match = {"address": wide(address), "protocol": protocol, "port": port}
    return Row("nat_answers", match, "restore", {"address": wide(vip_address), "port": vip_port})


def network() -> list[Row]:
    """The router without a VIP: MACs, addresses, routes, neighbors."""
    rows = [Row("macs", {"mac": mac(ROUTER)}, "ours")]
    for family in FAMILIES:
        rows += [own(family.vip), own(family.routers[0]), own(family.routers[1])]
        rows.append(neighbor(family.client, 1, CLIENT_MAC))
        rows += [neighbor(address, 2, BACKEND_MAC) for address in family.backends]
    return rows + [route(n) for n in ("10.0.1.0/24", "10.0.2.0/24", "fd00:1::/64", "fd00:2::/64")]


def balanced(mode: int, family: Family, remotes: Family | None = None, *, port: int = 0) -> list[Row]:
    """Pool 1 behind `family`'s VIP on TCP and UDP port 80, its bucket at backend 1 of `remotes`."""
    remotes = remotes or family
    rows = [backend(1, remotes.backends[0], port), backend(2, remotes.backends[1], port)]
    rows += [bucket(1, 1), pool(1, mode), vip(family, TCP, 80), vip(family, UDP, 80)]
    if mode >= IPIP:
        rows += [tunnel(1, remotes.routers[1]), tunnel(2, remotes.routers[1])]
    if mode == NAT:
        for address in remotes.backends:
            rows += [nat_answer(address, p, port or 80, family.vip, 80) for p in (TCP, UDP)]
            match = [{"address": wide(address), "protocol": p, "port": port or 80} for p in (TCP, UDP)]
            rows += [Row("nat_services", one, "direct") for one in match]
    return rows


def checked(frame: bytes) -> Packet:
    """The frame dissected, after scapy's arithmetic agreed with every checksum in it but those of a quote."""
    packet = Ether(frame)
    layer = packet
    while layer:
        if isinstance(layer, IP):
            raw = bytes(layer)
            header = layer.ihl * 4
            assert checksum(raw[:header]) == 0, f"IPv4 header checksum\n{packet.show(dump=True)}"
            ip, payload, protocol = layer, raw[header : layer.len], layer.proto
            whole = layer.frag == 0 and not layer.flags.MF
        elif isinstance(layer, IPv6):
            raw = bytes(layer)
            ip, payload, protocol = layer, raw[40 : 40 + layer.plen], layer.nh
            whole = True
        elif isinstance(layer, _IPv6ExtHdr):
            whole = whole and not isinstance(layer, IPv6ExtHdrFragment)
            protocol, payload = layer.nh, payload[len(layer) - len(layer.payload) :]
        elif isinstance(layer, TCP_LAYER | UDP_LAYER | ICMP | _ICMPv6):
            if whole and not (isinstance(layer, UDP_LAYER) and layer.chksum == 0):
                if isinstance(layer, ICMP):
                    found = checksum(payload)
                elif isinstance(ip, IP):
                    found = in4_chksum(protocol, ip, payload)
                else:
                    found = in6_chksum(protocol, ip, payload)
                assert found in (0, 0xFFFF), f"{layer.name} checksum\n{packet.show(dump=True)}"
            if not isinstance(layer, UDP_LAYER):
                break
        layer = layer.payload
    return packet
