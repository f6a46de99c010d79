"""Random tables that are valid, and random packets: BMv2 and the compiled program send the same bytes.

Each case is a packet; a few of them have the same tables. Packets go to BMv2 by gRPC, so that nothing here
needs rights. `make same-bytes` looks at CASES (10000), and tells which tables and actions they reached.
"""

import os
from collections.abc import Iterator

import pytest

from tests.packets.coverage import REACHED, Coverage
from tests.packets.p4runtime import Names
from tests.packets.random_cases import entries_and_packets
from tests.packets.runner import Runner
from tests.packets.same_bytes import compare
from tests.packets.targets import in_process

CASES = int(os.environ.get("SLUICE_CASES", "128"))
FRAMES = 16
"""Packets with the same tables."""

FIRST_SEED = int(os.environ.get("SLUICE_FIRST", "0")) // FRAMES


@pytest.fixture(scope="module")
def covered(names: Names, request: pytest.FixtureRequest) -> Iterator[Runner]:
    """The compiled program in this process, in real time and traced; what was reached is told in the end."""
    with in_process(names, real_time=True) as target:
        target.coverage = Coverage(target.engine)
        yield Runner(target)
        request.config.stash[REACHED] = target.coverage.lines()


@pytest.mark.bmv2
@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + -(-CASES // FRAMES)))
def test_the_compiled_program_does_what_bmv2_does(
    covered: Runner, bmv2_by_grpc: Runner, names: Names, seed: int
) -> None:
    compare(covered, bmv2_by_grpc, f"seed {seed}", *entries_and_packets(seed, names, FRAMES))
