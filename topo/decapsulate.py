"""Takes the outer headers off what `ipip`, `gre` and `gue` pools send to a backend; its kernel gets the rest.

Few kernels come with all these tunnels, so a process of each backend does it on every machine alike. The
kernel hands over the packets of a tunnel's protocol, reassembled and with a sound outer header, and takes the
client's packet from a TUN interface. What is not exactly as the RFCs have it is not unwrapped.
"""

import argparse
import fcntl
import os
import selectors
import socket
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

READY = "ready"

INTERFACE = "tunnels"
TUNSETIFF = 0x400454CA  # linux/if_tun.h, as the two after it
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
UDP_NO_CHECK6_RX = 102  # linux/udp.h

GUE_PORT = 6080
LARGEST_PACKET = 65535

IPV4_BYTES, IPV6_BYTES = 20, 40
VERSIONS = {socket.IPPROTO_IPIP: 4, socket.IPPROTO_IPV6: 6}
"""IP protocol number to the version of the packet that follows (RFC 2003, RFC 2473, RFC 4213)."""
ETHERTYPES = {0x0800: 4, 0x86DD: 6}


def packet_of_version(version: int | None, packet: bytes) -> bytes | None:
    """`packet` if it is a whole IP packet of `version` and nothing besides."""
    if version == 4 and len(packet) >= IPV4_BYTES and packet[0] >> 4 == 4:
        (length,) = struct.unpack_from("!H", packet, 2)
        return packet if length == len(packet) else None
    if version == 6 and len(packet) >= IPV6_BYTES and packet[0] >> 4 == 6:
        (length,) = struct.unpack_from("!H", packet, 4)
        return packet if IPV6_BYTES + length == len(packet) else None
    return None


def without_gre(payload: bytes) -> bytes | None:
    """What a GRE header without options, version 0, holds (RFC 2784)."""
    if len(payload) < 4:
        return None
    flags, ethertype = struct.unpack_from("!HH", payload)
    return packet_of_version(ETHERTYPES.get(ethertype), payload[4:]) if flags == 0 else None


def without_gue(payload: bytes) -> bytes | None:
    """What a GUE header holds: variant 0, data, no options (draft-ietf-intarea-gue, 3.1)."""
    if len(payload) < 4 or payload[0] != 0 or payload[2:4] != b"\0\0":
        return None
    return packet_of_version(VERSIONS.get(payload[1]), payload[4:])


def without_ipv4(packet: bytes) -> bytes:
    """The payload of an IPv4 packet: a raw socket of that family hands over the outer header too."""
    return packet[4 * (packet[0] & 0x0F) :]


@dataclass(frozen=True)
class Entry:
    """A socket that hands over packets of a tunnel, and how the client's packet is found in them."""

    socket: socket.socket
    unwrap: Callable[[bytes], bytes | None]


def entries(mode: str) -> list[Entry]:
    """The entries of a mode, for underlays of both families."""
    if mode == "gue":
        return [Entry(_gue_socket(), without_gue)]
    if mode == "gre":
        return _raw_entries(socket.IPPROTO_GRE, without_gre)
    return [
        entry
        for protocol, version in VERSIONS.items()
        for entry in _raw_entries(protocol, lambda payload, of=version: packet_of_version(of, payload))
    ]


def _raw_entries(protocol: int, unwrap: Callable[[bytes], bytes | None]) -> list[Entry]:
    found = [
        Entry(
            socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol),
            lambda packet: unwrap(without_ipv4(packet)),
        )
    ]
    if socket.has_dualstack_ipv6():
        found.append(Entry(socket.socket(socket.AF_INET6, socket.SOCK_RAW, protocol), unwrap))
    return found


def _gue_socket() -> socket.socket:
    if not socket.has_dualstack_ipv6():
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("0.0.0.0", GUE_PORT))
        return udp
    udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    udp.setsockopt(socket.IPPROTO_UDP, UDP_NO_CHECK6_RX, 1)  # RFC 6935
    udp.bind(("::", GUE_PORT))
    return udp


def open_tun(name: str) -> int:
    """A TUN interface, whose packets are those written to the descriptor. It goes when that is closed."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return descriptor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modes", nargs="+", choices=("ipip", "gre", "gue"))
    arguments = parser.parse_args()
    tun = open_tun(INTERFACE)
    subprocess.run(["ip", "link", "set", INTERFACE, "up"], check=True)
    Path(f"/proc/sys/net/ipv4/conf/{INTERFACE}/rp_filter").write_text("0")
    waiting = selectors.DefaultSelector()
    for mode in arguments.modes:
        for entry in entries(mode):
            entry.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            waiting.register(entry.socket, selectors.EVENT_READ, entry)
    print(READY, flush=True)
    while True:
        for key, _ in waiting.select():
            packet = key.data.unwrap(key.data.socket.recv(LARGEST_PACKET))
            if packet is not None:
                os.write(tun, packet)


if __name__ == "__main__":
    main()
