"""The check of checksums finds a wrong one wherever it stands: outside or inside a tunnel."""

from collections.abc import Iterator

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6PacketTooBig, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import NoPayload, Packet

from tests.packets.cases.nat import dns, http
from tests.packets.checksums import wrong_checksums
from tests.packets.frames import CHECKSUMS, packet
from tests.packets.ways import WAYS
from tests.packets.world import V4, V6

SUMMED = (IP, TCP, UDP, ICMP, ICMPv6EchoRequest, ICMPv6PacketTooBig)
FRAMES = [
    *(way.delivered(way.to_vip(transport)).packet for way in WAYS for transport in (http(1), dns(1))),
    packet(V4, ICMP() / b"ping", destination=V4.nat_vip),
    packet(V6, ICMPv6EchoRequest(data=b"ping"), destination=V6.nat_vip),
    packet(V6, ICMPv6PacketTooBig() / bytes(IPv6() / UDP()), destination=V6.nat_vip),
]


def layers(frame: Packet) -> Iterator[Packet]:
    """Those with a checksum, but for a UDP checksum of 0."""
    layer = frame
    while not isinstance(layer, NoPayload):
        if type(layer) in SUMMED and getattr(layer, CHECKSUMS.get(type(layer), "cksum")) != 0:
            yield layer
        layer = layer.payload


@pytest.mark.parametrize("frame", FRAMES, ids=Packet.summary)
def test_every_wrong_checksum_is_found(frame: Packet) -> None:
    right = Ether(bytes(frame))
    assert wrong_checksums(bytes(right)) == []
    found = list(layers(right))
    assert found
    for number in range(len(found)):
        damaged = Ether(bytes(right))
        layer = list(layers(damaged))[number]
        field = CHECKSUMS.get(type(layer), "cksum")
        setattr(layer, field, getattr(layer, field) ^ 0x0100)
        assert wrong_checksums(bytes(damaged)) == [type(layer).__name__]
