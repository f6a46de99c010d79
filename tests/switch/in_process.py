"""A switch without interfaces, with ports that a test speaks to."""

from switch import in_process
from switch.in_process import Packets

CPU_PORT = 255


class InProcess(in_process.InProcess):
    """sent: what left the switch because of packets from the controller."""

    def __init__(self, cpu_port: int | None = CPU_PORT) -> None:
        self.sent: Packets = []
        super().__init__(cpu_port, self.sent.extend)

    def receive(self, port: int, packet: bytes) -> Packets:
        assert self.has_program, "no program is loaded"
        return super().receive(port, packet)
