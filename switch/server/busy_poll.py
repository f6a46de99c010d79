"""Waits for what is likely to come at once, without going to sleep for it.

To be woken takes a thread longer than to answer a quick call, and what it runs on has grown cold meanwhile:
who sends one call after the other waits for that each time. So a thread that had to wait for only a moment
looks for itself the next time, for a moment at most. When nothing has come by then it sleeps, and goes on
sleeping until calls come as quickly again. It is they that take a processor, and not their absence. Linux
does so for virtual machines ("halt polling") and for sockets (SO_BUSY_POLL).
"""

import os
import time
from collections.abc import Callable
from typing import Generic, TypeVar

MOMENT = 0.0005
"""Seconds in which a client in Python sends its next call, when it waits for nothing but the answer."""

PAST = 0.0

Event = TypeVar("Event")


def has_processors() -> bool:
    """Whether others have one to run on while a thread looks."""
    return len(os.sched_getaffinity(0)) > 1


class BusyPoll(Generic[Event]):
    """One thread's way to wait."""

    def __init__(
        self,
        poll: Callable[[float | None], Event],
        came: Callable[[Event], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """poll: waits until a time (since 1970; None: for ever), and returns what came. came: if any did."""
        self._poll = poll
        self._came = came
        self._clock = clock
        self._soon = False
        self._allowed = has_processors()

    def next(self) -> Event:
        """The next event, whenever it comes."""
        end = self._clock() + MOMENT
        while self._soon and self._clock() < end:
            event = self._poll(PAST)
            if self._came(event):
                return event
        event = self._poll(None)
        self._soon = self._allowed and self._clock() < end
        return event
