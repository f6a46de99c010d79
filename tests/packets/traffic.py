"""Random frames: most of them sound and to somewhere that exists, some damaged, a few nonsense."""

import random
from collections.abc import Iterator

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    PadN,
)
from scapy.layers.l2 import ARP, GRE, Ether
from scapy.packet import NoPayload, Packet, Padding
from scapy.packet import Raw as Payload

from tests.packets import rows
from tests.packets.case import SMALLEST_FRAME
from tests.packets.cases.routing import UNRESOLVED
from tests.packets.complaints import parameter_problem, port_unreachable, time_exceeded, too_big
from tests.packets.frames import ethernet
from tests.packets.rows import DSR, NAT, RESET, SILENCE, UNREACHABLE, Row
from tests.packets.ways import TUNNELS, Way
from tests.packets.world import (
    BACKEND_DNS,
    BACKEND_HTTP,
    BASE,
    CLIENT,
    DNS,
    FAMILIES,
    GATEWAY,
    HEALTH_CHECKER_V4,
    HTTP,
    ONE,
    OTHER_CLIENT,
    PORTS,
    ROUTER,
    TAGGED,
    TWO,
    V4,
    V6,
    Family,
    Station,
)

BUCKET_MASK = 15
MOTION = 900
SOMEBODY = bytes.fromhex("020000000d01")
FLOWS = 6  # ports that a station sends from: few, so that flows have more than one packet
DATAGRAMS = 3  # in fragments, likewise
SENDERS = (CLIENT, CLIENT, OTHER_CLIENT, ONE, TWO, TAGGED)
MTUS = (576, 1280, 1400)
HANDED_OVER = (DSR, *TUNNELS)
REFUSALS = (SILENCE, RESET, UNREACHABLE)


def tables(rng: random.Random) -> list[Row]:
    """The base network with more buckets, some moving, some of nobody; with modes, sizes and policies."""
    chosen: list[Row] = []
    for family in FAMILIES:
        handed_over = rng.choice(HANDED_OVER)
        for pool, mode, one, two in (
            (family.tcp_pool, NAT, family.tcp_one, family.tcp_two),
            (family.udp_pool, NAT, family.udp_one, family.udp_two),
            (family.dsr_pool, handed_over, family.dsr_one, family.dsr_two),
        ):
            owners = (one, two, 0)
            chosen.append(rows.pool(pool, mode, mask=BUCKET_MASK, udp_move=rng.randrange(2)))
            for number in range(BUCKET_MASK + 1):
                current, previous = rng.choices(owners, (8, 8, 1), k=2)
                announced, motion = rng.randrange(2), MOTION + number
                chosen.append(
                    rows.bucket(pool, number, current, previous, announced=announced, motion=motion)
                )
        if handed_over != DSR:
            underlay = rng.choice(FAMILIES)
            chosen += [row for row in Way(handed_over, family, underlay).rows if row.table != "pools"]
        for port in PORTS:
            if rng.random() < 0.3:
                chosen.append(rows.link(port, rng.choice(MTUS)))
        chosen += _policies(rng, family)
    chosen += [rows.interface(port, V4.router, V6.router) for port in PORTS if rng.random() < 0.5]
    entries = {row.key: row for row in (*BASE, *chosen)}
    return list(entries.values())


def _policies(rng: random.Random, family: Family) -> Iterator[Row]:
    for vip, protocol, port, pool in (
        (family.nat_vip, rows.TCP, HTTP, family.tcp_pool),
        (family.nat_vip, rows.UDP, DNS, family.udp_pool),
        (family.dsr_vip, rows.TCP, HTTP, family.dsr_pool),
    ):
        yield rows.vip(vip, protocol, port, pool, refusal=rng.choice(REFUSALS))
    if rng.random() < 0.5:
        yield rows.vip_range(family.dsr_vip, rows.UDP, (50, 60), family.dsr_pool)
    if rng.random() < 0.3:
        bits = 32 if family.header is IP else 128
        yield rows.denied(f"{family.of(OTHER_CLIENT)}/{bits}")


def frames(rng: random.Random, first_port: int) -> Iterator[tuple[int, bytes]]:
    """Endless frames, each with the switch's port that it arrives on. Flows have ports from first_port on."""
    while True:
        station = rng.choice(SENDERS)
        frame = bytes(_frame(rng, station, first_port))
        yield station.port, perhaps_damaged(rng, frame)


def _frame(rng: random.Random, station: Station, first_port: int) -> Packet:
    family = rng.choice(FAMILIES)
    make = rng.choices((_packet, _fragment, _question, _nonsense), (18, 3, 3, 1))[0]
    return make(rng, station, family, first_port + rng.randrange(FLOWS))


def _packet(rng: random.Random, station: Station, family: Family, port: int) -> Packet:
    kinds = (_to_vip, _answer, _routed, _to_router, _complaint)
    source, destination, transport = rng.choices(kinds, (12, 4, 4, 1, 4))[0](rng, station, family, port)
    if rng.random() < 0.05:
        source = rng.choice((family.far_away, family.of(ONE), family.nat_vip))
    header = _header(rng, family, source, destination)
    if isinstance(header, IPv6) and rng.random() < 0.1:
        transport = rng.choice(BETWEEN) / transport
    body = Payload(rng.randbytes(rng.choice((0, 0, 1, 2, 7, 100, 1399))))
    padding = Padding(rng.randbytes(rng.randrange(8))) if rng.random() < 0.2 else NoPayload()
    return ethernet(station) / header / transport / body / padding


PADDING = [PadN(optdata=bytes(4))]
BETWEEN = (
    IPv6ExtHdrHopByHop(options=PADDING),
    IPv6ExtHdrDestOpt(options=PADDING),
    IPv6ExtHdrHopByHop(options=PADDING) / IPv6ExtHdrDestOpt(options=PADDING),
    IPv6ExtHdrFragment(id=7),
)


def _fragment(rng: random.Random, station: Station, family: Family, port: int) -> Packet:
    """Of a datagram to a VIP or from a backend, which has ports in its first fragment only."""
    source, destination, transport = rng.choice((_to_vip, _answer))(rng, station, family, port)
    header = _header(rng, family, source, destination)
    identification, more = port * DATAGRAMS + rng.randrange(DATAGRAMS), rng.randrange(2)
    first = rng.random() < 0.4
    body = transport / rng.randbytes(64) if first else Payload(rng.randbytes(64))
    protocol = rows.TCP if TCP in transport else rows.UDP
    offset = 0 if first else 1 + rng.randrange(100)
    if isinstance(header, IP):
        header.id, header.frag, header.proto = identification % 65536, offset, protocol
        header.flags = "MF" if first or more else ""
        return ethernet(station) / header / body
    between = IPv6ExtHdrFragment(nh=protocol, id=identification, offset=offset, m=1 if first else more)
    return ethernet(station) / header / between / body


def _header(rng: random.Random, family: Family, source: str, destination: str) -> Packet:
    header = family.header(src=source, dst=destination)
    hops = rng.choices((64, 255, 2, 1, 0), (40, 4, 4, 1, 1))[0]
    if isinstance(header, IP):
        header.ttl, header.tos, header.id = hops, rng.randrange(256), rng.randrange(1 << 16)
        header.flags = rng.choices(("", "DF", "MF"), (20, 20, 1))[0]
        header.options = [IPOption_NOP()] * rng.choices((0, 4, 40), (20, 1, 1))[0]
        header.frag = rng.randrange(1, 100) if rng.random() < 0.03 else 0
    else:
        header.hlim, header.tc, header.fl = hops, rng.randrange(256), rng.randrange(1 << 20)
    return header


QUOTED = (28, 36, 48, 60, 100, 300)


Parts = tuple[str, str, Packet]  # source, destination, and what the IP packet carries


def _to_vip(rng: random.Random, station: Station, family: Family, port: int) -> Parts:
    vip = rng.choice((family.nat_vip, family.dsr_vip))
    wrong_port = rng.random() < 0.05
    if rng.random() < 0.7:
        return family.of(station), vip, _tcp(rng, port, 81 if wrong_port else HTTP)
    return family.of(station), vip, _udp(rng, port, 54 if wrong_port else DNS)


def _answer(rng: random.Random, station: Station, family: Family, port: int) -> Parts:
    """From a backend's service, or nearly."""
    client = rng.choice((family.of(CLIENT), family.of(TAGGED), family.far_away, UNRESOLVED[family.name]))
    if rng.random() < 0.7:
        return family.of(station), client, _tcp(rng, BACKEND_HTTP, port)
    return family.of(station), client, _udp(rng, BACKEND_DNS, port)


def _routed(rng: random.Random, station: Station, family: Family, port: int) -> Parts:
    somewhere = (
        family.of(ONE),
        family.of(TWO),
        family.of(CLIENT),
        family.of(TAGGED),
        family.of(GATEWAY),
        family.far_away,
        family.nowhere,
        UNRESOLVED[family.name],
    )
    source = family.of(station)
    if family.header is IP and rng.random() < 0.1:
        source = HEALTH_CHECKER_V4
    carried = (
        _tcp(rng, port, rng.choice((22, BACKEND_HTTP))),
        _udp(rng, port, rng.choice((9, BACKEND_DNS))),
        _ping(rng, family),
        GRE(),
    )
    return source, rng.choice(somewhere), rng.choice(carried)


def _to_router(rng: random.Random, station: Station, family: Family, port: int) -> Parts:
    ours = (family.router, family.server_router, family.nat_vip, family.dsr_vip)
    carried = rng.choices((_ping(rng, family), _tcp(rng, port, 22), GRE()), (6, 1, 1))[0]
    return family.of(station), rng.choice(ours), carried


def _complaint(rng: random.Random, station: Station, family: Family, port: int) -> Parts:
    """An ICMP error about what a VIP answered, or about what a backend was sent, or nearly."""
    kinds = (port_unreachable, time_exceeded, parameter_problem, lambda family: too_big(family, 1300))
    message = rng.choice(kinds)(family)
    backend, client = family.of(rng.choice((ONE, TWO))), family.of(CLIENT)
    if rng.random() < 0.5:
        vip = rng.choice((family.nat_vip, family.dsr_vip))
        transport = rng.choice((_tcp(rng, HTTP, port), _udp(rng, DNS, port)))
        quoted, destination = family.header(src=vip, dst=client) / transport / bytes(400), vip
    else:
        transport = rng.choice((_tcp(rng, port, BACKEND_HTTP), _udp(rng, port, BACKEND_DNS)))
        quoted, destination = family.header(src=client, dst=backend) / transport / bytes(400), client
    source = rng.choice((family.of(station), backend, family.far_away))
    return source, destination, message / bytes(quoted)[: rng.choice(QUOTED)]


def _ping(rng: random.Random, family: Family) -> Packet:
    if family.header is IP:
        return ICMP(type=rng.choice(("echo-request", "echo-request", "echo-reply")), id=rng.getrandbits(16))
    return ICMPv6EchoRequest(id=rng.getrandbits(16), data=rng.randbytes(rng.randrange(20)))


def _tcp(rng: random.Random, source: int, destination: int) -> Packet:
    flags = rng.choices(("S", "A", "PA", "FA", "R", "SA", "SEC"), (6, 6, 3, 2, 1, 1, 1))[0]
    return TCP(
        sport=source,
        dport=destination,
        flags=flags,
        seq=rng.getrandbits(32),
        ack=rng.getrandbits(32),
        options=[("MSS", 1460)] if "S" in flags else [],
    )


def _udp(rng: random.Random, source: int, destination: int) -> Packet:
    datagram = UDP(sport=source, dport=destination)
    if rng.random() < 0.2:
        datagram.chksum = 0
    return datagram


def _question(rng: random.Random, station: Station, family: Family, port: int) -> Packet:
    """ARP and neighbor discovery, asked and told."""
    about = rng.choice((family.nat_vip, family.router, family.of(ONE)))
    if family.header is IP:
        sender = rng.choice((station.v4, "0.0.0.0", about))
        question = ARP(op=rng.choice((1, 1, 2, 3)), hwsrc=station.mac, psrc=sender, pdst=about)
        return ethernet(station, rng.choice(("ff:ff:ff:ff:ff:ff", ROUTER))) / question
    kind = rng.choice((ICMPv6ND_NS, ICMPv6ND_NS, ICMPv6ND_NA))
    header = IPv6(
        src=rng.choice((station.v6, station.v6, "::")),
        dst=rng.choice(("ff02::1:ff00:100", about)),
        hlim=rng.choice((255, 255, 255, 64)),
    )
    return ethernet(station, rng.choice(("33:33:ff:00:01:00", ROUTER))) / header / kind(tgt=about)


def _nonsense(rng: random.Random, station: Station, family: Family, port: int) -> Packet:
    kind = rng.choice((0x0800, 0x86DD, 0x0806, 0x8100, 0x88CC, 0x0100))
    return Ether(src=station.mac, dst=ROUTER, type=kind) / Payload(rng.randbytes(rng.randrange(6, 100)))


HEADERS = 110  # bytes in which damage matters most


def perhaps_damaged(rng: random.Random, frame: bytes) -> bytes:
    """What is not even a frame is damaged enough."""
    fate = rng.random() if len(frame) > SMALLEST_FRAME else 1
    if fate < 0.05:
        return frame[: rng.randrange(SMALLEST_FRAME, len(frame))]
    if fate < 0.12:
        place = rng.randrange(14, len(frame))
        return frame[:place] + bytes([frame[place] ^ 1 << rng.randrange(8)]) + frame[place + 1 :]
    if fate < 0.3:
        octets = bytearray(frame)
        for _ in range(rng.randrange(1, 4)):
            place = rng.randrange(14, min(HEADERS, len(octets)))
            octets[place] = rng.choice((0, 1, 255, rng.randrange(256)))
        return bytes(octets)
    if fate < 0.33:
        return SOMEBODY + frame[6:]
    return frame
