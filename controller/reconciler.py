"""The one path to the switch: the difference between what it holds and what it should, as ordered writes.

What the switch holds is read back when we connect, and remembered afterwards. An entry is written after those
that it refers to, and deleted after those that refer to it, so that no packet ever meets one that points at
something absent. When the switch refuses an entry, what refers to it waits too, until it is tried again.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from controller.apportion import NOBODY
from controller.drift import Digests, Look, Turn
from controller.holdings import ABSENT, Held, Holdings, fitted, none
from controller.program import (
    BACKENDS,
    BUCKETS,
    POOLS,
    TABLES,
    VIP_RANGES,
    VIPS,
    Change,
    Do,
    Key,
    Kind,
    Table,
)
from controller.wanted import Owners, Wanted
from controller.wire import Connection, Refusal

AT_ONCE = 4000
"""Changes that are in memory at the same time, of the hundreds of thousands that an empty switch needs."""

SERVED = (VIPS, VIP_RANGES)

Allowed = Callable[[list[Change]], list[Change]]
"""Those of some changes to one table that may be made now."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one pass did. `waiting` counts entries that were not written because others were refused."""

    written: int
    waiting: int
    refusals: tuple[Refusal, ...]

    @property
    def complete(self) -> bool:
        return not self.waiting and not self.refusals

    @property
    def surprised(self) -> bool:
        """The switch holds other entries than we remember."""
        return any(refusal.exists_already or refusal.does_not_exist for refusal in self.refusals)


class Reconciler:
    """Brings one switch in line, over one connection."""

    def __init__(self, switch: Connection) -> None:
        self._switch = switch
        self.holdings = Holdings()
        self._digests = Digests(switch)
        self._look: Look | None = None
        """The one that is under way, or has found what is yet to be taken over."""

    async def read_back(self) -> None:
        """Learns what the switch holds. A look that is under way is void."""
        self._look = None
        self.holdings = await self._read()

    async def look(self, turn: Turn) -> bool:
        """Compares what the switch holds with what we remember, while writes go on (see `drift`).

        True if it is not the same: then it is for `compare` to take over what was found.
        """
        self._look = look = Look(self._switch, self.holdings, self._digests, turn)
        await look.run()
        if self._look is look and not look.found:
            self._look = None
        return self._look is look

    def compare(self) -> dict[Table, int]:
        """Takes over what a look that is over has found, while no write is under way.

        Returns how many entries of which tables we had not left so.
        """
        look, self._look = self._look, None
        found = look.found if look else []
        for change in found:
            self.holdings.note(change)
        return Counter(change.table for change in found)

    async def _read(self) -> Holdings:
        holdings = Holdings()
        for table in TABLES:
            if table is BUCKETS:
                holdings.buckets = await self._read_buckets()
            else:
                holdings.rows[table] = {key: do async for key, do in self._switch.rows(table)}
        return holdings

    async def _read_buckets(self) -> dict[int, Held]:
        found: dict[int, list[tuple[int, tuple[int, ...]]]] = defaultdict(list)
        async for (pool, bucket), do in self._switch.rows(BUCKETS):
            found[pool].append((bucket, do.values))
        buckets: dict[int, Held] = {}
        for pool, rows in found.items():
            numbers, values = zip(*rows, strict=True)
            buckets[pool] = none(max(numbers) + 1)
            buckets[pool][list(numbers)] = values
        return buckets

    def holds_buckets(self, pool: int, owners: Owners) -> bool:
        """Whether the switch has the buckets of a pool as they should be."""
        return next(self._missing_buckets(pool, owners), None) is None

    async def apply(self, wanted: Wanted) -> Result:
        """Writes the difference. What is refused is not remembered, and so tried again next time."""
        result, behind = Result(0, 0, ()), set[Table]()
        for number in self._outgrown(wanted):
            for changes in (self._doubled(number, wanted), self._enlarged(number, wanted)):
                result = await self._write(result, changes, self._may_point, behind)
        for table in TABLES:
            result = await self._write(result, self._missing(table, wanted), self._may_point, behind)
        for table in reversed(TABLES):
            result = await self._write(result, self._superfluous(table, wanted), self._may_go, behind)
        self.holdings.note_in_line(wanted, behind)
        return result

    async def _write(
        self, before: Result, changes: Iterable[Change], allowed: Allowed, behind: set[Table]
    ) -> Result:
        """Writes what may be written of `changes` to one table, which is `behind` when that is not all."""
        result, rest = before, iter(changes)
        while some := [*islice(rest, AT_ONCE)]:
            ready = allowed(some)
            refusals = await self._switch.write(ready)
            refused = {refusal.change[1:3] for refusal in refusals}
            for change in ready:
                if change[1:3] not in refused:
                    self._note(change)
            if refusals or len(ready) < len(some):
                behind.add(some[0].table)
            result = Result(
                result.written + len(ready) - len(refusals),
                result.waiting + len(some) - len(ready),
                (*result.refusals, *refusals),
            )
        return result

    def _note(self, change: Change) -> None:
        self.holdings.note(change)
        if self._look is not None:
            self._look.note(change)

    # what is to be done

    def _outgrown(self, wanted: Wanted) -> list[int]:
        """Pools that are to grow, and of which a bucket's halves are to have another `previous` than it had.

        Until the pool is known to be larger, flows of the new half go by the old one. So it grows first.
        """
        pools = self.holdings.rows[POOLS]
        return [
            number
            for (number,), settings in wanted.rows[POOLS].items()
            if (known := pools.get((number,))) is not None
            and _mask(known) < _mask(settings)
            and not np.array_equal(self._copies(number, wanted)[:, 1], wanted.buckets[number][:, 1])
        ]

    def _copies(self, number: int, wanted: Wanted) -> Held:
        """The buckets that the switch has of a pool, as many times as make those that it should have."""
        size = _mask(self.holdings.rows[POOLS][number,]) + 1
        held = fitted(self.holdings.buckets.get(number, none(0)), size)
        return np.tile(held, (len(wanted.buckets[number]) // size, 1))

    def _doubled(self, number: int, wanted: Wanted) -> Iterator[Change]:
        copies = self._copies(number, wanted)
        held = fitted(self.holdings.buckets.get(number, none(0)), len(copies))
        for bucket in np.flatnonzero((held != copies).any(axis=1)).tolist():
            kind = Kind.INSERT if held[bucket, 0] == ABSENT else Kind.MODIFY
            yield Change(kind, BUCKETS, (number, bucket), Do("owners", tuple(copies[bucket].tolist())))

    def _enlarged(self, number: int, wanted: Wanted) -> Iterator[Change]:
        yield Change(Kind.MODIFY, POOLS, (number,), wanted.rows[POOLS][number,])

    def _missing(self, table: Table, wanted: Wanted) -> Iterator[Change]:
        if table is BUCKETS:
            for pool, owners in wanted.buckets.items():
                yield from self._missing_buckets(pool, owners)
            return
        if self.holdings.is_in_line(table, wanted):
            return
        held = self.holdings.rows[table]
        for key, do in wanted.rows[table].items():
            if (now := held.get(key)) != do:
                yield Change(Kind.INSERT if now is None else Kind.MODIFY, table, key, do)

    def _missing_buckets(self, pool: int, owners: Owners) -> Iterator[Change]:
        if self.holdings.buckets_in_line.get(pool) is owners:
            return
        held = fitted(self.holdings.buckets.get(pool, none(0)), len(owners))
        differing = np.flatnonzero((held != owners).any(axis=1))
        absent = held[differing, 0] == ABSENT
        rows = zip(differing.tolist(), absent.tolist(), owners[differing].tolist(), strict=True)
        for bucket, new, values in rows:
            kind = Kind.INSERT if new else Kind.MODIFY
            yield Change(kind, BUCKETS, (pool, bucket), Do("owners", tuple(values)))

    def _superfluous(self, table: Table, wanted: Wanted) -> Iterator[Change]:
        if table is not BUCKETS:
            if self.holdings.is_in_line(table, wanted):
                return
            for key in self.holdings.rows[table].keys() - wanted.rows[table].keys():
                yield Change(Kind.DELETE, table, key, None)
            return
        in_line = self.holdings.buckets_in_line
        for pool, held in self.holdings.buckets.items():
            if (owners := in_line.get(pool)) is not None and owners is wanted.buckets.get(pool):
                continue
            needed = len(wanted.buckets.get(pool, ()))
            for bucket in (np.flatnonzero(held[needed:, 0] != ABSENT) + needed).tolist():
                yield Change(Kind.DELETE, BUCKETS, (pool, bucket), None)

    # what may be done now

    def _may_point(self, changes: list[Change]) -> list[Change]:
        """Without the changes that would point at something that the switch does not hold."""
        rows = self.holdings.rows
        table = changes[0].table
        if table is BUCKETS:
            named = {number for change in changes if change.do for number in change.do.values[:3]} - {NOBODY}
            absent = {number for number in named if (number,) not in rows[BACKENDS]}
            return [change for change in changes if change.do and absent.isdisjoint(change.do.values[:3])]
        if table is POOLS:
            has = self.holdings.has_buckets
            return [change for change in changes if change.do and has(change.key[0], _mask(change.do) + 1)]
        if table in SERVED:
            return [change for change in changes if change.do and _pool(change.do) in rows[POOLS]]
        return changes

    def _may_go(self, changes: list[Change]) -> list[Change]:
        """Without the deletions of what something that the switch holds points at."""
        rows = self.holdings.rows
        table = changes[0].table
        if table is POOLS:
            in_use = {_pool(do) for served in SERVED for do in rows[served].values()}
            return [change for change in changes if change.key not in in_use]
        if table is BUCKETS:
            last = {pool: _mask(do) for (pool,), do in rows[POOLS].items()}
            return [change for change in changes if change.key[1] > last.get(change.key[0], ABSENT)]
        if table is BACKENDS:
            named = self.holdings.backends_in_use()
            return [change for change in changes if change.key[0] not in named]
        return changes


def _pool(serve: Do) -> Key:
    """The key of the pool that a VIP's entry names."""
    return (serve.values[1],)


def _mask(settings: Do) -> int:
    return settings.values[1]
