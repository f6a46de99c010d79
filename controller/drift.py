"""Looks for drift: does a switch still hold what we have left there? At little cost, and beside the writes.

Nearly every entry is as we left it, so hardly any is decoded. What the switch tells is compared with the
octets that we would write, by digests of 64 bits: Python's hash, whose key is another one in each process, so
that nobody can make up an entry that passes for one of ours. Only an entry of other octets is decoded, and
compared by what it says.

Writes go on meanwhile. An entry that was written since the look began may have been read before or after, and
is taken to be as it was written.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator

import numpy as np
from finsy.proto import p4r
from numpy.typing import NDArray

from controller.holdings import Holdings, bucket_rows
from controller.program import BUCKETS, TABLES, Change, Do, Key, Kind, Rows, Table
from controller.wire import ROWS_AT_A_TIME, Connection

Turn = Callable[[], Awaitable[None]]
"""Awaited after each piece of work, so that others have their turn."""

Sums = NDArray[np.int64]
"""Digests."""

Row = tuple[Key, Do]


class Digests:
    """Of the rows that one switch is remembered to hold. Those of what stays as wanted are made once."""

    def __init__(self, switch: Connection) -> None:
        self._switch = switch
        self._kept: dict[Table, dict[int, tuple[object, Sums]]] = {}
        """With what was wanted, for each pool; a table without pools is as one."""

    async def of(self, table: Table, holdings: Holdings, turn: Turn) -> Sums:
        """Those of a table, sorted."""
        kept = self._kept.get(table, {})
        now = self._kept[table] = {}
        for number, wanted, rows in _parts(table, holdings):
            source, sums = kept.get(number, (None, None))
            if wanted is None or source is not wanted or sums is None:
                sums = np.array([digest async for _, digest in self.each(table, rows, turn)], np.int64)
                await turn()
            now[number] = wanted, sums
        return np.sort(np.concatenate([np.empty(0, np.int64), *(sums for _, sums in now.values())]))

    async def each(self, table: Table, rows: Iterable[Row], turn: Turn) -> AsyncIterator[tuple[Row, int]]:
        """Rows with their digests."""
        codec = self._switch.pipeline.codec
        for count, (key, do) in enumerate(rows, 1):
            yield (key, do), hash(codec.encoded(table, key, do))
            if count % ROWS_AT_A_TIME == 0:
                await turn()


class Look:
    """One look at all that a switch holds."""

    def __init__(self, switch: Connection, holdings: Holdings, digests: Digests, turn: Turn) -> None:
        self._switch, self._holdings, self._digests, self._turn = switch, holdings, digests, turn
        self._found: list[Change] = []
        self._written: set[tuple[Table, Key]] = set()

    def note(self, change: Change) -> None:
        """`change` was made, since this look began."""
        self._written.add((change.table, change.key))

    @property
    def found(self) -> list[Change]:
        """What would make what we remember of what the switch holds."""
        return [change for change in self._found if (change.table, change.key) not in self._written]

    async def run(self) -> None:
        for table in TABLES:
            await self._turn()
            await self._look_at(table)

    async def _look_at(self, table: Table) -> None:
        sums = await self._digests.of(table, self._holdings, self._turn)
        there, others = np.zeros(len(sums), np.bool_), Rows()
        async for rows in self._switch.encoded_rows(table):
            read = np.array([*map(hash, rows)], np.int64)
            at = np.searchsorted(sums, read)
            known = at < np.searchsorted(sums, read, "right")
            there[at[known]] = True
            others |= self._decoded(rows[n] for n in np.flatnonzero(~known).tolist())
            await self._turn()
        self._found += [
            Change(Kind.MODIFY, table, key, do)
            for key, do in others.items()
            if self._holdings.get(table, key) != do
        ]
        if not there.all():
            self._found += await self._missing(table, {*sums[~there].tolist()}, others)

    def _decoded(self, rows: Iterable[bytes]) -> Rows:
        codec = self._switch.pipeline.codec
        read = (codec.read(p4r.Entity.FromString(row)) for row in rows)
        return {key: do for _, key, do in filter(None, read)}

    async def _missing(self, table: Table, absent: set[int], others: Rows) -> list[Change]:
        """Deletions of the rows with the digests `absent`; `others` are there, with other octets."""
        rows = (row for _, _, part in _parts(table, self._holdings) for row in part)
        return [
            Change(Kind.DELETE, table, key, None)
            async for (key, _), digest in self._digests.each(table, rows, self._turn)
            if digest in absent and key not in others
        ]


def _parts(table: Table, holdings: Holdings) -> Iterator[tuple[int, object, Iterable[Row]]]:
    """The rows of a table, those of the buckets by pool; with what was wanted, if that is just what is held.

    What is held may change between one and the next.
    """
    if table is not BUCKETS:
        wanted = holdings.rows_in_line.get(table)
        yield 0, wanted, [*(holdings.rows[table] if wanted is None else wanted).items()]
        return
    for pool in [*holdings.buckets]:
        owners = holdings.buckets_in_line.get(pool)
        yield pool, owners, bucket_rows(pool, holdings.buckets[pool] if owners is None else owners)
