"""When nobody needs a moving bucket's `previous`, or a removed backend, any more.

The data plane counts the packets that the `previous` rule decided in a moving bucket, and all packets to a
backend. A flow that is silent for the pool's idle timeout counts as ended, so a counter that has stood
still for that long, begun no earlier than the move, says that the last flow is gone. The pool's drain
deadline ends the waiting in any case.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from controller.apportion import IDENTITIES, Mask
from controller.assignment import PoolAssignment
from controller.buckets import Buckets
from controller.identities import Identity
from controller.model import Pool
from controller.program import MOTION_SLOTS

POLLS_PER_IDLE_TIMEOUT = 20
FASTEST, SLOWEST = 0.1, 5.0

UNSEEN = -1


class Stillness:
    """For how long the cells of a counter have stood still. Times are the controller's clock, in seconds.

    A count was true at some moment between asking and the answer. To be on the safe side, a cell stands still
    from the answer that first showed its count, and until the latest one was asked for.
    """

    def __init__(self, cells: int) -> None:
        self._count = np.full(cells, UNSEEN, dtype=np.int64)
        self._first = np.full(cells, UNSEEN, dtype=np.int64)
        self._since = np.full(cells, np.inf)
        self._until = np.full(cells, -np.inf)

    def restart(self, cells: list[int]) -> None:
        """The cells have another meaning from now on: what was seen of them says nothing."""
        self._count[cells] = self._first[cells] = UNSEEN
        self._since[cells], self._until[cells] = np.inf, -np.inf

    def observe(self, counts: Mapping[int, int], asked: float, answered: float) -> None:
        """`counts` by cell, asked for and answered at these times."""
        cells = np.fromiter(counts.keys(), np.int64, len(counts))
        values = np.fromiter(counts.values(), np.int64, len(counts))
        new = self._first[cells] == UNSEEN
        self._first[cells[new]] = values[new]
        changed = cells[self._count[cells] != values]
        self._count[cells] = values
        self._since[changed] = answered
        self._until[cells] = asked

    def heard(self, cells: NDArray[np.integer]) -> Mask:
        """Which of `cells` have counted anything since they were first seen."""
        return self._count[cells] > self._first[cells]

    def of(self, cells: NDArray[np.integer]) -> NDArray[np.float64]:
        """Seconds that each of `cells` has stood still; below 0 when that is not known."""
        return self._until[cells] - self._since[cells]


def poll_interval(pools: tuple[Pool, ...]) -> float:
    """Seconds between two looks at the counters: often enough not to add much to any idle timeout."""
    shortest = min((pool.idle_timeout for pool in pools), default=np.inf)
    return float(np.clip(shortest / POLLS_PER_IDLE_TIMEOUT, FASTEST, SLOWEST))


class Settling:
    """Watches the counters of moving buckets and of backends that are on their way out."""

    def __init__(self) -> None:
        self.slots = Stillness(MOTION_SLOTS)
        self.backends = Stillness(IDENTITIES)

    def settled(self, pool: Pool, buckets: Buckets, now: float) -> Mask:
        """The moving buckets whose `previous` nobody needs; `now` in seconds since the epoch."""
        quiet = self.slots.of(buckets.motion) >= pool.idle_timeout
        overdue = now - buckets.began >= pool.drain_deadline
        return buckets.moving & (quiet | overdue)

    def is_drained(self, pool: Pool, assigned: PoolAssignment, identity: Identity) -> bool:
        """No bucket has the backend, and no flow that was recorded as an exception still goes to it."""
        still = self.backends.of(np.array([identity.id]))[0]
        return not _has_buckets(assigned, identity) and bool(still >= pool.idle_timeout)

    def may_go(self, pool: Pool, assigned: PoolAssignment, identity: Identity, now: float) -> bool:
        """Whether a backend that was taken out of the configuration can leave the tables."""
        if identity.removed is None or _has_buckets(assigned, identity):
            return False
        overdue = now - identity.removed >= pool.drain_deadline
        return overdue or self.is_drained(pool, assigned, identity)


def _has_buckets(assigned: PoolAssignment, identity: Identity) -> bool:
    return identity.id in assigned.buckets.current or identity.id in assigned.buckets.previous
