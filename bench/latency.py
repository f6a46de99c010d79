"""How long a packet takes through a switch, under a load."""

import ctypes
import socket
import statistics
import struct
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from bench.balancer import FIRST_FLOW_PORT, flow
from bench.traffic import WARM_UP, Road, fast_socket
from tests.packets.wires import in_namespace, test_side
from tests.packets.world import CLIENT, ONE

PROBE_PORT = FIRST_FLOW_PORT - 1
"""The client's port of the flow whose packets are timed: none of the load's."""
PROBE_INTERVAL = 0.001  # seconds
PATIENCE = 2.0  # seconds
SO_TIMESTAMPNS, SO_ATTACH_FILTER = 35, 26
ETH_P_ALL = 3
SOURCE_PORT_AT = 34  # in a frame of TCP over IPv4


@dataclass(frozen=True)
class Latency:
    """In seconds. lost: probes that did not come out, of `probes`."""

    median: float
    p99: float
    probes: int
    lost: int


def latency(inner: str, road: Road, frames: Sequence[bytes], rate: float, seconds: float) -> Latency:
    """Of packets that are sent one a millisecond among a load of `rate` frames a second.

    From before the call that sends until the kernel has it at the other end.
    """
    probe, _ = flow(PROBE_PORT)
    taken: list[float] = []
    lost = 0
    with (
        closing(in_namespace(inner, lambda: fast_socket(test_side(CLIENT.port)))) as near,
        closing(in_namespace(inner, lambda: _timing_socket(test_side(ONE.port)))) as far,
        road.traffic(frames, rate),
    ):
        time.sleep(WARM_UP)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.time_ns()
            near.send(probe)
            try:
                taken.append((_arrival(far) - began) / 1e9)
            except TimeoutError:
                lost += 1
            time.sleep(PROBE_INTERVAL)
    if len(taken) < 2:
        raise RuntimeError("no probe came out of the switch")
    return Latency(statistics.median(taken), statistics.quantiles(taken, n=100)[98], len(taken) + lost, lost)


def _timing_socket(interface: str) -> socket.socket:
    """One that takes the probes only, and tells when the kernel had them."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    instructions = (
        (0x28, 0, 0, SOURCE_PORT_AT),  # load a half word
        (0x15, 0, 1, PROBE_PORT),  # equal?
        (0x06, 0, 0, 0xFFFF),  # take it
        (0x06, 0, 0, 0),  # leave it
    )
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
    place = (ctypes.c_char * len(code)).from_buffer_copy(code)
    program = struct.pack("@HP", len(instructions), ctypes.addressof(place))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
    sock.bind((interface, ETH_P_ALL))
    sock.settimeout(PATIENCE)
    return sock


def _arrival(sock: socket.socket) -> int:
    """Nanoseconds since the epoch, of the next probe. Raises TimeoutError."""
    _, control, _, _ = sock.recvmsg(64, socket.CMSG_SPACE(16))
    (stamp,) = (data for level, kind, data in control if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS))
    seconds, nanoseconds = struct.unpack("@qq", stamp)
    return seconds * 1_000_000_000 + nanoseconds
