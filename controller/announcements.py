"""Which buckets are about to move, and since when that is announced.

Before a bucket makes a planned move, the switch records every SYN of it for a while under its present owner:
so one that is sent again across the move stays where it was. Only buckets that are to move are announced,
since each recorded flow takes room in the table of exceptions.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from controller.apportion import Mask

NOT_ANNOUNCED = np.inf

Moments = NDArray[np.float64]


class Announcements:
    """By pool, when each bucket may move (seconds since the epoch)."""

    def __init__(self) -> None:
        self._due: dict[str, Moments] = {}
        self._causes: dict[str, str] = {}

    def copy(self) -> "Announcements":
        other = Announcements()
        other._due, other._causes = dict(self._due), dict(self._causes)
        return other

    def ready(self, pool: str, buckets: int, now: float, ahead: float) -> Mask:
        """The buckets, of so many, that were announced `ahead` seconds ago, or longer."""
        due = self._of(pool, buckets)
        # Longer than it was to take means that the clock was set back.
        return (due <= now) | (np.isfinite(due) & (due - now > ahead))

    def announce(self, pool: str, pending: Mask, now: float, ahead: float, cause: str) -> int:
        """`pending` are all that are to move. Those that were announced keep their time; others are taken
        back. Returns how many are new."""
        before = self._of(pool, len(pending))
        new = pending & ~np.isfinite(before)
        if pending.any():
            self._due[pool] = np.where(pending, np.where(new, now + ahead, before), NOT_ANNOUNCED)
            if new.any():
                self._causes[pool] = cause
        else:
            self._due.pop(pool, None)
        return int(new.sum())

    def cause(self, pool: str) -> str:
        """Why the buckets that were announced last are to move."""
        return self._causes.get(pool, "")

    def forget(self, pool: str) -> None:
        self._due.pop(pool, None)
        self._causes.pop(pool, None)

    def clear(self) -> None:
        self._due.clear()
        self._causes.clear()

    @property
    def buckets(self) -> Mapping[str, Mask]:
        """The announced ones, of pools that have any."""
        return {pool: np.isfinite(due) for pool, due in self._due.items()}

    def due(self) -> float | None:
        """When the next move is to be made, if any is."""
        return min((float(due.min()) for due in self._due.values()), default=None)

    def _of(self, pool: str, buckets: int) -> Moments:
        due = self._due.get(pool, np.full(buckets, NOT_ANNOUNCED))
        while len(due) < buckets:  # the pool has grown: each half as the whole was
            due = np.concatenate([due, due])
        return due
