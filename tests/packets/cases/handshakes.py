"""What clients hear when they open a connection, counted by backend: accepted, refused, or something else."""

from collections.abc import Iterator

from scapy.layers.inet import TCP
from scapy.packet import Packet
from scapy.packet import Raw as Payload

from tests.packets import rows
from tests.packets.case import Case, Cell, Change, Out, Send, dropped
from tests.packets.cases.answers import response, restored, untouched
from tests.packets.cases.liveness import PROBERS
from tests.packets.cases.nat import delivered
from tests.packets.cases.trace import sent
from tests.packets.frames import hop, packet, renamed
from tests.packets.world import (
    BACKEND_HTTP,
    CLIENT,
    FAMILIES,
    HEALTH_CHECKER_V4,
    HEALTH_CHECKER_V6,
    HTTP,
    ONE,
    ROUTER,
    TWO,
    V4,
    Family,
    Station,
)

CLIENT_PORT = 20500
ANOTHER = 700
"""A backend's number that no other case has."""


def counted(backend: int, *, accepts: int = 0, refusals: int = 0) -> dict[rows.Row | Cell, int]:
    return {Cell("backend_accepts", backend): accepts, Cell("backend_refusals", backend): refusals}


def says(
    flags: str, *, seq: int = 5, ack: int = 6, payload: bytes = b"", sport: int = BACKEND_HTTP
) -> Packet:
    """A segment of a server."""
    return TCP(sport=sport, dport=CLIENT_PORT, flags=flags, seq=seq, ack=ack) / Payload(payload)


def from_server(family: Family, transport: Packet, source: Station = ONE) -> Send:
    frame = packet(family, transport, source=source, destination=family.of(CLIENT))
    return Send(source.port, frame, (restored(family, frame),))


NEITHER = {
    "data": says("PA", seq=0, payload=b"HTTP/1.1 200 OK\r\n\r\n"),
    "an ACK with sequence number 0": says("A", seq=0),
    "the end of a connection": says("FA", seq=0),
    "a reset that ends a connection": says("RA", seq=1),
    "the reset to a stray ACK that asked for number 0": says("R", seq=0, ack=0),
    "a datagram": response(CLIENT_PORT),
}
"""What says nothing about whether a server accepts connections."""


def _answers(family: Family) -> Iterator[Case]:
    name, one, two = family.name, family.tcp_one, family.tcp_two
    for shows, flags in (("a SYN-ACK", "SA"), ("one with ECN's flag", "SAE")):
        yield Case(
            f"{name} handshake: {shows} accepts",
            (from_server(family, says(flags)),),
            counts={**counted(one, accepts=1), **counted(two)},
        )
    yield Case(
        f"{name} handshake: a reset with ACK and sequence number 0 refuses",
        (from_server(family, says("RA", seq=0)),),
        counts={**counted(one, refusals=1), **counted(two)},
    )
    for shows, transport in NEITHER.items():
        yield Case(
            f"{name} handshake: {shows} neither accepts nor refuses",
            (from_server(family, transport),),
            counts=counted(one),
        )
    yield Case(
        f"{name} handshake: each backend's answers are its own",
        (from_server(family, says("SA"), TWO), from_server(family, says("RA", seq=0), TWO)),
        counts={**counted(one), **counted(two, accepts=1, refusals=1)},
    )


def _entries(family: Family) -> Iterator[Case]:
    """The number in the entry decides, which is another one when a server comes back."""
    name, one = family.name, family.tcp_one
    again = rows.nat_answer(family.of(ONE), rows.TCP, BACKEND_HTTP, family.nat_vip, HTTP, ANOTHER)
    yield Case(
        f"{name} handshake: what comes later belongs to the number that the server has then",
        (from_server(family, says("SA")), Change((again,)), from_server(family, says("SA"))),
        counts={**counted(one, accepts=1), **counted(ANOTHER, accepts=1)},
    )
    frame = packet(family, says("SA", sport=9005), source=TWO, destination=family.of(CLIENT))
    out = Out(CLIENT.port, hop(CLIENT, renamed(frame, src=family.nat_vip)))
    yield Case(
        f"{name} handshake: a service of several ports has a number, too",
        (Send(TWO.port, frame, (out,)),),
        rows=(rows.nat_answer_range(family.of(TWO), rows.TCP, (9000, 9010), family.nat_vip, ANOTHER),),
        counts=counted(ANOTHER, accepts=1),
    )


def _others(family: Family) -> Iterator[Case]:
    """What is no client's handshake counts for nobody."""
    name, one = family.name, family.tcp_one
    said = [
        packet(family, transport, source=ONE, destination=family.of(CLIENT))
        for transport in (says("SA"), says("RA", seq=0))
    ]
    yield Case(
        f"{name} handshake: a trace of an answer counts nothing",
        tuple(sent(frame, restored(family, frame), port=ONE.port) for frame in said),
        counts=counted(one),
    )
    checker = HEALTH_CHECKER_V4 if family is V4 else HEALTH_CHECKER_V6
    beyond = rows.neighbor(checker, CLIENT.port, ROUTER, CLIENT.mac)
    route = rows.route(f"{checker}/{32 if family is V4 else 128}")
    checked = [
        packet(family, transport, source=ONE, destination=checker)
        for transport in (says("SA"), says("RA", seq=0))
    ]
    yield Case(
        f"{name} handshake: answers to health checks count nothing",
        tuple(Send(ONE.port, frame, (untouched(frame, CLIENT),)) for frame in checked),
        rows=(beyond, route),
        counts=counted(one),
    )
    refused = packet(family, says("RA", seq=0), source=ONE, destination=PROBERS[name])
    yield dropped(
        f"{name} handshake: a refused probe counts nothing",
        "no_service",
        ONE.port,
        refused,
        rows=(rows.prober(PROBERS[name], ROUTER),),
        counts=counted(one),
    )
    forged = packet(family, TCP(sport=CLIENT_PORT, dport=HTTP, flags="SA"), destination=family.nat_vip)
    yield Case(
        f"{name} handshake: a SYN-ACK that a client sends accepts nothing",
        (Send(CLIENT.port, forged, (delivered(family, forged),)),),
        counts=counted(one),
    )


CASES = [case for family in FAMILIES for cases in (_answers, _entries, _others) for case in cases(family)]
