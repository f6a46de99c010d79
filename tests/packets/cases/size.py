"""Packets that are too big for the next link or its tunnel, and what is said about them."""

from collections.abc import Iterator
from typing import Any

from scapy.layers.inet import IPOption_NOP
from scapy.layers.inet6 import IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, PadN
from scapy.layers.l2 import Dot1Q
from scapy.packet import Packet
from scapy.packet import Raw as Payload

from tests.packets import rows
from tests.packets.case import Case, Out, Send, dropped
from tests.packets.cases.answers import reply, restored
from tests.packets.cases.nat import dns, http
from tests.packets.cases.routing import ssh
from tests.packets.complaints import complaint, port_unreachable, too_big
from tests.packets.frames import hop, network, packet
from tests.packets.rows import Meter
from tests.packets.ways import TUNNELLED, WAYS, Way
from tests.packets.world import (
    CLIENT,
    FAMILIES,
    ONE,
    TAGGED,
    V4,
    V6,
    VLAN,
    Family,
)

LINK = 1500
ETHERNET = 14
SMALL = 1400
TUNNEL = 1300
INTERFACES = (
    rows.interface(CLIENT.port, V4.router, V6.router),
    rows.interface(ONE.port, V4.server_router, V6.server_router),
)
TOLD = {"packet_too_big": 1}


def dont_fragment(family: Family) -> dict[str, Any]:
    """The IP header's fields of a packet whose sender wants to hear of its size."""
    return {"flags": "DF"} if family is V4 else {}


def grown(frame: Packet, length: int) -> Packet:
    """The frame with as much payload as makes its IP packet `length` bytes."""
    return frame / Payload(bytes(length - len(network(frame))))


def _every_way(way: Way) -> Iterator[Case]:
    """The link carries 1500 bytes: what fits leaves 1500 bytes long, and what does not is told what would."""
    limit = LINK - way.overhead
    link = rows.link(ONE.port, LINK)
    told = too_big(way.family, limit)
    for name, transport in (("TCP", http(26001, "A")), ("UDP", dns(26001, b""))):
        frame = way.to_vip(transport, **dont_fragment(way.family))
        fits, larger = grown(frame, limit), grown(frame, limit + 1)
        delivered = way.delivered(fits)
        assert len(delivered.packet) == ETHERNET + LINK
        yield Case(
            f"{way}, {name}: a packet of {limit} bytes fits the link of {LINK}, one more does not",
            (
                Send(CLIENT.port, fits, (delivered,)),
                Send(CLIENT.port, larger, (complaint(larger, told, way.vip, CLIENT.port),)),
            ),
            rows=(*way.rows, link),
            replies=TOLD,
        )
    frame = way.to_vip(dns(26002, b""), **dont_fragment(way.family))
    larger = grown(frame, limit + 1)
    yield Case(
        f"{way}: the router on the client's link says it, where there is one",
        (Send(CLIENT.port, larger, (complaint(larger, told, way.family.router, CLIENT.port),)),),
        rows=(*way.rows, link, *INTERFACES),
        replies=TOLD,
    )
    meter = Meter("reply_rate", CLIENT.port, burst=2)
    answered = Send(CLIENT.port, larger, (complaint(larger, told, way.vip, CLIENT.port),))
    yield Case(
        f"{way}: it is not said more often than the port's rate allows",
        (answered, answered, Send(CLIENT.port, larger), Send(CLIENT.port, larger)),
        rows=(*way.rows, link, meter),
        replies={"packet_too_big": 2},
        drops={"over_reply_rate": 2},
    )
    if way.family is V4:
        yield dropped(
            f"{way}: too large, and may be fragmented: P4 cannot",
            "too_big",
            CLIENT.port,
            grown(way.to_vip(dns(26003, b"")), limit + 1),
            rows=(*way.rows, link),
        )


def _tunnels(way: Way) -> Iterator[Case]:
    """What a tunnel was found to carry, beside what its link would."""
    assert way.underlay is not None
    frame = way.to_vip(dns(26010, b""), **dont_fragment(way.family))
    for shows, mtu, links, limit in (
        ("a tunnel may carry less than its link", TUNNEL, (rows.link(ONE.port, LINK),), TUNNEL),
        ("a tunnel's size counts without a link's", TUNNEL, (), TUNNEL),
        (
            "a tunnel never carries more than its link",
            LINK,
            (rows.link(ONE.port, LINK),),
            LINK - way.overhead,
        ),
    ):
        fits, larger = grown(frame, limit), grown(frame, limit + 1)
        told = complaint(larger, too_big(way.family, limit), way.vip, CLIENT.port)
        tunnel = rows.tunnel(way.backends(rows.UDP)[0], way.underlay.server_router, mtu)
        yield Case(
            f"{way}: {shows}",
            (Send(CLIENT.port, fits, (way.delivered(fits),)), Send(CLIENT.port, larger, (told,))),
            rows=(*way.rows, tunnel, *links),
            replies=TOLD,
        )


def _others(family: Family) -> Iterator[Case]:
    name, marks = family.name, dont_fragment(family)
    said = too_big(family, SMALL)

    answer = packet(family, reply(26020), source=ONE, destination=family.of(CLIENT), **marks)
    fits, larger = grown(answer, SMALL), grown(answer, SMALL + 1)
    yield Case(
        f"{name}: a nat backend hears that its answer is too big for the client's link",
        (
            Send(ONE.port, fits, (restored(family, fits),)),
            Send(ONE.port, larger, (complaint(larger, said, family.server_router, ONE.port),)),
        ),
        rows=(rows.link(CLIENT.port, SMALL), *INTERFACES),
        replies=TOLD,
    )
    routed = packet(family, ssh(), destination=family.of(ONE), **marks)
    fits, larger = grown(routed, SMALL), grown(routed, SMALL + 1)
    link = rows.link(ONE.port, SMALL)
    yield Case(
        f"{name}: so does who sends to a host, from the router",
        (
            Send(CLIENT.port, fits, (Out(ONE.port, hop(ONE, fits)),)),
            Send(CLIENT.port, larger, (complaint(larger, said, family.router, CLIENT.port),)),
        ),
        rows=(link, *INTERFACES),
        replies=TOLD,
    )
    yield dropped(
        f"{name}: nobody speaks where the router has no address", "too_big", CLIENT.port, larger, rows=(link,)
    )
    to_vip = grown(packet(family, dns(26021, b""), destination=family.nat_vip, **marks), SMALL + 1)
    yield Case(
        f"{name}: a VLAN's link has a size of its own",
        (Send(CLIENT.port, to_vip, (complaint(to_vip, said, family.nat_vip, CLIENT.port),)),),
        rows=(
            rows.backend(family.udp_one, family.of(TAGGED), 5353),
            rows.link(TAGGED.port, SMALL, VLAN),
            rows.link(TAGGED.port, LINK),
        ),
        replies=TOLD,
    )
    tagged = packet(family, dns(26022, b""), source=TAGGED, destination=family.nat_vip, **marks)
    tagged[Dot1Q].prio = 5
    larger = grown(tagged, SMALL + 1)
    yield Case(
        f"{name}: a client in a VLAN hears of it there",
        (Send(TAGGED.port, larger, (complaint(larger, said, family.nat_vip, TAGGED.port),)),),
        rows=(link,),
        replies=TOLD,
    )
    error = port_unreachable(family) / Payload(bytes(network(to_vip)))
    about = packet(family, error, destination=family.of(ONE), **marks)
    yield dropped(
        f"{name}: no ICMP error is sent about an ICMP error (too big)",
        "too_big",
        CLIENT.port,
        about,
        rows=(link, *INTERFACES),
    )
    yield dropped(
        f"{name}: nor about a fragment that is not the first (too big)",
        "too_big",
        CLIENT.port,
        _later(family, SMALL + 1),
        rows=(link, *INTERFACES),
    )


def _later(family: Family, length: int) -> Packet:
    """A routed fragment that is not its datagram's first."""
    if family is V4:
        frame = packet(V4, Payload(b""), destination=V4.of(ONE), proto=17, frag=100, flags="DF")
    else:
        frame = packet(V6, IPv6ExtHdrFragment(offset=100, nh=17) / Payload(b""), destination=V6.of(ONE))
    return grown(frame, length)


def _quotes() -> Iterator[Case]:
    """All between the IP header and the payload is quoted as well."""
    link = rows.link(ONE.port, SMALL)
    with_options = packet(
        V4, http(26030), destination=V4.nat_vip, flags="DF", id=77, tos=0xB9, options=[IPOption_NOP()] * 12
    )
    padding = PadN(optdata=b"1234567890")
    for shows, family, frame in (
        ("IPv4 options", V4, with_options),
        *(
            (f"IPv6 {what}", V6, packet(V6, between / http(26031), destination=V6.nat_vip, fl=7, tc=9))
            for what, between in (
                ("hop-by-hop options", IPv6ExtHdrHopByHop(options=[padding])),
                ("destination options", IPv6ExtHdrDestOpt(options=[padding])),
                (
                    "extension headers, two of them",
                    IPv6ExtHdrHopByHop(options=[padding]) / IPv6ExtHdrDestOpt(options=[padding]),
                ),
                ("a fragment header", IPv6ExtHdrFragment(id=99, m=1)),
            )
        ),
    ):
        larger = grown(frame, SMALL + 1)
        yield Case(
            f"{shows} are quoted in what is said about the packet's size",
            (
                Send(
                    CLIENT.port,
                    larger,
                    (complaint(larger, too_big(family, SMALL), family.nat_vip, CLIENT.port),),
                ),
            ),
            rows=(link,),
            replies=TOLD,
        )


CASES = [
    *(case for way in WAYS for case in _every_way(way)),
    *(case for way in TUNNELLED for case in _tunnels(way)),
    *(case for family in FAMILIES for case in _others(family)),
    *_quotes(),
]
