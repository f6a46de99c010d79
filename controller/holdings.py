"""What we remember of the entries that a switch holds."""

from collections.abc import Container, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from controller.program import BUCKETS, TABLES, Change, Do, Key, Rows, Table
from controller.values import LAST_BACKEND
from controller.wanted import OWNERS, Owners, Wanted

ABSENT = -1

Held = NDArray[np.int32]
"""The buckets of a pool as the switch holds them, a row each as in Owners, or of ABSENT where it has none."""


@dataclass(slots=True)
class Holdings:
    """What the switch holds, as far as we know."""

    rows: dict[Table, Rows] = field(default_factory=lambda: {table: {} for table in TABLES})
    buckets: dict[int, Held] = field(default_factory=dict)
    rows_in_line: dict[Table, Rows] = field(default_factory=dict)
    buckets_in_line: dict[int, Owners] = field(default_factory=dict)
    """What was wanted of a table, or of the buckets of a pool, when the switch came to hold just that. As
    long as the same object is wanted and nothing has been written there, it is not compared again."""

    def copy(self) -> "Holdings":
        rows = {table: dict(rows) for table, rows in self.rows.items()}
        buckets = {pool: held.copy() for pool, held in self.buckets.items()}
        return Holdings(rows, buckets, dict(self.rows_in_line), dict(self.buckets_in_line))

    def is_in_line(self, table: Table, wanted: Wanted) -> bool:
        """Whether a table other than that of the buckets is known to be as it should."""
        return self.rows_in_line.get(table) is wanted.rows[table]

    def note_in_line(self, wanted: Wanted, behind: Container[Table]) -> None:
        """All of `wanted` was written, but for the tables that are `behind`."""
        self.rows_in_line = {table: rows for table, rows in wanted.rows.items() if table not in behind}
        self.buckets_in_line = {} if BUCKETS in behind else dict(wanted.buckets)

    def note(self, change: Change) -> None:
        """`change` was made."""
        if change.table is not BUCKETS:
            self.rows_in_line.pop(change.table, None)
            if change.do is None:
                self.rows[change.table].pop(change.key, None)
            else:
                self.rows[change.table][change.key] = change.do
            return
        pool, bucket = change.key
        self.buckets_in_line.pop(pool, None)
        held = self.buckets.get(pool)
        if held is None or bucket >= len(held):
            held = none(0) if held is None else held
            held = self.buckets[pool] = fitted(held, max(bucket + 1, 2 * len(held)))
        held[bucket] = ABSENT if change.do is None else change.do.values

    def backends_in_use(self) -> set[int]:
        """The backends that some bucket names."""
        named = np.zeros(LAST_BACKEND - ABSENT + 1, np.bool_)
        for held in self.buckets.values():
            named[held[:, :3] - ABSENT] = True
        return {*(np.flatnonzero(named) + ABSENT).tolist()}

    def has_buckets(self, pool: int, count: int) -> bool:
        held = self.buckets.get(pool)
        return held is not None and len(held) >= count and bool((held[:count, 0] != ABSENT).all())

    def get(self, table: Table, key: Key) -> Do | None:
        """What a row does; None without such a row."""
        if table is not BUCKETS:
            return self.rows[table].get(key)
        pool, bucket = key
        held = self.buckets.get(pool)
        if held is None or bucket >= len(held) or held[bucket, 0] == ABSENT:
            return None
        return Do("owners", tuple(held[bucket].tolist()))


def bucket_rows(pool: int, held: Held | Owners) -> Iterator[tuple[Key, Do]]:
    """The rows of a pool's buckets, without those that are absent."""
    for bucket, values in enumerate(held.tolist()):
        if values[0] != ABSENT:
            yield (pool, bucket), Do("owners", tuple(values))


def none(count: int) -> Held:
    return np.full((count, OWNERS), ABSENT, dtype=np.int32)


def fitted(held: Held, count: int) -> Held:
    """The first `count` rows, with absent ones where there are fewer."""
    return held[:count] if len(held) >= count else np.concatenate([held, none(count - len(held))])
