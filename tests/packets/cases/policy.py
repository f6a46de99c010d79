"""Who may use a VIP, how much, on which ports; what is said when nobody serves; who is the same client."""

from collections.abc import Iterator
from ipaddress import IPv6Address
from typing import Any

from scapy.layers.inet import IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import IPv6ExtHdrDestOpt, PadN
from scapy.layers.l2 import GRE
from scapy.packet import Packet
from scapy.packet import Raw as Payload

from tests.packets import rows
from tests.packets.case import Case, Change, Out, Send, dropped
from tests.packets.cases.nat import delivered, dns, http
from tests.packets.complaints import complaint, port_unreachable
from tests.packets.flows import Flow
from tests.packets.frames import hop, network, packet, renamed, toward
from tests.packets.rows import ALL_ONES, EVERY_PORT, NAT, RESET, SILENCE, UNREACHABLE, Meter, Row
from tests.packets.ways import WAYS, Way
from tests.packets.world import (
    CLIENT,
    DNS,
    FAMILIES,
    HTTP,
    ONE,
    OTHER_CLIENT,
    TAGGED,
    TWO,
    V4,
    V6,
    Family,
)

# ---- sources


def _sources(family: Family) -> Iterator[Case]:
    """The longest prefix decides; whom none covers may."""
    everybody = "0.0.0.0/0" if family is V4 else "::/0"
    network_of = "10.0.0.0/24" if family is V4 else "fd00::/64"
    bits = 32 if family is V4 else 128
    host, other = (f"{family.of(station)}/{bits}" for station in (CLIENT, OTHER_CLIENT))
    frame = packet(family, http(31001), destination=family.nat_vip)
    passes = Send(CLIENT.port, frame, (delivered(family, frame),))
    refused = Send(CLIENT.port, frame)
    for shows, sources, may in (
        ("nobody else's prefix concerns a client", (rows.denied(other),), True),
        ("a denied client may not", (rows.denied(host),), False),
        ("a denied network's client may not", (rows.denied(network_of),), False),
        ("an allowed client of a denied network may", (rows.denied(network_of), rows.allowed(host)), True),
        (
            "a denied client of an allowed network may not",
            (rows.allowed(network_of), rows.denied(host)),
            False,
        ),
        ("a VIP for a few: others may not", (rows.denied(everybody), rows.allowed(other)), False),
        ("a VIP for a few: they may", (rows.denied(everybody), rows.allowed(network_of)), True),
        ("another VIP's prefixes are not this one's", (rows.denied(everybody, number=2),), True),
    ):
        yield Case(
            f"{family.name} sources: {shows}",
            (passes if may else refused,),
            rows=sources,
            drops={} if may else {"source_denied": 1},
            counts={source: 1 for source in sources if source.action == "deny" and not may},
        )
    quote = family.header(src=family.nat_vip, dst=family.of(CLIENT)) / UDP(sport=DNS, dport=31002)
    error = packet(
        family,
        port_unreachable(family) / Payload(bytes(quote)),
        destination=family.nat_vip,
        address=family.far_away,
    )
    yield dropped(
        f"{family.name} sources: an ICMP error is its client's, whoever sent it",
        "source_denied",
        CLIENT.port,
        error,
        rows=(rows.denied(host),),
    )


def _every_way(way: Way) -> Iterator[Case]:
    host = f"{way.family.of(CLIENT)}/{32 if way.family is V4 else 128}"
    for name, transport in (("TCP", http(31003, "S")), ("UDP", dns(31003))):
        frame = way.to_vip(transport)
        yield dropped(
            f"{way}, {name}: a denied client may not",
            "source_denied",
            CLIENT.port,
            frame,
            rows=(*way.rows, rows.denied(host)),
        )
        passes, red = Send(CLIENT.port, frame, (way.delivered(frame),)), Send(CLIENT.port, frame)
        yield Case(
            f"{way}, {name}: no more than the VIP's rate",
            (*[passes] * 3, *[red] * 2),
            rows=(*way.rows, Meter("vip_rate", 1, burst=3)),
            drops={"over_vip_rate": 2},
        )

    syn, datagram = way.to_vip(http(31004, "S")), way.to_vip(dns(31004))
    nobody_serves = (
        rows.vip(way.vip, rows.TCP, HTTP, way.pool(rows.TCP), refusal=RESET),
        rows.vip(way.vip, rows.UDP, DNS, way.pool(rows.UDP), refusal=RESET),
        *(rows.bucket(way.pool(protocol), 0, 0) for protocol in (rows.TCP, rows.UDP)),
    )
    yield Case(
        f"{way}: nobody serves, and the VIP says so",
        (
            Send(CLIENT.port, syn, (reset(syn, seq=0, ack=1001, flags="RA"),)),
            Send(CLIENT.port, datagram, (unreachable(way.family, datagram),)),
        ),
        rows=(*way.rows, *nobody_serves),
        replies={"reset": 1, "unreachable": 1},
    )


# ---- rates


def _rates(family: Family) -> Iterator[Case]:
    frame = packet(family, dns(31010), destination=family.nat_vip)
    passes, red = Send(CLIENT.port, frame, (delivered(family, frame),)), Send(CLIENT.port, frame)
    yield Case(
        f"{family.name}: the rate of another VIP is not this one's",
        (passes, passes),
        rows=(Meter("vip_rate", 2, burst=1),),
    )
    yield Case(
        f"{family.name}: what a VIP's rate is, is up to the controller from one packet to the next",
        (passes, red, Change(gone=(Meter("vip_rate", 1, burst=1),)), passes, passes),
        rows=(Meter("vip_rate", 1, burst=1),),
        drops={"over_vip_rate": 1},
    )
    yield Case(
        f"{family.name}: a VIP's rate is by the second",
        (
            *[passes] * 2,
            red,
            *[Send(CLIENT.port, frame, passes.out, at=2.0)] * 2,
            Send(CLIENT.port, frame, at=2.0),
        ),
        rows=(Meter("vip_rate", 1, burst=2, rate=1),),
        drops={"over_vip_rate": 2},
    )


# ---- nobody serves


def reset(frame: Packet, *, seq: int, ack: int, flags: str) -> Out:
    """A RST from the VIP, back to the client: no options, payload or window. It reflects the flow label."""
    ip, tcp = network(frame), frame[TCP]
    header = type(ip)(src=ip.dst, dst=ip.src)
    if isinstance(header, IP):
        header.id, header.flags = 0, "DF"
    else:
        header.fl = ip.fl
    segment = TCP(sport=tcp.dport, dport=tcp.sport, seq=seq, ack=ack, flags=flags, window=0)
    return Out(CLIENT.port, toward(CLIENT) / header / segment)


def unreachable(family: Family, frame: Packet) -> Out:
    return complaint(frame, port_unreachable(family), network(frame).dst, CLIENT.port)


def nobody(family: Family, refusal: int) -> tuple[Row, ...]:
    return (
        rows.bucket(family.tcp_pool, 0, 0),
        rows.bucket(family.udp_pool, 0, 0),
        rows.vip(family.nat_vip, rows.TCP, HTTP, family.tcp_pool, refusal=refusal),
        rows.vip(family.nat_vip, rows.UDP, DNS, family.udp_pool, refusal=refusal),
    )


def _refusals(family: Family) -> Iterator[Case]:
    name = family.name
    own = {"options": [IPOption_NOP()] * 8, "tos": 7, "id": 9} if family is V4 else {"tc": 7, "fl": 9}

    def frame(transport: Packet, **fields: Any) -> Packet:
        return packet(family, transport, destination=family.nat_vip, **fields)

    syn = TCP(sport=31020, dport=HTTP, flags="S", seq=1000, options=[("MSS", 1460)])
    datagram = dns(31020)
    for refusal, word in ((SILENCE, "silence"), (RESET, "reset"), (UNREACHABLE, "unreachable")):
        for what, transport in (("a SYN", syn), ("data", http(31020, "PA", b"data")), ("UDP", datagram)):
            arriving = frame(transport)
            drops, replies, out = {}, {}, ()
            if refusal == SILENCE:
                drops = {"no_backend": 1}
            elif refusal == RESET and TCP in arriving:
                seq, ack, flags = (0, 1001, "RA") if what == "a SYN" else (2000, 0, "R")
                replies, out = {"reset": 1}, (reset(arriving, seq=seq, ack=ack, flags=flags),)
            else:
                replies, out = {"unreachable": 1}, (unreachable(family, arriving),)
            yield Case(
                f"{name}: nobody serves, {word}: {what}",
                (Send(CLIENT.port, arriving, out),),
                rows=nobody(family, refusal),
                drops=drops,
                replies=replies,
            )

    # RFC 9293 3.10.7.1: what acknowledges is reset from there on, else all of it is acknowledged.
    for what, transport, answer in (
        ("a SYN with early data", syn / Payload(b"early"), {"seq": 0, "ack": 1006, "flags": "RA"}),
        (
            "a SYN at the end of the numbers",
            TCP(sport=31021, dport=HTTP, flags="S", seq=0xFFFFFFFF),
            {"seq": 0, "ack": 0, "flags": "RA"},
        ),
        ("a FIN", http(31022, "FA", b"bye"), {"seq": 2000, "ack": 0, "flags": "R"}),
        ("a SYN-ACK", http(31023, "SA"), {"seq": 2000, "ack": 0, "flags": "R"}),
    ):
        arriving = frame(transport, **own)
        yield Case(
            f"{name}: nobody serves: {what} is reset",
            (Send(CLIENT.port, arriving, (reset(arriving, **answer),)),),
            rows=nobody(family, RESET),
            replies={"reset": 1},
        )
    for what, flags in (("a RST", "R"), ("a RST with ACK", "RA")):
        yield dropped(
            f"{name}: nobody serves: {what} is never answered by one",
            "no_backend",
            CLIENT.port,
            frame(http(31024, flags)),
            rows=nobody(family, RESET),
        )
    arriving = frame(http(31025, "S"))
    yield Case(
        f"{name}: refusals are rationed, too",
        (
            *[Send(CLIENT.port, arriving, (reset(arriving, seq=0, ack=1001, flags="RA"),))] * 2,
            Send(CLIENT.port, arriving),
        ),
        rows=(*nobody(family, RESET), Meter("reply_rate", CLIENT.port, burst=2)),
        replies={"reset": 2},
        drops={"over_reply_rate": 1},
    )


PROTOCOL_GRE = 47


def _other_protocols(family: Family) -> Iterator[Case]:
    """A VIP may be of a protocol without ports."""
    vip = rows.vip(family.nat_vip, PROTOCOL_GRE, 0, family.dsr_pool, refusal=RESET)
    frame = packet(family, GRE() / Payload(b"whatever"), destination=family.nat_vip)
    yield Case(
        f"{family.name}: a VIP of a protocol without ports",
        (Send(CLIENT.port, frame, (Out(ONE.port, hop(ONE, frame)),)),),
        rows=(vip,),
        counts={vip: 1},
    )
    yield Case(
        f"{family.name}: nobody serves, reset: another protocol is told that it is unreachable",
        (Send(CLIENT.port, frame, (unreachable(family, frame),)),),
        rows=(vip, rows.bucket(family.dsr_pool, 0, 0)),
        replies={"unreachable": 1},
    )


def _refusal_ends() -> Iterator[Case]:
    """What stands between the IP header and TCP is not in the answer."""
    between = IPv6ExtHdrDestOpt(options=[PadN(optdata=b"1234567890")])
    arriving = packet(V6, between / http(31030, "S"), destination=V6.nat_vip)
    yield Case(
        "IPv6: a reset has no extension headers",
        (Send(CLIENT.port, arriving, (reset(arriving, seq=0, ack=1001, flags="RA"),)),),
        rows=nobody(V6, RESET),
        replies={"reset": 1},
    )
    for family in FAMILIES:
        tagged = packet(family, http(31031, "S"), source=TAGGED, destination=family.nat_vip)
        answer = reset(tagged, seq=0, ack=1001, flags="RA").packet
        out = Out(TAGGED.port, toward(TAGGED) / network(answer))
        yield Case(
            f"{family.name}: a reset goes back into the client's VLAN",
            (Send(TAGGED.port, tagged, (out,)),),
            rows=nobody(family, RESET),
            replies={"reset": 1},
        )


# ---- ports


def _ports(family: Family) -> Iterator[Case]:
    """A single port goes before a range; nat keeps the port both ways."""
    name, vip, two = family.name, family.nat_vip, family.of(TWO)
    pool = family.dsr_pool
    ranges = (
        rows.pool(pool, NAT),
        rows.bucket(pool, 0, family.dsr_two),
        rows.nat_answer_range(two, rows.UDP, (6000, 7000), vip),
        rows.nat_service_range(two, rows.UDP, (6000, 7000)),
    )

    def sent(dport: int, owner: Any, becomes: int) -> Send:
        frame = packet(family, UDP(sport=31040, dport=dport), destination=vip)
        return Send(CLIENT.port, frame, (delivered(family, frame, owner, becomes),))

    several = rows.vip_range(vip, rows.UDP, (6000, 7000), pool)
    outside = packet(family, UDP(sport=31040, dport=5999), destination=vip)
    beyond = packet(family, UDP(sport=31040, dport=7001), destination=vip)
    yield Case(
        f"{name}: a VIP of several ports has both ends and what is between, and keeps the port",
        (
            *(sent(port, TWO, port) for port in (6000, 6543, 7000)),
            Send(CLIENT.port, outside),
            Send(CLIENT.port, beyond),
        ),
        rows=(*ranges, several),
        drops={"no_service": 2},
        counts={several: 3},
    )
    every = rows.vip_range(vip, rows.UDP, EVERY_PORT, pool)
    yield Case(
        f"{name}: a VIP of every port: a VIP of one of them goes before",
        (sent(DNS, ONE, 5353), *(sent(port, TWO, port) for port in (0, DNS + 1, 65535))),
        rows=(*ranges, every),
        counts={every: 3, rows.vip(vip, rows.UDP, DNS, family.udp_pool): 1},
    )
    narrow = rows.vip_range(vip, rows.UDP, (6500, 6600), family.udp_pool, priority=2)
    yield Case(
        f"{name}: of two ranges the one of higher priority decides",
        (sent(6499, TWO, 6499), sent(6500, ONE, 5353), sent(6600, ONE, 5353), sent(6601, TWO, 6601)),
        rows=(*ranges, several, narrow),
    )
    tcp = packet(family, TCP(sport=31041, dport=6000, flags="S"), destination=vip)
    yield dropped(
        f"{name}: a range is of one protocol", "no_service", CLIENT.port, tcp, rows=(*ranges, several)
    )
    answers: list[Send] = []
    for sport, source, becomes in ((6000, vip, 6000), (7000, vip, 7000), (7001, two, 7001)):
        frame = packet(family, UDP(sport=sport, dport=31040), source=TWO, destination=family.of(CLIENT))
        out = Out(CLIENT.port, hop(CLIENT, renamed(frame, src=source, sport=becomes)))
        answers.append(Send(TWO.port, frame, (out,)))
    yield Case(
        f"{name}: what a backend answers from the range comes from the VIP, other ports are its own",
        tuple(answers),
        rows=ranges,
    )
    past = packet(family, UDP(sport=31040, dport=6001), destination=two)
    yield dropped(
        f"{name}: nobody reaches a backend's range past the VIP",
        "direct_to_backend",
        CLIENT.port,
        past,
        rows=ranges,
    )


# ---- affinity

BUCKETS = 64
FIRST_BACKEND = 401
FIRST_PORT = 9000


def _affinity(family: Family) -> Iterator[Case]:
    """As many backends as buckets, each known by its port: what is the same client to the hash shares one."""
    pool = family.udp_pool
    whole_network = 0xFF if family is V4 else (1 << 64) - 1
    network_mask = ALL_ONES ^ whole_network
    shared = [
        entry
        for number in range(BUCKETS)
        for entry in (
            rows.bucket(pool, number, FIRST_BACKEND + number),
            rows.backend(FIRST_BACKEND + number, family.of(ONE), FIRST_PORT + number),
        )
    ]
    near = ("10.0.0.11", "10.0.0.12", "10.0.0.77") if family is V4 else ("fd00::11", "fd00::12", "fd00::7:7")
    far = "10.0.5.11" if family is V4 else "fd00:5::11"
    ports = range(31050, 31058)

    def sent(source: str, port: int, source_mask: int, port_mask: int) -> tuple[int, Send]:
        """(bucket, step)"""
        seen_source = _masked(source, source_mask)
        flow = Flow(seen_source, port & port_mask, family.nat_vip, DNS & port_mask, rows.UDP)
        bucket = flow.bucket(BUCKETS - 1)
        frame = packet(family, dns(port), address=source, destination=family.nat_vip)
        return bucket, Send(CLIENT.port, frame, (delivered(family, frame, ONE, FIRST_PORT + bucket),))

    for shows, source_mask, port_mask, sources, several in (
        ("five-tuple: each flow for itself", ALL_ONES, 0xFFFF, near[:1], True),
        ("client: all of a client's flows share a backend", ALL_ONES, 0, near[:1], False),
        ("client: clients are apart", ALL_ONES, 0, near, True),
        ("network: all of its clients share a backend", network_mask, 0, near, False),
        ("network: networks are apart", network_mask, 0, (*near, far), True),
    ):
        steps = [sent(source, port, source_mask, port_mask) for source in sources for port in ports]
        assert (len({bucket for bucket, _ in steps}) > 1) == several
        vip = rows.vip(family.nat_vip, rows.UDP, DNS, pool, source_mask=source_mask, port_mask=port_mask)
        yield Case(
            f"{family.name} affinity by {shows}",
            tuple(step for _, step in steps),
            rows=(*shared, rows.pool(pool, NAT, mask=BUCKETS - 1), vip),
        )


def _masked(address: str, mask: int) -> str:
    """An address as the hash sees it."""
    return str(IPv6Address(rows.wide(address) & mask))


CASES = [
    *(
        case
        for family in FAMILIES
        for cases in (_sources, _rates, _refusals, _other_protocols, _ports, _affinity)
        for case in cases(family)
    ),
    *(case for way in WAYS for case in _every_way(way)),
    *_refusal_ends(),
]
