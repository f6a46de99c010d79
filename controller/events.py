"""What happened, in order, and why: every decision of the controller becomes one event.

    log = EventLog()
    log.record(Kind.HEALTH, "web/b1", "down", "3 of 3 checks failed: connection refused", Severity.WARNING)
    async for event in log.follow(after=0): ...

An event is a sentence about a subject (`web/b1 down`) and its cause. The log keeps the latest few thousand
in memory, writes each to the `sluice.events` logger, and lets any number of followers read on from where
they are. It belongs to the event loop's thread.
"""

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

logger = logging.getLogger("sluice.events")

CAPACITY = 4096


class Kind(StrEnum):
    """What an event is about."""

    DAEMON = "daemon"  # the controller itself starts or stops
    SWITCH = "switch"  # connection, mastership, pipeline, differences found in the tables
    CHANGE = "change"  # a new revision of the desired state
    HEALTH = "health"  # a backend's verdict
    BUCKETS = "buckets"  # buckets moved or settled
    NEIGHBOR = "neighbor"  # a next hop learned, lost or sought in vain


class Severity(StrEnum):
    """How much an operator should care; the values are names of logging levels in lower case."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `number` counts from 1 without gaps; `time` is in seconds since the epoch."""

    number: int
    time: float
    kind: Kind
    severity: Severity
    subject: str
    text: str
    cause: str


class EventLog:
    """A bounded log of events with followers.

    Numbers have no gaps, so a follower that is told number 9 after number 5 knows that three were lost to it.
    """

    def __init__(self, capacity: int = CAPACITY, clock: Callable[[], float] = time.time) -> None:
        self._events: deque[Event] = deque(maxlen=capacity)
        self._clock = clock
        self._last = 0
        self.counts: Counter[tuple[Kind, Severity]] = Counter()
        """How many there have been."""
        self._closed = False
        self._news = asyncio.Event()

    @property
    def last(self) -> int:
        """The number of the latest event; 0 when there was none."""
        return self._last

    def record(
        self, kind: Kind, subject: str, text: str, cause: str = "", severity: Severity = Severity.INFO
    ) -> Event:
        """Adds an event, logs it and wakes the followers."""
        self._last += 1
        event = Event(self._last, self._clock(), kind, severity, subject, text, cause)
        self._events.append(event)
        self.counts[kind, severity] += 1
        logger.log(
            logging.getLevelNamesMapping()[severity.upper()],
            "%s: %s%s",
            subject,
            text,
            f" ({cause})" if cause else "",
            extra={"event": event},
        )
        self._wake()
        return event

    def since(self, after: int = 0) -> list[Event]:
        """The kept events whose number is larger than `after`, oldest first.

        A number that was not given out yet comes from an earlier life of the daemon: all of them are new.
        """
        if after > self._last:
            after = 0
        oldest = self._last - len(self._events) + 1
        return list(islice(self._events, max(0, after + 1 - oldest), None))

    async def follow(self, after: int = 0) -> AsyncIterator[Event]:
        """Yields the kept events after number `after`, then each new one until the log is closed."""
        while True:
            news = self._news
            for event in self.since(after):
                after = event.number
                yield event
            if self._closed and after >= self._last:
                return
            await news.wait()

    def close(self) -> None:
        """Lets followers end once they have read what there is."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        # A fresh Event for those who wait next: one that is set stays set for those who hold it already.
        self._news.set()
        self._news = asyncio.Event()


class Unheard(EventLog):
    """For decisions that are only tried out: nothing is kept, nothing is logged."""

    def record(
        self, kind: Kind, subject: str, text: str, cause: str = "", severity: Severity = Severity.INFO
    ) -> Event:
        return Event(0, self._clock(), kind, severity, subject, text, cause)
