"""Verdicts from check results, as truth tables: `+` passed, `-` failed; u, H, D: unknown, healthy, down."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.health.rise_fall import Health, RiseFall

LETTERS = {"u": Health.UNKNOWN, "H": Health.HEALTHY, "D": Health.DOWN}

# what it shows, health at first, rise, fall, results, health after each
TRUTH = [
    ("rise 2: the second pass in a row", "u", 2, 3, "++", "uH"),
    ("fall 3: the third failure in a row", "u", 2, 3, "---", "uuD"),
    ("rise 1 and fall 1 believe each result", "u", 1, 1, "+-+-", "HDHD"),
    ("a pass between failures starts the count again", "H", 2, 3, "--+--+--", "HHHHHHHH"),
    ("a failure between passes starts the count again", "D", 3, 2, "++-++-+++", "DDDDDDDDH"),
    ("failures are never added up over time", "H", 1, 2, "-+-+-+-+", "HHHHHHHH"),
    ("healthy stays healthy while checks pass", "H", 2, 3, "+++++", "HHHHH"),
    ("down stays down while checks fail", "D", 2, 3, "-----", "DDDDD"),
    ("healthy falls after exactly fall failures", "H", 2, 3, "+---", "HHHD"),
    ("down rises after exactly rise passes", "D", 2, 3, "-++", "DDH"),
    ("unknown until either count is reached", "u", 3, 3, "+-+-++-+++", "uuuuuuuuuH"),
    ("unknown falls like any other", "u", 2, 3, "+---", "uuuD"),
    ("passes before a verdict of down do not help it rise", "u", 2, 1, "+-+", "uDD"),
    ("there and back", "u", 2, 2, "++--++", "uHHDDH"),
]


@pytest.mark.parametrize(("shows", "first", "rise", "fall", "results", "wanted"), TRUTH)
def test_truth_table(shows: str, first: str, rise: int, fall: int, results: str, wanted: str) -> None:
    state, seen = RiseFall(LETTERS[first]), []
    for result in results:
        state = state.after(result == "+", rise=rise, fall=fall)
        seen.append(state.health)
    assert seen == [LETTERS[letter] for letter in wanted], shows


@given(
    results=st.lists(st.booleans(), max_size=60),
    rise=st.integers(1, 5),
    fall=st.integers(1, 5),
    first=st.sampled_from(Health),
)
def test_the_verdict_is_the_latest_run_that_was_long_enough(
    results: list[bool], rise: int, fall: int, first: Health
) -> None:
    """The rule said another way: look back through the results for the latest run that reached its count."""
    state = RiseFall(first)
    for result in results:
        state = state.after(result, rise=rise, fall=fall)

    wanted = first
    for end in range(len(results), 0, -1):
        if end >= rise and all(results[end - rise : end]):
            wanted = Health.HEALTHY
            break
        if end >= fall and not any(results[end - fall : end]):
            wanted = Health.DOWN
            break
    assert state.health == wanted
