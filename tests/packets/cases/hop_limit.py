"""Packets whose hop limit ends here, and what traceroute sees of the switch."""

from collections.abc import Iterator

from scapy.layers.inet import ICMP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    PadN,
)
from scapy.layers.l2 import GRE
from scapy.layers.sctp import SCTP
from scapy.packet import Packet, Padding
from scapy.packet import Raw as Payload

from tests.packets import rows
from tests.packets.case import Case, Out, Send, dropped
from tests.packets.cases.answers import reply
from tests.packets.cases.nat import dns, http
from tests.packets.cases.size import INTERFACES
from tests.packets.complaints import complaint, port_unreachable, time_exceeded
from tests.packets.frames import hop, network, packet
from tests.packets.rows import Meter
from tests.packets.ways import WAYS, Way
from tests.packets.world import CLIENT, FAMILIES, ONE, TAGGED, V4, V6, VLAN, Family

TOLD = {"time_exceeded": 1}
BODY = Payload(b"12345678")


def ends(family: Family, shows: str, frame: Packet, speaker: str, *more: rows.Entry) -> Case:
    """The frame came from the client; the speaker says that its hop limit ended."""
    said = complaint(frame, time_exceeded(family), speaker, CLIENT.port)
    return Case(shows, (Send(CLIENT.port, frame, (said,)),), rows=more, replies=TOLD)


def echo(family: Family) -> Packet:
    return ICMP(id=7, seq=9) / BODY if family is V4 else ICMPv6EchoRequest(id=7, seq=9, data=bytes(BODY))


def _every_way(way: Way) -> Iterator[Case]:
    """traceroute to a VIP: the switch, then the backend that serves it."""
    for name, transport in (("TCP", http(27001, "S")), ("UDP", dns(27001))):
        last, next_to_last = (way.to_vip(transport, hops=hops) for hops in (1, 2))
        said = complaint(last, time_exceeded(way.family), way.family.router, CLIENT.port)
        yield Case(
            f"{way}, {name}: traceroute to the VIP sees the router, and then the backend",
            (
                Send(CLIENT.port, last, (said,)),
                Send(CLIENT.port, next_to_last, (way.delivered(next_to_last),)),
            ),
            rows=(*way.rows, *INTERFACES),
            replies=TOLD,
        )
    frame = way.to_vip(dns(27002), hops=1)
    yield ends(
        way.family, f"{way}: where there is no router's address the VIP speaks", frame, way.vip, *way.rows
    )


def _through(family: Family) -> Iterator[Case]:
    """traceroute to somebody behind the switch."""
    name = family.name
    for what, transport in (
        ("SYNs", TCP(sport=5, dport=22, flags="S")),
        ("datagrams", UDP(sport=5, dport=33434) / BODY),
        ("pings", echo(family)),
        ("another protocol's packets", GRE() / BODY),
        ("a protocol's with ports of its own", SCTP(sport=1, dport=2) / BODY),
    ):
        last, next_to_last = (
            packet(family, transport, destination=family.of(ONE), hops=hops) for hops in (1, 2)
        )
        said = complaint(last, time_exceeded(family), family.router, CLIENT.port)
        yield Case(
            f"{name}: traceroute with {what} sees the router",
            (
                Send(CLIENT.port, last, (said,)),
                Send(CLIENT.port, next_to_last, (Out(ONE.port, hop(ONE, next_to_last)),)),
            ),
            rows=INTERFACES,
            replies=TOLD,
        )
    answer = packet(family, reply(27010), source=ONE, destination=family.of(CLIENT), hops=1)
    said = complaint(answer, time_exceeded(family), family.server_router, ONE.port)
    yield Case(
        f"{name}: a nat backend hears that its answer's hop limit ended",
        (Send(ONE.port, answer, (said,)),),
        rows=INTERFACES,
        replies=TOLD,
    )
    tagged = packet(family, dns(27011), source=TAGGED, destination=family.nat_vip, hops=1)
    here = rows.interface(TAGGED.port, V4.server_router, V6.server_router, VLAN)
    yield Case(
        f"{name}: in a VLAN the router speaks from its address there",
        (
            Send(
                TAGGED.port,
                tagged,
                (complaint(tagged, time_exceeded(family), family.server_router, TAGGED.port),),
            ),
        ),
        rows=(here, rows.interface(TAGGED.port, V4.router, V6.router)),
        replies=TOLD,
    )


def _silence(family: Family) -> Iterator[Case]:
    """About what no ICMP error is sent (RFC 1122 3.2.2, RFC 4443 2.4 e), and how often."""
    name, to_one = family.name, family.of(ONE)
    quote = Payload(bytes(network(packet(family, UDP(), destination=to_one))))
    later = (
        packet(V4, BODY, destination=to_one, proto=17, frag=100, hops=1)
        if family is V4
        else packet(V6, IPv6ExtHdrFragment(offset=100, nh=17) / BODY, destination=to_one, hops=1)
    )
    short = packet(family, GRE(), destination=to_one, hops=1)
    for shows, frame in (
        (
            "an ICMP error",
            packet(family, port_unreachable(family) / quote, destination=to_one, hops=1),
        ),
        ("a fragment that is not the first", later),
        ("what has less to quote than an error must", short),
        ("that, with padding behind it", short / Padding(bytes(range(20)))),
    ):
        yield dropped(
            f"{name}: nothing is said about {shows}", "ttl_expired", CLIENT.port, frame, rows=INTERFACES
        )
    frame = packet(family, dns(27020), destination=family.nat_vip, hops=1)
    said = Send(CLIENT.port, frame, (complaint(frame, time_exceeded(family), family.nat_vip, CLIENT.port),))
    elsewhere = packet(family, dns(27020), source=TAGGED, destination=family.nat_vip, hops=1)
    yield Case(
        f"{name}: no more is said than a port's rate allows, and other ports are not silenced",
        (
            *[said] * 5,
            *[Send(CLIENT.port, frame)] * 3,
            Send(
                TAGGED.port,
                elsewhere,
                (complaint(elsewhere, time_exceeded(family), family.nat_vip, TAGGED.port),),
            ),
        ),
        rows=(Meter("reply_rate", CLIENT.port, burst=5),),
        replies={"time_exceeded": 6},
        drops={"over_reply_rate": 3},
    )
    yield Case(
        f"{name}: with time more may be said",
        (
            said,
            Send(CLIENT.port, frame),
            Send(CLIENT.port, frame, said.out, at=2.0),
            Send(CLIENT.port, frame, at=2.0),
        ),
        rows=(Meter("reply_rate", CLIENT.port, burst=1, rate=1),),
        replies={"time_exceeded": 2},
        drops={"over_reply_rate": 2},
    )


def _quotes() -> Iterator[Case]:
    padding = PadN(optdata=b"1234567890")
    options = [IPOption_NOP()] * 8
    yield ends(
        V4,
        "IPv4 options are quoted in a time exceeded",
        packet(V4, dns(27030), destination=V4.nat_vip, hops=1, options=options, id=5, tos=3, flags="DF"),
        V4.nat_vip,
    )
    for what, between in (
        ("hop-by-hop options", IPv6ExtHdrHopByHop(options=[padding])),
        ("destination options", IPv6ExtHdrDestOpt(options=[padding])),
        ("a fragment header", IPv6ExtHdrFragment(id=99, m=1)),
    ):
        yield ends(
            V6,
            f"IPv6 {what} are quoted in a time exceeded",
            packet(V6, between / dns(27031), destination=V6.nat_vip, hops=1),
            V6.nat_vip,
        )


CASES = [
    *(case for way in WAYS for case in _every_way(way)),
    *(case for family in FAMILIES for cases in (_through, _silence) for case in cases(family)),
    *_quotes(),
]
