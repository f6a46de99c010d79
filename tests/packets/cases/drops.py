"""Every reason for which the program drops a packet, each with its counter.

Reasons that belong to another subject are there: a hop limit that ends, the way around a VIP, questions that
are not answered. `test_every_drop_reason_has_a_case` looks after all of them.
"""

from collections.abc import Iterator
from typing import Any

from scapy.contrib.mpls import MPLS
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import ICMPv6MLReport2, ICMPv6ND_RS, IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import ARP, GRE, LLC, Dot1AD, Dot1Q, Dot3, Ether
from scapy.layers.sctp import SCTP
from scapy.packet import Packet
from scapy.packet import Raw as Payload

from tests.packets import rows
from tests.packets.case import Case, Cell, Order, Out, Raw, Send, dropped
from tests.packets.cases.nat import dns, http
from tests.packets.cases.routing import ssh
from tests.packets.frames import hop, packet, parsed
from tests.packets.rows import NAT
from tests.packets.world import CLIENT, CPU, DNS, FAMILIES, HTTP, ONE, ROUTER, V4, V6, Family

SOMEBODY = "02:00:00:00:0d:01"


def drop(reason: str, shows: str, frame: Packet, **more: Any) -> Case:
    return dropped(f"{reason}: {shows}", reason, CLIENT.port, frame, **more)


def cut(frame: Packet, length: int) -> Packet:
    """The frame's first bytes, as a frame."""
    return Payload(bytes(frame)[:length])


# ---- malformed

ETHERNET, TAG, IPV4, IPV6 = 14, 4, 20, 40


def _malformed() -> Iterator[Case]:
    four = packet(V4, http(23001, "A", b"data"), destination=V4.nat_vip)
    six = packet(V6, http(23001, "A", b"data"), destination=V6.nat_vip)
    tagged = Ether(src=CLIENT.mac, dst=ROUTER) / Dot1Q(vlan=5) / four[IP]
    with_options = packet(V4, http(23001), destination=V4.nat_vip, options=[IPOption_NOP()] * 8)
    arp = Ether(src=CLIENT.mac, dst=ROUTER) / ARP(hwsrc=CLIENT.mac, psrc=CLIENT.v4, pdst=V4.router)
    for shows, frame in (
        ("an Ethernet header that is cut", cut(four, 13)),
        ("no bytes at all", cut(four, 0)),
        ("a VLAN tag that is cut", cut(tagged, ETHERNET + 3)),
        ("an ARP packet that is cut", cut(arp, ETHERNET + 27)),
        ("an IPv4 header that is cut", cut(four, ETHERNET + IPV4 - 1)),
        ("an IPv6 header that is cut", cut(six, ETHERNET + IPV6 - 1)),
        ("IPv4 options that are cut", cut(with_options, ETHERNET + IPV4 + 7)),
        ("a TCP header that is cut", cut(four, ETHERNET + IPV4 + 19)),
        ("a TCP header over IPv6 that is cut", cut(six, ETHERNET + IPV6 + 19)),
        ("an IPv4 packet that is shorter than it says", cut(four, len(four) - 1)),
        ("an IPv6 packet that is shorter than it says", cut(six, len(six) - 1)),
        ("a tagged IPv4 packet that is shorter than it says", cut(tagged, len(tagged) - 1)),
        ("an IPv4 header length below 5 words", packet(V4, http(23002), destination=V4.nat_vip, ihl=4)),
        ("an IPv4 header length of 0", packet(V4, http(23003), destination=V4.nat_vip, ihl=0)),
        ("an IPv4 packet shorter than its header", packet(V4, http(23004), destination=V4.nat_vip, len=19)),
        ("version 6 behind IPv4's EtherType", packet(V4, http(23005), destination=V4.nat_vip, version=6)),
        ("version 4 behind IPv6's EtherType", packet(V6, http(23006), destination=V6.nat_vip, version=4)),
        ("a TCP header in the padding", packet(V4, http(23007), destination=V4.nat_vip, len=39)),
        ("a TCP header in the padding over IPv6", packet(V6, http(23008), destination=V6.nat_vip, plen=19)),
        ("a UDP header in the padding", packet(V4, dns(23009), destination=V4.nat_vip, len=27)),
        ("a UDP header in the padding over IPv6", packet(V6, dns(23010), destination=V6.nat_vip, plen=7)),
        ("an ICMP header in the padding", packet(V4, ICMP(), destination=V4.nat_vip, len=27)),
    ):
        yield drop("malformed", shows, frame)
    yield Case(
        "malformed comes before everything else that is wrong with a packet",
        (
            Send(
                CLIENT.port,
                Ether(src=CLIENT.mac, dst=SOMEBODY)
                / IP(version=6, chksum=1, src=CLIENT.v4, dst=V4.nowhere)
                / ssh(),
            ),
        ),
        drops={"malformed": 1},
    )


# ---- what is not for us at all


def _admission() -> Iterator[Case]:
    four = packet(V4, ssh(), destination=V4.of(ONE))
    for bit in range(0, 16, 5):
        wrong = parsed(four)
        wrong[IP].chksum ^= 1 << bit
        yield drop("bad_ip_checksum", f"bit {bit} of the checksum", wrong)
    damaged = parsed(packet(V4, ssh(), destination=V4.of(ONE), options=[IPOption_NOP()] * 4))
    damaged = Ether(bytes(damaged)[: ETHERNET + IPV4] + b"\0" + bytes(damaged)[ETHERNET + IPV4 + 1 :])
    yield drop("bad_ip_checksum", "a damaged option", damaged)

    for family in FAMILIES:
        frame = packet(family, http(23101), destination=family.nat_vip)
        frame[Ether].dst = SOMEBODY
        yield drop("not_for_us", f"{family.name} to another station's MAC, though for a VIP", frame)
        frame = packet(family, http(23102), destination=family.nat_vip)
        frame[Ether].dst = "ff:ff:ff:ff:ff:ff"
        yield drop("ignored_multicast", f"{family.name} to every MAC, though for a VIP", frame)

    for shows, frame in (
        (
            "IPv4 multicast",
            Ether(src=CLIENT.mac, dst="01:00:5e:00:00:01") / IP(src=CLIENT.v4, dst="224.0.0.1") / UDP(),
        ),
        (
            "a DHCP-like broadcast",
            Ether(src=CLIENT.mac, dst="ff:ff:ff:ff:ff:ff") / IP(src="0.0.0.0", dst="255.255.255.255") / UDP(),
        ),
        (
            "a router solicitation",
            Ether(src=CLIENT.mac, dst="33:33:00:00:00:02")
            / IPv6(src="fe80::11", dst="ff02::2", hlim=255)
            / ICMPv6ND_RS(),
        ),
        (
            "a multicast listener report",
            Ether(src=CLIENT.mac, dst="33:33:00:00:00:16")
            / IPv6(src="fe80::11", dst="ff02::16", hlim=1)
            / ICMPv6MLReport2(),
        ),
        ("LLDP", Ether(src=CLIENT.mac, dst="01:80:c2:00:00:0e", type=0x88CC) / Payload(bytes(46))),
        ("spanning tree", Dot3(src=CLIENT.mac, dst="01:80:c2:00:00:00") / LLC() / Payload(bytes(43))),
    ):
        yield drop("ignored_multicast", shows, frame)

    four_ip = four[IP]
    for shows, frame in (
        ("MPLS", Ether(src=CLIENT.mac, dst=ROUTER) / MPLS(label=16) / four_ip),
        ("two VLAN tags", Ether(src=CLIENT.mac, dst=ROUTER) / Dot1Q(vlan=1) / Dot1Q(vlan=2) / four_ip),
        ("a provider's tag", Ether(src=CLIENT.mac, dst=ROUTER) / Dot1AD(vlan=1) / four_ip),
        ("an experimental EtherType", Ether(src=CLIENT.mac, dst=ROUTER, type=0x88B5) / Payload(bytes(46))),
        ("a length instead of a type", Dot3(src=CLIENT.mac, dst=ROUTER) / LLC() / Payload(bytes(43))),
    ):
        yield drop("unknown_protocol", shows, frame)

    for shows, source, destination in (
        ("an IPv6 packet from an IPv4-mapped address", "::ffff:10.0.0.11", V6.nat_vip),
        ("an IPv6 packet to a VIP by its IPv4-mapped address", CLIENT.v6, "::ffff:10.0.0.100"),
        ("an IPv6 packet to a backend by its IPv4-mapped address", CLIENT.v6, "::ffff:10.0.1.11"),
    ):
        yield drop("martian", shows, packet(V6, http(23103), address=source, destination=destination))


# ---- what nobody sends who means well


def _impossible(family: Family) -> Iterator[Case]:
    name, vip = family.name, family.nat_vip
    for shows, transport in (
        ("a TCP data offset below 5", TCP(sport=1, dport=HTTP, dataofs=4)),
        ("a TCP data offset beyond the packet", TCP(sport=1, dport=HTTP, dataofs=9)),
        ("a UDP length below 8", UDP(sport=1, dport=DNS, len=7)),
        ("a UDP length beyond the packet", UDP(sport=1, dport=DNS, len=9)),
    ):
        yield drop("bad_length", f"{name}: {shows}", packet(family, transport, destination=vip))
    for flags in ("F", "FPU", "P", "SFR", "FR", "SAF", "SAR"):
        transport = TCP(sport=1, dport=HTTP, flags=flags)
        yield drop("bad_flags", f"{name}: {flags}", packet(family, transport, destination=vip))
    nobodys = {
        "IPv4": ("0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
        "IPv6": ("::", "::1", "ff02::1"),
    }
    for source in nobodys[name]:
        for destination, what in ((vip, "a VIP"), (family.of(ONE), "a host")):
            frame = packet(family, http(23110), address=source, destination=destination)
            yield drop("martian", f"from {source} to {what}", frame)
    for source, what in ((vip, "the VIP itself"), (family.router, "the router")):
        frame = packet(family, http(23111), address=source, destination=vip)
        yield drop("own_source", f"{name}: to a VIP, from {what}", frame)
    ours = packet(family, http(23112), address=family.dsr_vip, source=ONE, destination=family.of(CLIENT))
    yield Case(
        f"{name}: what a backend sends from the VIP to a client is right",
        (Send(ONE.port, ours, (Out(CLIENT.port, hop(CLIENT, ours)),)),),
    )


# ---- to one of our addresses, and yet served by nobody


def _fragments() -> Iterator[Case]:
    """Of datagrams whose first fragment nobody saw."""
    rest = Payload(bytes(64))
    for number, protocol, what in ((701, 17, "UDP"), (702, 6, "TCP")):
        for flags, which in (("MF", "a later one, with more to come"), ("", "the last one")):
            later = packet(V4, rest, destination=V4.nat_vip, proto=protocol, frag=9, flags=flags, id=number)
            yield drop("fragment", f"{which}, of {what}", later)
    later = packet(V6, IPv6ExtHdrFragment(offset=9, nh=17, id=703) / rest, destination=V6.nat_vip)
    yield drop("fragment", "a later one over IPv6", later)


def _no_service(family: Family) -> Iterator[Case]:
    name, vip = family.name, family.nat_vip
    for shows, transport, destination in (
        ("a TCP port of a VIP that nobody serves", TCP(sport=1, dport=81, flags="S"), vip),
        ("a UDP port of a VIP that nobody serves", UDP(sport=1, dport=54), vip),
        ("a VIP's TCP port over UDP", UDP(sport=1, dport=HTTP), vip),
        ("a VIP's UDP port over TCP", TCP(sport=1, dport=DNS, flags="S"), vip),
        ("another protocol to a VIP", SCTP(sport=1, dport=HTTP), vip),
        ("another protocol to a router address", GRE(), family.router),
        ("TCP to a router address", TCP(sport=1, dport=22, flags="S"), family.router),
        ("UDP to a router address on the other side", UDP(sport=1, dport=33434), family.server_router),
    ):
        yield drop("no_service", f"{name}: {shows}", packet(family, transport, destination=destination))


def _service(family: Family) -> Iterator[Case]:
    name = family.name
    frame = packet(family, http(23301, "S"), destination=family.nat_vip)
    data = packet(family, http(23302), destination=family.nat_vip)
    query = packet(family, dns(23303), destination=family.nat_vip)
    pool, syns = family.tcp_pool, Cell("backend_syns", family.tcp_one)
    one = rows.backend(family.tcp_one, family.of(ONE), 8080)
    yield drop("no_pool", f"{name}: a VIP whose pool is not there", frame, without=(rows.pool(pool, NAT),))
    yield drop("no_backend", f"{name}: a bucket that is not there", frame, without=(rows.bucket(pool, 0, 1),))
    for shows, arriving, bucket in (
        ("a SYN into a bucket of nobody", frame, rows.bucket(pool, 0, 0)),
        ("data into a bucket of nobody", data, rows.bucket(pool, 0, 0)),
        ("a SYN into a bucket that moves to nobody", frame, rows.bucket(pool, 0, 0, family.tcp_one)),
        ("a datagram into a bucket of nobody", query, rows.bucket(family.udp_pool, 0, 0)),
    ):
        yield drop("no_backend", f"{name}: {shows}", arriving, rows=(bucket,), counts={syns: 0})
    yield drop("no_backend", f"{name}: a backend that is not there", frame, without=(one,))
    yield drop("no_backend", f"{name}: a backend that is not there, for data", data, without=(one,))
    other = V6 if family is V4 else V4
    yield drop(
        "family_mismatch",
        f"{name}: a backend of the other family, nat",
        frame,
        rows=(rows.backend(family.tcp_one, other.of(ONE), 8080),),
    )
    yield drop(
        "family_mismatch",
        f"{name}: a backend of the other family, dsr",
        packet(family, http(23304), destination=family.dsr_vip),
        rows=(rows.backend(family.dsr_one, other.of(ONE)),),
    )
    own = packet(family, http(23305, "S"), source=ONE, destination=family.nat_vip)
    yield Case(
        f"hairpin: {name}: a nat backend that is given itself",
        (Send(ONE.port, own),),
        drops={"hairpin": 1},
        counts={syns: 0},
    )


# ---- packet-outs


def _packet_outs() -> Iterator[Case]:
    frame = Ether(src=ROUTER, dst=CLIENT.mac) / Payload(bytes(46))
    for shows, order, port in (
        ("an order that does not exist", 4, CLIENT.port),
        ("the last order there could be", 255, CLIENT.port),
        ("the drop port", 0, 511),
        ("a port that needs more bits than ports have", 0, 512 + CLIENT.port),
        ("the last port there could be", 0, 65535),
        ("the controller's own port", 0, CPU),
    ):
        yield Case(f"bad_packet_out: {shows}", (Order(order, port, frame),), drops={"bad_packet_out": 1})
    yield Case("bad_packet_out: a header that is cut", (Raw(b"\0\0"),), drops={"bad_packet_out": 1})
    yield Case("bad_packet_out: nothing at all", (Raw(b""),), drops={"bad_packet_out": 1})


CASES = [
    *_malformed(),
    *_admission(),
    *_fragments(),
    *(
        case
        for family in FAMILIES
        for cases in (_impossible, _no_service, _service)
        for case in cases(family)
    ),
    *_packet_outs(),
]
