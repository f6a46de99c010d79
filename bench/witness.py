"""Watches a server's own interface for the handshakes of clients: what was sent there, and what came back.

The kernel notes the time of every packet and keeps it until somebody looks, so that watching takes no part of
the processors while the time is running.
"""

import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from bench.death import Kind, Seen, kind_of
from tests.packets.wires import ETH_P_ALL, SOL_PACKET, in_namespace
from topo.capture import SO_TIMESTAMPNS, TIMESPEC, kernel_time

SO_RCVBUFFORCE = 33
PACKET_STATISTICS = 6
STATISTICS = struct.Struct("=II")  # struct tpacket_stats: packets, drops
KEPT_BYTES = 64 << 20
LONGEST_HEADERS = 128
LOOK = 0.05
"""Seconds between two looks."""


class Witness:
    """Sees the handshakes of `client` with TCP `port` at an interface, from now on."""

    def __init__(self, namespace: str, interface: str, port: int, client: str) -> None:
        """namespace: its name, or the path of its file."""
        self.seen: list[Seen] = []
        self._port, self._client = port, client
        self._socket = in_namespace(namespace, lambda: _watching(interface))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def look(self) -> list[Seen]:
        """All until now. Raises RuntimeError when the kernel could not keep it."""
        with suppress(BlockingIOError):
            while True:
                frame, control, _, _ = self._socket.recvmsg(LONGEST_HEADERS, socket.CMSG_SPACE(TIMESPEC.size))
                kind = kind_of(frame, self._port, self._client)
                if kind is not None:
                    self.seen.append(Seen(kernel_time(control), kind))
        _, drops = STATISTICS.unpack(self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, STATISTICS.size))
        if drops:
            raise RuntimeError(f"the kernel dropped {drops} captured packets")
        return self.seen

    def last(self, kind: Kind) -> float:
        """When the last packet of a kind came, as time.time(); before all times when none has."""
        return max((one.moment for one in self.look() if one.kind is kind), default=float("-inf"))

    def wait_for_answer(self, patience: float) -> None:
        """Until the server answers a client. Raises TimeoutError after `patience` seconds."""
        began = time.time()
        self._wait_until(lambda: self.last(Kind.ANSWER) > began, patience, "no answer of the server was seen")

    def wait_for_quiet(self, seconds: float, patience: float) -> None:
        """Until no new connection has been sent to the server for a while. Raises TimeoutError likewise."""
        began = time.time()

        def quiet() -> bool:
            last = self.last(Kind.CONNECTION)
            return time.time() - max(last, began) > seconds

        self._wait_until(quiet, patience, "new connections are still sent to the dead server")

    def _wait_until(self, condition: Callable[[], bool], patience: float, otherwise: str) -> None:
        deadline = time.monotonic() + patience
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{otherwise} for {patience:g} s")
            time.sleep(LOOK)


def _watching(interface: str) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, KEPT_BYTES)
    sock.bind((interface, ETH_P_ALL))
    sock.setblocking(False)
    return sock
