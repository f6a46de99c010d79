"""A network namespace of the tests' own, with a pair of interfaces for each port of a switch."""

import contextlib
import ctypes
import itertools
import os
import select
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from tests.packets.world import PORTS

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3
SOL_PACKET = 263
PACKET_AUXDATA = 8
PACKET_IGNORE_OUTGOING = 23
TP_STATUS_VLAN_VALID = 1 << 4
TP_STATUS_VLAN_TPID_VALID = 1 << 6
AUXDATA = struct.Struct("=IIIHHHH")  # struct tpacket_auxdata
VLAN_ETHERTYPE = 0x8100
LARGEST_FRAME = 65536
LARGEST_MTU = 9000


def can_make_namespaces() -> bool:
    return os.geteuid() == 0


def in_namespace(name: str, work: Callable[[], T]) -> T:
    """Run `work` in a thread that has entered the namespace; sockets made there stay in it.

    name: as `ip netns` knows it, or for one that has none the absolute path of its file.
    """
    outcome: list[T] = []
    failure: list[BaseException] = []

    def enter() -> None:
        try:
            with Path("/run/netns", name).open() as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"cannot enter the namespace {name}")
            outcome.append(work())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _configure(name: str, mtu: int) -> None:
    """Interfaces up, and silent: without IPv6 and without ARP nothing but the tests sends on them."""

    def ip(*words: str) -> None:
        _ip("-n", name, *words)

    ip("link", "set", "lo", "up")
    for port in PORTS:
        near, far = switch_side(port), test_side(port)
        ip("link", "add", near, "type", "veth", "peer", "name", far)
        for interface in (near, far):
            # By hand: a minimal Debian has no sysctl.
            silence = f"echo 1 > /proc/sys/net/ipv6/conf/{interface}/disable_ipv6"
            subprocess.run(["ip", "netns", "exec", name, "sh", "-c", silence], check=True)
            ip("link", "set", interface, "mtu", str(mtu), "arp", "off", "up")


def switch_side(port: int) -> str:
    return f"sw{port}"


def test_side(port: int) -> str:
    return f"far{port}"


test_side.__test__ = False  # type: ignore[attr-defined]  # not a test, whatever pytest thinks of its name


class Wires:
    """The far ends: frames to and from the switch's ports, with VLAN tags where the wire has them."""

    kind = "on interfaces"

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self._sockets = {
            port: in_namespace(namespace, lambda port=port: _raw_socket(test_side(port))) for port in PORTS
        }
        self._ports = {sock.fileno(): port for port, sock in self._sockets.items()}

    def send(self, port: int, frame: bytes) -> None:
        self._sockets[port].send(frame)

    def receive(self, timeout: float) -> Iterator[tuple[int, bytes]]:
        """What has arrived by now, waiting `timeout` seconds for the first of it."""
        ready, _, _ = select.select(list(self._sockets.values()), [], [], timeout)
        for sock in ready:
            with contextlib.suppress(BlockingIOError):
                while True:
                    yield self._ports[sock.fileno()], _receive_frame(sock)

    def close(self) -> None:
        for sock in self._sockets.values():
            sock.close()


def _raw_socket(interface: str) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind((interface, ETH_P_ALL))
    sock.setblocking(False)
    return sock


def _receive_frame(sock: socket.socket) -> bytes:
    frame, ancillary, _, _ = sock.recvmsg(LARGEST_FRAME, socket.CMSG_SPACE(AUXDATA.size))
    for level, kind, data in ancillary:
        if (level, kind) != (SOL_PACKET, PACKET_AUXDATA):
            continue
        status, _, _, _, _, tci, tpid = AUXDATA.unpack(data[: AUXDATA.size])
        if status & TP_STATUS_VLAN_VALID:  # the kernel took the tag off; put it back where it was
            tpid = tpid if status & TP_STATUS_VLAN_TPID_VALID else VLAN_ETHERTYPE
            frame = frame[:12] + struct.pack("!HH", tpid, tci) + frame[12:]
    return frame


_NUMBERS = itertools.count()


@contextlib.contextmanager
def namespace(purpose: str, mtu: int = LARGEST_MTU) -> Iterator[str]:
    """A namespace with the interfaces, deleted in the end with all that is in it."""
    name = f"sluice-test-{purpose}-{os.getpid()}-{next(_NUMBERS)}"
    _ip("netns", "add", name)
    try:
        _configure(name, mtu)
        yield name
    finally:
        _ip("netns", "del", name)


def inside(name: str, command: Sequence[str]) -> list[str]:
    """The command as it is started in the namespace."""
    return ["ip", "netns", "exec", name, *command]
