"""Penalties: how they grow, decay, hold back and let go."""

import pytest
from pydantic import ValidationError

from controller.health.damping import Flapping, Flaps
from controller.health.settings import Damping

SETTINGS = Damping(half_life=60, suppress=3, reuse=1, longest=240)
NAME = ("web", "b1")


def test_a_penalty_decays_by_half_in_every_half_life() -> None:
    known = Flapping(0.0, 0.0).fallen(0.0, SETTINGS)
    assert [known.penalty_at(at, SETTINGS) for at in (0, 60, 120)] == [1.0, 0.5, 0.25]
    assert known.penalty_at(-5, SETTINGS) == 1.0, "a clock that was set back lets nothing grow"


def test_who_falls_often_is_held_back_and_who_falls_seldom_is_not() -> None:
    often, seldom = Flaps(), Flaps()
    assert [often.fell(NAME, at, SETTINGS) for at in (0, 5, 10, 15)] == [False, False, False, True]
    assert [seldom.fell(NAME, at, SETTINGS) for at in range(0, 3600, 60)] == 60 * [False]
    assert (often.held("web"), seldom.held("web"), often.held("other")) == ({"b1"}, set(), set())


def test_it_is_held_back_until_the_penalty_is_down_to_reuse() -> None:
    flaps = Flaps()
    for _ in range(4):
        flaps.fell(NAME, 100.0, SETTINGS)
    assert [*flaps.due("web", SETTINGS)] == [220.0], "4 halves twice"
    assert flaps.released("web", 219.9, SETTINGS) == []
    assert flaps.held("web") == {"b1"}
    assert flaps.released("web", 220.0, SETTINGS) == ["b1"]
    assert flaps.held("web") == set()
    assert flaps.penalty(NAME, 220.0, SETTINGS) == 1.0, "it may be held back again soon"


def test_however_often_it_falls_the_longest_time_is_enough() -> None:
    flaps = Flaps()
    for _ in range(1000):
        flaps.fell(NAME, 0.0, SETTINGS)
    assert [*flaps.due("web", SETTINGS)] == [240.0]


def test_a_fall_while_held_back_makes_it_longer_and_is_told_once() -> None:
    flaps = Flaps()
    assert [flaps.fell(NAME, 0.0, SETTINGS) for _ in range(4)] == [False, False, True, False]


def test_a_pool_that_has_no_damping_any_more_lets_all_go() -> None:
    flaps = Flaps()
    for _ in range(4):
        flaps.fell(NAME, 0.0, SETTINGS)
    assert flaps.released("web", 0.0, None) == ["b1"]


def test_who_is_configured_no_longer_is_forgotten() -> None:
    flaps = Flaps()
    for _ in range(4):
        flaps.fell(NAME, 0.0, SETTINGS)
    flaps.keep({("web", "b2")})
    assert flaps.held("web") == set()


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"suppress": 2, "reuse": 2}, "reuse is 2, must be less than suppress, which is 2"),
        ({"suppress": 50, "longest": "2m"}, "would never hold anybody back"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        Damping.model_validate(settings)
