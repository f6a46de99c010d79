"""Fragments follow their first one, in every mode, both families and both directions."""

import pytest
from bmv2 import Bmv2
from scapy.layers.inet import IP, TCP, UDP, defragment, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, defragment6, fragment6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from scapy.plist import PacketList
from scene import (
    DSR,
    FAMILIES,
    GRE,
    GUE,
    IPIP,
    NAT,
    V4,
    V6,
    VXLAN,
    Family,
    Row,
    balanced,
    checked,
    network,
    wide,
)

MODES = {"nat": NAT, "dsr": DSR, "ipip": IPIP, "gre": GRE, "vxlan": VXLAN, "gue": GUE}
PAYLOAD = bytes(i * 7 & 255 for i in range(3000))


def pieces(packet: Packet) -> list[Packet]:
    if IPv6 in packet:
        ip = packet[IPv6]
        header = IPv6(src=ip.src, dst=ip.dst)
        parts = fragment6(header / IPv6ExtHdrFragment(id=77) / ip.payload, 1280)
    else:
        ip = packet[IP]
        ip.id = 77
        parts = fragment(ip, 1200)
    return [Ether(src=packet.src, dst=packet.dst) / part for part in parts]


def whole(parts: list[Packet]) -> Packet:
    if IPv6 in parts[0]:
        return IPv6(bytes(defragment6([p[IPv6] for p in parts])))
    together = defragment(PacketList([p[IP] for p in parts]))
    assert isinstance(together, PacketList) and len(together) == 1
    return IP(bytes(together[0]))


def nat_hosts(family: Family) -> list[Row]:
    return [Row("nat_hosts", {"address": wide(address)}, "translated") for address in family.backends]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f"v{f.version}")
@pytest.mark.parametrize("transport", (UDP, TCP))
@pytest.mark.parametrize("mode", MODES)
def test_towards_the_backend(switch: Bmv2, mode: str, transport: type, family: Family) -> None:
    switch.insert(*network(), *balanced(MODES[mode], family, port=8080 if mode == "nat" else 0))
    parts = pieces(family.to_vip() / transport(sport=9, dport=80) / PAYLOAD)
    assert len(parts) == 3
    out = switch.send(1, *parts)
    assert [port for port, _ in out] == [2, 2, 2]
    frames = [checked(frame) for _, frame in out]
    if mode in ("ipip", "gre", "vxlan", "gue"):
        if mode == "gue":
            return
        kind = IP if family.version == 4 else IPv6
        inner = [f.getlayer(kind, 2) for f in frames]
        frames = [Ether() / i for i in inner]
    datagram = whole(frames)
    target = family.backends[0] if mode == "nat" else family.vip
    assert datagram.dst == target and datagram[transport].dport == (8080 if mode == "nat" else 80)
    assert datagram[Raw].load == PAYLOAD
    checked(bytes(Ether() / datagram))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f"v{f.version}")
def test_from_a_nat_backend(switch: Bmv2, family: Family) -> None:
    switch.insert(*network(), *balanced(NAT, family, port=8080), *nat_hosts(family))
    parts = pieces(family.from_backend(dst=family.client) / UDP(sport=8080, dport=9) / PAYLOAD)
    out = switch.send(2, *parts)
    assert [port for port, _ in out] == [1, 1, 1]
    datagram = whole([checked(frame) for _, frame in out])
    assert datagram.src == family.vip and datagram[UDP].sport == 80 and datagram[Raw].load == PAYLOAD
    checked(bytes(Ether() / datagram))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f"v{f.version}")
def test_other_datagrams_of_a_nat_backend_are_left_alone(switch: Bmv2, family: Family) -> None:
    switch.insert(*network(), *balanced(NAT, family, port=8080), *nat_hosts(family))
    parts = pieces(family.from_backend(dst=family.client) / UDP(sport=53, dport=9) / PAYLOAD)
    out = switch.send(2, *parts)
    assert [port for port, _ in out] == [1, 1, 1]
    assert whole([checked(frame) for _, frame in out]).src == family.backends[0]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f"v{f.version}")
def test_without_their_first_they_are_dropped(switch: Bmv2, family: Family) -> None:
    switch.insert(*network(), *balanced(NAT, family), *nat_hosts(family))
    there = pieces(family.to_vip() / UDP(sport=11, dport=80) / bytes(3000))
    back = pieces(family.from_backend(dst=family.client) / UDP(sport=80, dport=11) / bytes(3000))
    for part in there + back:
        if IP in part:
            part[IP].id = 4711
            del part[IP].chksum
        else:
            part[IPv6ExtHdrFragment].id = 4711
    before = switch.reasons("drops")["fragment"]
    assert switch.send(1, *there[1:]) == []
    assert switch.send(2, *back[1:]) == []
    assert switch.reasons("drops")["fragment"] == before + 4
    out = switch.send(1, there[1], there[0], there[2])  # out of order: what came before its first is lost
    assert len(out) == 2
    assert switch.reasons("drops")["fragment"] == before + 5


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f"v{f.version}")
def test_plain_fragments_are_routed(switch: Bmv2, family: Family) -> None:
    switch.insert(*network(), *balanced(NAT, family), *nat_hosts(family))
    parts = pieces(family.from_client(dst=family.backends[1]) / UDP(sport=11, dport=12) / bytes(3000))
    assert [port for port, _ in switch.send(1, *reversed(parts))] == [2, 2, 2]


def test_a_datagram_in_one_fragment_is_no_fragment(switch: Bmv2) -> None:
    """RFC 6946."""
    switch.insert(*network(), *balanced(NAT, V6, port=8080))
    atomic = V6.to_vip() / IPv6ExtHdrFragment(id=5, nh=17) / UDP(sport=3, dport=80) / b"small"
    ((port, frame),) = switch.send(1, atomic)
    packet = Ether(frame)
    assert port == 2 and packet[IPv6].dst == V6.backends[0] and packet[UDP].dport == 8080


def test_a_first_fragment_too_small_for_its_ports(switch: Bmv2) -> None:
    """RFC 1858: tiny fragments hide what they are."""
    switch.insert(*network(), *balanced(NAT, V4))
    before = switch.reasons("drops")["malformed"]
    assert switch.send(1, V4.to_vip(flags="MF", proto=6) / b"12345678") == []
    assert switch.reasons("drops")["malformed"] == before + 1
