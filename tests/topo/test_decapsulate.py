"""What is taken for a tunnel's packet, held against scapy's idea of it; and what is not."""

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE
from scapy.packet import Packet

from topo.decapsulate import packet_of_version, without_gre, without_gue, without_ipv4

V4 = IP(src="10.0.0.11", dst="10.0.0.100") / UDP(sport=5, dport=6) / b"four"
V6 = IPv6(src="fd00::11", dst="fd00::100") / UDP(sport=5, dport=6) / b"six"
GUE4, GUE6 = b"\x00\x04\x00\x00", b"\x00\x29\x00\x00"


@pytest.mark.parametrize("inner", [V4, V6], ids=["IPv4", "IPv6"])
def test_the_clients_packet_comes_out(inner: Packet) -> None:
    whole = bytes(inner)
    version = 4 if inner is V4 else 6
    assert packet_of_version(version, without_ipv4(bytes(IP(options=b"\x94\x04\0\0") / inner))) == whole
    assert without_gre(bytes(GRE() / inner)) == whole
    assert without_gue((GUE4 if version == 4 else GUE6) + whole) == whole


@pytest.mark.parametrize("inner", [V4, V6], ids=["IPv4", "IPv6"])
def test_nothing_that_is_cut_off_or_too_long_comes_out(inner: Packet) -> None:
    version, whole = 4 if inner is V4 else 6, bytes(inner)
    for length in range(len(whole)):
        assert packet_of_version(version, whole[:length]) is None
    assert packet_of_version(version, whole + b"\0") is None
    assert packet_of_version(10 - version, whole) is None, "the other family's protocol number"
    assert packet_of_version(None, whole) is None


@pytest.mark.parametrize(
    ("what", "payload"),
    [
        ("a checksum", bytes(GRE(chksum_present=1) / V4)),
        ("a key", bytes(GRE(key_present=1, key=1) / V4)),
        ("another version", bytes(GRE(version=1) / V4)),
        ("another protocol", bytes(GRE(proto=0x6558) / V4)),
        ("no whole header", b"\0\0\x08"),
    ],
)
def test_gre_with(what: str, payload: bytes) -> None:
    assert without_gre(payload) is None, what


@pytest.mark.parametrize(
    ("what", "header"),
    [
        ("variant 1, which has no header", b""),
        ("options", b"\x01\x04\x00\x00\x00\x00\x00\x00"),
        ("a control message", b"\x20\x04\x00\x00"),
        ("flags", b"\x00\x04\x80\x00"),
        ("another protocol", b"\x00\x11\x00\x00"),
        ("no whole header", b"\x00\x04"),
    ],
)
def test_gue_with(what: str, header: bytes) -> None:
    assert without_gue(header + bytes(V4)) is None, what
