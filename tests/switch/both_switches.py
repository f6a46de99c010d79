"""Both switches without interfaces, with packets by gRPC: ours in this process, and simple_switch_grpc."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from switch.ports import Port
from switch.server.device import Device
from switch.server.packet_service import PacketServer
from switch.server.server import Server
from tests.switch.client import DEVICE_ID
from tests.switch.service import CPU_PORT

Addresses = tuple[str, str]
"""Of P4Runtime, and of packets."""

START_TIMEOUT = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def reference_switch(folder: Path, *, packets: bool) -> Iterator[Addresses]:
    """A running simple_switch_grpc without interfaces. Its second address answers if wanted."""
    address, packet_address = (f"127.0.0.1:{free_port()}" for _ in range(2))
    command = ["simple_switch_grpc", "--no-p4", "--device-id", str(DEVICE_ID)]
    command += ["--notifications-addr", f"ipc://{folder}/notifications.ipc"]
    command += ["--", "--grpc-server-addr", address, "--cpu-port", str(CPU_PORT)]
    if packets:
        command += ["--dp-grpc-server-addr", packet_address]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for(address, process, folder / "log")
        yield address, packet_address
    finally:
        process.kill()
        process.wait()


def wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    host, port = address.split(":")
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


@contextmanager
def embedded_switch() -> Iterator[Addresses]:
    """Ours, with the ports 1 and 2."""
    packets = PacketServer(DEVICE_ID, CPU_PORT, "127.0.0.1:0")
    packets.start()
    device = Device(DEVICE_ID, packets.plane)
    server = Server(device, "127.0.0.1:0")
    server.start()
    for number in (1, 2):
        packets.plane.ports.add(Port(number, f"eth{number}"))
    try:
        yield server.address, packets.address
    finally:
        server.stop()
        packets.stop()
        device.close()
