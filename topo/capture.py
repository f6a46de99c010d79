"""Watches an interface for the SYNs of new connections to one TCP port; a JSON line each, as they come.

It runs on a backend's own side of its link, so what it sees is what the switch sent there. SYN means what it
means in the P4 program: SYN without ACK, FIN or RST.
"""

import argparse
import ipaddress
import json
import socket
import struct
import time
from collections.abc import Iterator

from topo.direct import VXLAN_PORT
from topo.lab import READY

ETH_P_ALL = 3
ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_IPV6 = 0x86DD
ETHERNET_BYTES = 14
IPV6_BYTES = 40
UDP_BYTES = VXLAN_BYTES = 8
TCP_FLAGS_OFFSET = 13
FLAGS_OF_INTEREST = 0x17
SYN = 0x02
PACKET_OUTGOING = 4
SO_TIMESTAMPNS = 35
TIMESPEC = struct.Struct("@ll")


def new_connections(interface: str, port: int, without: frozenset[str]) -> Iterator[tuple[float, str]]:
    """(monotonic time, source address) of each SYN to `port` that arrives, but those of `without`."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as raw:
        raw.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        raw.bind((interface, 0))
        print(READY, flush=True)
        while True:
            frame, control, _, address = raw.recvmsg(128, socket.CMSG_SPACE(TIMESPEC.size))
            if address[2] == PACKET_OUTGOING:
                continue
            source = syn_source(frame, port)
            if source is not None and source not in without:
                yield arrival(control), source


def arrival(control: list[tuple[int, int, bytes]]) -> float:
    """When the kernel saw a packet, as monotonic time; how that differs from its own clock is taken now."""
    return kernel_time(control) - (time.time() - time.monotonic())


def kernel_time(control: list[tuple[int, int, bytes]]) -> float:
    """When the kernel saw a packet, by CLOCK_REALTIME: however late this process comes to read it."""
    for level, kind, data in control:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            seconds, nanoseconds = TIMESPEC.unpack(data[: TIMESPEC.size])
            return seconds + nanoseconds / 1e9
    raise RuntimeError("the kernel gave a packet no time")


def syn_source(frame: bytes, port: int) -> str | None:
    """The source of an Ethernet frame that is a SYN to TCP `port`, also in VXLAN; None for any other."""
    if len(frame) < ETHERNET_BYTES + 20:
        return None
    (ethertype,) = struct.unpack_from("!H", frame, 12)
    packet = frame[ETHERNET_BYTES:]
    if ethertype == ETHERTYPE_IPV4:
        protocol, source, tcp = packet[9], packet[12:16], packet[4 * (packet[0] & 0x0F) :]
    elif ethertype == ETHERTYPE_IPV6:
        protocol, source, tcp = packet[6], packet[8:24], packet[IPV6_BYTES:]
    else:
        return None
    if protocol == socket.IPPROTO_UDP and tcp[2:4] == VXLAN_PORT.to_bytes(2, "big"):
        return syn_source(tcp[UDP_BYTES + VXLAN_BYTES :], port)
    if protocol != socket.IPPROTO_TCP:
        return None
    if len(tcp) <= TCP_FLAGS_OFFSET or struct.unpack_from("!H", tcp, 2)[0] != port:
        return None
    if tcp[TCP_FLAGS_OFFSET] & FLAGS_OF_INTEREST != SYN:
        return None
    return str(ipaddress.ip_address(source))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interface", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--without", action="append", default=[], help="a source that is not a client")
    arguments = parser.parse_args()
    for moment, source in new_connections(arguments.interface, arguments.port, frozenset(arguments.without)):
        print(json.dumps({"moment": moment, "source": source}), flush=True)


if __name__ == "__main__":
    main()
