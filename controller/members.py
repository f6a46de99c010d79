"""What the decisions know of each switch: what it was given, what it has counted, and where it differs.

All switches have the same buckets, but for this: one that was away while a bucket settled comes back with
flows at the `previous` that it still holds. It keeps that for itself (`Kept`) until its own counter has
stood still, or for the pool's drain deadline. To the others, where nobody needs it, it does not come back.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from controller.apportion import Identities, Mask
from controller.assignment import PoolAssignment
from controller.buckets import Buckets
from controller.holdings import Holdings
from controller.model import Pool
from controller.program import MOTION_SLOTS, Table
from controller.stillness import Stillness
from controller.values import LAST_BACKEND


@dataclass(slots=True)
class Kept:
    """Buckets of a pool in which one switch has another `previous` than the others: where `here` is set.

    `began` is when that was found out, in seconds since the epoch.
    """

    previous: Identities
    here: Mask
    began: float
    _made: tuple[Buckets, Buckets] | None = None

    def of(self, buckets: Buckets) -> Buckets:
        """What the switch is to hold where the others hold `buckets`; the same object for the same one."""
        if self._made is None or self._made[0] is not buckets:
            previous = np.where(self.here, self.previous, buckets.previous)
            self._made = buckets, replace(buckets, previous=previous)
        return self._made[1]

    def follow(self, assigned: PoolAssignment) -> bool:
        """Drops what has become the same, or went with its backend; whether anything is left."""
        buckets = assigned.buckets
        while len(self.here) < len(buckets):  # the pool has grown: each half as the whole was
            self.previous, self.here = np.tile(self.previous, 2), np.tile(self.here, 2)
        alive = np.array([*assigned.backends], dtype=np.uint32)
        return self.drop((self.previous == buckets.previous) | ~np.isin(self.previous, alive))

    def drop(self, gone: Mask) -> bool:
        """Whether anything is left."""
        if (self.here & gone).any():
            self.here, self._made = self.here & ~gone, None
        return bool(self.here.any())


class Member:
    """One of the switches."""

    def __init__(self) -> None:
        self.present = False
        """It is connected and was read back."""
        self.holdings: Holdings | None = None
        """What it holds, or held when it was last heard of; None while it was never read back."""
        self.unwritten: dict[str, dict[int, int]] = {}
        """By pool, motion slots of moves that it may not have made yet, and the version that made each."""
        self.kept: dict[str, Kept] = {}
        self.forget()

    def forget(self) -> None:
        """What it has counted says nothing any more."""
        self.slots = Stillness(MOTION_SLOTS)
        self.backends = Stillness(LAST_BACKEND + 1)

    def restart(self, pool: str, slots: Iterable[int], version: int) -> None:
        """Another decision about the buckets that have these slots, which the switch does not have yet."""
        slots = [*slots]
        self.slots.restart(slots)
        if slots:
            self.unwritten.setdefault(pool, {}).update(dict.fromkeys(slots, version))

    def written(self, pool: str, version: int) -> None:
        """It has the pool's buckets as of `version`: those moves count from now."""
        waiting = self.unwritten.get(pool, {})
        done = [slot for slot, since in waiting.items() if since <= version]
        self.slots.restart(done)
        for slot in done:
            del waiting[slot]
        if not waiting:
            self.unwritten.pop(pool, None)

    def drop_pool(self, pool: str) -> None:
        self.unwritten.pop(pool, None)
        self.kept.pop(pool, None)

    def buckets(self, pool: str, buckets: Buckets) -> Buckets:
        """What it is to hold where the others hold `buckets`."""
        kept = self.kept.get(pool)
        return kept.of(buckets) if kept else buckets

    def is_quiet(self, pool: Pool, buckets: Buckets) -> Mask:
        """Buckets whose `previous` nobody has needed here for the idle timeout, since they moved."""
        if pool.name in self.unwritten:
            return np.zeros(len(buckets), dtype=np.bool_)
        return self.slots.of(buckets.motion) >= pool.idle_timeout

    def settle_kept(self, pool: Pool, buckets: Buckets, now: float) -> bool:
        """Lets go of what it kept for itself and nobody needs; True if any.

        Where its own `previous` is `current` again, flows may go by it for good; the others come round to it.
        """
        kept = self.kept.get(pool.name)
        if kept is None:
            return False
        overdue = now - kept.began >= pool.drain_deadline
        gone = kept.here & (kept.previous != buckets.current) & (self.is_quiet(pool, buckets) | overdue)
        if not kept.drop(gone):
            del self.kept[pool.name]
        return bool(gone.any())

    def keeps(self, pool: str, number: int) -> bool:
        """Whether it still needs a backend that the others may not need."""
        kept = self.kept.get(pool)
        return kept is not None and bool((kept.previous[kept.here] == number).any())

    def may_hold(self, table: Table, number: int) -> bool:
        """Whether it may have an entry for this number, as far as we know. A stranger may have any."""
        return self.holdings is None or (number,) in self.holdings.rows[table]


Members = Mapping[str, Member]
"""By the name of the switch; "" for one that needs none, being the only one."""
