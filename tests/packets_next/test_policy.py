"""Who may use a VIP, how much, what is said when nobody serves, and what is never forwarded."""

import pytest
from bmv2 import Bmv2, Prefix, Row, Span
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach
from scapy.layers.l2 import Ether
from scene import (
    ALL_ONES,
    FAMILIES,
    NAT,
    V4,
    V6,
    Family,
    backend,
    balanced,
    bucket,
    checked,
    network,
    pool,
    vip,
    vip_range,
    wide,
)
from test_size_and_ttl import complaint

NOTHING, RESET, UNREACHABLE = range(3)


def source(prefix: str, length: int, action: str) -> Row:
    return Row("sources", {"vip": 1, "source": Prefix(wide(prefix), length)}, action)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f"v{f.version}")
def test_the_longest_prefix_decides(switch: Bmv2, family: Family) -> None:
    switch.insert(*network(), *balanced(NAT, family))
    allowed, denied = ("10.0.1.9", "10.0.1.10") if family.version == 4 else ("fd00:1::9", "fd00:1::a")
    full, net = (128, 120) if family.version == 4 else (128, 64)
    base = "10.0.1.0" if family.version == 4 else "fd00:1::"
    switch.insert(source(base, net, "deny"), source(allowed, full, "allow"))
    before = switch.reasons("drops")["source_denied"]
    assert len(switch.send(1, family.to_vip() / TCP(dport=80))) == 1
    assert switch.send(1, family.to_vip(src=denied) / TCP(dport=80)) == []
    assert switch.reasons("drops")["source_denied"] == before + 1


def test_a_vip_has_its_rate(switch: Bmv2) -> None:
    switch.insert(*network(), *balanced(NAT, V4))
    switch.set_meter("vip_rate", 1, rate=1, burst=7)
    before = switch.reasons("drops")["over_vip_rate"]
    out = switch.send(1, *[V4.to_vip() / UDP(sport=s, dport=80) for s in range(30)])
    switch.set_meter("vip_rate", 1, rate=1_000_000, burst=1_000_000)
    assert len(out) in (7, 8) and switch.reasons("drops")["over_vip_rate"] == before + 30 - len(out)


def nobody(family: Family, refusal: int) -> list[Row]:
    vips = [vip(family, protocol, 80, refusal=refusal) for protocol in (6, 17)]
    return [*network(), bucket(1, 0), pool(1, NAT), *vips]


@pytest.mark.parametrize("refusal", (NOTHING, RESET, UNREACHABLE))
@pytest.mark.parametrize("transport", (TCP, UDP))
@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f"v{f.version}")
def test_nobody_serves(switch: Bmv2, family: Family, transport: type, refusal: int) -> None:
    switch.insert(*nobody(family, refusal))
    before = switch.reasons("drops")["no_backend"]
    fields = {"flags": "S", "seq": 1000, "options": [("MSS", 1460)]} if transport is TCP else {}
    sent = family.to_vip() / transport(sport=5, dport=80, **fields) / b"early"
    out = switch.send(1, sent)
    if refusal == NOTHING:
        assert out == [] and switch.reasons("drops")["no_backend"] == before + 1
    elif refusal == RESET and transport is TCP:
        ((port, frame),) = out
        packet = checked(frame)
        assert port == 1 and (packet.payload.src, packet.payload.dst) == (family.vip, family.client)
        tcp = packet[TCP]
        assert (tcp.sport, tcp.dport, str(tcp.flags), tcp.seq, tcp.ack) == (80, 5, "RA", 0, 1006)
        assert len(frame) == 14 + (20 if family.version == 4 else 40) + 20 and not tcp.options
    else:
        icmp = complaint(out[0][1], sent, family, family.vip)
        assert (
            (icmp.type, icmp.code) == (3, 3)
            if family.version == 4
            else isinstance(icmp, ICMPv6DestUnreach) and icmp.code == 4
        )


def test_a_segment_of_an_old_connection_is_reset_from_where_it_is(switch: Bmv2) -> None:
    switch.insert(*nobody(V4, RESET))
    ((_, frame),) = switch.send(1, V4.to_vip() / TCP(sport=5, dport=80, flags="PA", seq=7, ack=77) / b"data")
    tcp = checked(frame)[TCP]
    assert (str(tcp.flags), tcp.seq, tcp.ack) == ("R", 77, 0)
    assert switch.send(1, V4.to_vip() / TCP(sport=5, dport=80, flags="R", seq=7)) == []


BOGUS = {
    "data offset below 5": ("bad_length", TCP(dport=80, dataofs=4)),
    "data offset beyond the packet": ("bad_length", TCP(dport=80, dataofs=9)),
    "UDP length below 8": ("bad_length", UDP(dport=80, len=7)),
    "UDP length beyond the packet": ("bad_length", UDP(dport=80, len=9)),
    "no flags": ("bad_flags", TCP(dport=80, flags="")),
    "SYN FIN": ("bad_flags", TCP(dport=80, flags="SF")),
    "SYN RST": ("bad_flags", TCP(dport=80, flags="SR")),
    "Christmas tree": ("bad_flags", TCP(dport=80, flags="FPU")),
    "FIN alone": ("bad_flags", TCP(dport=80, flags="F")),
}


@pytest.mark.parametrize("what", BOGUS)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f"v{f.version}")
def test_bogus_transport(switch: Bmv2, family: Family, what: str) -> None:
    switch.insert(*network(), *balanced(NAT, family))
    reason, transport = BOGUS[what]
    before = switch.reasons("drops")
    assert switch.send(1, family.to_vip() / transport) == []
    after = switch.reasons("drops")
    assert {name for name in after if after[name] != before[name]} == {reason}


@pytest.mark.parametrize(
    ("family", "reason", "fields"),
    (
        (V4, "ttl_zero", {"ttl": 0}),
        (V6, "ttl_zero", {"hlim": 0}),
        (V4, "malformed", {"len": 300}),
        (V4, "malformed", {"len": 30}),
        (V6, "malformed", {"plen": 300}),
        (V4, "bad_ip_checksum", {"chksum": 1}),
        (V4, "martian", {"src": "127.0.0.1"}),
        (V4, "martian", {"src": "224.0.0.1"}),
        (V4, "martian", {"src": "0.0.0.0"}),
        (V6, "martian", {"src": "::1"}),
        (V6, "martian", {"src": "::"}),
        (V6, "martian", {"src": "ff02::1"}),
        (V6, "martian", {"src": "::ffff:10.0.1.9"}),
        (V4, "own_source", {"src": V4.vip}),
        (V6, "own_source", {"src": V6.routers[0]}),
    ),
)
def test_bogus_ip(switch: Bmv2, family: Family, reason: str, fields: dict) -> None:
    switch.insert(*network(), *balanced(NAT, family))
    own = [
        Row("own_sources", {"address": wide(a)}, "from_us") for f in FAMILIES for a in (f.vip, f.routers[0])
    ]
    switch.insert(*own)
    before = switch.reasons("drops")
    assert switch.send(1, family.to_vip(**fields) / TCP(dport=80)) == []
    after = switch.reasons("drops")
    assert {name for name in after if after[name] != before[name]} == {reason}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f"v{f.version}")
def test_port_ranges(switch: Bmv2, family: Family) -> None:
    """A single port goes before a range; nat keeps the port both ways."""
    switch.insert(
        *network(),
        *balanced(NAT, family, port=8080),
        pool(2, NAT),
        bucket(2, 3),
        backend(3, family.backends[1]),
    )
    switch.insert(vip_range(family, 17, 0, 0xFFFF, pool=2))
    span = {"address": wide(family.backends[1]), "protocol": 17, "port": Span(0, 0xFFFF)}
    switch.delete(
        Row(
            "nat_answers",
            {"address": wide(family.backends[1]), "protocol": 17, "port": 8080},
            "restore",
            {"address": 0, "port": 0},
        )
    )
    switch.insert(
        Row("nat_answer_ranges", span, "restore", {"address": wide(family.vip), "port": 0}, priority=1)
    )
    switch.insert(Row("nat_service_ranges", span, "direct", priority=1))
    for dport, to, becomes in (
        (80, family.backends[0], 8080),
        (81, family.backends[1], 81),
        (65535, family.backends[1], 65535),
    ):
        ((_, frame),) = switch.send(1, family.to_vip() / UDP(sport=5, dport=dport))
        packet = checked(frame)
        assert (packet.payload.dst, packet[UDP].dport) == (to, becomes)
    ((_, frame),) = switch.send(
        2, family.from_backend(src=family.backends[1], dst=family.client) / UDP(sport=81, dport=5)
    )
    packet = checked(frame)
    assert (packet.payload.src, packet[UDP].sport) == (family.vip, 81)
    before = switch.reasons("drops")["direct_to_backend"]
    assert switch.send(1, family.from_client(dst=family.backends[1]) / UDP(sport=5, dport=4242)) == []
    assert switch.reasons("drops")["direct_to_backend"] == before + 1


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f"v{f.version}")
def test_affinity(switch: Bmv2, family: Family) -> None:
    """64 buckets, each with a backend of its own: what is the same client to the hash shares one."""
    rows = [backend(n, family.backends[0], 1000 + n) for n in range(1, 65)]
    rows += [bucket(1, n, number=n - 1) for n in range(1, 65)]
    switch.insert(*network(), *rows, pool(1, NAT, mask=63))
    network_mask = ALL_ONES ^ (0xFF if family.version == 4 else (1 << 64) - 1)
    settings = {80: {}, 81: {"port_mask": 0}, 82: {"port_mask": 0, "source_mask": network_mask}}
    switch.insert(*[vip(family, 17, port, **masks) for port, masks in settings.items()])

    def owners(port: int, sources: list[str], sports: range) -> set[int]:
        packets = [family.to_vip(src=s) / UDP(sport=p, dport=port) for s in sources for p in sports]
        out = switch.send(1, *packets)
        assert len(out) == len(packets)
        return {Ether(frame)[UDP].dport for _, frame in out}

    same_net = ["10.0.1.9", "10.0.1.77"] if family.version == 4 else ["fd00:1::9", "fd00:1::7:7"]
    assert len(owners(80, same_net[:1], range(1, 30))) > 8
    assert len(owners(81, same_net[:1], range(1, 30))) == 1
    assert len(owners(81, same_net, range(1, 5))) == 2
    assert len(owners(82, same_net, range(1, 5))) == 1
