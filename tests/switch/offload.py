"""Packets of hosts that leave work to the hardware of their interfaces, and what must become of them.

By scapy's arithmetic; and the functions of switch/runtime/offload.c, by way of offload.c here.
"""

import ctypes
import struct
from functools import cache
from pathlib import Path

from scapy.layers.inet import IP, TCP, UDP, IPOption_RR
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt
from scapy.layers.l2 import GRE, Dot1AD, Dot1Q, Ether
from scapy.layers.sctp import SCTP, SCTPChunkData
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from switch.build import RUNTIME, build

SOURCES = (Path(__file__).with_suffix(".c"), RUNTIME / "offload.c", RUNTIME / "layers.c", RUNTIME / "merge.c")

# struct virtio_net_hdr
NEEDS_CHECKSUM = 1
WHOLE, TCPV4, TCPV6, UDP_L4, ECN = 0, 1, 4, 5, 0x80
CHECKSUM_FIELDS = {TCP: 16, UDP: 6, SCTP: 8}

SEGMENT = 1000  # bytes of payload in a packet

ETHER = Ether(dst="02:00:00:00:00:01", src="02:00:00:00:00:02")
V4 = IP(src="10.0.0.1", dst="10.0.0.2", id=0xFFFE)
V6 = IPv6(src="fd00::1", dst="fd00::2", tc=5, fl=77)
TCP_FIELDS = {"sport": 1234, "dport": 80, "seq": 0xFFFFFF00, "ack": 5, "options": [("Timestamp", (1, 2))]}
TCP_HEADER = TCP(**TCP_FIELDS, flags="A")
UDP_HEADER = UDP(sport=1234, dport=53)
IN_VXLAN = VXLAN(vni=7, flags="Instance") / ETHER
TUNNEL_UDP = UDP(sport=4242, dport=4789)

CHECKSUMS = {
    "TCP, IPv4": ETHER / V4 / TCP_HEADER,
    "TCP, IPv6": ETHER / V6 / TCP_HEADER,
    "UDP, IPv4": ETHER / V4 / UDP_HEADER,
    "UDP, IPv6": ETHER / V6 / UDP_HEADER,
    "SCTP": ETHER / V4 / SCTP(sport=1, dport=2) / SCTPChunkData(data=b"abc"),
    "a VLAN tag": ETHER / Dot1Q(vlan=5, prio=3) / V4 / TCP_HEADER,
    "two VLAN tags": ETHER / Dot1AD(vlan=9) / Dot1Q(vlan=5) / V6 / UDP_HEADER,
    "VXLAN": ETHER / V4 / TUNNEL_UDP / IN_VXLAN / V6 / TCP_HEADER,
}
"""Headers whose innermost checksum is left to be completed."""

PLAIN = {
    "TCP, IPv4": (TCPV4, ETHER / V4 / TCP_HEADER),
    "TCP, IPv6": (TCPV6, ETHER / V6 / TCP_HEADER),
    "UDP, IPv4": (UDP_L4, ETHER / V4 / UDP_HEADER),
    "UDP, IPv6": (UDP_L4, ETHER / V6 / UDP_HEADER),
    "IPv4 with options": (TCPV4, ETHER / IP(dst="10.0.0.2", options=[IPOption_RR()]) / TCP_HEADER),
    "IPv6 with an extension": (TCPV6, ETHER / V6 / IPv6ExtHdrDestOpt() / TCP_HEADER),
    "flags of the last": (TCPV4, ETHER / V4 / TCP(**TCP_FIELDS, flags="AFP")),
    "a flag of the first": (TCPV4 | ECN, ETHER / V4 / TCP(**TCP_FIELDS, flags="AC")),
    "a VLAN tag": (TCPV4, ETHER / Dot1Q(vlan=5) / V4 / TCP_HEADER),
    "two VLAN tags": (UDP_L4, ETHER / Dot1AD(vlan=9) / Dot1Q(vlan=5) / V6 / UDP_HEADER),
}
"""Headers of super-packets, and their kind."""

TUNNELLED = {
    "IPv6 in IPv4": (TCPV6, ETHER / V4 / V6 / TCP_HEADER),
    "IPv4 in IPv6": (TCPV4, ETHER / V6 / V4 / TCP_HEADER),
    "GRE": (TCPV4, ETHER / V4 / GRE() / V4 / TCP_HEADER),
    "GRE with a checksum and a key": (
        TCPV6,
        ETHER / V6 / GRE(chksum_present=1, key_present=1, key=9) / V6 / TCP_HEADER,
    ),
    "GRE of Ethernet": (TCPV4, ETHER / V4 / GRE(proto=0x6558) / ETHER / V4 / TCP_HEADER),
    "VXLAN": (TCPV4, ETHER / V4 / TUNNEL_UDP / IN_VXLAN / V4 / TCP_HEADER),
    "VXLAN of UDP": (UDP_L4, ETHER / V4 / TUNNEL_UDP / IN_VXLAN / V4 / UDP_HEADER),
    "VXLAN, IPv6 in IPv6": (TCPV6, ETHER / V6 / TUNNEL_UDP / IN_VXLAN / V6 / TCP_HEADER),
    "VXLAN without a checksum": (
        TCPV4,
        ETHER / V4 / UDP(sport=4242, dport=4789, chksum=0) / IN_VXLAN / V4 / TCP_HEADER,
    ),
}
"""The same, as tunnels of the hosts' own make them. The kernel takes none of these from a packet socket."""


def left(flags: int = 0, kind: int = WHOLE, segment: int = 0, start: int = 0, offset: int = 0) -> bytes:
    """struct virtio_net_hdr."""
    header_length = start + 20 if kind != WHOLE else 0
    return struct.pack("=BBHHHH", flags, kind, header_length, segment, start, offset)


def carrying(payload: bytes, headers: Packet) -> Packet:
    return headers.copy() / Raw(payload)


def innermost(packet: Packet) -> Packet:
    """The last transport header."""
    found = [layer for layer in map(packet.getlayer, range(20)) if isinstance(layer, TCP | UDP | SCTP)]
    return found[-1]


def ones_sum(data: bytes | bytearray) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data[: len(data) & ~1]))
    total += data[-1] << 8 if len(data) % 2 else 0
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def handed_over(packet: Packet, kind: int = WHOLE) -> tuple[bytes, bytes]:
    """What the host says of a packet, and the packet, whose innermost checksum it left to its interface.

    The field of the checksum has the sum of the pseudo-header only. In a packet with the right checksum that
    is what its transport header and payload lack to all ones.
    """
    frame = bytearray(bytes(packet))
    transport = innermost(packet)
    start = len(frame) - len(transport)
    offset = CHECKSUM_FIELDS[type(transport)]
    if isinstance(transport, SCTP):
        frame[start + offset : start + offset + 4] = bytes(4)
    else:
        frame[start + offset : start + offset + 2] = struct.pack("!H", 0xFFFF - ones_sum(frame[start:]))
    return left(NEEDS_CHECKSUM, kind, SEGMENT if kind else 0, start, offset), bytes(frame)


def packets_of(payload: bytes, headers: Packet) -> list[bytes]:
    """What a super-packet stands for: by Linux's rules, and RFC 3168's for ECN."""
    parts = [payload[at : at + SEGMENT] for at in range(0, len(payload), SEGMENT)]
    made = []
    for number, part in enumerate(parts):
        one = carrying(part, headers)
        for layer in map(one.getlayer, range(20)):
            if isinstance(layer, IP):
                layer.id = (layer.id + number) & 0xFFFF
        transport = innermost(one)
        if isinstance(transport, TCP):
            transport.seq = (transport.seq + number * SEGMENT) & 0xFFFFFFFF
            if number > 0:
                transport.flags.C = False
            if number < len(parts) - 1:
                transport.flags.P = transport.flags.F = False
        made.append(bytes(one))
    return made


# ---- The functions themselves ----

_RECEIVE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint)
GUARD = b"\xa5" * 256
"""On both sides of a packet, and never written."""


@cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(str(build("offload-test", SOURCES)))


class _Guarded:
    """A copy of a packet in memory."""

    def __init__(self, packet: bytes) -> None:
        self._length = len(packet)
        self._memory = ctypes.create_string_buffer(GUARD + packet + GUARD, len(packet) + 2 * len(GUARD))
        self.address = ctypes.byref(self._memory, len(GUARD))

    def bytes(self) -> bytes:
        memory, end = self._memory.raw, len(GUARD) + self._length
        assert memory[: len(GUARD)] == memory[end:] == GUARD, "written outside the packet"
        return memory[len(GUARD) : end]


def complete(left: bytes, packet: bytes) -> bytes | None:
    """The packet with its checksum; None if there is no place for one."""
    memory = _Guarded(packet)
    done = _library().complete(memory.address, len(packet), left)
    after = memory.bytes()
    return after if done else None


def cut(left: bytes, packet: bytes) -> list[bytes]:
    """The packets that a super-packet is cut into; none if its headers make no sense."""
    memory = _Guarded(packet)
    packets: list[bytes] = []
    receive = _RECEIVE(lambda _, start, length: packets.append(ctypes.string_at(start, length)))
    count = _library().cut(memory.address, len(packet), left, receive)
    memory.bytes()
    assert count == len(packets)
    return packets


def joins(first: bytes, second: bytes) -> bool:
    """Whether two packets leave in one."""
    memory = ctypes.create_string_buffer(first, len(first) + len(second))
    return bool(_library().joins(memory, len(first), second, len(second)))
