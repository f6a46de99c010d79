"""The cases of language/ on a switch in this process."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from switch.server.device import Device
from switch.server.packet_service import PacketServer
from switch.server.server import Server
from tests.switch.client import DEVICE_ID, Client
from tests.switch.language import arithmetic, beyond, flow, keys, selection, telling, unions, wide
from tests.switch.language.case import Case, Door, run
from tests.switch.service import CPU_PORT
from tests.switch.test_server_dataplane import PacketClient

CASES = [
    case
    for program in (arithmetic, beyond, flow, keys, selection, telling, unions, wide)
    for case in program.CASES
]

HERE = Path(__file__).parent
DOCUMENTATION = HERE.parents[1] / "docs" / "switch.md"


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    packet_server = PacketServer(DEVICE_ID, CPU_PORT, "127.0.0.1:0")
    packet_server.start()
    device = Device(DEVICE_ID, packet_server.plane)
    server = Server(device, "127.0.0.1:0")
    server.start()
    packets = PacketClient(packet_server.address)
    with Client(server.address) as client:
        yield Door(client, client.become_primary(), packets)
    packets.close()
    server.stop()
    device.close()
    packet_server.stop()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, door: Door) -> None:
    run(case, door)


def test_the_documentation_names_files_that_are_there() -> None:
    """In its table of what shows which construct."""
    table = DOCUMENTATION.read_text().partition("| construct of v1model |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`([\w/]+\.py)`", table))
    assert named and not [name for name in named if not (HERE / name).exists()]
