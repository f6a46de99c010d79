"""The switches under test: one of each kind for the whole session."""

from collections.abc import Iterator

import pytest

from tests.packets.p4runtime import Names
from tests.packets.runner import Runner
from tests.packets.table import CASES, ON_WIRES
from tests.packets.targets import in_process, on_wires


def pytest_report_header() -> str:
    """The others need virtual time or frames that no interface takes: `Case.in_process_only`."""
    return f"packet table: {len(CASES)} cases in process, {len(ON_WIRES)} of them on interfaces"


@pytest.fixture(scope="session")
def names() -> Names:
    return Names.load()


@pytest.fixture(scope="session")
def inside(names: Names) -> Iterator[Runner]:
    """The compiled program in this process."""
    with in_process(names) as target:
        yield Runner(target)


@pytest.fixture(scope="session")
def embedded(names: Names) -> Iterator[Runner]:
    """`sluice switch` on interfaces."""
    with on_wires("embedded", names) as target:
        yield Runner(target)


@pytest.fixture(scope="session")
def bmv2(names: Names) -> Iterator[Runner]:
    """`simple_switch_grpc` on interfaces."""
    with on_wires("bmv2", names) as target:
        yield Runner(target)
