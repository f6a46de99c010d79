"""ICMP errors that quote a balanced flow: they reach its backend or its client, and quote what that one sent.

The expected error is built by scapy around what the receiver's own packet looked like, with every checksum
computed anew; so nothing of the program's arithmetic (RFC 5508 4.2) is believed.
"""

from collections.abc import Callable, Iterator
from typing import Any

from scapy.layers.inet import TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import IPv6ExtHdrFragment
from scapy.packet import Packet, Padding
from scapy.packet import Raw as Payload

from tests.packets import rows
from tests.packets.case import Case, Cell, Out, Send, dropped
from tests.packets.cases.exceptions import MOTION, Client, moving
from tests.packets.complaints import parameter_problem, port_unreachable, time_exceeded, too_big
from tests.packets.flows import Flow
from tests.packets.frames import CHECKSUMS, hop, network, packet, parsed, renamed, toward, with_checksum
from tests.packets.packet_in import Punt, packet_in
from tests.packets.rows import NAT, SILENCE, UNREACHABLE
from tests.packets.ways import OWN_HEADERS, TUNNELLED, WAYS, Way
from tests.packets.world import (
    BACKEND_DNS,
    BACKEND_HTTP,
    CLIENT,
    DNS,
    FAMILIES,
    HTTP,
    ONE,
    TWO,
    V4,
    Family,
    Station,
)

BODY = bytes(range(100)) + bytes(500)
LENGTHS = (8, 16, 20, 37, 500)
"""Bytes that a router may quote of what follows the IP header: the least (RFC 792), some of TCP's header,
all of it, and more."""

MESSAGES: dict[str, Callable[[Family], Packet]] = {
    "port unreachable": port_unreachable,
    "too big": lambda family: too_big(family, 1300),
    "time exceeded": time_exceeded,
    "parameter problem": parameter_problem,
}
TRANSPORTS: dict[str, tuple[Callable[[int, int], Packet], int, int]] = {
    "TCP": (lambda sport, dport: TCP(sport=sport, dport=dport, seq=99, flags="A"), HTTP, BACKEND_HTTP),
    "UDP": (lambda sport, dport: UDP(sport=sport, dport=dport), DNS, BACKEND_DNS),
    "UDP without a checksum": (
        lambda sport, dport: UDP(sport=sport, dport=dport, chksum=0),
        DNS,
        BACKEND_DNS,
    ),
}
ROUTERS = {"IPv4": "192.0.2.7", "IPv6": "2001:db8::7"}
"""Somewhere on the way to the client."""
NEAR_ROUTERS = {"IPv4": "10.0.1.3", "IPv6": "fd00:1::3"}
"""Between the switch and the backends."""
PORT = 28001


def quoted(
    family: Family, source: str, destination: str, transport: Packet, length: int, **ip: Any
) -> Packet:
    """The beginning of a packet as it is quoted: its IP header and `length` bytes more."""
    whole = family.header(src=source, dst=destination, **ip) / transport
    end = len(bytes(whole)) - len(bytes(transport))
    return Payload(bytes(whole)[: end + length])


def _about_an_answer(family: Family) -> Iterator[Case]:
    """The error is for the VIP and quotes VIP -> client. The nat backend sent backend -> client."""
    router, client = ROUTERS[family.name], family.of(CLIENT)
    for what, message in MESSAGES.items():
        for name, (make, port, own_port) in TRANSPORTS.items():
            steps: list[Send] = []
            for length in LENGTHS:
                seen = quoted(family, family.nat_vip, client, make(port, PORT) / BODY, length)
                own = quoted(family, family.of(ONE), client, make(own_port, PORT) / BODY, length)
                frame = packet(family, message(family) / seen, address=router, destination=family.nat_vip)
                arrives = packet(family, message(family) / own, address=router, destination=family.of(ONE))
                steps.append(Send(CLIENT.port, frame, (Out(ONE.port, hop(ONE, arrives)),)))
            yield Case(
                f"{family.name} nat, {name}: {what} about an answer reaches the backend, about what it sent",
                tuple(steps),
            )


def _about_a_request(family: Family) -> Iterator[Case]:
    """The error is for the client and quotes client -> backend. The client sent client -> VIP."""
    client = family.of(CLIENT)
    for speaker, source in (("the backend", family.of(ONE)), ("a router", NEAR_ROUTERS[family.name])):
        seen_as = family.nat_vip if speaker == "the backend" else source
        for what, message in MESSAGES.items():
            for name, (make, port, own_port) in TRANSPORTS.items():
                steps: list[Send] = []
                for length in LENGTHS:
                    seen = quoted(family, client, family.of(ONE), make(PORT, own_port) / BODY, length)
                    own = quoted(family, client, family.nat_vip, make(PORT, port) / BODY, length)
                    frame = packet(
                        family, message(family) / seen, source=ONE, address=source, destination=client
                    )
                    arrives = packet(family, message(family) / own, address=seen_as, destination=client)
                    steps.append(Send(ONE.port, frame, (Out(CLIENT.port, hop(CLIENT, arrives)),)))
                yield Case(
                    f"{family.name} nat, {name}: {what} from {speaker} about a request reaches the client, "
                    "about what it sent",
                    tuple(steps),
                )


def _as_it_is(way: Way) -> Iterator[Case]:
    """dsr and tunnels: the backend answers from the VIP itself, and gets the error as it came."""
    family = way.family
    client = family.of(CLIENT)
    for name, (make, port, _) in TRANSPORTS.items():
        protocol = rows.TCP if name == "TCP" else rows.UDP
        entropy = Flow(client, PORT, way.vip, port, protocol).digest(way.pool(protocol))
        steps: list[Send] = []
        for message in MESSAGES.values():
            for length in (8, 37):
                quote = quoted(family, way.vip, client, make(port, PORT) / BODY, length)
                frame = packet(
                    family, message(family) / quote, address=ROUTERS[family.name], destination=way.vip
                )
                steps.append(Send(CLIENT.port, frame, (way.delivered(frame, entropy=entropy),)))
        yield Case(
            f"{way}, {name}: errors about an answer reach the backend as they are",
            tuple(steps),
            rows=way.rows,
        )


def _routed(family: Family) -> Iterator[Case]:
    """Backends of dsr and of tunnels know the VIP: what they say about a request needs no translation."""
    client = family.of(CLIENT)
    for name, (make, port, _) in TRANSPORTS.items():
        steps: list[Send] = []
        for source in (family.dsr_vip, family.of(ONE), NEAR_ROUTERS[family.name]):
            quote = quoted(family, client, family.dsr_vip, make(PORT, port) / BODY, 37)
            frame = packet(
                family, port_unreachable(family) / quote, source=ONE, address=source, destination=client
            )
            steps.append(Send(ONE.port, frame, (Out(CLIENT.port, hop(CLIENT, frame)),)))
        yield Case(
            f"{family.name}, {name}: errors about a request reach the client as they are, but for nat",
            tuple(steps),
        )


def _odd_quotes() -> Iterator[Case]:
    answers_ = (V4.nat_vip, V4.of(CLIENT)), (V4.of(ONE), V4.of(CLIENT))
    for shows, fields in (
        ("IPv4 options", {"options": [IPOption_NOP()] * 8}),
        ("40 bytes of them", {"options": [IPOption_NOP()] * 40}),
    ):
        seen, own = (
            quoted(V4, source, client, UDP(sport=port, dport=PORT) / BODY, 8, **fields)
            for (source, client), port in zip(answers_, (DNS, BACKEND_DNS), strict=True)
        )
        frame = packet(V4, port_unreachable(V4) / seen, destination=V4.nat_vip)
        arrives = packet(V4, port_unreachable(V4) / own, destination=V4.of(ONE))
        yield Case(
            f"a quote with {shows} is translated behind them",
            (Send(CLIENT.port, frame, (Out(ONE.port, hop(ONE, arrives)),)),),
        )
    for family in FAMILIES:
        yield from _fragment_quotes(family)


def _fragment_quotes(family: Family) -> Iterator[Case]:
    """A router quotes the fragment that it has, whose checksum covers more than that."""
    client = family.of(CLIENT)

    def part(source: str, port: int, transport_sum: int) -> Packet:
        datagram = UDP(sport=port, dport=PORT, len=3008, chksum=transport_sum) / BODY
        if family is V4:
            return quoted(family, source, client, datagram, 8, flags="MF", id=5)
        whole = family.header(src=source, dst=client) / IPv6ExtHdrFragment(nh=17, id=5, m=1) / datagram
        return Payload(bytes(whole)[: 40 + 8 + 8])

    before = _udp_sum(family, family.nat_vip, DNS)
    after = _udp_sum(family, family.of(ONE), BACKEND_DNS)
    frame = packet(
        family, port_unreachable(family) / part(family.nat_vip, DNS, before), destination=family.nat_vip
    )
    arrives = packet(
        family,
        port_unreachable(family) / part(family.of(ONE), BACKEND_DNS, after),
        destination=family.of(ONE),
    )
    yield Case(
        f"{family.name} nat: an error that quotes a first fragment is translated",
        (Send(CLIENT.port, frame, (Out(ONE.port, hop(ONE, arrives)),)),),
    )


def _udp_sum(family: Family, source: str, port: int) -> int:
    """The UDP checksum of a whole datagram of 3000 bytes, by scapy."""
    datagram = (
        family.header(src=source, dst=family.of(CLIENT)) / UDP(sport=port, dport=PORT) / Payload(bytes(3000))
    )
    return type(datagram)(bytes(datagram))[UDP].chksum


def _corners(family: Family) -> Iterator[Case]:
    """RFC 1624's 0x0000 and 0xffff: in the quoted checksum, and in the error's own."""
    client = family.of(CLIENT)
    for kind, make, port, own_port, corners in (
        (TCP, TCP(flags="A"), HTTP, BACKEND_HTTP, (0x0000, 0x0001, 0xFFFE)),
        (UDP, UDP(), DNS, BACKEND_DNS, (0x0001, 0xFFFE, 0xFFFF)),
    ):
        transport = make.copy()
        transport.sport, transport.dport = port, PORT
        body = Payload(bytes(20))
        answer = packet(family, transport / body, source=ONE, address=family.nat_vip, destination=client)
        own = {"src": family.of(ONE), "sport": own_port}
        for corner in corners:
            for where, fitting in (
                ("arrives", with_checksum(answer, kind, corner)),
                ("leaves", with_checksum(answer, kind, corner, leaving_as=renamed(answer, **own))),
            ):
                checked = fitting if where == "arrives" else toward(ONE) / renamed(fitting, **own)
                assert parsed(checked)[kind].chksum == corner
                error = port_unreachable(family)
                frame = packet(family, error / bytes(network(fitting)), destination=family.nat_vip)
                arrives = packet(family, error / bytes(renamed(fitting, **own)), destination=family.of(ONE))
                yield Case(
                    f"{family.name} nat: a quoted {kind.__name__} checksum {where} as 0x{corner:04x}",
                    (Send(CLIENT.port, frame, (Out(ONE.port, hop(ONE, arrives)),)),),
                )

    seen, own_quote = (
        quoted(family, source, client, UDP(sport=port, dport=PORT) / bytes(40), 40)
        for source, port in ((family.nat_vip, DNS), (family.of(ONE), BACKEND_DNS))
    )
    error = port_unreachable(family)
    frame = packet(family, error / seen, destination=family.nat_vip)
    arrives = packet(family, error / own_quote, destination=family.of(ONE))
    for corner in (0x0000, 0x0001, 0xFFFE):
        for where, fitting in (
            ("arrives", with_checksum(frame, type(error), corner)),
            ("leaves", with_checksum(frame, type(error), corner, leaving_as=arrives)),
        ):
            translated = arrives.copy()
            translated[Payload].load = translated[Payload].load[:-2] + fitting[Payload].load[-2:]
            checked = parsed(fitting if where == "arrives" else translated)[type(error)]
            assert getattr(checked, CHECKSUMS[type(error)]) == corner
            yield Case(
                f"{family.name} nat: an error's own checksum {where} as 0x{corner:04x}",
                (Send(CLIENT.port, fitting, (Out(ONE.port, hop(ONE, translated)),)),),
            )


def _nobodys(family: Family) -> Iterator[Case]:
    """What quotes no flow of ours, or not enough of it."""
    client = family.of(CLIENT)
    quote = quoted(family, family.nat_vip, client, UDP(sport=DNS, dport=PORT) / Payload(b"answer"), 14)
    end = (20 if family is V4 else 40) + 7
    beginning, rest = quote.load[:end], quote.load[end:]
    short = packet(family, port_unreachable(family) / Payload(beginning), destination=family.nat_vip)
    yield dropped(
        f"{family.name}: ports that stand behind the packet, in the frame's padding, are nobody's",
        "no_service",
        CLIENT.port,
        short / Padding(rest),
    )
    for shows, source, port in (
        ("a packet of somebody else", ROUTERS[family.name], DNS),
        ("a port that nobody serves", family.nat_vip, DNS + 1),
    ):
        stranger = quoted(family, source, client, UDP(sport=port, dport=PORT), 8)
        yield dropped(
            f"{family.name}: an error to a VIP that quotes {shows} goes to nobody",
            "no_service",
            CLIENT.port,
            packet(family, port_unreachable(family) / stranger, destination=family.nat_vip),
        )
    other = quoted(family, family.nat_vip, client, UDP(sport=DNS, dport=PORT), 8)
    for refusal, speaks in ((SILENCE, "that is silent"), (UNREACHABLE, "that would speak")):
        yield dropped(
            f"{family.name}: an error for a pool of nobody {speaks} is answered by none",
            "no_backend",
            CLIENT.port,
            packet(family, port_unreachable(family) / other, destination=family.nat_vip),
            rows=(
                rows.bucket(family.udp_pool, 0, 0),
                rows.vip(family.nat_vip, rows.UDP, DNS, family.udp_pool, refusal=refusal),
            ),
        )


def about_a_segment(family: Family, port: int, owner: Station) -> Send:
    """An error that quotes an answer to the client's port; the flow's owner gets it."""
    seen, own = (
        quoted(family, source, family.of(CLIENT), TCP(sport=sport, dport=port, flags="A"), 8)
        for source, sport in ((family.nat_vip, HTTP), (family.of(owner), BACKEND_HTTP))
    )
    frame = packet(family, port_unreachable(family) / seen, destination=family.nat_vip)
    arrives = packet(family, port_unreachable(family) / own, destination=family.of(owner))
    return Send(CLIENT.port, frame, (Out(owner.port, hop(owner, arrives)),))


def _moving(family: Family) -> Iterator[Case]:
    """An error follows its flow's exception. It neither makes nor keeps one: anybody can send it."""
    flow = Client(family)
    yield Case(
        f"{family.name} moving: an error goes where its flow goes, whether that is recorded or not",
        (
            about_a_segment(family, flow.port, ONE),
            flow.syn(TWO),
            about_a_segment(family, flow.port, TWO),
            flow.data(TWO),
            about_a_segment(family, flow.port, TWO),
        ),
        rows=(moving(family, family.tcp_two, family.tcp_one),),
        counts={Cell("moving_previous", MOTION): 0},
    )


def _underlay(way: Way) -> Iterator[Case]:
    """The network between us and a backend complains about a tunnel of ours: the controller hears of it."""
    assert way.underlay is not None
    underlay = way.underlay
    request = way.to_vip(UDP(sport=PORT, dport=DNS) / Payload(b"request"))
    tunnelled = bytes(network(way.delivered(request).packet))
    header = 20 if underlay is V4 else 40
    steps: list[Send] = []
    for length in (8, OWN_HEADERS[way.mode] + 60):
        for message in (too_big(underlay, 1400), port_unreachable(underlay), time_exceeded(underlay)):
            quote = Payload(tunnelled[: header + length])
            frame = packet(
                underlay,
                message / quote,
                source=ONE,
                address=NEAR_ROUTERS[underlay.name],
                destination=underlay.server_router,
            )
            steps.append(Send(ONE.port, frame, (packet_in(Punt.TUNNEL_ERROR, ONE.port, frame),)))
    yield Case(f"{way}: an error about the tunnel goes to the controller", tuple(steps), rows=way.rows)


CASES = [
    *(
        case
        for family in FAMILIES
        for cases in (_about_an_answer, _about_a_request)
        for case in cases(family)
    ),
    *(case for way in WAYS if way.mode != NAT for case in _as_it_is(way)),
    *_odd_quotes(),
    *(
        case
        for family in FAMILIES
        for cases in (_routed, _corners, _nobodys, _moving)
        for case in cases(family)
    ),
    *(case for way in TUNNELLED for case in _underlay(way)),
]
