"""Which frames count as a new connection."""

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet

from topo.capture import syn_source

TO = {"src": "10.0.0.11", "dst": "10.0.1.12"}


@pytest.mark.parametrize(
    ("what", "packet", "source"),
    [
        ("a SYN", IP(**TO) / TCP(dport=8080, flags="S"), "10.0.0.11"),
        ("a SYN that offers ECN", IP(**TO) / TCP(dport=8080, flags="SEC"), "10.0.0.11"),
        (
            "behind IP options",
            IP(**TO, options=b"\x94\x04\x00\x00") / TCP(dport=8080, flags="S"),
            "10.0.0.11",
        ),
        ("IPv6", IPv6(src="fd00::11", dst="fd00:1::12") / TCP(dport=8080, flags="S"), "fd00::11"),
        ("an answer", IP(**TO) / TCP(dport=8080, flags="SA"), None),
        ("data", IP(**TO) / TCP(dport=8080, flags="PA") / b"GET", None),
        ("a reset", IP(**TO) / TCP(dport=8080, flags="R"), None),
        ("another port", IP(**TO) / TCP(dport=80, flags="S"), None),
        ("UDP", IP(**TO) / UDP(dport=8080) / (b"\2" * 20), None),
        (
            "in VXLAN",
            IP(src="10.0.1.1", dst="10.0.1.12")
            / UDP(dport=4789)
            / VXLAN(vni=7)
            / Ether()
            / IP(**TO)
            / TCP(dport=8080, flags="S"),
            "10.0.0.11",
        ),
        ("ARP", ARP(), None),
    ],
)
def test_syn_source(what: str, packet: Packet, source: str | None) -> None:
    assert syn_source(bytes(Ether() / packet), 8080) == source, what


def test_short_frames() -> None:
    whole = bytes(Ether() / IP(**TO) / TCP(dport=8080, flags="S"))
    for length in range(len(whole) - 8):
        syn_source(whole[:length], 8080)  # must not raise
