"""The tests of packets by gRPC, unchanged, on the reference switch."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.switch import service
from tests.switch.client import DEVICE_ID, Client
from tests.switch.service import CPU_PORT
from tests.switch.test_server_bmv2 import free_port, wait_for
from tests.switch.test_server_dataplane import (
    PacketClient,
    test_a_packet_comes_out_with_its_id,
    test_copies_have_the_id_too,
    test_one_client_at_a_time,
    test_packets_to_the_controller,
    test_wrong_states_are_refused,
)

# What pytest finds here, with the fixtures of this module. (A port above 511 is taken there, and packets
# leave on different ports in any order: no such tests.)
__all__ = [
    "test_a_packet_comes_out_with_its_id",
    "test_copies_have_the_id_too",
    "test_one_client_at_a_time",
    "test_packets_to_the_controller",
    "test_wrong_states_are_refused",
]

pytestmark = pytest.mark.bmv2


@pytest.fixture
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Of P4Runtime and of packets, of a simple_switch_grpc."""
    folder = tmp_path_factory.mktemp("bmv2")
    address, packets = (f"127.0.0.1:{free_port()}" for _ in range(2))
    command = ["simple_switch_grpc", "--no-p4", "--device-id", str(DEVICE_ID)]
    command += ["--notifications-addr", f"ipc://{folder}/notifications.ipc"]
    command += ["--", "--grpc-server-addr", address, "--dp-grpc-server-addr", packets]
    command += ["--cpu-port", str(CPU_PORT)]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for(address, process, folder / "log")
        yield address, packets
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def controller(addresses: tuple[str, str]) -> Iterator[Client]:
    with Client(addresses[0]) as client:
        client.become_primary()
        yield client


@pytest.fixture
def packets(addresses: tuple[str, str], controller: Client) -> Iterator[PacketClient]:
    controller.set_pipeline(service.CONFIG)
    client = PacketClient(addresses[1])
    yield client
    client.close()
