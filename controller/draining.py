"""How far a drain is: what the switch's counters say about the flows that a backend still has.

The switch keeps no list of flows, so three things are told, and which of them is what:

- counted: buckets that still have the backend for their old flows, and how many of these were heard. A flow
  is over once it was silent for the pool's idle timeout, so each heard bucket has at least one
- counted, where the switch lets its registers be read: flows recorded as exceptions
- estimated: the flows in the buckets. Old flows are spread over the buckets by a hash, so the share of
  buckets that have none tells how many there are: linear counting (Whang, Vander-Zanden, Taylor: A
  Linear-Time Probabilistic Counting Algorithm for Database Applications, ACM TODS 15(2), 1990). With VIPs of
  affinity `client` these are clients
"""

from math import log
from typing import Any

import numpy as np

from controller.assignment import PoolAssignment
from controller.identities import Identity
from controller.model import Backend, Pool
from controller.report import DrainReport
from controller.settle import Settling


class Peaks:
    """How many buckets each backend had for old flows at most, since it has any: what a drain began with."""

    def __init__(self) -> None:
        self._of: dict[int, int] = {}

    def observe(self, assigned: PoolAssignment) -> None:
        buckets = assigned.buckets
        counts = np.bincount(buckets.previous[buckets.moving], minlength=1)
        for number in assigned.backends:
            now = int(counts[number]) if number < len(counts) else 0
            if now:
                self._of[number] = max(now, self._of.get(number, 0))
            else:
                self._of.pop(number, None)

    def of(self, number: int) -> int:
        return self._of.get(number, 0)


def estimate(busy: int, buckets: int) -> int | None:
    """How many flows, spread over `buckets` by a hash, leave `busy` of them with some; None: any number."""
    if busy >= buckets:
        return 0 if not buckets else None
    return round(-buckets * log(1 - busy / buckets))


def drain_report(
    pool: Pool,
    assigned: PoolAssignment,
    identity: Identity,
    backend: Backend | None,
    settling: Settling,
    peaks: Peaks,
    *,
    recorded: int | None,
    packets: int,
    counted: float,
    now: float,
    awaited: tuple[str, ...] = (),
) -> DrainReport:
    """Of a backend in the tables; `backend` is what is configured of it, None if it is being removed."""
    buckets = assigned.buckets
    old = buckets.moving & (buckets.previous == identity.id)
    heard = int(settling.heard(buckets.motion[old]).sum())
    left, at_first = int(old.sum()), max(int(old.sum()), peaks.of(identity.id))
    began = buckets.began[old]
    return DrainReport(
        pool=pool.name,
        backend=identity.name,
        state=backend.state if backend else "removing",
        drained=settling.is_drained(pool, assigned, identity),
        new_flow_buckets=int((buckets.current == identity.id).sum()),
        buckets=left,
        buckets_at_first=at_first,
        busy=heard,
        unheard=left - heard,
        flows=estimate(heard, at_first),
        recorded=recorded,
        at_least=heard + (recorded or 0),
        packets=packets,
        counted=counted,
        began=float(began.min()) if left else None,
        ends=float(began.max()) + pool.drain_deadline if left else None,
        awaited=awaited,
        **_deadline(backend, now),
    )


def _deadline(backend: Backend | None, now: float) -> dict[str, Any]:
    if backend is None or backend.deadline is None:
        return {}
    at = backend.deadline.at.timestamp()
    return {"deadline": at, "at_deadline": backend.deadline.then, "overdue": now >= at}


def without_flows(pool: str, backend: Backend, now: float) -> DrainReport:
    """Of a backend that is in no table, since it is down or disabled."""
    return DrainReport(
        pool=pool,
        backend=backend.name,
        state=backend.state,
        drained=True,
        new_flow_buckets=0,
        buckets=0,
        buckets_at_first=0,
        busy=0,
        unheard=0,
        flows=0,
        recorded=0,
        at_least=0,
        packets=0,
        counted=0.0,
        began=None,
        ends=None,
        **_deadline(backend, now),
    )
