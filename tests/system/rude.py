"""Clients that no server should be blamed for: `rude.py ADDRESS PORT COUNT`, as root.

COUNT connections are reset as soon as they stand, and COUNT SYNs come from addresses that nobody has.
"""

import socket
import struct
import sys
import time
from ipaddress import IPv4Address

from scapy.layers.inet import IP, TCP

LINGER_NOT = struct.pack("ii", 1, 0)
"""Of SO_LINGER: close() resets."""
FORGED = IPv4Address("10.0.0.150")
SOURCES = 50
SECONDS = 5.0


def reset(address: str, port: int) -> None:
    with socket.create_connection((address, port), SECONDS) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)


def main() -> None:
    address, port, times = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        for number in range(times):
            reset(address, port)
            source = str(FORGED + number % SOURCES)
            syn = IP(src=source, dst=address) / TCP(sport=2000 + number, dport=port, flags="S")
            raw.sendto(bytes(syn), (address, 0))
            time.sleep(0.01)
    print("done")


if __name__ == "__main__":
    main()
