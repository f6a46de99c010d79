"""How packets are best taken from the kernel and given to it: every way that there is, side by side.

    python -m bench.rings [--window SECONDS]

Each forwarder takes 64-byte packets from one interface and sends them out of another, and does nothing else,
on veth pairs in a namespace of its own. The load is raised until more brings no more (bench/search.py).

    busy    how long its thread keeps a processor busy for a packet at full load: the steadier figure on a
            machine that does other things too. (The kernel does the first half of a packet's way in the
            generator's thread.)
    calls   to the kernel for a packet, at full load
    alone   how long a packet takes that comes alone, from one raw socket to the other: the ways differ by how
            they wait
    idle    how much of a processor it takes when nothing comes

The last line is the embedded switch's own ports, around a program that does nothing.

Exit status: 0, or 2 when it could not be measured (no root).
"""

import ctypes
import os
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import command, processor
from bench.command import NOT_MEASURED, add_window, lacks_root
from bench.search import AS_MANY_AS_WILL_GO, Capacity, capacity
from bench.traffic import BUILD, EmptyProgram, Road
from switch.build import build
from switch.worker import Worker
from tests.packets.wires import in_namespace, namespace, switch_side, test_side
from tests.packets.world import CLIENT, ONE

SOURCES = [Path(__file__).with_name(name) for name in ("rings.c", "rings_xdp.c")]
FRAME = bytes.fromhex("020000000b01 020000000a01 88b5") + bytes(46)
MTU = 1500
ETH_P_ALL = 3
LONE_PACKETS = 300
LONE_PAUSE = 0.003  # seconds between them: longer than any timer that is in play
IDLE_TIME = 1.0  # seconds without a packet
SETTLE_TIME = 0.2  # seconds, until interfaces that have just come up are quiet
PATIENCE = 2.0  # seconds for a lone packet

PACKET_THREAD = "packets"
"""The name of the thread of the switch's ports."""

RECVMMSG, V2, V3 = range(3)
SENDMMSG, TX_RING = range(2)


class Tally(ctypes.Structure):
    """struct tally of rings.h."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("packets", "calls", "processor_ns")]
    packets: int
    calls: int
    processor_ns: int


@dataclass(frozen=True)
class Way:
    """One way to take and give packets: a function of rings.c or rings_xdp.c, and what it is told."""

    name: str
    function: str
    arguments: tuple[int, ...]


TODAY = Way("TPACKET_V2, sendmmsg", "rings_packet", (V2, SENDMMSG, 0))
"""How the switch does it."""

WAYS = (
    Way("recvmmsg, sendmmsg", "rings_packet", (RECVMMSG, SENDMMSG, 0)),
    TODAY,
    Way("TPACKET_V2, sendmmsg past the qdisc", "rings_packet", (V2, SENDMMSG, 1)),
    Way("TPACKET_V2, TX ring", "rings_packet", (V2, TX_RING, 0)),
    Way("TPACKET_V2, TX ring past the qdisc", "rings_packet", (V2, TX_RING, 1)),
    Way("TPACKET_V3, sendmmsg", "rings_packet", (V3, SENDMMSG, 0)),
    Way("TPACKET_V3, TX ring past the qdisc", "rings_packet", (V3, TX_RING, 1)),
    Way("AF_XDP, copies, generic", "rings_xdp", (0,)),
    Way("AF_XDP, copies, in the driver", "rings_xdp", (1,)),
)


@dataclass(frozen=True)
class Figures:
    """busy: seconds of a processor a packet. calls: to the kernel, a packet; None: not counted.

    alone: seconds, the median. idle: share of a processor.
    """

    capacity: Capacity
    busy: float
    calls: float | None
    alone: float
    idle: float


class CannotRun(Exception):
    """The kernel does not offer this."""


@cache
def library() -> ctypes.CDLL:
    loaded = ctypes.CDLL(str(build("rings", SOURCES, cache=BUILD)))
    for function, numbers in (("rings_packet", 5), ("rings_xdp", 3)):
        getattr(loaded, function).restype = ctypes.c_int64
        getattr(loaded, function).argtypes = [
            *[ctypes.c_int] * numbers,
            ctypes.POINTER(ctypes.c_int),
            ctypes.POINTER(Tally),
            ctypes.POINTER(ctypes.c_char_p),
        ]
    return loaded


@contextmanager
def forwarder(way: Way, inner: str) -> Iterator[Tally]:
    """A running one, between the switch's ends of two wires. Raises CannotRun."""
    stop, tally, failed = ctypes.c_int(0), Tally(), ctypes.c_char_p()
    outcome: list[int] = []

    def run() -> None:
        indexes = (socket.if_nametoindex(switch_side(port)) for port in (CLIENT.port, ONE.port))
        arguments = (*indexes, *way.arguments, ctypes.byref(stop), ctypes.byref(tally), ctypes.byref(failed))
        outcome.append(getattr(library(), way.function)(*arguments))

    thread = threading.Thread(target=lambda: in_namespace(inner, run))
    thread.start()
    try:
        while thread.is_alive() and tally.processor_ns == 0:
            time.sleep(0.01)  # it counts when it has begun to wait for packets
        if not thread.is_alive():
            raise CannotRun(f"cannot {(failed.value or b'').decode()}: {os.strerror(-outcome[0])}")
        yield tally
    finally:
        stop.value = 1
        thread.join()


def lone_packets(inner: str) -> float:
    """Seconds that a packet takes from the far end of one wire to that of the other: the median of many."""
    with (
        closing(in_namespace(inner, lambda: _raw_socket(test_side(CLIENT.port), 0))) as near,
        closing(in_namespace(inner, lambda: _raw_socket(test_side(ONE.port), ETH_P_ALL))) as far,
    ):
        return statistics.median(_lone_packet(near, far) for _ in range(LONE_PACKETS))


def _raw_socket(interface: str, protocol: int) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.settimeout(PATIENCE)
    sock.bind((interface, protocol))
    return sock


def _lone_packet(near: socket.socket, far: socket.socket) -> float:
    time.sleep(LONE_PAUSE)
    begun = time.perf_counter()
    near.send(FRAME)
    far.recv(len(FRAME))
    return time.perf_counter() - begun


def measure(way: Way, window: float) -> Figures:
    """In a namespace of its own: what XDP did to an interface must not stay."""
    with (
        namespace("rings", MTU) as inner,
        forwarder(way, inner) as tally,
        closing(Road(inner, test_side(CLIENT.port), test_side(ONE.port))) as road,
    ):
        return figures(inner, road, lambda: tally.processor_ns / 1e9, lambda: tally.calls, window)


def bare_worker() -> Worker:
    """The embedded switch's ports at both interfaces of the namespace that it is called in."""
    worker = Worker()
    for port in (CLIENT.port, ONE.port):
        worker.attach(port, switch_side(port))
    worker.start()
    return worker


def measure_ports(window: float) -> Figures:
    """The embedded switch's ports, in this process. Their calls are not counted here."""
    with (
        namespace("rings", MTU) as inner,
        closing(in_namespace(inner, bare_worker)) as worker,
        closing(Road(inner, test_side(CLIENT.port), test_side(ONE.port))) as road,
    ):
        worker.run(EmptyProgram.towards(ONE.port))
        return figures(inner, road, lambda: processor.seconds("self", PACKET_THREAD), None, window)


def figures(
    inner: str,
    road: Road,
    processor_time: Callable[[], float],
    calls: Callable[[], int] | None,
    window: float,
) -> Figures:
    """Of what forwards on this road. processor_time: of its thread, seconds so far; calls: so far."""
    time.sleep(SETTLE_TIME)
    before = processor_time()
    time.sleep(IDLE_TIME)
    idle = (processor_time() - before) / IDLE_TIME
    alone = lone_packets(inner)
    found = capacity(lambda rate: road.drive([FRAME], rate, window))
    (_, came), made, before = road.counts(), calls() if calls else 0, processor_time()
    road.drive([FRAME], AS_MANY_AS_WILL_GO, window)
    packets = max(1, road.counts()[1] - came)
    return Figures(
        found,
        (processor_time() - before) / packets,
        (calls() - made) / packets if calls else None,
        alone,
        idle,
    )


def main() -> int:
    parser = command.parser("rings", __doc__)
    add_window(parser, 0.5, "a load is counted")
    options = parser.parse_args()
    if lacks_root("rings"):
        return NOT_MEASURED
    table = Table(title=f"64-byte packets from interface to interface, {os.cpu_count()} cores")
    for column in ("", "thousand/s", "loss-free", "busy, ns", "calls", "alone, µs", "idle, %"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    console = Console()
    for way in WAYS:
        console.print(f"{way.name} ...")
        try:
            table.add_row(way.name, *cells(measure(way, options.window)))
        except CannotRun as error:
            table.add_row(way.name, str(error))
    table.add_section()
    table.add_row("the switch's ports, empty program", *cells(measure_ports(options.window)))
    console.print(table)
    return 0


def cells(figures: Figures) -> list[str]:
    return [
        f"{figures.capacity.throughput / 1000:,.0f}",
        f"{figures.capacity.loss_free / 1000:,.0f}",
        f"{figures.busy * 1e9:,.0f}",
        "" if figures.calls is None else f"{figures.calls:.3f}",
        f"{figures.alone * 1e6:,.0f}",
        f"{figures.idle * 100:.2f}",
    ]


if __name__ == "__main__":
    sys.exit(main())
