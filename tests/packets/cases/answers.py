"""For no VIP, and yet to do with one: answers of nat backends, health checks, ways around the VIP."""

from collections.abc import Iterator
from typing import Any

from scapy.layers.inet import TCP, UDP, IPOption_NOP
from scapy.packet import Packet
from scapy.packet import Raw as Payload

from tests.packets import rows
from tests.packets.case import Case, Out, Send, dropped
from tests.packets.frames import damaged, hop, packet, parsed, renamed, with_checksum
from tests.packets.world import (
    BACKEND_DNS,
    BACKEND_HTTP,
    CLIENT,
    DNS,
    FAMILIES,
    GATEWAY,
    HEALTH_CHECKER_V4,
    HEALTH_CHECKER_V6,
    HTTP,
    ONE,
    OTHER_CLIENT,
    TAGGED,
    TWO,
    V4,
    Family,
    Station,
)


def reply(port: int, flags: str = "A", payload: bytes = b"", **fields: Any) -> Packet:
    """A segment of a backend's HTTP server."""
    return TCP(sport=BACKEND_HTTP, dport=port, flags=flags, seq=5, ack=6, **fields) / Payload(payload)


def response(port: int, payload: bytes = b"answer", **fields: Any) -> Packet:
    """A datagram of a backend's DNS server."""
    return UDP(sport=BACKEND_DNS, dport=port, **fields) / Payload(payload)


def restored(family: Family, frame: Packet, station: Station = CLIENT) -> Out:
    """The backend's frame as a client gets it."""
    vip_port = HTTP if TCP in frame else DNS
    return Out(station.port, hop(station, renamed(frame, src=family.nat_vip, sport=vip_port)))


def untouched(frame: Packet, station: Station) -> Out:
    """The frame routed, and nothing else."""
    return Out(station.port, hop(station, frame))


def answer(
    family: Family,
    shows: str,
    transport: Packet,
    *,
    source: Station = ONE,
    client: Station = CLIENT,
    **ip: Any,
) -> Case:
    """A backend's packet reaches the client as the VIP's."""
    frame = packet(family, transport, source=source, destination=family.of(client), **ip)
    return Case(
        f"{family.name} answer: {shows}", (Send(source.port, frame, (restored(family, frame, client),)),)
    )


def _answers(family: Family) -> Iterator[Case]:
    yield answer(family, "a SYN-ACK comes from the VIP", reply(20401, "SA"))
    yield answer(family, "data comes from the VIP", reply(20402, "PA", b"HTTP/1.1 200 OK\r\n\r\n"))
    yield answer(family, "an odd payload", reply(20403, "A", b"odd"))
    yield answer(family, "a RST", reply(20404, "R"))
    yield answer(family, "another backend's, too", reply(20405), source=TWO)
    yield answer(family, "to another client's port", reply(20406), client=OTHER_CLIENT)
    yield answer(family, "to a client in a VLAN", reply(20407), client=TAGGED)
    yield answer(family, "a datagram comes from the VIP", response(20408))
    yield answer(family, "a datagram without a checksum stays without", response(20409, chksum=0))
    yield answer(family, "an odd datagram", response(20410, b"odd"))

    far = packet(family, reply(20411), source=ONE, destination=family.far_away)
    yield Case(
        f"{family.name} answer: to a far client it leaves by the gateway",
        (Send(ONE.port, far, (restored(family, far, GATEWAY),)),),
    )
    counted = packet(family, reply(20412), source=ONE, destination=family.of(CLIENT))
    yield Case(
        f"{family.name} answer: its counter counts",
        (Send(ONE.port, counted, (restored(family, counted),)),),
        counts={
            rows.nat_answer(family.of(ONE), rows.TCP, BACKEND_HTTP, family.nat_vip, HTTP, family.tcp_one): 1,
            rows.nat_answer(family.of(ONE), rows.UDP, BACKEND_DNS, family.nat_vip, DNS, family.udp_one): 0,
        },
    )
    for kind, transport, corners in (
        (TCP, reply(20413, "A", b"\0\0"), (0x0000, 0xFFFE)),
        (UDP, response(20414, b"\0\0"), (0x0001, 0xFFFF)),
    ):
        frame = packet(family, transport, source=ONE, destination=family.of(CLIENT))
        for corner in corners:
            leaving = with_checksum(frame, kind, corner, leaving_as=restored(family, frame).packet)
            out = restored(family, leaving)
            assert parsed(out.packet)[kind].chksum == corner
            yield Case(
                f"{family.name} answer: a {kind.__name__} checksum leaves as 0x{corner:04x}",
                (Send(ONE.port, leaving, (out,)),),
            )
        wrong = Out(CLIENT.port, damaged(restored(family, frame).packet, kind, 0x0203))
        yield Case(
            f"{family.name} answer: a wrong {kind.__name__} checksum stays wrong by as much",
            (Send(ONE.port, damaged(frame, kind, 0x0203), (wrong,), broken=True),),
        )


def _others(family: Family) -> Iterator[Case]:
    """What looks like an answer and is none."""
    for shows, transport in (
        ("what a backend sends from another port keeps its source", TCP(sport=22, dport=20420, flags="A")),
        (
            "what it sends from that port in another protocol keeps its source",
            UDP(sport=BACKEND_HTTP, dport=20421),
        ),
    ):
        frame = packet(family, transport, source=ONE, destination=family.of(CLIENT))
        yield Case(f"{family.name}: {shows}", (Send(ONE.port, frame, (untouched(frame, CLIENT),)),))
    frame = packet(family, reply(20422), source=TAGGED, destination=family.of(CLIENT))
    yield Case(
        f"{family.name}: what somebody else sends from that port keeps its source",
        (Send(TAGGED.port, frame, (untouched(frame, CLIENT),)),),
    )


def _around_the_vip(family: Family) -> Iterator[Case]:
    """A client that spoke to a backend's service directly would be answered by the VIP: it is refused."""
    for name, transport in (
        ("HTTP", TCP(sport=20430, dport=BACKEND_HTTP, flags="S")),
        ("DNS", UDP(sport=20431, dport=BACKEND_DNS) / Payload(b"query")),
    ):
        frame = packet(family, transport, destination=family.of(ONE))
        yield dropped(
            f"{family.name}: a client cannot reach a nat backend's {name} past the VIP",
            "direct_to_backend",
            CLIENT.port,
            frame,
        )
    frame = packet(family, TCP(sport=20432, dport=22, flags="S"), destination=family.of(ONE))
    yield Case(
        f"{family.name}: it reaches the backend's other ports",
        (Send(CLIENT.port, frame, (untouched(frame, ONE),)),),
    )


def _health_checks(family: Family, checker: str) -> Iterator[Case]:
    """Checks come from addresses of their own: neither they nor their answers are taken for a client's."""
    beyond = rows.neighbor(checker, CLIENT.port, "02:00:00:00:00:01", CLIENT.mac)
    route = rows.route(f"{checker}/{32 if family is V4 else 128}")
    check = packet(
        family, TCP(sport=20440, dport=BACKEND_HTTP, flags="S"), address=checker, destination=family.of(ONE)
    )
    yield Case(
        f"{family.name}: a health check reaches a nat backend's service past the VIP",
        (Send(CLIENT.port, check, (untouched(check, ONE),)),),
    )
    checked = packet(family, reply(20440, "SA"), source=ONE, destination=checker)
    yield Case(
        f"{family.name}: its answer keeps the backend's address",
        (Send(ONE.port, checked, (untouched(checked, CLIENT),)),),
        rows=(beyond, route),
    )


CASES = [
    *(
        case
        for family in FAMILIES
        for cases in (_answers, _others, _around_the_vip)
        for case in cases(family)
    ),
    answer(V4, "IP options go along", reply(20460, "A", b"data"), options=[IPOption_NOP()] * 8),
    *_health_checks(FAMILIES[0], HEALTH_CHECKER_V4),
    *_health_checks(FAMILIES[1], HEALTH_CHECKER_V6),
]
