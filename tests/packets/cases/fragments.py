"""Datagrams in fragments: all of them follow the first, in every mode and from nat backends as well.

What must come out are the fragments of what would come out if the datagram were whole.
"""

from collections.abc import Iterator, Sequence
from itertools import count

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, PadN
from scapy.packet import Packet
from scapy.packet import Raw as Payload

from tests.packets import rows
from tests.packets.case import Case, Change, Out, Send, dropped
from tests.packets.cases.answers import restored
from tests.packets.cases.exceptions import PREVIOUS, Client, moving, ticks
from tests.packets.cases.nat import delivered, dns, http
from tests.packets.complaints import complaint, port_unreachable
from tests.packets.flows import Datagram
from tests.packets.frames import ethernet, hop, network, packet, toward
from tests.packets.rows import NAT, UNREACHABLE
from tests.packets.ways import WAYS, Way
from tests.packets.world import (
    BACKEND_DNS,
    CLIENT,
    DNS,
    FAMILIES,
    ONE,
    TWO,
    V4,
    V6,
    Family,
    Station,
)

BODY = bytes(i * 7 & 255 for i in range(3000))
PIECE = 1200  # bytes of the datagram in each fragment but the last
LIFETIME = 115  # ticks: 30 s
SLOTS = 16384
PORT = 29001

_identifications = count(1)


def pieces(whole: Packet, identification: int, size: int = PIECE) -> list[Packet]:
    """The fragments of an IP packet, as IP packets."""
    whole = type(whole)(bytes(whole))
    payload = bytes(whole.payload)
    header = whole.copy()
    header.remove_payload()
    parts: list[Packet] = []
    for offset in range(0, len(payload), size):
        more = offset + size < len(payload)
        part = header.copy()
        body = Payload(payload[offset : offset + size])
        if isinstance(part, IP):
            del part.len, part.chksum
            part.id, part.frag, part.flags = identification, offset // 8, "MF" if more else ""
            parts.append(part / body)
        else:
            del part.plen
            part.nh = 44
            between = IPv6ExtHdrFragment(nh=whole.nh, offset=offset // 8, m=int(more), id=identification)
            parts.append(part / between / body)
    return parts


class Fragmented:
    """A client's datagram for a VIP: its fragments, and what its backend gets for each."""

    def __init__(self, way: Way, transport: Packet, identification: int | None = None) -> None:
        self._way = way
        self._identification = next(_identifications) if identification is None else identification
        self._frame = way.to_vip(transport)
        self._frames = [
            ethernet(CLIENT) / part for part in pieces(network(self._frame), self._identification)
        ]

    def _out(self, number: int, station: Station) -> Out:
        way = self._way
        if way.mode == NAT:
            whole = network(delivered(way.family, self._frame, station).packet)
        else:
            whole = network(hop(station, self._frame))
        ip = network(self._frame)
        later = Datagram(ip.src, ip.dst, rows.TCP if TCP in ip else rows.UDP, self._identification)
        entropy = later.digest if number else way.entropy(self._frame)
        return way.carried(pieces(whole, self._identification)[number], station, entropy)

    def part(self, number: int, station: Station | None = ONE, at: float = 0.0) -> Send:
        """A fragment, and who gets it; None: nobody."""
        return Send(CLIENT.port, self._frames[number], (self._out(number, station),) if station else (), at)

    def frame(self, number: int) -> Packet:
        return self._frames[number]


def _every_way(way: Way) -> Iterator[Case]:
    for name, transport in (("TCP", http(PORT, "A", BODY)), ("UDP", dns(PORT, BODY))):
        whole = Fragmented(way, transport)
        yield Case(
            f"{way}, {name}: fragments follow the first",
            (whole.part(0), whole.part(1), whole.part(2)),
            rows=way.rows,
        )
    early, lost, old = (Fragmented(way, dns(PORT, BODY)) for _ in range(3))
    yield Case(
        f"{way}: a fragment that comes before the first is lost, those after it are not",
        (early.part(1, None), early.part(0), early.part(2), early.part(1)),
        rows=way.rows,
        drops={"fragment": 1},
    )
    yield Case(
        f"{way}: fragments without the first are lost",
        (lost.part(1, None), lost.part(2, None)),
        rows=way.rows,
        drops={"fragment": 2},
    )
    yield Case(
        f"{way}: a datagram has 30 s to arrive",
        (old.part(0), old.part(1, ONE, ticks(LIFETIME)), old.part(2, None, ticks(LIFETIME + 2))),
        rows=way.rows,
        drops={"fragment": 1},
    )


def _owners(way: Way) -> Iterator[Case]:
    family = way.family
    _, two = way.backends(rows.UDP)
    pool = way.pool(rows.UDP)
    whole, other = Fragmented(way, dns(PORT, BODY)), Fragmented(way, dns(PORT, BODY))
    yield Case(
        f"{way}: a datagram stays with its first fragment's backend, wherever its flow's go meanwhile",
        (
            whole.part(0),
            Change((rows.bucket(pool, 0, two),)),
            other.part(0, TWO),
            whole.part(1),
            other.part(1, TWO),
            whole.part(2),
            other.part(2, TWO),
        ),
        rows=way.rows,
    )
    refused = Fragmented(way, dns(PORT, BODY))
    first = refused.frame(0)
    unreachable = complaint(first, port_unreachable(family), way.vip, CLIENT.port)
    yield Case(
        f"{way}: nobody serves, which is said about the first fragment only",
        (Send(CLIENT.port, first, (unreachable,)), refused.part(1, None)),
        rows=(
            *way.rows,
            rows.bucket(pool, 0, 0),
            rows.vip(way.vip, rows.UDP, DNS, pool, refusal=UNREACHABLE),
        ),
        drops={"no_backend": 1},
        replies={"unreachable": 1},
    )
    denied = Fragmented(way, dns(PORT, BODY))
    host = f"{family.of(CLIENT)}/{32 if family is V4 else 128}"
    yield Case(
        f"{way}: when the first may not pass, the others do not",
        (denied.part(0, None), denied.part(1, None)),
        rows=(*way.rows, rows.denied(host)),
        drops={"source_denied": 1, "fragment": 1},
    )


def _exceptions(family: Family) -> Iterator[Case]:
    way = Way(NAT, family)
    flow = Client(family)
    whole = Fragmented(way, http(flow.port, "A", BODY))
    older = Fragmented(way, http(Client(family).port, "A", BODY))
    yield Case(
        f"{family.name} moving: fragments go where their flow's exception says, or to `previous`",
        (
            flow.syn(TWO),
            *(whole.part(number, TWO) for number in range(3)),
            *(older.part(number, ONE) for number in range(3)),
        ),
        rows=(moving(family, family.tcp_two, family.tcp_one),),
        counts={PREVIOUS: 1},
    )


def _together(family: Family) -> tuple[int, int]:
    """Two identifications whose datagrams share a slot."""
    places: dict[int, int] = {}
    for identification in range(30000, 65536):
        datagram = Datagram(family.of(CLIENT), family.nat_vip, rows.UDP, identification)
        place = datagram.place % SLOTS
        if place in places:
            return places[place], identification
        places[place] = identification
    raise ValueError("no two datagrams share a slot")


def _sharing(family: Family) -> Iterator[Case]:
    way = Way(NAT, family)
    older, newer = (Fragmented(way, dns(PORT, BODY), number) for number in _together(family))
    yield Case(
        f"{family.name}: of two datagrams in one slot the newer has it, and nothing follows the wrong first",
        (older.part(0), older.part(1), newer.part(0), older.part(2, None), newer.part(1), newer.part(2)),
        drops={"fragment": 1},
    )


def _answers(family: Family) -> Iterator[Case]:
    """Of a nat backend: towards the client, from the VIP."""
    client = family.of(CLIENT)

    def answer(port: int) -> tuple[Sequence[Packet], Sequence[Out]]:
        """Fragments from backend one, and what the client gets."""
        identification = next(_identifications)
        transport = UDP(sport=port, dport=PORT) / Payload(BODY)
        frame = packet(family, transport, source=ONE, destination=client)
        whole = restored(family, frame).packet if port == BACKEND_DNS else hop(CLIENT, frame)
        return (
            [ethernet(ONE) / part for part in pieces(network(frame), identification)],
            [Out(CLIENT.port, toward(CLIENT) / part) for part in pieces(network(whole), identification)],
        )

    def sent(frame: Packet, *out: Out, at: float = 0.0) -> Send:
        return Send(ONE.port, frame, out, at)

    frames, outs = answer(BACKEND_DNS)
    yield Case(
        f"{family.name} answer: fragments come from the VIP",
        tuple(sent(frame, out) for frame, out in zip(frames, outs, strict=True)),
    )
    frames, outs = answer(BACKEND_DNS + 1)
    yield Case(
        f"{family.name}: fragments of what is no answer keep the backend's address",
        tuple(sent(frame, out) for frame, out in zip(frames, outs, strict=True)),
    )
    frames, outs = answer(BACKEND_DNS)
    yield Case(
        f"{family.name} answer: a fragment before the first is lost",
        (sent(frames[2]), sent(frames[0], outs[0]), sent(frames[1], outs[1])),
        drops={"fragment": 1},
    )
    frames, _ = answer(BACKEND_DNS)
    yield Case(
        f"{family.name} answer: fragments without the first are lost",
        (sent(frames[1]), sent(frames[2])),
        drops={"fragment": 2},
    )
    frames, outs = answer(BACKEND_DNS)
    yield Case(
        f"{family.name} answer: a datagram has 30 s to arrive",
        (
            sent(frames[0], outs[0]),
            sent(frames[1], outs[1], at=ticks(LIFETIME)),
            sent(frames[2], at=ticks(LIFETIME + 2)),
        ),
        drops={"fragment": 1},
    )


def _routed(family: Family) -> Iterator[Case]:
    frame = packet(family, UDP(sport=11, dport=12) / Payload(BODY), destination=family.of(TWO))
    identification = next(_identifications)
    whole = network(hop(TWO, frame))
    steps = [
        Send(CLIENT.port, ethernet(CLIENT) / part, (Out(TWO.port, toward(TWO) / out),))
        for part, out in zip(
            pieces(network(frame), identification), pieces(whole, identification), strict=True
        )
    ]
    yield Case(
        f"{family.name}: fragments from and to others are routed, in whatever order",
        tuple(reversed(steps)),
    )


def _odd() -> Iterator[Case]:
    frame = packet(V6, IPv6ExtHdrFragment(id=5) / dns(PORT), destination=V6.nat_vip)
    out = delivered(V6, frame)
    yield Case(
        "a datagram in one fragment is whole (RFC 6946)",
        (Send(CLIENT.port, frame, (out,)), Send(CLIENT.port, frame, (out,))),
    )
    between = IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(4))])
    whole = packet(V6, between / dns(PORT, BODY), destination=V6.nat_vip)
    translated = network(delivered(V6, whole).packet)
    steps = [
        Send(CLIENT.port, ethernet(CLIENT) / part, (Out(ONE.port, toward(ONE) / out),))
        for part, out in zip(_behind_options(network(whole)), _behind_options(translated), strict=True)
    ]
    yield Case("hop-by-hop options may stand before the fragment header", tuple(steps))
    for what, protocol, octets in (("TCP", rows.TCP, 16), ("UDP", rows.UDP, 0)):
        for family in FAMILIES:
            part = Payload(bytes(octets))
            tiny = (
                packet(V4, part, destination=V4.nat_vip, proto=protocol, flags="MF", id=6)
                if family is V4
                else packet(V6, IPv6ExtHdrFragment(nh=protocol, m=1, id=6) / part, destination=V6.nat_vip)
            )
            yield dropped(
                f"{family.name}: a first fragment too small for the {what} header hides it (RFC 1858)",
                "malformed",
                CLIENT.port,
                tiny,
            )


def _behind_options(whole: Packet) -> list[Packet]:
    """The fragments of an IPv6 packet with hop-by-hop options, which each of them has."""
    whole = IPv6(bytes(whole))
    options = whole[IPv6ExtHdrHopByHop].copy()
    options.remove_payload()
    options.nh = 44
    datagram = Payload(bytes(whole[UDP]))
    parts = pieces(IPv6(src=whole.src, dst=whole.dst, hlim=whole.hlim, nh=rows.UDP) / datagram, 4711)
    return [_with_options(part, options) for part in parts]


def _with_options(part: Packet, options: Packet) -> Packet:
    header = part.copy()
    header.remove_payload()
    header.nh = 0
    del header.plen
    return header / options / part[IPv6ExtHdrFragment]


CASES = [
    *(case for way in WAYS for cases in (_every_way, _owners) for case in cases(way)),
    *(
        case
        for family in FAMILIES
        for cases in (_exceptions, _sharing, _answers, _routed)
        for case in cases(family)
    ),
    *_odd(),
]
