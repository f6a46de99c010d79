"""A change, tried out: the session's own decisions and writes, on copies, by a wire that only takes notes."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import cast

import numpy as np

from controller.apportion import NOBODY
from controller.assignment import Assignment, PoolAssignment
from controller.model import Config
from controller.plan import Move, Plan, Step, TableWrites
from controller.program import TABLES, Change, Kind
from controller.session import Session
from controller.stand_ins import NOBODY_CUT, Cut
from controller.wire import Connection, Refusal

DEADLINES = 366 * 86400.0
"""Seconds: longer than any drain deadline, so that all old flows have ended."""


class Notes:
    """Stands in for `wire.Connection`: whatever is written is noted, and nothing is refused."""

    def __init__(self) -> None:
        self._changes: list[Change] = []

    async def write(self, changes: Iterable[Change]) -> list[Refusal]:
        self._changes += changes
        return []

    def take(self) -> list[Change]:
        """What was written since."""
        taken, self._changes = self._changes, []
        return taken


async def rehearse(session: Session, config: Config, now: float, cut: Cut = NOBODY_CUT) -> Plan:
    """What `config`, and whom to `cut`, would have `session` write; `now` in seconds since the epoch."""
    notes = Notes()
    double = session.double(cast(Connection, notes))
    desired, switch = double.desired, double.name
    desired.configure(config, drain=True)
    desired.cut(cut)
    before = desired.assignment.copy()
    await double.write(now)
    steps = [_step(0.0, notes.take(), switch)]
    at = now
    while (due := desired.due(at)) is not None:
        at = due
        await double.write(at)
        steps.append(_step(at - now, notes.take(), switch))
    moves = tuple(_moves(before, desired.assignment))
    desired.settle(now + DEADLINES)
    await double.write(now + DEADLINES)
    steps.append(_step(None, notes.take(), switch))
    return Plan(
        steps=tuple(step for step in steps if step.writes),
        moves=moves,
        standing_in=tuple(desired.stand_ins.told()),
    )


def _step(after: float | None, changes: Iterable[Change], switch: str) -> Step:
    counts = Counter((change.table, change.kind) for change in changes)
    writes = (
        TableWrites(
            table=table.name,
            insert=counts[table, Kind.INSERT],
            modify=counts[table, Kind.MODIFY],
            delete=counts[table, Kind.DELETE],
            switch=switch,
        )
        for table in TABLES
    )
    return Step(after=after, writes=tuple(one for one in writes if one.insert + one.modify + one.delete))


def _moves(before: Assignment, after: Assignment) -> Iterator[Move]:
    """The buckets whose new flows another backend gets; a pool that grows is compared with its double."""
    for name, assigned in after.pools.items():
        known = before.pools.get(name)
        buckets = assigned.buckets.current
        old = np.resize(known.buckets.current, len(buckets)) if known else np.full_like(buckets, NOBODY)
        pairs = np.stack([old, buckets], axis=1)
        for giver, taker in np.unique(pairs[old != buckets], axis=0).tolist():
            moved = np.flatnonzero((old == giver) & (buckets == taker)).tolist()
            yield Move(
                pool=name,
                giver=_name(giver, known),
                taker=_name(taker, assigned),
                count=len(moved),
                buckets=ranges(moved),
            )


def _name(number: int, pool: PoolAssignment | None) -> str | None:
    identity = pool.backends.get(number) if pool else None
    return identity.name if identity else None


def ranges(numbers: Iterable[int]) -> str:
    """Ascending numbers as `3, 17-19`."""
    texts: list[str] = []
    for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        members = [number for _, number in run]
        texts.append(str(members[0]) if len(members) == 1 else f"{members[0]}-{members[-1]}")
    return ", ".join(texts)
