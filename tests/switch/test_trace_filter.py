"""Which packets a trace filter chooses: bytes that are compared, tried on real headers."""

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet

from switch.trace_filter import ANY_PORT, FilterError, TraceFilter

V4 = IP(src="10.0.0.11", dst="10.0.0.100")
V6 = IPv6(src="fd00::11", dst="fd00::100")
WEB = TCP(sport=4000, dport=80)
DNS = UDP(sport=4000, dport=53)


def chooses(text: str, packet: Packet, port: int = 1) -> bool:
    """As runtime/tracer.c does it; test_server_inspection.py shows that it does."""
    frame = bytes(packet)
    return any(
        pattern.port in (ANY_PORT, port)
        and len(frame) >= pattern.length
        and all(frame[i] & pattern.mask[i] == pattern.value[i] for i in range(pattern.length))
        for pattern in TraceFilter.parse(text).patterns()
    )


# (filter, chosen, not chosen)
FILTERS = [
    ("", [Ether() / ARP(), Ether() / V4 / WEB], []),
    ("dst=10.0.0.100", [Ether() / V4 / WEB, Ether() / Dot1Q(vlan=5) / V4 / DNS], [Ether() / V6 / WEB]),
    ("src=10.0.0.0/24", [Ether() / V4], [Ether() / IP(src="10.0.1.11"), Ether() / ARP()]),
    ("src=fd00::11 dst=fd00::/16", [Ether() / V6 / WEB], [Ether() / V4, Ether() / IPv6(src="fd00::12")]),
    ("src=10.0.0.11 dst=fd00::100", [], [Ether() / V4, Ether() / V6]),
    (
        "host=10.0.0.11",
        [Ether() / V4, Ether() / IP(src="10.0.0.100", dst="10.0.0.11")],
        [Ether() / IP(src="10.0.0.100", dst="10.0.0.12")],
    ),
    (
        "host=10.0.0.11 host=10.0.0.100",
        [Ether() / V4, Ether() / IP(src=V4.dst, dst=V4.src)],
        [Ether() / IP(src="10.0.0.11", dst="10.0.0.12")],
    ),
    ("src=10.0.0.11 host=10.0.0.12", [Ether() / IP(src="10.0.0.11", dst="10.0.0.12")], [Ether() / V4]),
    ("dport=80", [Ether() / V4 / WEB, Ether() / V6 / WEB], [Ether() / V4 / DNS, Ether() / V4 / ICMP()]),
    ("dport=53 proto=udp", [Ether() / V6 / DNS], [Ether() / V6 / TCP(dport=53)]),
    (
        "sport=4000",
        [Ether() / V4 / WEB, Ether() / Dot1Q() / V6 / DNS],
        [Ether() / IP(frag=5, proto=6) / WEB, Ether() / IP(options=[IPOption_NOP()] * 4) / WEB],
    ),
    ("proto=icmp", [Ether() / V4 / ICMP()], [Ether() / V4 / WEB, Ether() / V6]),
    ("proto=89", [Ether() / IP(proto=89)], [Ether() / V4 / WEB]),
]


@pytest.mark.parametrize(("text", "chosen", "others"), FILTERS, ids=[text for text, _, _ in FILTERS])
def test_packets(text: str, chosen: list[Packet], others: list[Packet]) -> None:
    assert [packet.summary() for packet in chosen if not chooses(text, packet)] == []
    assert [packet.summary() for packet in others if chooses(text, packet)] == []


def test_ports_of_the_switch() -> None:
    assert chooses("port=1", Ether() / V4, port=1)
    assert not chooses("port=1", Ether() / V4, port=2)
    assert chooses("port=2 dport=80", Ether() / V4 / WEB, port=2)
    assert not chooses("port=2 dport=80", Ether() / V4 / WEB, port=1)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("10.0.0.1", "'10.0.0.1' is no part of a filter; there are:"),
        ("from=10.0.0.1", "'from=10.0.0.1' is no part of a filter"),
        ("src=10.0.0.256", "'src=10.0.0.256': '10.0.0.256' does not appear to be an IPv4 or IPv6 network"),
        ("port=512", "'port=512': should be a number from 0 to 511"),
        ("dport=http", "'dport=http': should be a number from 0 to 65535"),
        ("proto=sctp", "'proto=sctp': should be one of icmp, tcp, udp, gre, icmpv6, or a number up to 255"),
        ("every=0", "'every=0': should be a number from 1 to"),
    ],
)
def test_what_is_no_filter(text: str, complaint: str) -> None:
    with pytest.raises(FilterError) as refused:
        TraceFilter.parse(text)
    assert str(refused.value).startswith(complaint)
