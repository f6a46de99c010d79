"""A data plane without interfaces: packets are handed over and taken by function calls."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from switch.engine import Engine
from switch.live_trace import LiveTrace
from switch.ports import Ports
from switch.worker import Counts

Packets = list[tuple[int, bytes]]
"""(port, packet), in order."""

TO_CONTROLLER = 4096
"""Packets to the CPU port that may wait; more are dropped, and counted."""


COUNTED = ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes")
"""As PortCounters."""


class InProcess:
    """Takes packets through the program in the thread of whoever brings them, one at a time.

    unasked: is given what leaves because of a packet that the controller sent.
    """

    def __init__(self, cpu_port: int | None, unasked: Callable[[Packets], None]) -> None:
        self.cpu_port = cpu_port
        self.ports = Ports(any_number=True)
        self.cpu_port_full = 0  # packets
        self._counted: dict[int, dict[str, int]] = {}  # of each port, by the names of COUNTED
        self._unasked = unasked
        self._program: Engine | LiveTrace | None = None
        self._to_controller: queue.Queue[bytes] = queue.Queue(TO_CONTROLLER)
        self._processing = threading.RLock()  # whoever holds the packets back may exchange the program

    @property
    def has_program(self) -> bool:
        return self._program is not None

    def run(self, program: Engine | LiveTrace | None) -> None:
        with self._processing:
            self._program = program

    @contextmanager
    def held(self) -> Iterator[None]:
        with self._processing:
            yield

    def receive(self, port: int, packet: bytes) -> Packets:
        """A packet comes in; returns what leaves. Without a program nothing does."""
        with self._processing:
            self._count(port, "rx", packet)
            emitted = self._program.process(port, packet) if self._program else []
            for number, octets in emitted:
                self._count(number, "tx", octets)
        for number, octets in emitted:
            if number == self.cpu_port:
                self._bring(octets)
        return [(number, octets) for number, octets in emitted if number != self.cpu_port]

    def _bring(self, packet: bytes) -> None:
        try:
            self._to_controller.put_nowait(packet)
        except queue.Full:
            self.cpu_port_full += 1

    def packet_out(self, packet: bytes) -> bool:
        assert self.cpu_port is not None
        self._unasked(self.receive(self.cpu_port, packet))
        return True

    def packet_in(self, timeout: float) -> bytes | None:
        try:
            return self._to_controller.get(timeout=timeout)
        except queue.Empty:
            return None

    def _count(self, port: int, way: str, packet: bytes) -> None:
        counted = self._counted.setdefault(port, dict.fromkeys(COUNTED, 0))
        counted[f"{way}_packets"] += 1
        counted[f"{way}_bytes"] += len(packet)

    def counts(self) -> Counts:
        with self._processing:
            ports = {number: dict(counted) for number, counted in sorted(self._counted.items())}
        return Counts(losses={"cpu_port_full": self.cpu_port_full}, ports=ports)
