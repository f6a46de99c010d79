"""The embedded switch in this process: P4Runtime on a loopback port, packets by function calls, no rights."""

from typing import Self

from switch.in_process import InProcess, Packets
from switch.server.device import Device
from switch.server.server import Server

CPU_PORT = 255


class Plane(InProcess):
    """A data plane to which a test is everything that has a port."""

    def __init__(self) -> None:
        super().__init__(CPU_PORT, lambda packets: None)

    def trace(self, order: bytes) -> Packets:
        """What the CPU port is told about a packet; the controller does not hear of it."""
        with self.held():
            return self._program.process(CPU_PORT, order) if self._program else []


class EmbeddedSwitch:
    """Can be killed and started again, empty, at the address it had."""

    def __init__(self) -> None:
        self.address = "127.0.0.1:0"
        self.plane = Plane()
        self._server: Server | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """It holds nothing, not even a program."""
        self.plane = Plane()
        self._device = Device(1, self.plane)
        self._server = Server(self._device, self.address)
        self.address = self._server.address
        self._server.start()

    def kill(self) -> None:
        if self._server:
            server, self._server = self._server, None
            server.stop()
            self._device.close()

    def receive(self, port: int, packet: bytes) -> Packets:
        """A packet comes in; returns what leaves by ports."""
        return self.plane.receive(port, packet)
