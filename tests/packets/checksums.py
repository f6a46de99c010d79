"""Are the checksums in a frame right? By scapy's arithmetic, for every header, in tunnels and around them."""

from scapy.layers.inet import ICMP, IP, TCP, UDP, in4_chksum
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, _ICMPv6, _IPv6ExtHdr, in6_chksum
from scapy.layers.l2 import Ether
from scapy.packet import NoPayload, Packet
from scapy.utils import checksum

from tests.packets import gue  # noqa: F401  # so that scapy knows what is behind UDP port 6080

SUM_OF_NOTHING = (0, 0xFFFF)
"""What data sum up to, complemented, with a right checksum among them; scapy writes 0 as RFC 768 has it."""


def wrong_checksums(frame: bytes) -> list[str]:
    """The headers whose checksum is wrong, outermost first.

    Of fragments only the IP header's can be told. Nor is what an ICMP error quotes looked at: a router quotes
    what it saw. A UDP checksum of 0 is none.
    """
    wrong: list[str] = []
    layer: Packet = Ether(frame)
    ip: Packet = layer
    payload, protocol, whole = b"", 0, False
    while not isinstance(layer, NoPayload):
        if isinstance(layer, IP):
            octets, header = layer.original, layer.ihl * 4
            ip, payload, protocol = layer, octets[header : layer.len], layer.proto
            whole = layer.frag == 0 and not layer.flags.MF
            if checksum(octets[:header]) != 0:
                wrong.append("IP")
        elif isinstance(layer, IPv6):
            ip, payload, protocol = layer, layer.original[40 : 40 + layer.plen], layer.nh
            whole = True
        elif isinstance(layer, _IPv6ExtHdr):
            atomic = not isinstance(layer, IPv6ExtHdrFragment) or (layer.offset == 0 and layer.m == 0)
            whole = whole and atomic
            payload, protocol = payload[len(layer) - len(layer.payload) :], layer.nh
        elif isinstance(layer, TCP | UDP | ICMP | _ICMPv6):
            none = isinstance(layer, UDP) and layer.chksum == 0
            if whole and not none and _sum(layer, ip, payload, protocol) not in SUM_OF_NOTHING:
                wrong.append(type(layer).__name__)
            if not isinstance(layer, UDP):
                break
        layer = layer.payload
    return wrong


def _sum(layer: Packet, ip: Packet, payload: bytes, protocol: int) -> int:
    if isinstance(layer, ICMP):
        return checksum(payload)
    return in4_chksum(protocol, ip, payload) if isinstance(ip, IP) else in6_chksum(protocol, ip, payload)
