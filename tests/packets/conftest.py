"""The switches under test: one of each kind for the whole session."""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.packets.coverage import REACHED
from tests.packets.p4runtime import Names
from tests.packets.runner import Runner
from tests.packets.table import CASES, ON_WIRES
from tests.packets.targets import by_grpc, in_process, on_wires


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the switches on interfaces were not asked, and why; what random packets reached."""
    if reached := terminalreporter.config.stash.get(REACHED, None):
        terminalreporter.section("random packets in random tables reached")
        terminalreporter.line("\n".join(reached))
    reasons = Counter(case.in_process_only for case in CASES if case.in_process_only)
    terminalreporter.section("packet table")
    terminalreporter.line(f"{len(CASES)} cases, {len(ON_WIRES)} of them on interfaces; in process only:")
    for reason, cases in reasons.most_common():
        terminalreporter.line(f"{cases:4} because a case {reason}")


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


@pytest.fixture(scope="session")
def bmv2_by_grpc(names: Names) -> Iterator[Runner]:
    """`simple_switch_grpc` without interfaces."""
    with by_grpc("bmv2", names) as target:
        yield Runner(target)
