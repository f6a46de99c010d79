"""When nobody needs a moving bucket's `previous`, or a removed backend, any more.

The data plane counts the packets that the `previous` rule decided in a moving bucket, and all packets to a
backend. A flow that is silent for the pool's idle timeout counts as ended, so a counter that has stood
still for that long, begun no earlier than the move, says that the last flow is gone. The pool's drain
deadline ends the waiting in any case.
"""

import numpy as np
from numpy.typing import NDArray

from controller.apportion import Mask
from controller.assignment import PoolAssignment
from controller.buckets import Buckets
from controller.identities import Identity
from controller.members import Members
from controller.model import Pool

POLLS_PER_IDLE_TIMEOUT = 20
FASTEST, SLOWEST = 0.1, 5.0


def poll_interval(pools: tuple[Pool, ...]) -> float:
    """Seconds between two looks at the counters: often enough not to add much to any idle timeout."""
    shortest = min((pool.idle_timeout for pool in pools), default=np.inf)
    return float(np.clip(shortest / POLLS_PER_IDLE_TIMEOUT, FASTEST, SLOWEST))


class Settling:
    """Goes by the counters of all switches: nobody knows to which of them a flow comes next.

    A switch that is away may still forward. It says nothing, so only the drain deadline ends the waiting.
    """

    def __init__(self, members: Members) -> None:
        self._members = members

    def settled(self, pool: Pool, buckets: Buckets, now: float) -> Mask:
        """The moving buckets whose `previous` nobody needs; `now` in seconds since the epoch."""
        quiet = [member.is_quiet(pool, buckets) for member in self._members.values()]
        overdue = now - buckets.began >= pool.drain_deadline
        return buckets.moving & (np.all(quiet, axis=0) | overdue)

    def heard(self, slots: NDArray[np.integer]) -> Mask:
        """Of which motion slots some switch has counted anything since their buckets moved."""
        heard = [member.slots.heard(slots) for member in self._members.values()]
        return np.any(heard, axis=0)

    def is_drained(self, pool: Pool, assigned: PoolAssignment, identity: Identity) -> bool:
        """No bucket has the backend, and no flow that was recorded as an exception still goes to it."""
        cell = np.array([identity.id])
        return not self._is_named(pool, assigned, identity) and all(
            bool(member.backends.of(cell)[0] >= pool.idle_timeout) for member in self._members.values()
        )

    def may_go(self, pool: Pool, assigned: PoolAssignment, identity: Identity, now: float) -> bool:
        """Whether a backend that was taken out of the configuration can leave the tables."""
        if identity.removed is None or self._is_named(pool, assigned, identity):
            return False
        overdue = now - identity.removed >= pool.drain_deadline
        written = all(pool.name not in member.unwritten for member in self._members.values())
        return overdue or (written and self.is_drained(pool, assigned, identity))

    def held_up(self, pool: Pool, assigned: PoolAssignment) -> tuple[int, int]:
        """How many moving buckets, and removed backends, wait for nobody but switches that are away.

        By all that those tell that are connected, nobody needs them. (0, 0) while none is, or all are.
        """
        here = [member for member in self._members.values() if member.present]
        if not here or len(here) == len(self._members):
            return 0, 0
        quiet = np.all([member.is_quiet(pool, assigned.buckets) for member in here], axis=0)
        waiting = assigned.buckets.moving & quiet
        needed = assigned.buckets.moving & ~quiet
        named = {*assigned.buckets.current.tolist(), *assigned.buckets.previous[needed].tolist()}
        leaving = [n for n, one in assigned.backends.items() if one.removed is not None and n not in named]
        silent = [
            number
            for number in leaving
            if all(
                not member.keeps(pool.name, number)
                and bool(member.backends.of(np.array([number]))[0] >= pool.idle_timeout)
                for member in here
            )
        ]
        return int(waiting.sum()), len(silent)

    def _is_named(self, pool: Pool, assigned: PoolAssignment, identity: Identity) -> bool:
        """Whether some bucket has it, on any switch."""
        number, buckets = identity.id, assigned.buckets
        kept = any(member.keeps(pool.name, number) for member in self._members.values())
        return kept or number in buckets.current or number in buckets.previous
