"""Which buckets are about to move, and since when that is announced.

Before a bucket makes a planned move, the switch records every SYN of it for a while under its present owner:
so one that is sent again across the move stays where it was. Only buckets that are to move are announced,
since each recorded flow takes room in the table of exceptions.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controller.apportion import Mask

NOT_ANNOUNCED = np.inf

AT_ONCE = 0.5
"""Seconds in which an announcement is usually written. If it takes longer, it counts from then."""

PATIENCE = 10.0
"""Seconds that a switch may take to make an announcement, before the others no longer wait for it."""

Moments = NDArray[np.float64]


@dataclass(slots=True)
class _Untold:
    """The latest announcement of a pool, which some switches do not have yet."""

    buckets: Mask
    since: float
    ahead: float
    version: int
    switches: set[str]


class Announcements:
    """By pool, when each bucket may move (seconds since the epoch)."""

    def __init__(self) -> None:
        self._due: dict[str, Moments] = {}
        self._causes: dict[str, str] = {}
        self._untold: dict[str, _Untold] = {}

    def copy(self) -> "Announcements":
        other = Announcements()
        other._due, other._causes = dict(self._due), dict(self._causes)
        return other

    def ready(self, pool: str, buckets: int, now: float, ahead: float) -> Mask:
        """The buckets, of so many, that were announced `ahead` seconds ago, or longer."""
        due = self._of(pool, buckets)
        # Longer than it was to take means that the clock was set back.
        longest = ahead + (PATIENCE if pool in self._untold else 0.0)
        return (due <= now) | (np.isfinite(due) & (due - now > longest))

    def announce(self, pool: str, pending: Mask, now: float, ahead: float, cause: str) -> Mask:
        """`pending` are all that are to move. Those that were announced keep their time; others are taken
        back. Returns which are new."""
        before = self._of(pool, len(pending))
        new = pending & ~np.isfinite(before)
        if pending.any():
            self._due[pool] = np.where(pending, np.where(new, now + ahead, before), NOT_ANNOUNCED)
            if new.any():
                self._causes[pool] = cause
        else:
            self._due.pop(pool, None)
        return new

    def wait_for(
        self, pool: str, new: Mask, switches: Iterable[str], now: float, ahead: float, version: int
    ) -> None:
        """The `new` buckets count as announced when all `switches` have been told, as of `version`."""
        waiting, before = {*switches}, self._untold.get(pool)
        if not waiting or not new.any():
            return
        buckets = new | before.buckets if before and len(before.buckets) == len(new) else new
        self._untold[pool] = _Untold(buckets, now, ahead, version, waiting)
        self._put_off(pool, buckets, now + ahead + PATIENCE)

    def told(self, pool: str, switch: str, version: int, now: float) -> None:
        """`switch` has the announcements of a pool as they were at `version`."""
        untold = self._untold.get(pool)
        if untold is None or untold.version > version:
            return
        untold.switches.discard(switch)
        if not untold.switches:
            del self._untold[pool]
            began = untold.since if now - untold.since <= AT_ONCE else now
            self._put_off(pool, untold.buckets, began + untold.ahead)

    def untold(self, switch: str) -> list[str]:
        """Pools whose announcement `switch` does not have yet."""
        return [pool for pool, untold in self._untold.items() if switch in untold.switches]

    def _put_off(self, pool: str, buckets: Mask, due: float) -> None:
        if pool in self._due:
            before = self._due[pool]
            buckets = np.resize(buckets, len(before))  # the pool may have grown: each half as the whole was
            self._due[pool] = np.where(buckets & np.isfinite(before), due, before)

    def cause(self, pool: str) -> str:
        """Why the buckets that were announced last are to move."""
        return self._causes.get(pool, "")

    def forget(self, pool: str) -> None:
        self._due.pop(pool, None)
        self._causes.pop(pool, None)
        self._untold.pop(pool, None)

    def clear(self) -> None:
        self._untold.clear()
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
