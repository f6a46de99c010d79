"""The switch's ports and its packet thread (runtime/ports.c), driven from Python.

    worker = Worker(cpu_port=255)
    worker.attach(1, "s1-eth1")
    worker.start()
    worker.run(engine)

The packet thread never holds Python's lock. Programs can be exchanged while it runs.
"""

import ctypes
import os
import select
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Protocol

from switch.build import RUNTIME, build
from switch.clock import BEGAN
from switch.ports import Port, Ports

SOURCES = tuple(RUNTIME / name for name in ("ports.c", "interface.c", "offload.c", "layers.c", "merge.c"))

MAX_PORT = 511  # v1model's PortId_t has 9 bits
NO_CPU_PORT = MAX_PORT + 1
PACKET_ROOM = 128 * 1024  # bytes; interface.h


class Program(Protocol):
    """What takes packets: C functions and their state, as in runtime/program.h. An Engine is one."""

    process_address: int
    quiesce_address: int
    state: int


class PortError(Exception):
    """A port cannot be made. `errno` says why, as the system has it."""

    def __init__(self, message: str, errno: int) -> None:
        super().__init__(message)
        self.errno = errno


@dataclass(frozen=True, slots=True)
class PortCounters:
    """Since the port was attached, in the order of interface.h."""

    rx_packets: int  # as the program gets them
    rx_bytes: int
    rx_dropped: int  # the ring was full
    rx_too_long: int  # longer than 64 KiB
    rx_malformed: int  # a checksum to complete, or packets to cut, where there are none
    rx_checksums: int  # completed here: the host left them to its interface
    rx_super_packets: int  # cut here into packets that fit the link: the host left that to its interface
    tx_packets: int  # as the program sent them
    tx_bytes: int
    tx_dropped: int  # interface down or gone, or its queue full
    tx_too_long: int  # longer than the interface's MTU
    tx_super_packets: int  # in which the kernel was given several packets
    tx_calls: int  # to the kernel, to send: one for a batch


@dataclass(frozen=True, slots=True)
class Losses:
    """Packets that the switch itself lost."""

    no_program: int
    no_such_port: int
    cpu_port_full: int


@dataclass(frozen=True, slots=True)
class Counts:
    """What a data plane counts itself: `losses` as Losses has them, of each port what PortCounters has."""

    losses: Mapping[str, int]
    ports: Mapping[int, Mapping[str, int]]


class _Losses(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("no_program", "no_such_port", "cpu_port_full")]


def _declare(library: ctypes.CDLL) -> ctypes.CDLL:
    pointer, text, unsigned = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint
    signatures: dict[str, tuple[object, list[object]]] = {
        "ports_create": (pointer, [unsigned, ctypes.c_uint64]),
        "ports_attach": (text, [pointer, unsigned, text]),
        "ports_start": (ctypes.c_int, [pointer]),
        "ports_destroy": (None, [pointer]),
        "ports_run": (None, [pointer, pointer, pointer, pointer]),
        "ports_hold": (None, [pointer, ctypes.c_bool]),
        "ports_inject": (ctypes.c_int, [pointer, text, ctypes.c_uint32]),
        "ports_take": (ctypes.c_int64, [pointer, pointer, ctypes.c_uint32]),
        "ports_take_event": (ctypes.c_int, [pointer]),
        "ports_read_counters": (ctypes.c_int, [pointer, unsigned, ctypes.POINTER(ctypes.c_uint64)]),
        "ports_link_is_up": (ctypes.c_int, [pointer, unsigned]),
        "ports_read_losses": (None, [pointer, ctypes.POINTER(_Losses)]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class Worker:
    """cpu_port: the number of the port towards the controller; None: there is none.

    The library is compiled when the first worker is made; raises BuildError.
    """

    def __init__(self, cpu_port: int | None = None) -> None:
        self.cpu_port = cpu_port
        self._library = _load_library()
        self._ports = self._library.ports_create(NO_CPU_PORT if cpu_port is None else cpu_port, BEGAN)
        if not self._ports:
            raise MemoryError("no memory for the switch's ports")
        self._injecting = threading.Lock()
        self._taking = threading.Lock()
        self._buffer = ctypes.create_string_buffer(PACKET_ROOM)
        self._event: int = self._library.ports_take_event(self._ports)
        self._program: Program | None = None
        self.interfaces: dict[int, str] = {}
        self.ports = Ports()

    def attach(self, number: int, interface: str) -> None:
        """Make an interface a port. Before `start`. Raises PortError."""
        if not 0 <= number <= MAX_PORT:
            raise PortError(f"port number {number} is not in 0..{MAX_PORT}", 0)
        if number in self.interfaces or number == self.cpu_port:
            other = self.interfaces.get(number, "the CPU port")
            raise PortError(f"port {number} is both {interface} and {other}", 0)
        ctypes.set_errno(0)
        failed = self._library.ports_attach(self._ports, number, interface.encode())
        if failed is not None:
            errno = ctypes.get_errno()
            raise PortError(
                f"port {number}: cannot {failed.decode()} {interface}: {os.strerror(errno)}", errno
            )
        self.interfaces[number] = interface
        self.ports.add(Port(number, interface, self.link_is_up(number)))

    def start(self) -> None:
        errno = self._library.ports_start(self._ports)
        if errno:
            raise PortError(f"cannot start the packet thread: {os.strerror(errno)}", errno)

    def close(self) -> None:
        """Stop the packet thread and let go of the interfaces. Nobody may be in another method."""
        if self._ports:
            self._library.ports_destroy(self._ports)
            self._ports = None

    def run(self, program: Program | None) -> None:
        """Take packets through this program from now on (None: drop them).

        On return the program before is no longer in use. This one must not be closed before the next call.
        """
        if program is None:
            self._library.ports_run(self._ports, None, None, None)
        else:
            self._library.ports_run(
                self._ports, program.process_address, program.quiesce_address, program.state
            )
        self._program = program  # the packet thread works in its memory

    @contextmanager
    def held(self) -> Iterator[None]:
        """For the duration no packet is processed: they wait in the interfaces' rings, which take some
        thousands. `run` may be called meanwhile. One thread at a time.
        """
        self._library.ports_hold(self._ports, True)
        try:
            yield
        finally:
            self._library.ports_hold(self._ports, False)

    def packet_out(self, packet: bytes) -> bool:
        """Give the program a packet from the CPU port; False if there is no room for it."""
        with self._injecting:
            return self._library.ports_inject(self._ports, packet, len(packet)) == 0

    def packet_in(self, timeout: float) -> bytes | None:
        """The next packet that the program sent to the CPU port; waits up to `timeout` seconds for one."""
        deadline = time.monotonic() + timeout
        with self._taking:
            # The event may be left over from a packet that was taken already.
            while (packet := self._take()) is None:
                if not select.select([self._event], [], [], max(0.0, deadline - time.monotonic()))[0]:
                    return None
                os.eventfd_read(self._event)
            return packet

    def _take(self) -> bytes | None:
        length = self._library.ports_take(self._ports, self._buffer, PACKET_ROOM)
        return None if length < 0 else ctypes.string_at(self._buffer, length)

    def counters(self, number: int) -> PortCounters:
        values = (ctypes.c_uint64 * len(PortCounters.__dataclass_fields__))()
        if self._library.ports_read_counters(self._ports, number, values) < 0:
            raise PortError(f"there is no port {number}", 0)
        return PortCounters(*values)

    def link_is_up(self, number: int) -> bool:
        """Whether the port's interface exists, is up and has a carrier."""
        return self._library.ports_link_is_up(self._ports, number) == 1

    @property
    def losses(self) -> Losses:
        losses = _Losses()
        self._library.ports_read_losses(self._ports, ctypes.byref(losses))
        return Losses(losses.no_program, losses.no_such_port, losses.cpu_port_full)

    def counts(self) -> Counts:
        ports = {number: asdict(self.counters(number)) for number in self.interfaces}
        return Counts(losses=asdict(self.losses), ports=ports)


def _load_library() -> ctypes.CDLL:
    return _declare(ctypes.CDLL(str(build("ports", SOURCES)), use_errno=True))
