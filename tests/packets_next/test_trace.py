"""A traced packet tells what would become of it, and changes nothing."""

import time

import pytest
from bmv2 import Bmv2, PacketIn
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6ND_NS, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet
from scene import (
    CLIENT_MAC,
    DSR,
    FAMILIES,
    NAT,
    ROUTER,
    V4,
    V6,
    VXLAN,
    Family,
    backend,
    balanced,
    bucket,
    checked,
    link,
    network,
)

TRACE = 3
TOLD = 5
SENT, PUNTED, DROPPED, REPLIED = 1, 2, 3, 5
SETTLED, EXCEPTION, CURRENT, STANDBY, PREVIOUS, NO_ROOM, MOVES, FRAGMENT, REFUSED, GONE = range(1, 11)


def trace(switch: Bmv2, port: int, packet: Packet) -> PacketIn:
    switch.packet_out(packet, order=TRACE, port=port)
    assert switch.collect() == []
    (told,) = switch.punted()
    assert told.fields["reason"] == TOLD and told.fields["ingress_port"] == port
    return told


def part(told: PacketIn, **fields: int) -> bool:
    found = {name: told.fields[name] for name in fields}
    assert found == fields
    return True


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f"v{f.version}")
@pytest.mark.parametrize("mode", (NAT, DSR, VXLAN))
@pytest.mark.parametrize("tagged", (False, True))
def test_tells_the_way_and_shows_the_frame(switch: Bmv2, family: Family, mode: int, tagged: bool) -> None:
    switch.insert(*network(), *balanced(mode, family))
    sent = family.to_vip() / TCP(sport=7, dport=80) / b"data"
    if tagged:
        sent = Ether(src=CLIENT_MAC, dst=ROUTER) / Dot1Q(vlan=5) / sent.payload
    ((_, really),) = switch.send(1, sent)
    told = trace(switch, 1, sent)
    assert part(told, fate=SENT, egress_port=2, vip=1, pool=1, bucket=0, owner=1, decision=SETTLED, known=0)
    assert told.frame == really


def test_a_moving_bucket(switch: Bmv2) -> None:
    """The flow's exception is shown; asking neither makes one nor confirms it."""
    switch.insert(*network(), *balanced(NAT, V4))
    switch.modify(bucket(1, 2, 1, motion=9))
    counted = switch.counter("moving_previous", 9)
    syn, ack = (V4.to_vip() / TCP(sport=8, dport=80, flags=f) for f in "SA")
    assert part(trace(switch, 1, syn), owner=2, decision=CURRENT, recorded=1, known=0)
    assert part(trace(switch, 1, ack), owner=1, decision=PREVIOUS, recorded=0, known=0)
    assert switch.counter("moving_previous", 9) == counted
    switch.send(1, syn)
    assert part(trace(switch, 1, ack), owner=2, decision=EXCEPTION, known=1, confirmed=0, closing=0)
    assert part(trace(switch, 1, ack), owner=2, decision=EXCEPTION, known=1, confirmed=0, closing=0)
    switch.send(1, ack)
    fin = V4.to_vip() / TCP(sport=8, dport=80, flags="FA")
    assert part(trace(switch, 1, fin), confirmed=1, closing=0)
    assert part(trace(switch, 1, fin), confirmed=1, closing=0)
    switch.send(1, fin)
    time.sleep(0.6)
    told = trace(switch, 1, ack)
    assert part(told, confirmed=1, closing=1) and 2 <= told.fields["silent"] <= 8
    switch.delete(backend(2, V4.backends[1]))
    assert part(trace(switch, 1, ack), decision=GONE, fate=DROPPED)


@pytest.mark.parametrize(
    ("what", "packet", "why"),
    (
        ("no service", V4.to_vip() / TCP(dport=81), "no_service"),
        ("bad flags", V4.to_vip() / TCP(dport=80, flags="SF"), "bad_flags"),
        ("too short", V4.to_vip(len=200) / TCP(dport=80), "malformed"),
        ("no route", V4.from_client(dst="203.0.113.1") / TCP(dport=80), "no_route"),
        ("no stranger", Ether(dst="02:00:00:00:00:77") / IP() / UDP(), "not_for_us"),
    ),
)
def test_drops_tell_why_and_are_not_counted(switch: Bmv2, what: str, packet: Packet, why: str) -> None:
    switch.insert(*network(), *balanced(NAT, V4))
    before = switch.reasons("drops")
    told = trace(switch, 1, packet)
    assert part(told, fate=DROPPED) and list(before)[told.fields["why"] - 1] == why
    assert told.frame == bytes(packet)
    assert switch.reasons("drops") == before


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f"v{f.version}")
def test_replies_are_shown_whole(switch: Bmv2, family: Family) -> None:
    switch.insert(*network(), *balanced(NAT, family), link(2, 1280))
    last = {"ttl": 1} if family.version == 4 else {"hlim": 1}

    for sent in (
        family.to_vip(**last) / UDP(dport=80) / b"12345",
        family.to_vip(**({"flags": "DF"} if family.version == 4 else {})) / TCP(dport=80) / bytes(1300),
    ):
        ((_, really),) = switch.send(1, sent)
        told = trace(switch, 1, sent)
        assert part(told, fate=REPLIED, egress_port=1) and told.frame == really
        checked(told.frame)


def test_neighbor_answers_are_shown_whole(switch: Bmv2) -> None:
    switch.insert(*network())
    ask = Ether(src=CLIENT_MAC, dst="33:33:ff:00:01:00") / IPv6(
        src=V6.client, dst="ff02::1:ff00:100", hlim=255
    )
    ask = ask / ICMPv6ND_NS(tgt=V6.vip) / ICMPv6NDOptSrcLLAddr(lladdr=CLIENT_MAC)
    ((_, really),) = switch.send(1, ask)
    told = trace(switch, 1, ask)
    assert part(told, fate=SENT, egress_port=1) and told.frame == really
    checked(really)


def test_fragments_are_not_remembered(switch: Bmv2) -> None:
    switch.insert(*network(), *balanced(NAT, V4))
    first = V4.to_vip(flags="MF", id=999) / UDP(sport=1, dport=80, len=3000) / bytes(1000)
    later = V4.to_vip(frag=126, id=999, proto=17) / bytes(1000)
    assert part(trace(switch, 1, first), fate=SENT, owner=1)
    assert part(trace(switch, 1, later), fate=DROPPED)
    switch.send(1, first)
    assert part(trace(switch, 1, later), fate=SENT, owner=1, decision=FRAGMENT)


def test_meters_are_not_asked(switch: Bmv2) -> None:
    switch.insert(*network(), *balanced(NAT, V4))
    switch.set_meter("vip_rate", 1, rate=1, burst=2)
    for _ in range(5):
        assert part(trace(switch, 1, V4.to_vip() / UDP(dport=80)), fate=SENT)
    out = switch.send(1, *[V4.to_vip() / UDP(dport=80)] * 2)
    switch.set_meter("vip_rate", 1, rate=1_000_000, burst=1_000_000)
    assert len(out) == 2


def test_punts_are_told_not_made(switch: Bmv2) -> None:
    switch.insert(*[row for row in network() if row.table != "neighbors"])
    told = trace(switch, 1, V4.from_client(dst="10.0.2.11") / UDP())
    assert part(told, fate=PUNTED, why=3)
