"""A P4Runtime server over a switch in this process, and clients of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from switch.server.device import Device
from switch.server.server import Server
from tests.switch import service
from tests.switch.both_switches import Addresses, embedded_switch, reference_switch
from tests.switch.client import DEVICE_ID, Client, Stream
from tests.switch.in_process import InProcess


@dataclass(frozen=True)
class Running:
    """A server, what is behind it, and where it is."""

    data_plane: InProcess
    device: Device
    address: str

    def client(self, election_id: int = 1) -> Client:
        return Client(self.address, election_id)


@contextmanager
def running(data_plane: InProcess) -> Iterator[Running]:
    device = Device(DEVICE_ID, data_plane)
    server = Server(device, "127.0.0.1:0")
    server.start()
    try:
        yield Running(data_plane, device, server.address)
    finally:
        server.stop()
        device.close()


@pytest.fixture
def switch() -> Iterator[Running]:
    """Without a pipeline."""
    with running(InProcess()) as switch:
        yield switch


@pytest.fixture
def client(switch: Running) -> Iterator[Client]:
    """The primary, with the pipeline of service.p4 set."""
    with switch.client() as client:
        client.become_primary()
        client.set_pipeline(service.CONFIG)
        yield client


@pytest.fixture
def stream(switch: Running) -> Iterator[tuple[Client, Stream]]:
    """The primary with its stream, and the pipeline of service.p4 set."""
    with switch.client() as client:
        stream = client.become_primary()
        client.set_pipeline(service.CONFIG)
        yield client, stream


@pytest.fixture(scope="module")
def embedded() -> Iterator[Addresses]:
    with embedded_switch() as addresses:
        yield addresses


@pytest.fixture(scope="module")
def bmv2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    with reference_switch(tmp_path_factory.mktemp("bmv2"), packets=True) as addresses:
        yield addresses
