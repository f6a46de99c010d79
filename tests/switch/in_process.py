"""A switch without interfaces: the engine is called in this process, packets come from and go to the test."""

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from switch.engine import Engine

CPU_PORT = 255


class InProcess:
    """A data plane for `switch.server.device.Device`, with ports that a test speaks to."""

    def __init__(self, cpu_port: int | None = CPU_PORT) -> None:
        self.cpu_port = cpu_port
        self._engine: Engine | None = None
        self._to_controller: queue.Queue[bytes] = queue.Queue()
        self._lock = threading.RLock()
        self.sent: list[tuple[int, bytes]] = []

    def run(self, program: Engine | None) -> None:
        with self._lock:
            self._engine = program

    @contextmanager
    def held(self) -> Iterator[None]:
        with self._lock:
            yield

    def receive(self, port: int, packet: bytes) -> list[tuple[int, bytes]]:
        """A packet arrives; returns what leaves, without what goes to the controller."""
        with self._lock:
            assert self._engine is not None, "no program is loaded"
            emitted = self._engine.process(port, packet)
        for number, octets in emitted:
            if number == self.cpu_port:
                self._to_controller.put(octets)
        sent = [(number, octets) for number, octets in emitted if number != self.cpu_port]
        self.sent += sent
        return sent

    def packet_out(self, packet: bytes) -> bool:
        assert self.cpu_port is not None
        self.receive(self.cpu_port, packet)
        return True

    def packet_in(self, timeout: float) -> bytes | None:
        try:
            return self._to_controller.get(timeout=timeout)
        except queue.Empty:
            return None
