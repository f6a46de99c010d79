"""The tables of a running program, as everybody who has the engine reaches them."""

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

from switch.arrays import MeterBlocks, check_rates
from switch.entries import Entry, Match, Rates
from switch.errors import BadEntry
from switch.guard import Guard
from switch.table import RunningTable, Snapshot, TableLayout


class TableAccess:
    """Of an engine, which brings the state. Any thread may call; each call is one change, or one look.

    What takes a table's name raises BadEntry when the program has no such table.
    """

    state: int
    _library: Any
    _guard: Guard
    _blocks: MeterBlocks
    _tables: Mapping[str, RunningTable]

    def now(self) -> int:
        raise NotImplementedError

    def _table(self, name: str) -> RunningTable:
        if name not in self._tables:
            raise BadEntry(f"the program has no table '{name}'")
        return self._tables[name]

    # Tables.

    def insert(self, table: str, entry: Entry) -> None:
        """Raises EntryExists, TableFull, ImmutableTable or BadEntry."""
        with self._guard:
            self._table(table).insert(entry, self.now())

    def modify(self, table: str, entry: Entry) -> None:
        """Give an existing entry another action or data; its direct counter goes on.

        Raises NoSuchEntry, ImmutableTable or BadEntry.
        """
        with self._guard:
            self._table(table).modify(entry)

    def delete(self, table: str, match: Sequence[Match], priority: int = 0) -> None:
        """Raises NoSuchEntry, ImmutableTable or BadEntry."""
        with self._guard:
            self._table(table).delete(match, priority)

    def table_layout(self, table: str) -> TableLayout:
        """How the entries of a table lie in memory. Raises BadEntry."""
        with self._guard:
            return self._table(table).layout()

    def apply_writes(self, described: int, request: bytes, spans: Any, first: int, count: int) -> int:
        """writes_apply of runtime/writes.h. described: the address of its struct; spans: UpdateSpans."""
        with self._guard:
            return self._library.writes_apply(self.state, described, request, spans, first, count, self.now())

    def most_octets(self, described: int, table: int) -> int:
        """reads_most of runtime/reads.h."""
        return self._library.reads_most(described, table)

    def encode_entries(self, described: int, reading: Any, count: int, room: Any) -> int:
        """reads_encode of runtime/reads.h, now. room: an array of bytes."""
        with self._guard:
            reading.now = self.now()
            return self._library.reads_encode(
                self.state, described, ctypes.byref(reading), count, room, len(room)
            )

    def release_entries(self, table: str) -> None:
        """Let the program's own entries be changed, and others be added: P4's `entries` without `const`.

        (The JSON does not tell them from those with it.) Raises BadEntry.
        """
        with self._guard:
            self._table(table).release()

    def entry(self, table: str, match: Sequence[Match], priority: int = 0) -> Entry:
        """The entry with exactly this match and priority (not a lookup). Raises NoSuchEntry or BadEntry."""
        with self._guard:
            return self._table(table).entry(match, priority)

    def entries(self, table: str) -> list[Entry]:
        """All entries; by descending priority where there are priorities, in an exact table by key."""
        return list(self.snapshot(table))

    def snapshot(self, table: str) -> Snapshot:
        """The same as they are now, to be taken later. Raises BadEntry."""
        with self._guard:
            return self._table(table).snapshot()

    def default(self, table: str) -> tuple[str, tuple[int, ...]] | None:
        """The action of a packet that matches no entry, and its parameters."""
        with self._guard:
            return self._table(table).default

    def set_default(self, table: str, action: str, data: Sequence[int]) -> None:
        """Raises ImmutableTable or BadEntry."""
        with self._guard:
            self._table(table).set_default(action, tuple(data))

    def reset_default(self, table: str) -> None:
        """Back to the default action that the program names. Raises BadEntry."""
        with self._guard:
            self._table(table).reset_default()

    # Direct counters and meters.

    def direct_counter_read(self, table: str, match: Sequence[Match], priority: int = 0) -> tuple[int, int]:
        """(packets, bytes) that hit an entry. Raises NoSuchEntry or BadEntry."""
        with self._guard:
            packets, octets = self._table(table).counter(match, priority).read(0)
            return packets, octets

    def direct_counter_write(
        self, table: str, match: Sequence[Match], priority: int, packets: int, octets: int
    ) -> None:
        """Raises NoSuchEntry or BadEntry."""
        with self._guard:
            self._table(table).counter(match, priority).write(0, (packets, octets))

    def direct_meter_read(self, table: str, match: Sequence[Match], priority: int = 0) -> Rates | None:
        """How the meter of an entry is configured; None when it is not. Raises NoSuchEntry or BadEntry."""
        with self._guard:
            return self._table(table).rates(match, priority)

    def direct_meter_write(
        self, table: str, match: Sequence[Match], priority: int, rates: Rates | None
    ) -> None:
        """Configure the meter of an entry, whose buckets are full then; None: green for all packets again.

        Raises NoSuchEntry or BadEntry.
        """
        if rates is not None:
            check_rates(table, rates)
        with self._guard:
            self._blocks.set(self._table(table).meter_address(match, priority), 0, rates)

    # Idle timeouts.

    def time_since_hit(self, table: str, match: Sequence[Match], priority: int = 0) -> int:
        """Microseconds since an entry was hit or inserted, in a table with idle timeouts.

        Raises NoSuchEntry or BadEntry.
        """
        with self._guard:
            return self._table(table).time_since_hit(match, priority, self.now())

    def expired(self) -> list[tuple[str, Entry]]:
        """(table, entry) for each whose idle timeout is over, once for each further timeout without a hit.

        Nothing is removed: that is the controller's to do.
        """
        with self._guard:
            now = self.now()
            return [(name, entry) for name, table in self._tables.items() for entry in table.expired(now)]
