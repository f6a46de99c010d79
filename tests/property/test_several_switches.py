"""Two switches under one controller: no flow of either is broken, whatever becomes of the other.

Each has flows of its own. One is cut off from the controller and forwards by its old tables, it comes back,
the controller is killed, and upstream routers give flows to the other switch. The faults show what the search
would find: each rule of docs/controller.md, "Several switches", is taken out in turn.
"""

from collections.abc import Callable

import numpy as np
import pytest

from controller import identities
from controller.desired import Desired
from controller.identities import Numbers
from controller.members import Member
from controller.settle import Settling
from tests.property.clients import IDLE, Kind
from tests.property.history import History

STEPS, ENOUGH = 400, 12
"""Steps of a history; each fault is found in as many of them."""

CROWDED = Kind(4, switches=2)
ROOMY = Kind(1024, switches=2)
UNANNOUNCED = Kind(4, announcement=0.0, switches=2)
NO_ROOM = Kind(0, announcement=0.0, switches=2)
FEW_NUMBERS = Kind(1024, announcement=0.0, switches=2, numbers=10)


def wander(kind: Kind, seed: int) -> History:
    history = History(kind, seed)
    for _ in range(STEPS):
        history.step()
    history.close()
    return history


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", [CROWDED, ROOMY, UNANNOUNCED, NO_ROOM])
def test_no_flow_of_either_is_broken(kind: Kind, seed: int) -> None:
    assert wander(kind, seed).opened > 50


@pytest.mark.parametrize("seed", range(3))
def test_numbers_that_go_round_soon_mean_nobody_else(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identities, "QUARANTINE", 3 * IDLE)
    wander(FEW_NUMBERS, seed)


# faults


def one_counter_is_enough(patch: pytest.MonkeyPatch) -> None:
    """A bucket settles when its counter stands still on one of the switches."""

    def settled(self, pool, buckets, now):  # type: ignore[no-untyped-def]
        quiet = [member.is_quiet(pool, buckets) for member in self._members.values()]
        return buckets.moving & np.any(quiet, axis=0)

    patch.setattr(Settling, "settled", settled)


def who_is_away_is_not_waited_for(patch: pytest.MonkeyPatch) -> None:
    is_quiet = Member.is_quiet
    patch.setattr(
        Member,
        "is_quiet",
        lambda self, pool, buckets: is_quiet(self, pool, buckets) | (not self.present),
    )


def one_packet_counter_is_enough(patch: pytest.MonkeyPatch) -> None:
    """A removed backend goes when no packet comes to it from one of the switches."""

    def is_drained(self, pool, assigned, identity):  # type: ignore[no-untyped-def]
        cell = np.array([identity.id])
        still = [member.backends.of(cell)[0] >= pool.idle_timeout for member in self._members.values()]
        return not self._is_named(pool, assigned, identity) and any(still)

    patch.setattr(Settling, "is_drained", is_drained)


def nothing_is_kept(patch: pytest.MonkeyPatch) -> None:
    """Who comes back gets what the others have."""
    patch.setattr(Desired, "assignment_of", lambda self, switch: self.assignment)


def numbers_come_back_to_whom_still_holds_them(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(identities, "QUARANTINE", 3 * IDLE)
    patch.setattr(
        Numbers,
        "_rests",
        lambda self, number, now: now - self.resting.get(number, -1e9) < 3 * IDLE,
    )


@pytest.mark.parametrize(
    ("plant", "kind"),
    [
        (one_counter_is_enough, ROOMY),
        (who_is_away_is_not_waited_for, ROOMY),
        (one_packet_counter_is_enough, ROOMY),
        (nothing_is_kept, NO_ROOM),
        (numbers_come_back_to_whom_still_holds_them, FEW_NUMBERS),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_fault_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        for seed in range(ENOUGH):
            wander(kind, seed)
