"""ICMP errors (RFC 792, RFC 4443) about a packet: what routers and hosts say, and what the switch does."""

from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
)
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet
from scapy.packet import Raw as Payload

from tests.packets.case import Out
from tests.packets.frames import network, parsed
from tests.packets.world import V4, Family

OURS = 64  # the hop limit of what the switch says itself
INTERNETWORK_CONTROL = 0xC0  # RFC 1812 4.3.2.5
QUOTED = 8  # bytes of the payload, RFC 792

EXTENSIONS = (IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment)


def port_unreachable(family: Family) -> Packet:
    return ICMP(type=3, code=3) if family is V4 else ICMPv6DestUnreach(code=4)


def too_big(family: Family, mtu: int) -> Packet:
    return ICMP(type=3, code=4, nexthopmtu=mtu) if family is V4 else ICMPv6PacketTooBig(mtu=mtu)


def time_exceeded(family: Family) -> Packet:
    return ICMP(type=11) if family is V4 else ICMPv6TimeExceeded()


def parameter_problem(family: Family) -> Packet:
    return ICMP(type=12) if family is V4 else ICMPv6ParamProblem()


def headers_of(packet: Packet) -> int:
    """Bytes of the IP header, with IPv4's options or IPv6's extension headers."""
    if isinstance(packet, IP):
        return packet.ihl * 4
    between = (layer for kind in EXTENSIONS if (layer := packet.getlayer(kind)))
    return 40 + sum(len(layer) - len(layer.payload) for layer in between)


def complaint(about: Packet, message: Packet, source: str, port: int) -> Out:
    """What the switch says about a frame, back out of the port that it came from: it quotes 8 bytes of it."""
    frame = parsed(about)
    packet = network(frame)
    back: Packet = Ether(src=frame[Ether].dst, dst=frame[Ether].src)
    if Dot1Q in frame:
        tag = frame[Dot1Q]
        back = back / Dot1Q(vlan=tag.vlan, prio=tag.prio, dei=tag.dei)
    header = type(packet)(src=source, dst=packet.src)
    if isinstance(header, IP):
        header.ttl, header.tos, header.id = OURS, INTERNETWORK_CONTROL, 0
    else:
        header.hlim, header.tc = OURS, INTERNETWORK_CONTROL
    quote = bytes(packet)[: headers_of(packet) + QUOTED]
    return Out(port, back / header / message / Payload(quote))
