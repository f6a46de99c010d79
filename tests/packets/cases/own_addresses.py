"""What the data plane answers for its own addresses by itself, and what it tells the controller."""

from collections.abc import Iterator
from typing import Any

from scapy.layers.inet import ICMP, IP, IPOption_Router_Alert
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6NDOptUnknown,
    ICMPv6PacketTooBig,
    IPv6,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import NoPayload, Packet, Padding
from scapy.packet import Raw as Payload

from tests.packets.case import Case, Out, Send, dropped
from tests.packets.frames import packet, with_checksum
from tests.packets.packet_in import Punt, packet_in
from tests.packets.world import CLIENT, OTHER_CLIENT, ROUTER, TAGGED, V4, V6, Station

BROADCAST = "ff:ff:ff:ff:ff:ff"
ALL_NODES = "ff02::1"
ALL_NODES_MAC = "33:33:00:00:00:01"
NOT_OURS_V4 = "10.0.0.77"
NOT_OURS_V6 = "fd00::77"
SOMEBODY = "02:00:00:00:0d:01"

# ---- ARP


def asks(address: str, station: Station = CLIENT, *, to: str = BROADCAST, **fields: Any) -> Packet:
    """An ARP request for an address. `fields` overwrite the ARP header's."""
    values = {"op": "who-has", "hwsrc": station.mac, "psrc": station.v4, "pdst": address, **fields}
    tag = Dot1Q(vlan=station.vlan) if station.vlan else NoPayload()
    return Ether(src=station.mac, dst=to) / tag / ARP(**values)


def told(address: str, station: Station = CLIENT, *, pdst: str | None = None) -> Packet:
    """Our reply to `asks`."""
    tag = Dot1Q(vlan=station.vlan) if station.vlan else NoPayload()
    reply = ARP(op="is-at", hwsrc=ROUTER, psrc=address, hwdst=station.mac, pdst=pdst or station.v4)
    return Ether(src=ROUTER, dst=station.mac) / tag / reply


def arp_answered(shows: str, question: Packet, answer: Packet, port: int = CLIENT.port) -> Case:
    return Case(shows, (Send(port, question, (Out(port, answer),)),))


def arp_punted(shows: str, frame: Packet) -> Case:
    return Case(shows, (Send(CLIENT.port, frame, (packet_in(Punt.ARP_REPLY, CLIENT.port, frame),)),))


ANNOUNCEMENT = asks(CLIENT.v4)
ARP_CASES = [
    arp_answered("ARP for a VIP is answered", asks(V4.nat_vip), told(V4.nat_vip)),
    arp_answered("ARP for a router address is answered", asks(V4.router), told(V4.router)),
    arp_answered("ARP sent to our MAC alone is answered", asks(V4.router, to=ROUTER), told(V4.router)),
    arp_answered(
        "ARP is answered on the port it came from",
        asks(V4.nat_vip, OTHER_CLIENT),
        told(V4.nat_vip, OTHER_CLIENT),
        OTHER_CLIENT.port,
    ),
    arp_answered(
        "ARP in a VLAN is answered in that VLAN",
        asks(V4.nat_vip, TAGGED),
        told(V4.nat_vip, TAGGED),
        TAGGED.port,
    ),
    arp_answered(
        "ARP padded to Ethernet's least length is answered as long",
        asks(V4.nat_vip) / Padding(bytes(18)),
        told(V4.nat_vip) / Padding(bytes(18)),
    ),
    arp_answered(
        "an ARP probe (RFC 5227: sender 0.0.0.0) for one of our addresses hears that it is taken",
        asks(V4.nat_vip, psrc="0.0.0.0"),
        told(V4.nat_vip, pdst="0.0.0.0"),
    ),
    arp_answered(
        "an announcement of one of our addresses by somebody else is contradicted",
        asks(V4.nat_vip, psrc=V4.nat_vip),
        told(V4.nat_vip, pdst=V4.nat_vip),
    ),
    arp_punted(
        "an ARP reply goes to the controller",
        Ether(src=CLIENT.mac, dst=ROUTER)
        / ARP(op="is-at", hwsrc=CLIENT.mac, psrc=CLIENT.v4, hwdst=ROUTER, pdst=V4.router),
    ),
    arp_punted(
        "a gratuitous ARP reply goes to the controller",
        Ether(src=CLIENT.mac, dst=BROADCAST)
        / ARP(op="is-at", hwsrc=CLIENT.mac, psrc=CLIENT.v4, hwdst=BROADCAST, pdst=CLIENT.v4),
    ),
    arp_punted(
        "an ARP announcement (RFC 5227: a request for one's own) goes to the controller", ANNOUNCEMENT
    ),
    dropped(
        "ARP for an address that is not ours is not answered", "arp_ignored", CLIENT.port, asks(NOT_OURS_V4)
    ),
    dropped(
        "ARP for another protocol is ignored", "arp_ignored", CLIENT.port, asks(V4.nat_vip, ptype=0x1234)
    ),
    dropped("ARP for other hardware is ignored", "arp_ignored", CLIENT.port, asks(V4.nat_vip, hwtype=6)),
    dropped(
        "ARP with longer hardware addresses is ignored", "arp_ignored", CLIENT.port, asks(V4.nat_vip, hwlen=8)
    ),
    dropped(
        "ARP with other protocol addresses is ignored", "arp_ignored", CLIENT.port, asks(V4.nat_vip, plen=16)
    ),
    dropped(
        "an ARP operation that is neither is ignored", "arp_ignored", CLIENT.port, asks(V4.nat_vip, op=3)
    ),
    dropped(
        "ARP to another station's MAC is not for us", "not_for_us", CLIENT.port, asks(V4.nat_vip, to=SOMEBODY)
    ),
]

# ---- Neighbor discovery

SOLICITED_NODE_VIP = "ff02::1:ff00:100"
SOLICITED_NODE_VIP_MAC = "33:33:ff:00:01:00"


def solicits(
    target: str,
    options: Packet | None = None,
    *,
    station: Station = CLIENT,
    source: str | None = None,
    destination: str = SOLICITED_NODE_VIP,
    to: str = SOLICITED_NODE_VIP_MAC,
    hops: int = 255,
    code: int = 0,
    **fields: Any,
) -> Packet:
    """A neighbor solicitation. `fields` are the IPv6 header's."""
    tag = Dot1Q(vlan=station.vlan) if station.vlan else NoPayload()
    header = IPv6(src=source or station.v6, dst=destination, hlim=hops, **fields)
    message = ICMPv6ND_NS(tgt=target, code=code)
    return Ether(src=station.mac, dst=to) / tag / header / (message / options if options else message)


def advertises(
    target: str,
    *,
    station: Station = CLIENT,
    destination: str | None = None,
    to: str | None = None,
    solicited: int = 1,
) -> Packet:
    """Our advertisement."""
    tag = Dot1Q(vlan=station.vlan) if station.vlan else NoPayload()
    header = IPv6(src=target, dst=destination or station.v6, hlim=255)
    message = ICMPv6ND_NA(tgt=target, R=1, S=solicited, O=1) / ICMPv6NDOptDstLLAddr(lladdr=ROUTER)
    return Ether(src=ROUTER, dst=to or station.mac) / tag / header / message


SOURCE_OPTION = ICMPv6NDOptSrcLLAddr(lladdr=CLIENT.mac)
NONCE_OPTION = ICMPv6NDOptUnknown(type=14, len=1, data=b"nonce!")

ADVERTISEMENT = (
    Ether(src=CLIENT.mac, dst=ROUTER)
    / IPv6(src=CLIENT.v6, dst=V6.router, hlim=255)
    / ICMPv6ND_NA(tgt=CLIENT.v6, R=0, S=1, O=1)
    / ICMPv6NDOptDstLLAddr(lladdr=CLIENT.mac)
)
UNSOLICITED = (
    Ether(src=CLIENT.mac, dst=ALL_NODES_MAC)
    / IPv6(src=CLIENT.v6, dst=ALL_NODES, hlim=255)
    / ICMPv6ND_NA(tgt=CLIENT.v6, R=0, S=0, O=1)
    / ICMPv6NDOptDstLLAddr(lladdr=CLIENT.mac)
)


def ndp_answered(shows: str, question: Packet, answer: Packet, port: int = CLIENT.port) -> Case:
    return Case(shows, (Send(port, question, (Out(port, answer),)),))


def ndp_punted(shows: str, frame: Packet) -> Case:
    return Case(
        shows, (Send(CLIENT.port, frame, (packet_in(Punt.NEIGHBOR_ADVERTISEMENT, CLIENT.port, frame),)),)
    )


def ndp_ignored(shows: str, frame: Packet) -> Case:
    return dropped(shows, "neighbor_solicitation_ignored", CLIENT.port, frame)


NDP_CASES = [
    ndp_answered(
        "a neighbor solicitation for a VIP is answered",
        solicits(V6.nat_vip, SOURCE_OPTION),
        advertises(V6.nat_vip),
    ),
    ndp_answered("one without options, too", solicits(V6.nat_vip), advertises(V6.nat_vip)),
    ndp_answered(
        "the options of a longer one are not in the answer",
        solicits(V6.nat_vip, SOURCE_OPTION / NONCE_OPTION),
        advertises(V6.nat_vip),
    ),
    ndp_answered(
        "padding behind a solicitation is not in the answer",
        solicits(V6.nat_vip, SOURCE_OPTION) / Padding(b"padding"),
        advertises(V6.nat_vip),
    ),
    ndp_answered(
        "a solicitation sent to the address itself (RFC 4861 7.3.3) is answered",
        solicits(V6.router, SOURCE_OPTION, destination=V6.router, to=ROUTER),
        advertises(V6.router),
    ),
    ndp_answered(
        "a solicitation in a VLAN is answered in that VLAN",
        solicits(V6.nat_vip, SOURCE_OPTION, station=TAGGED),
        advertises(V6.nat_vip, station=TAGGED),
        TAGGED.port,
    ),
    ndp_answered(
        "a solicitation from a link-local address is answered to it",
        solicits(V6.nat_vip, SOURCE_OPTION, source="fe80::11"),
        advertises(V6.nat_vip, destination="fe80::11"),
    ),
    ndp_answered(
        "duplicate address detection of one of ours: all nodes hear that it is taken (RFC 4861 7.2.4)",
        solicits(V6.nat_vip, NONCE_OPTION, source="::"),
        advertises(V6.nat_vip, destination=ALL_NODES, to=ALL_NODES_MAC, solicited=0),
    ),
    ndp_punted("a neighbor advertisement goes to the controller", ADVERTISEMENT),
    ndp_punted("an unsolicited one to all nodes, too", UNSOLICITED),
    ndp_ignored(
        "a solicitation for an address that is not ours is not answered", solicits(NOT_OURS_V6, SOURCE_OPTION)
    ),
    ndp_ignored(
        "a solicitation that crossed a router (RFC 4861 7.1.1: hop limit below 255) is not answered",
        solicits(V6.nat_vip, SOURCE_OPTION, hops=254),
    ),
    ndp_ignored("a solicitation with a code is not answered", solicits(V6.nat_vip, SOURCE_OPTION, code=1)),
    ndp_ignored(
        "a solicitation from :: to the address itself (RFC 4861 7.1.1) is not answered",
        solicits(V6.nat_vip, source="::", destination=V6.nat_vip, to=ROUTER),
    ),
    ndp_ignored(
        "an advertisement that crossed a router is not believed",
        Ether(src=CLIENT.mac, dst=ROUTER)
        / IPv6(src=CLIENT.v6, dst=V6.router, hlim=64)
        / ICMPv6ND_NA(tgt=CLIENT.v6),
    ),
    dropped(
        "a solicitation whose packet ends before its target does is malformed",
        "malformed",
        CLIENT.port,
        solicits(V6.nat_vip, SOURCE_OPTION, plen=23),
    ),
]

# ---- Echo


def pings4(
    destination: str, payload: bytes = b"ping", *, station: Station = CLIENT, hops: int = 64, **ip: Any
) -> Packet:
    return packet(
        V4,
        ICMP(type="echo-request", id=7, seq=9) / Payload(payload),
        source=station,
        destination=destination,
        hops=hops,
        **ip,
    )


def pongs4(source: str, payload: bytes = b"ping", *, station: Station = CLIENT, **ip: Any) -> Packet:
    tag = Dot1Q(vlan=station.vlan) if station.vlan else NoPayload()
    header = IP(src=source, dst=station.v4, ttl=64, **ip)
    return (
        Ether(src=ROUTER, dst=station.mac)
        / tag
        / header
        / ICMP(type="echo-reply", id=7, seq=9)
        / Payload(payload)
    )


def pings6(
    destination: str, payload: bytes = b"ping", *, station: Station = CLIENT, hops: int = 64, **ip: Any
) -> Packet:
    return packet(
        V6,
        ICMPv6EchoRequest(id=7, seq=9, data=payload),
        source=station,
        destination=destination,
        hops=hops,
        **ip,
    )


def pongs6(source: str, payload: bytes = b"ping", *, station: Station = CLIENT, **ip: Any) -> Packet:
    tag = Dot1Q(vlan=station.vlan) if station.vlan else NoPayload()
    header = IPv6(src=source, dst=station.v6, hlim=64, **ip)
    return Ether(src=ROUTER, dst=station.mac) / tag / header / ICMPv6EchoReply(id=7, seq=9, data=payload)


def pinged(shows: str, question: Packet, answer: Packet, port: int = CLIENT.port) -> Case:
    return Case(shows, (Send(port, question, (Out(port, answer),)),))


def _ping4_cases() -> Iterator[Case]:
    for name, address in (
        ("a VIP", V4.nat_vip),
        ("a router address", V4.router),
        ("a far router address", V4.server_router),
    ):
        yield pinged(f"a ping to {name} is answered over IPv4", pings4(address), pongs4(address))
    for length in (0, 1, 2, 57, 1400):
        payload = bytes(range(256)) * 6
        yield pinged(
            f"a ping of {length} bytes is answered over IPv4",
            pings4(V4.nat_vip, payload[:length]),
            pongs4(V4.nat_vip, payload[:length]),
        )
    yield pinged("a ping's TTL does not matter, ours is 64", pings4(V4.nat_vip, hops=1), pongs4(V4.nat_vip))
    yield pinged("nor if it is 255", pings4(V4.nat_vip, hops=255), pongs4(V4.nat_vip))
    yield pinged(
        "a ping in a VLAN is answered in that VLAN",
        pings4(V4.nat_vip, station=TAGGED),
        pongs4(V4.nat_vip, station=TAGGED),
        TAGGED.port,
    )
    yield pinged(
        "an IPv4 ping with options is answered with them",
        pings4(V4.nat_vip, options=[IPOption_Router_Alert()]),
        pongs4(V4.nat_vip, options=[IPOption_Router_Alert()]),
    )
    yield pinged(
        "a ping's identification, ToS and don't-fragment stay",
        pings4(V4.nat_vip, id=4711, tos=0xB8, flags="DF"),
        pongs4(V4.nat_vip, id=4711, tos=0xB8, flags="DF"),
    )
    for checksum in (0x0000, 0x0001, 0x07FF, 0x0800, 0xF7FF, 0xF800, 0xFFFE):
        question = with_checksum(pings4(V4.nat_vip, b"\0\0"), ICMP, checksum)
        yield pinged(
            f"a ping whose checksum is 0x{checksum:04x} gets an answer with the right one",
            question,
            pongs4(V4.nat_vip, question[Payload].load),
        )


def _ping6_checksums() -> Iterator[Case]:
    """The type in the checksum's word goes up by 0x0100."""
    for checksum in (0x0000, 0x0001, 0x00FF, 0x0100, 0xFEFF, 0xFF00, 0xFFFE):
        message = ICMPv6EchoRequest(id=7, seq=9) / Payload(b"\0\0")
        question = with_checksum(packet(V6, message, destination=V6.nat_vip), ICMPv6EchoRequest, checksum)
        yield pinged(
            f"an IPv6 ping whose checksum is 0x{checksum:04x} gets an answer with the right one",
            question,
            pongs6(V6.nat_vip, question[Payload].load),
        )


PING_CASES = [
    *_ping4_cases(),
    *_ping6_checksums(),
    *(
        pinged(f"a ping to {name} is answered over IPv6", pings6(address), pongs6(address))
        for name, address in (("a VIP", V6.nat_vip), ("a router address", V6.router))
    ),
    *(
        pinged(
            f"a ping of {length} bytes is answered over IPv6",
            pings6(V6.nat_vip, bytes(range(200))[:length]),
            pongs6(V6.nat_vip, bytes(range(200))[:length]),
        )
        for length in (0, 1, 57)
    ),
    pinged(
        "an IPv6 ping's traffic class and flow label stay, its hop limit does not matter",
        pings6(V6.nat_vip, tc=0xB8, fl=0x12345, hops=1),
        pongs6(V6.nat_vip, tc=0xB8, fl=0x12345),
    ),
    dropped(
        "an echo reply to a VIP is no question",
        "no_service",
        CLIENT.port,
        packet(V4, ICMP(type="echo-reply"), destination=V4.nat_vip),
    ),
    dropped(
        "another ICMP message to a router address is dropped",
        "no_service",
        CLIENT.port,
        packet(V4, ICMP(type="timestamp-request"), destination=V4.router),
    ),
    dropped(
        "another ICMPv6 message to a VIP is dropped",
        "no_service",
        CLIENT.port,
        packet(V6, ICMPv6PacketTooBig(mtu=1280) / Payload(bytes(48)), destination=V6.nat_vip),
    ),
    dropped("a fragment of a ping is not answered", "fragment", CLIENT.port, pings4(V4.nat_vip, flags="MF")),
    dropped(
        "nor is its later part",
        "fragment",
        CLIENT.port,
        packet(V4, Payload(b"rest"), destination=V4.nat_vip, proto=1, frag=3),
    ),
]

CASES = [*ARP_CASES, *NDP_CASES, *PING_CASES]
