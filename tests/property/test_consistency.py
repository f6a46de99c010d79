"""No flow is broken by anything but its own backend's death: random histories over the model of the data
plane.

`test_program_consistency.py` searches through the compiled program. This one is fast, for tables of any size.
"""

from collections.abc import Callable

import pytest

from controller import assignment
from controller.health.ejection import Ejections
from controller.model import Pool
from controller.store import SqliteStore
from tests.property.clients import ANNOUNCEMENT, Kind
from tests.property.history import History


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("slots", [0, 4, 1024])
@pytest.mark.parametrize("announcement", [0.0, ANNOUNCEMENT])
def test_no_flow_is_broken(seed: int, slots: int, announcement: float) -> None:
    history = History(Kind(slots, announcement), seed)
    for _ in range(400):
        history.step()
    history.close()
    assert history.opened > 50


@pytest.mark.parametrize("seed", range(3))
def test_no_flow_is_broken_when_a_syn_arrives_twice(seed: int) -> None:
    history = History(Kind(1024, orderly=True), seed)
    for _ in range(400):
        history.step()
    history.close()
    assert history.opened > 50


# faults


def nobody_stands_in(patch: pytest.MonkeyPatch) -> None:
    """Who is to leave does so before anybody has taken its place."""
    patch.setattr(assignment, "_who_could_stand_in", lambda *arguments: {})


def they_take_new_flows_again(patch: pytest.MonkeyPatch) -> None:
    """Who has handed over its buckets stands in again."""

    def wrong(pool: Pool, before: assignment.PoolAssignment, *arguments: object) -> dict[int, int]:
        return {n: 1 for n, one in before.backends.items() if one.removed is not None}

    patch.setattr(assignment, "_who_could_stand_in", wrong)


def ejections_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A controller that begins anew knows of none."""
    patch.setattr(SqliteStore, "ejections", lambda self: Ejections())


@pytest.mark.parametrize("plant", [nobody_stands_in, they_take_new_flows_again, ejections_are_forgotten])
def test_a_fault_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError, match=r"new flows|ejections outlive"):
        for seed in range(10):
            history = History(Kind(1024, announcement=0.0), seed)
            for _ in range(400):
                history.step()
