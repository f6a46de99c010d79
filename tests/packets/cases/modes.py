"""Every mode, client family, underlay family and protocol: what reaches the backend, to the byte."""

from collections.abc import Iterator
from typing import Any

from scapy.layers.inet import TCP, IPOption_NOP
from scapy.packet import Packet, Padding

from tests.packets import rows
from tests.packets.case import Case, Cell, Out, Send, dropped
from tests.packets.cases.nat import TCP_OPTIONS, dns, http
from tests.packets.frames import damaged
from tests.packets.rows import UDP
from tests.packets.ways import TUNNELLED, WAYS, Way
from tests.packets.world import CLIENT, DNS, HTTP, ONE, TAGGED, TWO, V4

EXPEDITED = 0xB8  # DSCP 46 in its place in ToS and traffic class
ECN = {0: "no ECN", 1: "ECT(1)", 2: "ECT(0)", 3: "congestion experienced"}
MOTION = 78


def sent(way: Way, transport: Packet, **fields: Any) -> Send:
    """A packet for the VIP, which backend one gets."""
    frame = way.to_vip(transport, **fields)
    return Send(CLIENT.port, frame, (way.delivered(frame),))


def _protocols(way: Way) -> Iterator[Case]:
    segments = (
        http(25001, "S", options=TCP_OPTIONS),
        http(25001, "A"),
        http(25001, "PA", b"GET / HTTP/1.1\r\n\r\n"),
        http(25001, "PA", b"odd"),
        http(25001, "A", bytes(range(256)) * 5),
        http(25001, "FA"),
        http(25001, "R"),
    )
    one, _ = way.backends(rows.TCP)
    vip = rows.vip(way.vip, rows.TCP, HTTP, way.pool(rows.TCP))
    yield Case(
        f"{way}, TCP: all packets of a connection reach its backend, and are counted",
        tuple(sent(way, segment) for segment in segments),
        rows=way.rows,
        counts={vip: 7, way.backend(rows.TCP): 7, Cell("backend_syns", one): 1},
    )
    datagrams = (dns(25002), dns(25002, b""), dns(25002, b"odd"), dns(25002, bytes(1400)))
    vip = rows.vip(way.vip, UDP, DNS, way.pool(UDP))
    yield Case(
        f"{way}, UDP: datagrams reach their backend, and are counted",
        tuple(sent(way, datagram) for datagram in datagrams),
        rows=way.rows,
        counts={vip: 4, way.backend(UDP): 4, Cell("backend_syns", way.backends(UDP)[0]): 0},
    )
    yield Case(f"{way}, UDP: a checksum of 0 stays 0", (sent(way, dns(25003, chksum=0)),), rows=way.rows)


def _headers(way: Way) -> Iterator[Case]:
    marks = "tos" if way.family is V4 else "tc"
    for ecn, name in ECN.items():
        yield Case(
            f"{way}: DSCP and ECN with {name} are the packet's, outside as inside",
            (sent(way, http(25004), **{marks: EXPEDITED | ecn}),),
            rows=way.rows,
        )
    yield Case(
        f"{way}: a hop is taken inside, and outside the packet begins anew",
        tuple(sent(way, http(25005), hops=hops) for hops in (2, 64, 255)),
        rows=way.rows,
    )
    own = (
        {"flags": "DF", "id": 4711, "options": [IPOption_NOP()] * 8}
        if way.family is V4
        else {"fl": 0xABCDE, "tc": 3}
    )
    yield Case(
        f"{way}: the packet's own header stays as it was",
        (sent(way, http(25006, "A", b"data"), **own), sent(way, dns(25006), **own)),
        rows=way.rows,
    )
    padded = way.to_vip(http(25007)) / Padding(bytes(5))
    yield Case(
        f"{way}: Ethernet's padding is no part of the packet, and goes along",
        (Send(CLIENT.port, padded, (way.delivered(padded),)),),
        rows=way.rows,
    )


def _ends(way: Way) -> Iterator[Case]:
    frame = way.to_vip(http(25010))
    yield Case(
        f"{way}: a backend in a VLAN gets the tag outside",
        (Send(CLIENT.port, frame, (way.delivered(frame, TAGGED),)),),
        rows=(*way.rows, way.backend(rows.TCP, TAGGED)),
    )
    tagged = way.to_vip(http(25011), source=TAGGED)
    yield Case(
        f"{way}: a client in a VLAN reaches a backend in none",
        (Send(TAGGED.port, tagged, (way.delivered(tagged),)),),
        rows=way.rows,
    )
    one, two = way.backends(rows.TCP)
    moves = rows.bucket(way.pool(rows.TCP), 0, two, one, motion=MOTION)
    syn, data = (way.to_vip(http(25012, flags)) for flags in ("S", "PA"))
    older = way.to_vip(http(25013, "PA"))
    yield Case(
        f"{way}: in a moving bucket a new flow goes to the new backend, an older one stays",
        (
            Send(CLIENT.port, syn, (way.delivered(syn, TWO),)),
            Send(CLIENT.port, data, (way.delivered(data, TWO),)),
            Send(CLIENT.port, older, (way.delivered(older),)),
        ),
        rows=(*way.rows, moves),
        counts={Cell("moving_previous", MOTION): 1},
    )
    wrong = Out(ONE.port, damaged(way.delivered(frame).packet, TCP, 0x0BAD))
    yield Case(
        f"{way}: a wrong TCP checksum stays wrong by as much",
        (Send(CLIENT.port, damaged(frame, TCP, 0x0BAD), (wrong,), broken=True),),
        rows=way.rows,
    )


def _tunnels(way: Way) -> Iterator[Case]:
    flows = [way.to_vip(transport(port)) for transport in (http, dns) for port in (25020, 25021, 25022)]
    assert len({way.entropy(frame) & 0x3FFF for frame in flows}) == len(flows)
    yield Case(
        f"{way}: the underlay can tell flows apart, and keeps each together",
        tuple(Send(CLIENT.port, frame, (way.delivered(frame),)) for frame in flows * 2),
        rows=way.rows,
    )
    for shows, transport in (("TCP", http(25023, "S")), ("UDP", dns(25023))):
        yield dropped(
            f"{way}, {shows}: no tunnel leads to the backend",
            "no_tunnel",
            CLIENT.port,
            way.to_vip(transport),
            rows=tuple(row for row in way.rows if row.table != "tunnels"),
        )
    own = way.to_vip(http(25024), source=ONE)
    yield Case(
        f"{way}: a backend may be a client of its own VIP",
        (Send(ONE.port, own, (way.delivered(own),)),),
        rows=way.rows,
    )


CASES = [
    *(case for way in WAYS for cases in (_protocols, _headers, _ends) for case in cases(way)),
    *(case for way in TUNNELLED for case in _tunnels(way)),
]
