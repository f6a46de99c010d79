"""The judge of the demonstration finds what it has to find, and only that."""

import dataclasses

import pytest

from topo.client import Request, StreamEvent
from topo.demo.verdict import Death, Phase, Share, judge, tolerance

SHARES = {"b1": 0.5, "b2": 0.5}
PHASE = Phase("steady", began=0.0, in_force=0.0, ended=100.0, shares=SHARES)
DEATH = Death("b2", moment=40.0, allowance=1.0, taken_out=40.7, last_syn=40.6, back=60.0)
GOOD = [Request(t / 10, t / 10 + 0.01, backend=f"b{1 + t % 2}") for t in range(1000)]


def refused(began: float, ended: float | None = None) -> Request:
    return Request(began, began if ended is None else ended, error="ConnectionRefusedError")


def broken(backend: str, moment: float) -> StreamEvent:
    return StreamEvent("broken", 1, moment, backend, "reset")


def test_all_well() -> None:
    verdict = judge([PHASE], GOOD, [StreamEvent("opened", 1, 1.0, "b1")], [DEATH])
    assert verdict.held
    assert verdict.results[0].opened == 1001
    assert verdict.results[0].shares["b1"].measured == 0.5
    assert not verdict.examples


@pytest.mark.parametrize(
    ("what", "requests", "events"),
    [
        ("before the death", [refused(39.0)], []),
        ("after the switch-over time", [refused(41.1)], []),
        ("an old connection of a survivor", [], [broken("b1", 40.5)]),
        ("an old connection long before the death", [], [broken("b2", 30.0)]),
        ("one that broke after the server's return", [], [broken("b2", 61.0)]),
        ("a long-lived one that was never opened", [], [StreamEvent("failed", 1, 10.0, error="refused")]),
    ],
)
def test_a_broken_promise_is_found(what: str, requests: list[Request], events: list[StreamEvent]) -> None:
    verdict = judge([PHASE], [*GOOD, *requests], events, [DEATH])
    assert not verdict.held, what
    assert len(verdict.examples) == 1


@pytest.mark.parametrize(
    ("what", "requests", "events"),
    [
        ("refused while the death is not known yet", [refused(40.5)], []),
        ("under way when the server died", [refused(39.9, 40.05)], []),
        ("a connection of the killed server", [], [broken("b2", 40.1)]),
        ("one that could not be opened then", [], [StreamEvent("failed", 1, 40.2, error="refused")]),
    ],
)
def test_what_a_death_may_cost(what: str, requests: list[Request], events: list[StreamEvent]) -> None:
    assert judge([PHASE], [*GOOD, *requests], events, [DEATH]).held, what


def test_a_late_new_connection_to_the_dead_server() -> None:
    late = dataclasses.replace(DEATH, last_syn=DEATH.moment + DEATH.allowance + 0.01)
    assert not judge([PHASE], GOOD, [], [late]).held
    assert judge([PHASE], GOOD, [], [dataclasses.replace(DEATH, last_syn=None)]).held


def test_nothing_measured_is_no_success() -> None:
    assert not judge([PHASE], [], [], []).held


def test_a_share_that_the_buckets_do_not_predict() -> None:
    skewed = dataclasses.replace(PHASE, shares={"b1": 0.6, "b2": 0.4})
    verdict = judge([skewed], GOOD, [], [])
    assert not verdict.held
    assert "b1 50.0% instead of 60.0%" in verdict.promises[2].measured


def test_shares_count_only_from_when_the_change_is_in_force() -> None:
    before = [Request(1.0, 1.1, backend="b1")] * 500
    late = dataclasses.replace(PHASE, in_force=5.0)
    assert judge([late], [*GOOD, *before], [], []).held
    assert not judge([PHASE], [*GOOD, *before], [], []).held


def test_a_backend_without_buckets_gets_nothing() -> None:
    assert tolerance(1000, 0.0, 1e-4) == 0.0
    assert not Share(measured=0.001, predicted=0.0, tolerance=0.0).held


def test_tolerance_is_the_binomial_one() -> None:
    # The quantile of the normal distribution for one in ten thousand, two-sided, is 3.8906 (tables of it).
    assert tolerance(10_000, 0.25, 1e-4) == pytest.approx(
        3.8906 * (0.25 * 0.75 / 10_000) ** 0.5 + 0.5 / 10_000, rel=1e-4
    )
