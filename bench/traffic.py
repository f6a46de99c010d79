"""Traffic for the benchmarks: a fast generator, and the kernel's counts of what was sent and what came."""

import ctypes
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from switch.build import build
from switch.engine import Engine
from tests.packets.wires import in_namespace

SOURCE = Path(__file__).with_name("traffic.c")
BUILD = Path(__file__).resolve().parents[1] / "build" / "bench"

SOL_PACKET = 263
PACKET_QDISC_BYPASS = 20

WARM_UP = 0.3  # seconds of traffic before the window that is measured
DRAIN = 0.3  # seconds after the traffic in which its last packets come out
TX_PACKETS = 9  # columns of /proc/net/dev
RX_PACKETS = 1


@cache
def library() -> ctypes.CDLL:
    """The loops in traffic.c. Raises BuildError."""
    loaded = ctypes.CDLL(str(build("traffic", [SOURCE], cache=BUILD)))
    pointer, unsigned, long = ctypes.c_void_p, ctypes.c_uint, ctypes.c_int64
    loaded.traffic_send.restype = long
    loaded.traffic_send.argtypes = [
        ctypes.c_int,
        ctypes.c_char_p,
        unsigned,
        unsigned,
        ctypes.c_double,
        ctypes.POINTER(ctypes.c_int),
    ]
    loaded.traffic_process.restype = long
    loaded.traffic_process.argtypes = [
        pointer,
        pointer,
        pointer,
        unsigned,
        ctypes.c_char_p,
        unsigned,
        unsigned,
        long,
        ctypes.c_uint64,
        ctypes.POINTER(long),
    ]
    return loaded


@dataclass
class EmptyProgram:
    """Sends every packet out of one port: what the ports can do by themselves."""

    process_address: int
    quiesce_address: int
    state: int

    @classmethod
    def towards(cls, port: int) -> "EmptyProgram":
        return cls(_address(library().empty_process), _address(library().empty_quiesce), port)


def _address(function: object) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0  # type: ignore[arg-type]


def process_rate(engine: Engine, port: int, frames: Sequence[bytes], packets: int) -> float:
    """Packets a second through a program alone, on one core. Raises RuntimeError unless all of them leave."""
    emitted = ctypes.c_int64()
    nanoseconds = library().traffic_process(
        engine.process_address,
        engine.quiesce_address,
        engine.state,
        port,
        b"".join(frames),
        len(frames),
        len(frames[0]),
        packets,
        1,
        ctypes.byref(emitted),
    )
    if emitted.value != packets:
        raise RuntimeError(f"the program sent {emitted.value} of {packets} packets")
    return packets * 1e9 / nanoseconds


@dataclass(frozen=True, slots=True)
class Trial:
    """One load.

    offered, delivered: packets a second, in the same window of time.
    lost: of all that was sent, outside the window too, the share that never came out.
    """

    offered: float
    delivered: float
    lost: float


class Road:
    """From one interface into a switch, out of it, and to another interface of the same namespace."""

    def __init__(self, namespace: str, entrance: str, exit: str) -> None:
        self._entrance, self._exit = entrance, exit
        self._socket = in_namespace(namespace, lambda: fast_socket(entrance))
        # Opened by a thread in the namespace, the file keeps telling of that namespace.
        self._counters = in_namespace(namespace, Path("/proc/thread-self/net/dev").open)

    def drive(self, frames: Sequence[bytes], rate: float, window: float) -> Trial:
        """Send the frames over and over, `rate` a second (0: all that will go); window: seconds."""
        before = self.counts()
        with self.traffic(frames, rate):
            time.sleep(WARM_UP)
            begun, first = time.monotonic(), self.counts()
            time.sleep(window)
            ended, last = time.monotonic(), self.counts()
        after = self.counts()
        seconds = ended - begun
        sent, came = (end - start for start, end in zip(before, after, strict=True))
        return Trial((last[0] - first[0]) / seconds, (last[1] - first[1]) / seconds, 1 - came / sent)

    @contextmanager
    def traffic(self, frames: Sequence[bytes], rate: float) -> Iterator[None]:
        """While the block lasts send the frames over and over; then wait until the last have come out."""
        with sending(self._socket, frames, rate):
            yield
        time.sleep(DRAIN)

    def counts(self) -> tuple[int, int]:
        """Packets sent into the entrance, and received at the exit."""
        self._counters.seek(0)
        lines = (line.split(":", 1) for line in self._counters if ":" in line)
        columns = {name.strip(): values.split() for name, values in lines}
        return int(columns[self._entrance][TX_PACKETS]), int(columns[self._exit][RX_PACKETS])

    def close(self) -> None:
        self._socket.close()
        self._counters.close()


def fast_socket(interface: str) -> socket.socket:
    """One that puts Ethernet frames straight on an interface of the present namespace."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
    sock.bind((interface, 0))
    return sock


@contextmanager
def sending(sock: socket.socket, frames: Sequence[bytes], rate: float) -> Iterator[None]:
    """While the block lasts, send frames of one length over and over, `rate` a second (0: all that will go).

    Raises OSError in the end, when they could not be sent.
    """
    stop = ctypes.c_int(0)
    outcome: list[int] = []
    together = b"".join(frames)

    def send() -> None:
        arguments = (sock.fileno(), together, len(frames), len(frames[0]), rate, ctypes.byref(stop))
        outcome.append(library().traffic_send(*arguments))

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        stop.value = 1
        sender.join()
    if outcome[0] < 0:
        raise OSError(-outcome[0], f"{sock.getsockname()[0]}: {os.strerror(-outcome[0])}")
