"""Checksums verified and updated: programs/checksums.p4. Bad ones leave by port 9, good ones by port 1."""

from collections.abc import Iterator

import pytest
from scapy.layers.inet import ICMP, IP, UDP, IPOption_NOP, IPOption_RR
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from switch.engine import Engine
from tests.switch.engines import load
from tests.switch.json_programs import const, encoded, field, program

GOOD, BAD = 1, 9
NEW_DESTINATION = "10.9.8.7"

ETHERNET = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = load("checksums")
    yield engine
    engine.close()


def rebuilt(packet: Packet) -> Packet:
    """The packet with what the program changes, all its checksums computed by scapy."""
    copy = packet.copy()
    copy[IP].ttl -= 1
    copy[IP].dst = NEW_DESTINATION
    del copy[IP].chksum
    if UDP in copy and copy[UDP].chksum != 0:
        del copy[UDP].chksum
    return copy


OPTIONS = [IPOption_RR(routers=["1.2.3.4", "5.6.7.8"]), IPOption_NOP()]

PACKETS = {
    "icmp": ETHERNET / IP(src="192.0.2.1", dst="192.0.2.2") / ICMP(),
    "options": ETHERNET / IP(src="192.0.2.1", dst="192.0.2.2", options=OPTIONS) / ICMP(),
    "empty udp": ETHERNET / IP(src="192.0.2.1", dst="192.0.2.2") / UDP(sport=1, dport=2),
    "even udp": ETHERNET / IP(src="192.0.2.1", dst="192.0.2.2") / UDP(sport=1, dport=2) / Raw(b"ab" * 500),
    "odd udp": ETHERNET / IP(src="192.0.2.1", dst="192.0.2.2") / UDP(sport=1, dport=2) / Raw(b"abc" * 333),
    "udp without checksum": ETHERNET / IP(dst="192.0.2.2") / UDP(sport=1, dport=2, chksum=0) / Raw(b"abc"),
    "udp and options": ETHERNET / IP(dst="192.0.2.2", options=OPTIONS) / UDP(sport=1, dport=2) / Raw(b"abc"),
}


@pytest.mark.parametrize("name", PACKETS)
def test_good_checksums(engine: Engine, name: str) -> None:
    packet = Ether(bytes(PACKETS[name]))
    ((port, sent),) = engine.process(3, bytes(packet))
    assert port == GOOD
    assert sent == bytes(rebuilt(packet))


@pytest.mark.parametrize("name", [name for name in PACKETS if name != "udp without checksum"])
def test_every_flipped_bit_is_noticed(engine: Engine, name: str) -> None:
    """In the IPv4 header and, where there is one, the UDP datagram (one bit of each byte)."""
    packet = Ether(bytes(PACKETS[name]))
    whole = bytes(packet)
    start = 14
    end = len(whole) if UDP in packet else start + packet[IP].ihl * 4
    not_checked = {start, start + 9}  # the header's length and the protocol say what is checked at all
    for place in range(start, min(end, start + 80)):
        if place in not_checked or (UDP in packet and start + packet[IP].ihl * 4 + 4 <= place < end - 80):
            continue
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        ((port, _),) = engine.process(3, bytes(damaged))
        assert port == BAD, f"byte {place}"


def test_a_packet_without_the_header_is_not_checked(engine: Engine) -> None:
    frame = bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=0x1234) / Raw(b"not IPv4"))
    assert engine.process(3, frame) == [(GOOD, frame)]


def test_the_hash_called_random_is_a_random_number() -> None:
    """Which simple_switch does not know."""
    config = program({"h_t": [["a", 64, False]]}, [])
    config["calculations"] = [{"name": "calc", "id": 0, "algo": "random", "input": [field("h", "a")]}]
    arguments = [field("h", "a"), const(3), {"type": "calculation", "value": "calc"}, const(5)]
    config["actions"][0]["primitives"] = [
        {"op": "modify_field_with_hash_based_offset", "parameters": arguments}
    ]
    engine = Engine.load(encoded(config))
    found = {int.from_bytes(sent, "big") for _ in range(200) for _, sent in engine.process(0, bytes(8))}
    assert found == {3, 4, 5, 6, 7}
    engine.close()
