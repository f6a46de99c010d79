"""Building frames, and what becomes of them: all of it by scapy.

What a switch must send is written as a packet too. `hop` and `renamed` make it from the packet that went in:
they change fields and let scapy compute every checksum and length anew, so that nothing of the program's own
arithmetic is believed.
"""

from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    IPv6,
)
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet
from scapy.packet import Raw as Payload

from tests.packets.world import CLIENT, ROUTER, Family, Station

CHECKSUMS = {
    IP: "chksum",
    TCP: "chksum",
    UDP: "chksum",
    ICMP: "chksum",
    ICMPv6EchoRequest: "cksum",
    ICMPv6EchoReply: "cksum",
    ICMPv6DestUnreach: "cksum",
    ICMPv6ND_NS: "cksum",
    ICMPv6ND_NA: "cksum",
}


def ethernet(source: Station, destination: str = ROUTER) -> Packet:
    """The Ethernet header of a frame from a station, with its VLAN's tag where it has one."""
    frame = Ether(src=source.mac, dst=destination)
    return frame / Dot1Q(vlan=source.vlan) if source.vlan else frame


def toward(station: Station) -> Packet:
    """The Ethernet header of a frame that the router sends to a station."""
    frame = Ether(src=ROUTER, dst=station.mac)
    return frame / Dot1Q(vlan=station.vlan) if station.vlan else frame


def packet(
    family: Family,
    transport: Packet,
    *,
    destination: str,
    source: Station = CLIENT,
    address: str | None = None,
    hops: int = 64,
    **fields: Any,
) -> Packet:
    """From a station, by the router, to an address.

    address: the packet's source, instead of the station's. fields: others of the IP header.
    """
    header = family.header(src=address or family.of(source), dst=destination, **fields)
    setattr(header, "ttl" if family.header is IP else "hlim", hops)
    return ethernet(source) / header / transport


def network(frame: Packet) -> Packet:
    """The frame's outermost IP header and what follows it."""
    layer = frame
    while not isinstance(layer, IP | IPv6):
        layer = layer.payload
    return layer


def _recomputed(layer: Packet) -> Packet:
    """A copy with every checksum left for scapy to compute, but for a UDP checksum of zero, which is none."""
    fresh = layer.copy()
    for kind, field in CHECKSUMS.items():
        if kind in fresh and not (kind is UDP and fresh[UDP].chksum == 0):
            delattr(fresh[kind], field)
    return fresh


def renamed(
    frame: Packet,
    *,
    src: str | None = None,
    sport: int | None = None,
    dst: str | None = None,
    dport: int | None = None,
) -> Packet:
    """The IP packet in the frame with other addresses and ports."""
    changed = network(frame).copy()
    for field, value in (("src", src), ("dst", dst)):
        if value is not None:
            setattr(changed, field, value)
    for field, value in (("sport", sport), ("dport", dport)):
        if value is not None:
            setattr(changed[TCP] if TCP in changed else changed[UDP], field, value)
    return _recomputed(changed)


def hop(station: Station, layer: Packet) -> Packet:
    """The IP packet on its way to a station, one hop further."""
    moved = _recomputed(network(layer))
    if isinstance(moved, IP):
        moved.ttl -= 1
    else:
        moved.hlim -= 1
    return toward(station) / moved


def parsed(frame: Packet) -> Packet:
    """The frame as a receiver sees it: with every computed field filled in."""
    return Ether(bytes(frame))


def with_checksum(
    frame: Packet, kind: type[Packet], wanted: int, *, leaving_as: Packet | None = None
) -> Packet:
    """The frame with its last two payload bytes (0 so far, at an even offset) such that its checksum is
    `wanted`; with `leaving_as`, such that this other form of the frame gets that checksum.
    """
    seen = frame if leaving_as is None else leaving_as
    now = getattr(parsed(ethernet(CLIENT) / network(seen))[kind], CHECKSUMS[kind])
    missing = ((~wanted & 0xFFFF) - (~now & 0xFFFF)) % 0xFFFF
    fitting = frame.copy()
    fitting[Payload].load = fitting[Payload].load[:-2] + missing.to_bytes(2, "big")
    return fitting


def damaged(frame: Packet, kind: type[Packet], error: int) -> Packet:
    """The frame with `error` added (RFC 1071 arithmetic) to its TCP or UDP checksum."""
    wrong = parsed(frame)
    total = wrong[kind].chksum + error
    wrong[kind].chksum = (total & 0xFFFF) + (total >> 16)
    return wrong
