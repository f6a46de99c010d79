"""Network namespaces of the tests' own, and veth pairs to speak to a switch through."""

import ctypes
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLONE_NEWNET = 0x40000000
SOL_PACKET = 263
PACKET_AUXDATA = 8
PACKET_VNET_HDR = 15
PACKET_IGNORE_OUTGOING = 23
SO_RCVBUFFORCE = 33
ETH_P_ALL = 3
TP_STATUS_VLAN_VALID = 1 << 4
RECEIVE_TIMEOUT = 10.0  # seconds; a packet takes well under a millisecond

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno))


@contextmanager
def own_network() -> Iterator[None]:
    """Puts the calling thread, and what it starts, into a new network namespace, which ends with them."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _check(_libc.unshare(CLONE_NEWNET))
        ip("link set lo up")
        yield
    finally:
        _check(_libc.setns(before, CLONE_NEWNET))
        os.close(before)


def ip(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True, capture_output=True)


class Wire:
    """A veth pair: `port` is for the switch, the test sends and receives at the other end."""

    def __init__(self, port: str, mtu: int = 1500) -> None:
        self.port = port
        self.end = f"{port}-end"
        ip(f"link add {port} type veth peer name {self.end}")
        for name in (self.port, self.end):
            Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
            ip(f"link set {name} mtu {mtu} up")
        self._socket = self._open()

    def _open(self) -> socket.socket:
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        opened.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        opened.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        opened.bind((self.end, ETH_P_ALL))
        opened.settimeout(RECEIVE_TIMEOUT)
        return opened

    def send(self, packet: bytes) -> None:
        self._socket.send(packet)

    def send_left(self, left: bytes, packet: bytes) -> None:
        """A packet of which something is left to the interface: a struct virtio_net_hdr says what."""
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
            sender.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
            sender.bind((self.end, 0))
            sender.send(left + packet)

    def receive(self, timeout: float = RECEIVE_TIMEOUT) -> bytes:
        """The next packet, with the VLAN tag that the kernel keeps beside it. Raises TimeoutError."""
        self._socket.settimeout(timeout)
        packet, auxiliary, _, _ = self._socket.recvmsg(128 << 10, 256)
        for level, kind, data in auxiliary:
            if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
                status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", data[:20])
                if status & TP_STATUS_VLAN_VALID:
                    return packet[:12] + struct.pack("!HH", tpid or 0x8100, tci) + packet[12:]
        return packet

    def is_silent(self, seconds: float = 0.3) -> bool:
        """Whether nothing arrives for so long."""
        try:
            self.receive(seconds)
        except TimeoutError:
            return True
        return False

    def remove(self) -> None:
        """The pair vanishes."""
        self._socket.close()
        ip(f"link delete {self.port}")
