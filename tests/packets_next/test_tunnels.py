"""Encapsulation towards the backends: every mode, both families outside and inside, TCP and UDP."""

import pytest
from bmv2 import Bmv2
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE as Gre
from scapy.layers.l2 import Dot1Q, Ether
from scapy.layers.vxlan import VXLAN as Vxlan
from scapy.packet import Packet
from scene import DSR, FAMILIES, GRE, GUE, IPIP, ROUTER, V4, V6, VXLAN, Family, balanced, checked, network

MODES = {"ipip": IPIP, "gre": GRE, "vxlan": VXLAN, "gue": GUE}


def hop(packet: Packet) -> Packet:
    """The packet after one hop, without its Ethernet header."""
    inner = packet.payload.copy()
    if isinstance(inner, IP):
        inner.ttl -= 1
        del inner.chksum
    else:
        inner.hlim -= 1
    return inner.__class__(bytes(inner))


@pytest.mark.parametrize("outer", FAMILIES, ids=lambda f: f"outer{f.version}")
@pytest.mark.parametrize("inner", FAMILIES, ids=lambda f: f"inner{f.version}")
@pytest.mark.parametrize("transport", (TCP, UDP))
@pytest.mark.parametrize("mode", MODES)
def test_encapsulated(switch: Bmv2, mode: str, transport: type, inner: Family, outer: Family) -> None:
    switch.insert(*network(), *balanced(MODES[mode], inner, outer))
    marks = {"tos": 0xB9} if inner.version == 4 else {"tc": 0xB9}  # expedited forwarding, ECT(1)
    sent = inner.to_vip(**marks) / transport(sport=1234, dport=80) / b"question"
    ((port, frame),) = switch.send(1, sent)
    assert port == 2
    packet = checked(frame)
    assert packet.src == ROUTER
    ip = packet.payload
    assert (ip.src, ip.dst) == (outer.routers[1], outer.backends[0])
    assert (
        (ip.tos, ip.ttl, ip.flags, ip.id) == (0xB9, 64, "DF", 0)
        if outer.version == 4
        else (ip.tc, ip.hlim) == (0xB9, 64)
    )
    if outer.version == 4:
        assert ip.len == len(ip)
    else:
        assert ip.plen == len(ip) - 40
    within = ip.payload
    if mode in ("vxlan", "gue"):
        assert isinstance(within, UDP)
        assert within.sport >= 0xC000 and within.chksum == 0 and within.len == len(within)
        assert within.dport == {"vxlan": 4789, "gue": 6080}[mode]
        within = within.payload
    protocol = 4 if inner.version == 4 else 41
    if mode == "ipip":
        assert (ip.proto if outer.version == 4 else ip.nh) == protocol
    elif mode == "gre":
        assert isinstance(within, Gre) and bytes(within)[:4] == bytes.fromhex(
            "00000800" if protocol == 4 else "000086dd"
        )
        within = within.payload
    elif mode == "vxlan":
        assert isinstance(within, Vxlan) and (within.flags, within.vni) == (8, 0x123456)
        assert (within[Ether].src, within[Ether].dst) == ("02:00:00:00:0a:01", "02:00:00:00:0a:02")
        within = within[Ether].payload
    else:
        assert bytes(within)[:4] == bytes((0, protocol, 0, 0))
        within = (IP if inner.version == 4 else IPv6)(bytes(within)[4:])
    assert bytes(within) == bytes(hop(sent))


def test_entropy_follows_the_flow(switch: Bmv2) -> None:
    switch.insert(*network(), *balanced(VXLAN, V4, V6))
    frames = switch.send(1, *[V4.to_vip() / UDP(sport=s, dport=80) for s in (1, 2, 3, 4, 1, 2, 3, 4)])
    seen = [(Ether(f)[IPv6].fl, Ether(f)[UDP].sport) for _, f in frames]
    assert seen[:4] == seen[4:] and len(set(seen)) == 4


def test_vlan_outside(switch: Bmv2) -> None:
    rows = [row for row in network() if row.match.get("address") != (0xFFFF << 32 | 0x0A00020B)]
    from scene import BACKEND_MAC, neighbor

    switch.insert(*rows, neighbor("10.0.2.11", 2, BACKEND_MAC, vlan=7), *balanced(GUE, V6, V4))
    ((_, frame),) = switch.send(1, V6.to_vip() / UDP(sport=5, dport=80))
    packet = checked(frame)
    assert packet[Dot1Q].vlan == 7 and packet[Dot1Q].type == 0x800 and packet[IP].dst == "10.0.2.11"


def test_backend_without_tunnel_is_dropped(switch: Bmv2) -> None:
    switch.insert(*network(), *[r for r in balanced(IPIP, V4) if r.table != "tunnels"])
    before = switch.reasons("drops")["no_tunnel"]
    assert switch.send(1, V4.to_vip() / TCP(dport=80)) == []
    assert switch.reasons("drops")["no_tunnel"] == before + 1


def test_dsr_changes_nothing_but_a_hop(switch: Bmv2) -> None:
    switch.insert(*network(), *balanced(DSR, V6))
    sent = V6.to_vip() / TCP(dport=80)
    ((port, frame),) = switch.send(1, sent)
    assert port == 2 and bytes(checked(frame).payload) == bytes(hop(sent))
