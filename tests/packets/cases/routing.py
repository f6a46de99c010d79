"""The router around the load balancer: what is for no VIP finds its next hop."""

from collections.abc import Iterator
from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
)
from scapy.layers.l2 import GRE, Dot1Q, Ether
from scapy.packet import Packet, Padding
from scapy.packet import Raw as Payload

from tests.packets import rows
from tests.packets.case import Case, Out, Send, dropped
from tests.packets.cases.nat import delivered, http
from tests.packets.frames import damaged, hop, packet, parsed
from tests.packets.packet_in import Punt, packet_in
from tests.packets.world import (
    CLIENT,
    FAMILIES,
    GATEWAY,
    ONE,
    OTHER_CLIENT,
    ROUTER,
    TAGGED,
    TWO,
    V4,
    V6,
    Family,
    Station,
)

NO_MAC = "00:00:00:00:00:00"
UNRESOLVED = {"IPv4": "10.0.1.99", "IPv6": "fd00:1::99"}


def routed(shows: str, frame: Packet, to: Station, *, port: int = CLIENT.port, **more: Any) -> Case:
    """The frame leaves for the station, one hop further and else as it was."""
    return Case(shows, (Send(port, frame, (Out(to.port, hop(to, frame)),)),), **more)


def ssh(port: int = 22001, **fields: Any) -> Packet:
    return TCP(sport=port, dport=22, flags="PA", **fields) / Payload(b"SSH-2.0")


def _forwarding(family: Family) -> Iterator[Case]:
    name, to_one = family.name, family.of(ONE)
    yield routed(f"{name}: a segment is routed", packet(family, ssh(), destination=to_one), ONE)
    yield routed(
        f"{name}: a datagram is routed",
        packet(family, UDP(sport=1, dport=2) / Payload(b"odd"), destination=to_one),
        ONE,
    )
    yield routed(
        f"{name}: a datagram without a checksum is routed without one",
        packet(family, UDP(sport=1, dport=2, chksum=0), destination=to_one),
        ONE,
    )
    yield routed(
        f"{name}: another protocol is routed", packet(family, GRE() / Payload(b"?"), destination=to_one), ONE
    )
    yield routed(
        f"{name}: a packet from one client to the other is routed",
        packet(family, ssh(), destination=family.of(OTHER_CLIENT)),
        OTHER_CLIENT,
    )
    yield routed(
        f"{name}: a packet may leave by the port it came from",
        packet(family, ssh(), destination=family.of(CLIENT)),
        CLIENT,
    )
    yield routed(
        f"{name}: beyond a gateway it leaves for the gateway",
        packet(family, ssh(), destination=family.far_away),
        GATEWAY,
    )
    yield routed(
        f"{name}: Ethernet's padding goes along",
        packet(family, ssh(), destination=to_one) / Padding(bytes(9)),
        ONE,
    )
    yield routed(
        f"{name}: a large packet is routed",
        packet(family, TCP(sport=1, dport=2) / Payload(bytes(8900)), destination=to_one),
        ONE,
    )
    for hops in (2, 255):
        yield routed(
            f"{name}: a hop limit of {hops} is lowered by one",
            packet(family, ssh(), destination=to_one, hops=hops),
            ONE,
        )
    yield dropped(
        f"{name}: a hop limit of 1 ends here",
        "ttl_expired",
        CLIENT.port,
        packet(family, ssh(), destination=to_one, hops=1),
    )
    for what, destination in (("a host", to_one), ("a VIP", family.nat_vip)):
        yield dropped(
            f"{name}: no router sends a hop limit of 0 to {what}",
            "ttl_zero",
            CLIENT.port,
            packet(family, http(22002), destination=destination, hops=0),
        )
    good = packet(family, ssh(), destination=to_one)
    yield Case(
        f"{name}: a wrong TCP checksum is not the router's affair",
        (
            Send(
                CLIENT.port,
                damaged(good, TCP, 0x1234),
                (Out(ONE.port, damaged(hop(ONE, good), TCP, 0x1234)),),
                broken=True,
            ),
        ),
    )


def _routes(family: Family) -> Iterator[Case]:
    """Longest prefix first; IPv4's default route is a /96 beside IPv6's /0."""
    name = family.name
    default = {"IPv4": "0.0.0.0/0", "IPv6": "::/0"}[name]
    shorter, longer, host = {
        "IPv4": ("203.0.0.0/8", "203.0.113.0/24", "203.0.113.5/32"),
        "IPv6": ("2001:db9::/32", "2001:db9::/64", "2001:db9::5/128"),
    }[name]
    to_nowhere = packet(family, ssh(), destination=family.nowhere)
    yield dropped(f"{name}: without a route a packet ends", "no_route", CLIENT.port, to_nowhere)
    yield routed(
        f"{name}: the default route takes what no other does",
        to_nowhere,
        GATEWAY,
        rows=(rows.route(default, family.of(GATEWAY)),),
    )
    other_default = {"IPv4": "::/0", "IPv6": "0.0.0.0/0"}[name]
    if family is V6:
        yield dropped(
            "IPv6: IPv4's default route takes no IPv6 packet",
            "no_route",
            CLIENT.port,
            to_nowhere,
            rows=(rows.route(other_default, V4.of(GATEWAY)),),
        )
    yield routed(
        f"{name}: a longer prefix beats a shorter one",
        to_nowhere,
        TWO,
        rows=(
            rows.route(default, family.of(GATEWAY)),
            rows.route(longer, family.of(TWO)),
            rows.route(shorter, family.of(ONE)),
        ),
    )
    yield routed(
        f"{name}: a host route beats them all",
        to_nowhere,
        ONE,
        rows=(
            rows.route(host, family.of(ONE)),
            rows.route(longer, family.of(TWO)),
            rows.route(shorter, family.of(TWO)),
        ),
    )
    yield dropped(
        f"{name}: a backend without a route is not reached",
        "no_route",
        CLIENT.port,
        packet(family, http(22003), destination=family.nat_vip),
        rows=(rows.backend(family.tcp_one, family.nowhere, 80),),
    )


def _gleans(family: Family) -> Iterator[Case]:
    """A next hop whose MAC nobody knows: the controller gets the packet, finished but for Ethernet."""
    name, unresolved = family.name, UNRESOLVED[family.name]
    stranger = Station(0, NO_MAC, unresolved, unresolved)

    def gleaned(layer: Packet, port: int = CLIENT.port) -> Out:
        frame = hop(stranger, layer)
        frame[Ether].src = NO_MAC
        return packet_in(Punt.GLEAN, port, frame)

    frame = packet(family, ssh(), destination=unresolved)
    yield Case(
        f"{name}: a packet for an unresolved neighbor goes to the controller, its hop taken",
        (Send(CLIENT.port, frame, (gleaned(frame),)),),
    )
    tagged = packet(family, ssh(), source=TAGGED, destination=unresolved)
    yield Case(
        f"{name}: one that came tagged goes there without the tag",
        (Send(TAGGED.port, tagged, (gleaned(tagged, TAGGED.port),)),),
    )
    to_vip = packet(family, http(22004), destination=family.nat_vip)
    translated = delivered(family, to_vip, Station(0, NO_MAC, unresolved, unresolved))
    translated.packet[Ether].src = NO_MAC
    yield Case(
        f"{name}: one for an unresolved nat backend goes there translated",
        (Send(CLIENT.port, to_vip, (packet_in(Punt.GLEAN, CLIENT.port, translated.packet),)),),
        rows=(rows.backend(family.tcp_one, unresolved, 8080),),
    )
    beyond = packet(family, ssh(), destination=family.far_away)
    yield Case(
        f"{name}: one for an unresolved gateway goes there",
        (Send(CLIENT.port, beyond, (gleaned(beyond),)),),
        without=(rows.neighbor(family.of(GATEWAY), GATEWAY.port, ROUTER, GATEWAY.mac),),
    )


def _vlans(family: Family) -> Iterator[Case]:
    name = family.name
    yield routed(f"{name}: into a VLAN", packet(family, ssh(), destination=family.of(TAGGED)), TAGGED)
    yield routed(
        f"{name}: out of a VLAN",
        packet(family, ssh(), source=TAGGED, destination=family.of(ONE)),
        ONE,
        port=TAGGED.port,
    )
    header = family.header(src=family.of(CLIENT), dst=family.of(TAGGED))
    prioritised = Ether(src=CLIENT.mac, dst=ROUTER) / Dot1Q(vlan=99, prio=5, dei=1) / header / ssh()
    out = hop(TAGGED, prioritised)
    out[Dot1Q].prio, out[Dot1Q].dei = 5, 1
    yield Case(
        f"{name}: from one VLAN to another, priority and drop eligibility stay",
        (Send(CLIENT.port, prioritised, (Out(TAGGED.port, out),)),),
    )
    header = family.header(src=family.of(CLIENT), dst=family.of(ONE))
    yield routed(
        f"{name}: a priority tag (VLAN 0) is no VLAN",
        Ether(src=CLIENT.mac, dst=ROUTER) / Dot1Q(vlan=0, prio=7) / header / ssh(),
        ONE,
    )


def _header_checksum_corners() -> Iterator[Case]:
    """RFC 1624 section 3's counter-example, and its neighbours, in the header checksum."""
    for corner in (0x0000, 0x0001, 0xFEFE, 0xFEFF, 0xFF00, 0xFFFE):
        frame = packet(V4, ssh(), destination=V4.of(ONE), id=0)
        missing = ((~corner & 0xFFFF) - (~parsed(frame)[IP].chksum & 0xFFFF)) % 0xFFFF
        frame[IP].id = missing
        assert parsed(frame)[IP].chksum == corner
        yield routed(f"an IPv4 header checksum arrives as 0x{corner:04x}", frame, ONE)
        if corner == 0x0000:
            other_zero = parsed(frame)
            other_zero[IP].chksum = 0xFFFF
            yield Case(
                "an IPv4 header checksum that arrives as 0xffff is 0x0000, too",
                (Send(CLIENT.port, other_zero, (Out(ONE.port, hop(ONE, frame)),)),),
            )


def _fragments() -> Iterator[Case]:
    """A router forwards fragments of what is not its own."""
    first = packet(
        V4, UDP(sport=1, dport=2, len=1000) / Payload(bytes(64)), destination=V4.of(ONE), flags="MF"
    )
    first = parsed(first)
    first[UDP].chksum = 0x1234  # covers the whole datagram, which is not here
    out = hop(ONE, first)
    out[UDP].chksum = 0x1234
    yield Case(
        "IPv4: a first fragment is routed, its UDP checksum untouched",
        (Send(CLIENT.port, first, (Out(ONE.port, out),), broken=True),),
    )
    for protocol, what in ((17, "UDP"), (6, "TCP"), (1, "ICMP")):
        later = packet(V4, Payload(b"\xff" * 3), destination=V4.of(ONE), proto=protocol, frag=8)
        yield routed(
            f"IPv4: a later fragment of {what} is routed, its first bytes taken for no header", later, ONE
        )
    yield routed(
        "IPv6: a later fragment is routed",
        packet(V6, IPv6ExtHdrFragment(offset=1, nh=17) / Payload(bytes(16)), destination=V6.of(ONE)),
        ONE,
    )


def _headers_in_between() -> Iterator[Case]:
    for what, extension in (
        ("hop-by-hop options", IPv6ExtHdrHopByHop()),
        ("destination options", IPv6ExtHdrDestOpt()),
    ):
        yield routed(
            f"IPv6: a packet with {what} is routed",
            packet(V6, extension / ssh(), destination=V6.of(ONE)),
            ONE,
        )
    yield routed(
        "IPv4: a packet with options is routed with them",
        packet(V4, ssh(), destination=V4.of(ONE), options=[IPOption_NOP()] * 40),
        ONE,
    )
    yield routed(
        "IPv4: ICMP is routed", packet(V4, ICMP(id=1, seq=1) / Payload(b"ping"), destination=V4.of(ONE)), ONE
    )
    yield routed(
        "IPv6: ICMPv6 is routed", packet(V6, ICMPv6EchoRequest(data=b"ping"), destination=V6.of(ONE)), ONE
    )
    quoted = bytes(IPv6(src=V6.of(ONE), dst=V6.of(CLIENT)) / TCP())
    yield routed(
        "IPv6: an ICMPv6 error is routed",
        packet(V6, ICMPv6TimeExceeded() / Payload(quoted), destination=V6.of(ONE)),
        ONE,
    )


CASES = [
    *(
        case
        for family in FAMILIES
        for cases in (_forwarding, _routes, _gleans, _vlans)
        for case in cases(family)
    ),
    *_header_checksum_corners(),
    *_fragments(),
    *_headers_in_between(),
]
