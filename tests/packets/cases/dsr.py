"""A dsr pool: the client's packet is handed to the backend as it is, with another MAC and one hop less."""

from collections.abc import Iterator

from scapy.layers.inet import TCP, UDP, IPOption_NOP
from scapy.packet import Padding
from scapy.packet import Raw as Payload

from tests.packets import rows
from tests.packets.case import Case, Cell, Out, Send
from tests.packets.cases.nat import TCP_OPTIONS, dns, http
from tests.packets.frames import damaged, hop, packet
from tests.packets.world import CLIENT, FAMILIES, HTTP, ONE, TWO, V4, Family


def _cases(family: Family) -> Iterator[Case]:
    for shows, transport in (
        ("a SYN is handed to the backend", http(21001, "S", options=TCP_OPTIONS)),
        ("a data segment of odd length", http(21002, "PA", b"odd")),
        ("a FIN", http(21003, "FA")),
        ("a RST", http(21004, "R")),
        ("a datagram", dns(21005)),
        ("a datagram without a checksum", dns(21006, chksum=0)),
        ("an empty datagram", dns(21007, b"")),
        ("a large segment", http(21008, "A", bytes(1400))),
    ):
        frame = packet(family, transport, destination=family.dsr_vip)
        yield Case(
            f"{family.name} dsr: {shows}", (Send(CLIENT.port, frame, (Out(ONE.port, hop(ONE, frame)),)),)
        )

    frame = packet(family, http(21010), destination=family.dsr_vip)
    vip = rows.vip(family.dsr_vip, rows.TCP, HTTP, family.dsr_pool)
    yield Case(
        f"{family.name} dsr: the VIP, the backend and its SYNs are counted",
        (
            Send(CLIENT.port, frame, (Out(ONE.port, hop(ONE, frame)),)),
            Send(
                CLIENT.port,
                syn := packet(family, http(21011, "S"), destination=family.dsr_vip),
                (Out(ONE.port, hop(ONE, syn)),),
            ),
        ),
        counts={
            vip: 2,
            rows.backend(family.dsr_one, family.of(ONE)): 2,
            Cell("backend_syns", family.dsr_one): 1,
        },
    )
    yield Case(
        f"{family.name} dsr: the bucket's owner decides",
        (Send(CLIENT.port, frame, (Out(TWO.port, hop(TWO, frame)),)),),
        rows=(rows.bucket(family.dsr_pool, 0, family.dsr_two),),
    )
    yield Case(
        f"{family.name} dsr: a backend may be a client of its own VIP",
        (
            Send(
                ONE.port,
                own := packet(family, http(21012), source=ONE, destination=family.dsr_vip),
                (Out(ONE.port, hop(ONE, own)),),
            ),
        ),
    )
    padded = frame / Padding(bytes(5))
    yield Case(
        f"{family.name} dsr: Ethernet's padding goes along",
        (Send(CLIENT.port, padded, (Out(ONE.port, hop(ONE, padded)),)),),
    )
    for kind, transport in ((TCP, http(21013, "A", b"data")), (UDP, dns(21014))):
        good = packet(family, transport, destination=family.dsr_vip)
        wrong = damaged(good, kind, 0x0BAD)
        yield Case(
            f"{family.name} dsr: a wrong {kind.__name__} checksum stays as it was",
            (Send(CLIENT.port, wrong, (Out(ONE.port, damaged(hop(ONE, good), kind, 0x0BAD)),), broken=True),),
        )


OPTIONS = packet(
    V4,
    http(21020) / Payload(b"data"),
    destination=V4.dsr_vip,
    options=[IPOption_NOP()] * 12,
    id=99,
    tos=0x2D,
    flags="DF",
)

CASES = [
    *(case for family in FAMILIES for case in _cases(family)),
    Case(
        "IPv4 dsr: options, ToS and identification go along",
        (Send(CLIENT.port, OPTIONS, (Out(ONE.port, hop(ONE, OPTIONS)),)),),
    ),
]
