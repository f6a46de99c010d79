"""The tests of packets by gRPC, unchanged, on the reference switch."""

from collections.abc import Iterator

import pytest

from tests.switch import service
from tests.switch.both_switches import reference_switch
from tests.switch.client import Client
from tests.switch.packet_client import PacketClient
from tests.switch.test_server_dataplane import (
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
    with reference_switch(tmp_path_factory.mktemp("bmv2"), packets=True) as addresses:
        yield addresses


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
