"""The search for what a switch can do, on switches that are known."""

import pytest

from bench.search import LOSS_FREE, STEP, capacity
from bench.traffic import Trial

GENERATOR = 1_000_000.0  # packets a second that it can send


def switch(limit: float, *, starved: float = 1.0, spoilt: frozenset[int] = frozenset()):
    """A switch that forwards up to `limit` a second.

    starved: how much of that under the heaviest load. spoilt: trials in which it does next to nothing.
    """
    trials = iter(range(1000))

    def drive(rate: float) -> Trial:
        number = next(trials)
        offered = min(rate, GENERATOR) if rate else GENERATOR
        able = limit * starved if not rate else limit
        delivered = min(offered, 1.0 if number in spoilt else able)
        return Trial(offered, delivered, 1 - delivered / offered)

    return drive


@pytest.mark.parametrize("limit", [5_000.0, 123_456.0, 999_999.0])
@pytest.mark.parametrize("starved", [1.0, 0.5, 0.05])
def test_finds_what_a_switch_can_do(limit: float, starved: float) -> None:
    found = capacity(switch(limit, starved=starved))
    assert found.throughput == pytest.approx(limit, rel=1 - 1 / STEP)
    assert limit / STEP <= found.loss_free <= limit * (1 + LOSS_FREE)


def test_two_spoilt_trials_in_a_row_do_not_end_the_search() -> None:
    found = capacity(switch(100_000.0, starved=0.2, spoilt=frozenset({3, 4})))
    assert found.throughput == 100_000.0


def test_a_switch_that_takes_all_there_is_has_the_generator_s_rate() -> None:
    assert capacity(switch(2 * GENERATOR)).throughput == GENERATOR


def test_a_switch_that_always_loses_something_has_no_loss_free_load() -> None:
    def drive(rate: float) -> Trial:
        offered = rate or GENERATOR
        return Trial(offered, min(offered * 0.95, 50_000.0), 0.05)

    assert capacity(drive).loss_free == 0.0
