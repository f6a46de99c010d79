"""The cases of language/, unchanged, on the reference switch: it is the oracle of what they expect."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest

from tests.switch.both_switches import reference_switch
from tests.switch.client import pipeline_config
from tests.switch.language.case import Case, Door, run
from tests.switch.packet_client import PacketClient
from tests.switch.patience import eventually
from tests.switch.test_language import CASES

pytestmark = pytest.mark.bmv2


READY = 30.0
"""Seconds that the packet service may take to be ready after the first pipeline."""


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Door]]:
    """A switch for each program, one at a time: it does not exchange one program for any other."""
    with ExitStack() as running:
        current: dict[str, Door] = {}

        def door(program: str) -> Door:
            if program not in current:
                running.close()
                current.clear()
                current[program] = running.enter_context(started(tmp_path_factory.mktemp(program)))
                warm_up(current[program], program)
            return current[program]

        yield door


@contextmanager
def started(folder: Path) -> Iterator[Door]:
    with reference_switch(folder, packets=True) as addresses, Door.of(addresses) as door:
        yield door


def warm_up(door: Door, program: str) -> None:
    """The packet service begins some time after the first pipeline is set."""
    door.client.set_pipeline(pipeline_config(program))
    assert eventually(lambda: is_ready(door.packets), READY)


def is_ready(packets: PacketClient) -> bool:
    try:
        packets.exchange()
    except grpc.RpcError as error:
        assert isinstance(error, grpc.Call)
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        return False
    return True


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, doors: Callable[[str], Door]) -> None:
    if case.only_here:
        pytest.skip(case.only_here)
    run(case, doors(case.program))
