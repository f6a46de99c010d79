"""Probe rounds, answers, suspicion: all in the data plane. Time is real: rounds follow at once (gap 0)."""

import pytest
from bmv2 import Bmv2, Row
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet
from scene import (
    BACKEND_MAC,
    FAMILIES,
    NAT,
    ROUTER,
    V4,
    Family,
    backend,
    bucket,
    checked,
    mac,
    network,
    pool,
    vip,
    wide,
)

BEGIN, PROBE = 1, 2
GROUP = 5
TOLERANCE = 2


def prober(family: Family) -> str:
    return family.routers[1].replace("1", "9") if family.version == 6 else "10.0.2.250"


def target(family: Family, identity: int, port: int | None, vlan: int = 0) -> Row:
    params = {"source_mac": mac(ROUTER), "destination_mac": mac(BACKEND_MAC), "vlan": vlan}
    params |= {"source": wide(prober(family)), "destination": wide(family.backends[(identity - 1) % 2])}
    if port is None:
        return Row("probe_targets", {"backend": identity}, "echo", params)
    return Row("probe_targets", {"backend": identity}, "syn", params | {"port": port})


def probed(*identities: int) -> list[Row]:
    return [
        Row(f"{role}.probed", {"backend": i}, "is_probed")
        for role in ("current", "standby")
        for i in identities
    ]


def begin(switch: Bmv2, order: int = BEGIN) -> list[tuple[int, bytes]]:
    switch.packet_out(order=order, port=GROUP)
    return switch.collect()


def answer(probe: bytes) -> Packet:
    """What a live backend says to a probe."""
    packet = Ether(probe)
    ip = packet.payload
    back = Ether(src=packet.dst, dst=packet.src) / ip.__class__(src=ip.dst, dst=ip.src)
    if TCP in packet:
        tcp = packet[TCP]
        return back / TCP(
            sport=tcp.dport, dport=tcp.sport, flags="SA", seq=31337, ack=tcp.seq + 1, options=[("MSS", 1460)]
        )
    if ICMP in packet:
        return back / ICMP(type=0, id=packet[ICMP].id, seq=packet[ICMP].seq)
    return back / ICMPv6EchoReply(id=packet[ICMPv6EchoRequest].id, seq=packet[ICMPv6EchoRequest].seq)


def scene(
    switch: Bmv2, family: Family, port: int | None = 8080, *, identities: tuple[int, int], udp_move: int = 0
) -> None:
    """One bucket: current identities[0], standby identities[1]; both probed."""
    first, second = identities
    switch.insert(
        *network(), Row("addresses", {"address": wide(prober(family))}, "prober", {"mac": mac(ROUTER)})
    )
    switch.insert(backend(first, family.backends[0]), backend(second, family.backends[1]))
    switch.insert(
        pool(1, NAT, udp_move=udp_move),
        bucket(1, first, standby=second),
        vip(family, 6, 80),
        vip(family, 17, 80),
    )
    switch.insert(*probed(*identities), target(family, first, port), target(family, second, port))
    switch.multicast(GROUP, [(2, first), (2, second)])
    switch.set_default("liveness_settings", "settings", tolerance=TOLERANCE, gap=0, longest_idle=8192)


def chosen(switch: Bmv2, family: Family, sport: int, transport: type = TCP, **fields: object) -> str:
    ((_, frame),) = switch.send(1, family.to_vip() / transport(sport=sport, dport=80, **fields))
    return checked(frame).payload.dst


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f"v{f.version}")
@pytest.mark.parametrize("port", (8080, None), ids=("syn", "echo"))
def test_probes_and_answers(switch: Bmv2, family: Family, port: int | None) -> None:
    base = 100 if port else 110
    scene(switch, family, port, identities=(base + family.version, base + family.version + 20))
    heard = [switch.counter("probe_answers", base + family.version + i) for i in (0, 20)]
    replies, drops = switch.reasons("replies"), switch.reasons("drops")
    out = begin(switch)
    assert [p for p, _ in out] == [2, 2]
    for _, frame in out:
        probe = checked(frame)
        assert (probe.src, probe.dst, probe.payload.src) == (ROUTER, BACKEND_MAC, prober(family))
        if port:
            tcp = probe[TCP]
            assert (str(tcp.flags), tcp.dport, len(frame)) == ("S", 8080, 54 if family.version == 4 else 74)
            assert tcp.sport >= 0x8000 and tcp.seq & 0xFFFF in (
                base + family.version,
                base + family.version + 20,
            )
            assert tcp.seq >> 16 & 0x7FFF == tcp.sport & 0x7FFF
        resets = switch.send(2, answer(frame))
        if port:
            ((where, reset),) = resets
            told = checked(reset)
            assert where == 2 and (told.payload.src, told.payload.dst) == (prober(family), probe.payload.dst)
            assert (str(told[TCP].flags), told[TCP].seq, told[TCP].sport) == (
                "R",
                probe[TCP].seq + 1,
                probe[TCP].sport,
            )
        else:
            assert resets == []
    assert [switch.counter("probe_answers", base + family.version + i) for i in (0, 20)] == [
        h + 1 for h in heard
    ]
    if port:
        assert switch.reasons("replies")["probe_reset"] == replies["probe_reset"] + 2
    else:
        assert switch.reasons("drops")["probe_answer"] == drops["probe_answer"] + 2


def test_the_source_port_follows_the_round(switch: Bmv2) -> None:
    scene(switch, V4, identities=(1, 2))
    ports = {Ether(frame)[TCP].sport for _ in range(3) for _, frame in begin(switch)}
    assert len(ports) == 3
    again = {Ether(frame)[TCP].sport for _ in range(2) for _, frame in begin(switch, PROBE)}
    assert len(again) == 1 and again < ports


def test_a_round_lasts_its_gap(switch: Bmv2) -> None:
    scene(switch, V4, identities=(1, 2))
    switch.set_default(
        "liveness_settings", "settings", tolerance=TOLERANCE, gap=3_600_000_000, longest_idle=8192
    )
    ports = {Ether(frame)[TCP].sport for _ in range(3) for _, frame in begin(switch)}
    assert len(ports) == 1


def test_probe_with_vlan(switch: Bmv2) -> None:
    scene(switch, V4, identities=(1, 2))
    switch.modify(target(V4, 1, 8080, vlan=9), target(V4, 2, None, vlan=9))
    frames = [checked(frame) for _, frame in begin(switch)]
    assert [f[Dot1Q].vlan for f in frames] == [9, 9] and sorted(len(f) for f in frames) == [46, 58]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f"v{f.version}")
def test_suspicion_moves_new_flows_only(switch: Bmv2, family: Family) -> None:
    first, second = 201 + family.version, 210 + family.version
    scene(switch, family, identities=(first, second))
    current, standby = family.backends
    counted = switch.counter("suspected", first), switch.counter("all_suspect", first)

    assert chosen(switch, family, 1, flags="S") == current  # never heard of either: all suspect, so current
    assert switch.counter("all_suspect", first) == counted[1] + 1

    def play(answering: set[str], rounds: int = 1) -> None:
        for _ in range(rounds):
            for _, frame in begin(switch):
                if Ether(frame).payload.dst in answering:
                    switch.send(2, answer(frame))

    play({standby})
    assert chosen(switch, family, 2, flags="S") == standby  # current was never heard of
    assert switch.counter("suspected", first) == counted[0] + 1
    play({current, standby})
    assert chosen(switch, family, 3, flags="S") == current
    play({standby}, TOLERANCE)
    assert chosen(switch, family, 4, flags="S") == current  # behind, but within what is tolerated
    play({standby})
    assert chosen(switch, family, 5, flags="S") == standby
    assert chosen(switch, family, 3, flags="A") == current  # established flows stay
    assert chosen(switch, family, 5, flags="A") == standby  # the new one was recorded
    assert chosen(switch, family, 6, UDP) == current  # UDP does not say what is new
    play({current, standby})
    assert chosen(switch, family, 7, flags="S") == current  # a false alarm
    assert chosen(switch, family, 5, flags="A") == standby
    assert chosen(switch, family, 2, flags="A") == standby


def test_udp_that_may_move_moves(switch: Bmv2) -> None:
    scene(switch, V4, identities=(301, 302), udp_move=1)
    for _, frame in begin(switch):
        if Ether(frame)[IP].dst == V4.backends[1]:
            switch.send(2, answer(frame))
    assert chosen(switch, V4, 6, UDP) == V4.backends[1]


def test_who_is_not_probed_is_not_suspect(switch: Bmv2) -> None:
    scene(switch, V4, identities=(401, 402))
    switch.delete(*probed(401))
    for _ in range(TOLERANCE + 2):
        begin(switch)
    assert chosen(switch, V4, 1, flags="S") == V4.backends[0]


def test_answers_to_rounds_long_past_or_to_come_are_none(switch: Bmv2) -> None:
    scene(switch, V4, identities=(501, 502))
    (_, frame), _ = begin(switch)
    heard = [switch.counter("probe_answers", i) for i in (501, 502)]
    for shift in (1, -257):
        forged = answer(frame)
        forged[TCP].ack = (forged[TCP].ack + (shift << 16)) & 0xFFFFFFFF
        switch.send(2, forged)
    assert [switch.counter("probe_answers", i) for i in (501, 502)] == heard


def test_an_order_without_a_group_is_refused(switch: Bmv2) -> None:
    before = switch.reasons("drops")["bad_packet_out"]
    switch.packet_out(order=BEGIN, port=0)
    assert switch.collect() == [] and switch.reasons("drops")["bad_packet_out"] == before + 1
