"""Who waits awake does so for calls that come one after the other, and sleeps otherwise."""

import pytest

from switch.server import busy_poll
from switch.server.busy_poll import MOMENT, BusyPoll

LOOK = MOMENT / 10
"""Seconds that a look takes."""


class Calls:
    """That come after so many seconds, each counted from when the one before was taken."""

    def __init__(self, *after: float) -> None:
        self._after = list(after)
        self.now = 0.0
        self._taken = 0.0
        self.slept = 0
        """How often there was nothing to do but sleep."""
        self.looked = 0

    def poll(self, until: float | None) -> str | None:
        comes = self._taken + self._after[0]
        if until is None:
            self.slept += self.now < comes
            self.now = max(self.now, comes)
        else:
            self.looked += 1
            self.now += LOOK
        if self.now < comes:
            return None
        self._taken = self.now
        return f"after {self._after.pop(0)}"

    def take_all(self) -> None:
        waiting = BusyPoll(self.poll, lambda event: event is not None, clock=lambda: self.now)
        while self._after:
            due = self._after[0]
            assert waiting.next() == f"after {due}"


@pytest.fixture(autouse=True)
def several_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy_poll, "has_processors", lambda: True)


def test_calls_in_a_row_are_waited_for_awake() -> None:
    calls = Calls(10, *[MOMENT / 2] * 50)
    calls.take_all()
    assert calls.slept == 2, "for the first, and for the second, of which nothing was known"


def test_calls_that_come_slowly_are_slept_for() -> None:
    calls = Calls(*[MOMENT * 2] * 50)
    calls.take_all()
    assert (calls.slept, calls.looked) == (50, 0)


def test_the_end_of_calls_in_a_row_is_noticed_once() -> None:
    calls = Calls(1, MOMENT / 2, MOMENT / 2, *[1] * 50)
    calls.take_all()
    assert calls.looked <= (MOMENT / 2 + MOMENT) / LOOK + 2, (
        "for the last of the row, and for what did not come"
    )


def test_calls_that_come_a_little_too_slowly_are_slept_for() -> None:
    """Though who looked in vain for a moment sleeps only for a moment then."""
    calls = Calls(1, MOMENT / 2, *[MOMENT * 1.5] * 50)
    calls.take_all()
    assert calls.looked <= MOMENT / LOOK + 2


def test_one_processor_is_left_to_those_who_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy_poll, "has_processors", lambda: False)
    calls = Calls(*[MOMENT / 2] * 50)
    calls.take_all()
    assert (calls.slept, calls.looked) == (50, 0)
