"""The embedded switch in BMv2's place: its P4Runtime server and its engine in this process, no interfaces."""

import queue
import threading

import grpc
from bmv2 import CPU, DEVICE, Bmv2

from switch.engine import Engine
from switch.server.device import Device
from switch.server.server import Server


class DataPlane:
    """What a Device runs its program on: packets go through to completion before `receive` returns."""

    cpu_port = CPU

    def __init__(self, sent: queue.Queue[tuple[int, bytes]]) -> None:
        self._sent = sent
        self._to_controller: queue.Queue[bytes] = queue.Queue()
        self._engine: Engine | None = None
        self._lock = threading.Lock()

    def run(self, program: Engine | None) -> None:
        with self._lock:
            self._engine = program

    def receive(self, port: int, packet: bytes) -> None:
        with self._lock:
            if self._engine is None:
                raise RuntimeError("no program is loaded")
            for out, frame in self._engine.process(port, packet):
                if out == CPU:
                    self._to_controller.put(frame)
                else:
                    self._sent.put((out, frame))

    def packet_out(self, packet: bytes) -> bool:
        self.receive(CPU, packet)
        return True

    def packet_in(self, timeout: float) -> bytes | None:
        try:
            return self._to_controller.get(timeout=timeout)
        except queue.Empty:
            return None


class Embedded(Bmv2):
    """The same tests, the same P4Runtime messages; only packets need no stream of their own."""

    name = "embedded"
    quiet = 0.001

    def _launch(self) -> None:
        self._plane = DataPlane(self.received)
        self._device = Device(DEVICE, self._plane)
        self._server = Server(self._device, "127.0.0.1:0")
        self._server.start()
        self.channel = grpc.insecure_channel(self._server.address)

    def _connect(self) -> None:
        """Packets go in by `inject`, and are in `received` when it returns."""

    def _end(self) -> None:
        self._server.stop()
        self._device.close()

    def inject(self, port: int, packet: object) -> None:
        self._plane.receive(port, bytes(packet))  # type: ignore[call-overload]
