"""A nat pool: what a client sends to the VIP reaches the backend that owns it, addressed to the backend."""

from collections.abc import Iterator
from typing import Any

from scapy.layers.inet import TCP, UDP, IPOption_NOP, IPOption_RR
from scapy.layers.inet6 import IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop, PadN
from scapy.packet import Packet, Padding
from scapy.packet import Raw as Payload

from tests.packets import rows
from tests.packets.case import Case, Cell, Out, Send, dropped
from tests.packets.frames import damaged, hop, packet, parsed, renamed, with_checksum
from tests.packets.world import (
    BACKEND_DNS,
    BACKEND_HTTP,
    CLIENT,
    DNS,
    FAMILIES,
    HTTP,
    ONE,
    V4,
    V6,
    Family,
    Station,
)

TCP_OPTIONS = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 0)), ("NOP", None), ("WScale", 7)]


def http(port: int, flags: str = "A", payload: bytes = b"", **fields: Any) -> Packet:
    """A segment from the client to the VIP."""
    return TCP(sport=port, dport=HTTP, flags=flags, seq=1000, ack=2000, **fields) / Payload(payload)


def dns(port: int, payload: bytes = b"query", **fields: Any) -> Packet:
    """A datagram from the client to the VIP."""
    return UDP(sport=port, dport=DNS, **fields) / Payload(payload)


def service_port(frame: Packet) -> int:
    """The backends' port for this frame's protocol."""
    return BACKEND_HTTP if TCP in frame else BACKEND_DNS


def delivered(family: Family, frame: Packet, station: Station = ONE, port: int | None = None) -> Out:
    """The frame as a nat backend gets it."""
    dport = service_port(frame) if port is None else port
    return Out(station.port, hop(station, renamed(frame, dst=family.of(station), dport=dport)))


def to_vip(family: Family, shows: str, transport: Packet, **ip: Any) -> Case:
    """A packet for the family's nat VIP reaches backend one."""
    frame = packet(family, transport, destination=family.nat_vip, **ip)
    return Case(f"{family.name} nat: {shows}", (Send(CLIENT.port, frame, (delivered(family, frame),)),))


def _packets(family: Family) -> Iterator[Case]:
    yield to_vip(family, "a SYN reaches the backend, addressed to it", http(20001, "S"))
    yield to_vip(family, "a SYN with all its options", http(20002, "S", options=TCP_OPTIONS))
    yield to_vip(family, "a data segment", http(20003, "PA", b"GET / HTTP/1.1\r\n\r\n"))
    yield to_vip(family, "urgent data", http(20004, "AU", b"!", urgptr=1))
    yield to_vip(family, "a FIN", http(20005, "FA"))
    yield to_vip(family, "a RST", http(20006, "R"))
    yield to_vip(family, "a datagram reaches the backend, addressed to it", dns(20007))
    payload = bytes(range(1, 255)) * 6
    for length in (0, 1, 2, 3, 1399, 1400):
        yield to_vip(family, f"a TCP payload of {length} bytes", http(20008, "A", payload[:length]))
        yield to_vip(family, f"a UDP payload of {length} bytes", dns(20008, payload[:length]))
    for hops in (2, 128, 255):
        yield to_vip(family, f"a hop limit of {hops} is lowered by one", http(20009), hops=hops)
    yield to_vip(family, "a client's port 0 is a port like others", http(0))
    yield to_vip(family, "so is 65535", http(65535))


def _ends(family: Family) -> Iterator[Case]:
    """What differs at the ends: padding, and a backend without a port of its own."""
    frame = packet(family, http(20101), destination=family.nat_vip)
    padded = frame / Padding(bytes(7))
    yield Case(
        f"{family.name} nat: Ethernet's padding goes along",
        (Send(CLIENT.port, padded, (delivered(family, padded),)),),
    )
    yield Case(
        f"{family.name} nat: a backend with port 0 is reached on the VIP's port",
        (Send(CLIENT.port, frame, (delivered(family, frame, port=HTTP),)),),
        rows=(rows.backend(family.tcp_one, family.of(ONE)),),
    )


def _counters(family: Family) -> Iterator[Case]:
    vip = rows.vip(family.nat_vip, rows.TCP, HTTP, family.tcp_pool)
    backend = rows.backend(family.tcp_one, family.of(ONE), BACKEND_HTTP)
    frames = [packet(family, http(20110, flags), destination=family.nat_vip) for flags in ("S", "A", "FA")]
    octets = sum(len(frame) for frame in frames)
    yield Case(
        f"{family.name} nat: VIP and backend count packets and bytes as they arrived, and SYNs",
        tuple(Send(CLIENT.port, frame, (delivered(family, frame),)) for frame in frames),
        counts={
            vip: 3,
            backend: 3,
            Cell("backend_syns", family.tcp_one): 1,
            Cell("backend_syns", family.tcp_two): 0,
        },
        octets={vip: octets, backend: octets},
    )


# What opens a connection, whatever ECN, PSH and URG say: flags & 0x17 == 0x02.
FLAGS = {"S": 1, "SEC": 1, "SPU": 1, "SA": 0, "SF": 0, "SR": 0, "A": 0, "": 0, "FSRPAUEC": 0}
IMPOSSIBLE = ("SF", "SR", "", "FSRPAUEC")


def _syns(family: Family) -> Iterator[Case]:
    for flags, opens in FLAGS.items():
        frame = packet(family, http(20120, flags), destination=family.nat_vip)
        counts: dict[rows.Row | Cell, int] = {Cell("backend_syns", family.tcp_one): opens}
        if flags in IMPOSSIBLE:
            shows = f"{family.name} nat: no TCP sends the flags {flags or 'none'}"
            yield dropped(shows, "bad_flags", CLIENT.port, frame, counts=counts)
            continue
        yield Case(
            f"{family.name} nat: TCP flags {flags} {'open a' if opens else 'open no'} connection",
            (Send(CLIENT.port, frame, (delivered(family, frame),)),),
            counts=counts,
        )


def _checksum_corners(family: Family) -> Iterator[Case]:
    """RFC 1624's 0x0000 and 0xffff, arriving and leaving. UDP sends a computed zero as all ones (RFC 768)."""
    for kind, transport, corners in (
        (TCP, http(20130, "A", b"\0\0"), (0x0000, 0x0001, 0xFFFE)),
        (UDP, dns(20131, b"\0\0"), (0x0001, 0xFFFE, 0xFFFF)),
    ):
        frame = packet(family, transport, destination=family.nat_vip)
        for corner in corners:
            arriving = with_checksum(frame, kind, corner)
            assert parsed(arriving)[kind].chksum == corner
            yield Case(
                f"{family.name} nat: a {kind.__name__} checksum arrives as 0x{corner:04x}",
                (Send(CLIENT.port, arriving, (delivered(family, arriving),)),),
            )
            leaving = with_checksum(frame, kind, corner, leaving_as=delivered(family, frame).packet)
            out = delivered(family, leaving)
            assert parsed(out.packet)[kind].chksum == corner
            yield Case(
                f"{family.name} nat: a {kind.__name__} checksum leaves as 0x{corner:04x}",
                (Send(CLIENT.port, leaving, (out,)),),
            )
    yield to_vip(family, "a UDP checksum of 0 means none, and stays", dns(20132, chksum=0))
    zero = with_checksum(packet(family, http(20133, "A", b"\0\0"), destination=family.nat_vip), TCP, 0x0000)
    other_zero = parsed(zero)
    other_zero[TCP].chksum = 0xFFFF
    yield Case(
        f"{family.name} nat: a TCP checksum that arrives as 0xffff is 0x0000, too",
        (Send(CLIENT.port, other_zero, (delivered(family, zero),)),),
    )


def _wrong_checksums(family: Family) -> Iterator[Case]:
    for kind, transport in ((TCP, http(20140, "A", b"data")), (UDP, dns(20141))):
        frame = packet(family, transport, destination=family.nat_vip)
        out = delivered(family, frame)
        for error in (0x0001, 0x0100, 0xF00D):
            wrong = Out(out.port, damaged(out.packet, kind, error))
            yield Case(
                f"{family.name} nat: a {kind.__name__} checksum that is 0x{error:04x} too large stays so",
                (Send(CLIENT.port, damaged(frame, kind, error), (wrong,), broken=True),),
            )


CASES = [
    *(
        case
        for family in FAMILIES
        for cases in (_packets, _ends, _counters, _syns, _checksum_corners, _wrong_checksums)
        for case in cases(family)
    ),
    to_vip(V4, "IP options of 4 bytes go along", http(20201), options=[IPOption_NOP()] * 4),
    to_vip(
        V4,
        "IP options of 40 bytes go along",
        http(20202, "A", b"data"),
        options=[IPOption_RR(length=39, routers=["0.0.0.0"] * 9)],
    ),
    to_vip(V4, "IP options before a datagram go along", dns(20203), options=[IPOption_NOP()] * 4),
    to_vip(V4, "identification, ToS and don't-fragment stay", http(20204), id=4711, tos=0xB9, flags="DF"),
    to_vip(V4, "the reserved flag stays", http(20205), flags="evil"),
    *(
        to_vip(V6, f"{what} before {transport.name} go along", between / transport)
        for what, between in (
            ("hop-by-hop options", IPv6ExtHdrHopByHop()),
            ("destination options", IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(12))])),
            ("extension headers, two of them", IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt()),
        )
        for transport in (http(20205, "A", b"data"), dns(20205))
    ),
    to_vip(V6, "traffic class and flow label stay", http(20204), tc=0xB9, fl=0xABCDE),
]
