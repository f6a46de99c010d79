"""Nothing is lost and nothing half done when the controller is killed at any instant (docs/controller.md).

The daemon is a process of its own, with its API, its store on a disk that can lose its power, and a gRPC
connection to the embedded switch. It is killed while it obeys commands; afterwards configuration, history
and tables are as a model says, and no flow that goes through the compiled program has changed its server.

The faults show that the search can fail. SLUICE_SOAK=N looks N times as long (`make soak`).
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.daemons import Zygote
from tests.crash.faults import FAULTS
from tests.crash.world import World

SOAK = int(os.environ.get("SLUICE_SOAK", "1"))
STEPS = 8
ENOUGH = 40
"""Steps within which every fault is found."""

SHORT_PATIENCE = 3.0

SLOW = {"half_committed", "settled_at_once", "store_is_believed"}
"""Faults that take a quarter of a minute and more to be found."""


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    with Zygote(tmp_path_factory.mktemp("daemons")) as zygote:
        yield zygote


@pytest.mark.parametrize("seed", range(2 * SOAK))
def test_killed_at_any_instant_nothing_is_lost(zygote: Zygote, tmp_path: Path, seed: int) -> None:
    with World(zygote, tmp_path, seed) as world:
        world.begin()
        for _ in range(STEPS):
            world.step()
    assert world.clients.checked > 100


@pytest.mark.parametrize(
    "fault", [pytest.param(fault, marks=pytest.mark.soak if fault in SLOW else ()) for fault in FAULTS]
)
def test_a_fault_is_found(zygote: Zygote, tmp_path: Path, fault: str) -> None:
    with (
        World(zygote, tmp_path, 0, fault=fault, patience=SHORT_PATIENCE) as world,
        pytest.raises(AssertionError) as found,
    ):
        world.begin()
        for _ in range(ENOUGH):
            world.step()
    print(f"{fault}: found after {world.kills} kills: {found.value}")
