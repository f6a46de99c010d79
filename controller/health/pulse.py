"""Whether this process was there to listen: a check that nobody could hear has not failed."""

import asyncio
from collections import deque

BEAT = 0.02
"""Seconds between two looks at the clock; what is late by less is not worth speaking of."""

REMEMBERED = 64
"""Stalls."""


class Pulse:
    """Notices when the event loop stood still, or was not given the processor."""

    def __init__(self) -> None:
        self._stalls: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)
        """When they ended, and how long they were; seconds of the loop's clock."""
        self._next: asyncio.TimerHandle | None = None

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._next = loop.call_later(BEAT, self._beat, loop, loop.time() + BEAT)

    def stop(self) -> None:
        if self._next:
            self._next.cancel()

    def _beat(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = loop.time()
        if now - due > BEAT:
            self._stalls.append((now, now - due))
        self.start()

    def longest_stall(self, *, since: float) -> float:
        """Seconds; of those that ended at `since` (the loop's time) or later."""
        return max((length for ended, length in self._stalls if ended >= since), default=0.0)
