"""Every way from a client to a backend: mode, the client's family, and for a tunnel what carries it.

What a backend must get is built by scapy from the RFCs' text: RFC 2003 and 2473 (ipip), RFC 2784 (gre), RFC
7348 (vxlan), draft-ietf-intarea-gue (gue); RFC 6040 4.1 for DSCP and ECN, RFC 6864 for the identification,
RFC 6438 for the flow label, RFC 6935 for the UDP checksum of 0.
"""

from dataclasses import dataclass
from socket import IPPROTO_GRE, IPPROTO_IPIP, IPPROTO_IPV6, IPPROTO_UDP
from typing import Any

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE as Gre
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN as Vxlan
from scapy.packet import Packet

from tests.packets import rows
from tests.packets.case import Out
from tests.packets.cases import nat
from tests.packets.flows import Flow
from tests.packets.frames import hop, network, packet, toward
from tests.packets.gue import GUE as Gue
from tests.packets.gue import PORT as GUE_PORT
from tests.packets.rows import DSR, GRE, GUE, IPIP, NAT, VXLAN, Row
from tests.packets.world import FAMILIES, ONE, TWO, V4, Family, Station

MODES = {NAT: "nat", DSR: "dsr", IPIP: "ipip", GRE: "gre", VXLAN: "vxlan", GUE: "gue"}
TUNNELS = (IPIP, GRE, VXLAN, GUE)
OWN_HEADERS = {IPIP: 0, GRE: 4, VXLAN: 8 + 8 + 14, GUE: 8 + 4}
"""Bytes between the outer IP header and the packet."""

VXLAN_PORT = 4789
OUTER_TTL = 64


@dataclass(frozen=True)
class Way:
    """A mode for a family of clients, to backends one and two. underlay: what carries the tunnel."""

    mode: int
    family: Family
    underlay: Family | None = None

    def __str__(self) -> str:
        over = f" over {self.underlay.name}" if self.underlay else ""
        return f"{self.family.name} {MODES[self.mode]}{over}"

    @property
    def vip(self) -> str:
        return self.family.nat_vip if self.mode == NAT else self.family.dsr_vip

    def pool(self, protocol: int) -> int:
        if self.mode != NAT:
            return self.family.dsr_pool
        return self.family.tcp_pool if protocol == rows.TCP else self.family.udp_pool

    def backends(self, protocol: int) -> tuple[int, int]:
        family = self.family
        if self.mode != NAT:
            return family.dsr_one, family.dsr_two
        if protocol == rows.TCP:
            return family.tcp_one, family.tcp_two
        return family.udp_one, family.udp_two

    def backend(self, protocol: int, station: Station = ONE) -> Row:
        """The entry that takes a packet to the first backend."""
        port = 0 if self.mode != NAT else nat.BACKEND_HTTP if protocol == rows.TCP else nat.BACKEND_DNS
        return rows.backend(self.backends(protocol)[0], (self.underlay or self.family).of(station), port)

    @property
    def rows(self) -> tuple[Row, ...]:
        """What the base network has to have besides: it is all there for nat and dsr."""
        if self.underlay is None:
            return ()
        family, underlay = self.family, self.underlay
        both = ((family.dsr_one, ONE), (family.dsr_two, TWO))
        return (
            rows.pool(family.dsr_pool, self.mode),
            *(rows.backend(number, underlay.of(station)) for number, station in both),
            *(rows.tunnel(number, underlay.server_router) for number, _ in both),
        )

    @property
    def overhead(self) -> int:
        """Bytes that the tunnel adds."""
        if self.underlay is None:
            return 0
        return OWN_HEADERS[self.mode] + (20 if self.underlay is V4 else 40)

    def to_vip(self, transport: Packet, **fields: Any) -> Packet:
        """A client's frame. `fields` are those of frames.packet."""
        return packet(self.family, transport, destination=self.vip, **fields)

    def delivered(self, frame: Packet, station: Station = ONE, *, entropy: int | None = None) -> Out:
        """The client's frame as the backend gets it. entropy: the flow's, unless it is given."""
        if self.mode == NAT:
            return nat.delivered(self.family, frame, station)
        if self.underlay is None:
            return Out(station.port, hop(station, frame))
        spread = self.entropy(frame) if entropy is None else entropy
        return self.carried(network(hop(station, frame)), station, spread)

    def carried(self, inner: Packet, station: Station = ONE, entropy: int = 0) -> Out:
        """An IP packet that has lost its hop, on its way to the backend."""
        packet = self._around(inner, station, entropy) if self.underlay else inner
        return Out(station.port, toward(station) / packet)

    def entropy(self, frame: Packet) -> int:
        """What all packets of the frame's flow have in common, for the underlay to spread flows by."""
        ip = network(frame)
        protocol, ports = (rows.TCP, ip[TCP]) if TCP in ip else (rows.UDP, ip[UDP])
        flow = Flow(ip.src, ports.sport, ip.dst, ports.dport, protocol)
        return flow.digest(self.pool(protocol))

    def _around(self, inner: Packet, station: Station, entropy: int) -> Packet:
        """The outer IP packet."""
        assert self.underlay is not None
        family, ethertype, marks = (
            (IPPROTO_IPIP, 0x0800, inner.tos) if isinstance(inner, IP) else (IPPROTO_IPV6, 0x86DD, inner.tc)
        )
        udp = UDP(sport=0xC000 | entropy & 0x3FFF, chksum=0)
        ethernet = Ether(src=rows.INNER_SOURCE_MAC, dst=rows.INNER_DESTINATION_MAC, type=ethertype)
        if self.mode == GRE:
            protocol, within = IPPROTO_GRE, Gre(proto=ethertype) / inner
        elif self.mode == VXLAN:
            udp.dport = VXLAN_PORT
            protocol, within = IPPROTO_UDP, udp / Vxlan(flags="Instance", vni=rows.VNI) / ethernet / inner
        elif self.mode == GUE:
            udp.dport = GUE_PORT
            protocol, within = IPPROTO_UDP, udp / Gue(proto=family) / inner
        else:
            protocol, within = family, inner
        ends = {"src": self.underlay.server_router, "dst": self.underlay.of(station)}
        if self.underlay is V4:
            return IP(**ends, tos=marks, ttl=OUTER_TTL, flags="DF", id=0, proto=protocol) / within
        return IPv6(**ends, tc=marks, hlim=OUTER_TTL, fl=entropy & 0xFFFFF, nh=protocol) / within


WAYS = [
    *(Way(mode, family) for mode in (NAT, DSR) for family in FAMILIES),
    *(Way(mode, family, underlay) for mode in TUNNELS for family in FAMILIES for underlay in FAMILIES),
]
TUNNELLED = [way for way in WAYS if way.underlay is not None]
