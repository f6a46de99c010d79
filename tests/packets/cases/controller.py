"""Orders of the controller: a packet-out leaves as it is, whatever it is."""

from collections.abc import Iterator

from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet
from scapy.packet import Raw as Payload

from tests.packets.case import Case, Order, Out
from tests.packets.cases.nat import http
from tests.packets.world import CLIENT, ONE, PORTS, ROUTER, V4, V6

SEND = 0


def sent(shows: str, frame: Packet, port: int = ONE.port, *, broken: bool = False) -> Case:
    return Case(f"packet-out: {shows}", (Order(SEND, port, frame, (Out(port, frame),), broken=broken),))


def _cases() -> Iterator[Case]:
    question = Ether(src=ROUTER, dst="ff:ff:ff:ff:ff:ff") / ARP(hwsrc=ROUTER, psrc=V4.router, pdst=CLIENT.v4)
    for port in PORTS:
        yield sent(f"an ARP request leaves by port {port}", question, port)
    yield sent(
        "a tagged frame stays tagged",
        Ether(src=ROUTER, dst=ONE.mac) / Dot1Q(vlan=5, prio=3) / IP(src=V4.router, dst=ONE.v4) / TCP(),
    )
    to_vip = Ether(src=CLIENT.mac, dst=ROUTER) / IP(src=CLIENT.v4, dst=V4.nat_vip, ttl=1) / http(24001, "S")
    yield sent("a packet for a VIP is not balanced: an order is an order", to_vip)
    yield sent(
        "one whose hop limit is 0 leaves",
        Ether(src=ROUTER, dst=ONE.mac) / IPv6(src=V6.router, dst=V6.of(ONE), hlim=0) / TCP(),
    )
    yield sent(
        "damaged checksums are not looked at",
        Ether(src=ROUTER, dst=ONE.mac) / IP(src=V4.router, dst=ONE.v4, chksum=7) / TCP(),
        broken=True,
    )
    yield sent(
        "a frame of another EtherType leaves",
        Ether(src=ROUTER, dst=ONE.mac, type=0x88B5) / Payload(bytes(range(60))),
    )
    yield sent("an Ethernet header alone leaves", Ether(src=ROUTER, dst=ONE.mac, type=0x88B5))
    yield sent("a large frame leaves", Ether(src=ROUTER, dst=ONE.mac, type=0x88B5) / Payload(bytes(8986)))


CASES = list(_cases())
