"""Packets that are too big, or at the end of their life, and what the switch says about them."""

import pytest
from bmv2 import Bmv2
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    PadN,
)
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet
from scene import (
    CLIENT_MAC,
    DSR,
    FAMILIES,
    IPIP,
    NAT,
    ROUTER,
    V4,
    V6,
    VXLAN,
    Family,
    balanced,
    checked,
    interface,
    link,
    network,
    tunnel,
)


def complaint(frame: bytes, sent: Packet, family: Family, source: str) -> Packet:
    """The ICMP error in the frame, after its addresses and quote were compared with what it is about."""
    packet = checked(frame)
    assert (packet.src, packet.dst) == (ROUTER, sent.src)
    ip = packet[IP] if family.version == 4 else packet[IPv6]
    assert (ip.src, ip.dst) == (source, sent.payload.src)
    assert (
        ip.ttl == 64 and ip.len == len(ip)
        if family.version == 4
        else ip.hlim == 64 and ip.plen == len(ip) - 40
    )
    original = bytes(sent.payload)
    quote = bytes(ip.payload)[8:]
    headers = (original[0] & 15) * 4 if family.version == 4 else 40
    assert quote == original[: headers + 8]
    return ip.payload


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f"v{f.version}")
@pytest.mark.parametrize("mode", (NAT, DSR))
def test_larger_than_the_next_link(switch: Bmv2, family: Family, mode: int) -> None:
    switch.insert(*network(), *balanced(mode, family, port=8080), link(2, 1400))
    flags = {"flags": "DF"} if family.version == 4 else {}
    overhead = 20 if family.version == 4 else 40
    fits = family.to_vip(**flags) / TCP(sport=5, dport=80) / bytes(1400 - overhead - 20)
    ((port, frame),) = switch.send(1, fits)
    assert port == 2
    checked(frame)
    sent = family.to_vip(**flags) / TCP(sport=5, dport=80) / bytes(1401 - overhead - 20)
    ((port, frame),) = switch.send(1, sent)
    assert port == 1
    icmp = complaint(frame, sent, family, family.vip)
    if family.version == 4:
        assert (icmp.type, icmp.code, icmp.nexthopmtu) == (3, 4, 1400)
    else:
        assert isinstance(icmp, ICMPv6PacketTooBig) and icmp.mtu == 1400


@pytest.mark.parametrize(
    ("mode", "inner", "outer", "mtu"),
    (
        (IPIP, V4, V4, 1480),
        (IPIP, V6, V4, 1480),
        (VXLAN, V4, V4, 1450),
        (VXLAN, V6, V6, 1430),
        (VXLAN, V4, V6, 1430),
    ),
)
def test_the_tunnel_takes_its_share(switch: Bmv2, mode: int, inner: Family, outer: Family, mtu: int) -> None:
    switch.insert(*network(), *balanced(mode, inner, outer), link(2, 1500), interface(1))
    flags = {"flags": "DF"} if inner.version == 4 else {}
    headers = 28 if inner.version == 4 else 48
    ((port, frame),) = switch.send(1, inner.to_vip(**flags) / UDP(sport=5, dport=80) / bytes(mtu - headers))
    assert port == 2 and len(frame) == 1514
    sent = inner.to_vip(**flags) / UDP(sport=5, dport=80) / bytes(mtu - headers + 1)
    ((port, frame),) = switch.send(1, sent)
    icmp = complaint(frame, sent, inner, inner.routers[0])
    assert port == 1 and (icmp.nexthopmtu if inner.version == 4 else icmp.mtu) == mtu


def test_a_tunnel_may_carry_less_than_its_link(switch: Bmv2) -> None:
    rows = [r for r in balanced(VXLAN, V4) if r.table != "tunnels"]
    switch.insert(*network(), *rows, tunnel(1, "10.0.2.1", mtu=1300), link(2, 1500))
    ((_, frame),) = switch.send(1, sent := V4.to_vip(flags="DF") / UDP(dport=80) / bytes(1300))
    assert complaint(frame, sent, V4, V4.vip).nexthopmtu == 1300


def test_without_df_it_is_dropped_and_counted(switch: Bmv2) -> None:
    switch.insert(*network(), *balanced(DSR, V4), link(2, 1400))
    before = switch.reasons("drops")["too_big"]
    assert switch.send(1, V4.to_vip() / UDP(dport=80) / bytes(1400)) == []
    assert switch.reasons("drops")["too_big"] == before + 1


def test_answers_of_backends_may_be_too_big_as_well(switch: Bmv2) -> None:
    switch.insert(*network(), *balanced(NAT, V4), link(1, 1400), interface(2))
    sent = V4.from_backend(dst=V4.client, flags="DF") / TCP(sport=80, dport=5) / bytes(1400)
    ((port, frame),) = switch.send(2, sent)
    assert port == 2 and complaint(frame, sent, V4, V4.routers[1]).nexthopmtu == 1400


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f"v{f.version}")
@pytest.mark.parametrize(
    "transport", (TCP(sport=5, dport=80), UDP(sport=5, dport=80), UDP(sport=5, dport=33434), "echo")
)
def test_traceroute_through_the_switch(switch: Bmv2, family: Family, transport: object) -> None:
    switch.insert(*network(), *balanced(NAT, family), interface(1))
    if transport == "echo":
        transport = ICMP(id=7, seq=9) if family.version == 4 else ICMPv6EchoRequest(id=7, seq=9)
    last = {"ttl": 1} if family.version == 4 else {"hlim": 1}
    port80 = getattr(transport, "dport", 0) == 80
    sent = (
        family.from_client(dst=family.vip if port80 else family.backends[0], **last) / transport / b"12345678"
    )
    ((port, frame),) = switch.send(1, sent)
    icmp = complaint(frame, sent, family, family.routers[0])
    assert port == 1
    assert (icmp.type, icmp.code) == (11, 0) if family.version == 4 else isinstance(icmp, ICMPv6TimeExceeded)


def test_options_and_vlan_are_quoted_right(switch: Bmv2) -> None:
    switch.insert(*network(), *balanced(NAT, V4))
    ip = IP(src=V4.client, dst=V4.vip, ttl=1, options=[IPOption_NOP()] * 4)
    sent = Ether(src=CLIENT_MAC, dst=ROUTER) / ip / UDP(dport=80) / b"x"
    ((_, frame),) = switch.send(1, sent)
    complaint(frame, sent, V4, V4.vip)
    tagged = Ether(src=CLIENT_MAC, dst=ROUTER) / Dot1Q(vlan=3) / ip / UDP(dport=80) / b"x"
    ((_, frame),) = switch.send(1, tagged)
    packet = checked(frame)
    assert packet[Dot1Q].vlan == 3 and bytes(packet[IP].payload)[8:] == bytes(ip / UDP(dport=80) / b"x")[:32]


def test_extension_headers_are_quoted_too(switch: Bmv2) -> None:
    switch.insert(*network(), *balanced(NAT, V6))
    between = IPv6ExtHdrDestOpt(options=[PadN(optdata=b"1234567890")])
    sent = V6.to_vip(hlim=1) / between / UDP(sport=5, dport=80) / b"more than fits"
    ((_, frame),) = switch.send(1, sent)
    packet = checked(frame)
    assert bytes(packet[IPv6].payload)[8:] == bytes(sent.payload)[: 40 + 16 + 8]
    arrived = switch.send(1, V6.to_vip() / between / UDP(sport=5, dport=80) / b"through")
    assert [port for port, _ in arrived] == [2]
    checked(arrived[0][1])


def test_no_complaint_about_a_complaint(switch: Bmv2) -> None:
    switch.insert(*network(), interface(1))
    before = switch.reasons("drops")["ttl_expired"]
    error = ICMP(type=3, code=1) / IP(src="1.2.3.4", dst="5.6.7.8") / UDP()
    assert switch.send(1, V4.from_client(dst="10.0.2.11", ttl=1) / error) == []
    assert switch.reasons("drops")["ttl_expired"] == before + 1


def test_no_complaint_about_a_later_fragment(switch: Bmv2) -> None:
    """RFC 1122 3.2.2."""
    switch.insert(*network(), interface(1))
    before = switch.reasons("drops")["ttl_expired"]
    assert switch.send(1, V4.from_client(dst="10.0.2.11", ttl=1, frag=100, proto=17) / bytes(64)) == []
    assert switch.reasons("drops")["ttl_expired"] == before + 1


def test_complaints_are_rationed(switch: Bmv2) -> None:
    switch.insert(*network(), *balanced(NAT, V4))
    switch.set_meter("reply_rate", 1, rate=1, burst=5)
    before, said = switch.reasons("drops")["over_reply_rate"], switch.reasons("replies")["time_exceeded"]
    out = switch.send(1, *[V4.to_vip(ttl=1) / UDP(dport=80)] * 20)
    switch.set_meter("reply_rate", 1, rate=1_000_000, burst=1_000_000)
    assert len(out) in (5, 6)
    assert switch.reasons("drops")["over_reply_rate"] == before + 20 - len(out)
    assert switch.reasons("replies")["time_exceeded"] == said + len(out)
