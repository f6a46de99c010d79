"""A P4 program, compiled and running: its tables, counters and registers, and packets through it.

    engine = Engine.load(Path("switch.json").read_bytes())
    engine.insert("MyIngress.routes", Entry((Lpm(0x0A000000, 8),), 0, "MyIngress.forward", (3,)))
    engine.process(1, packet)  # [(3, b"...")]

Threads: one thread processes packets at a time (`process`, or a worker through `process_address`); any number
of threads may call everything else meanwhile. A packet sees every entry either whole or not at all.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from switch.entries import Array, Entry, Exact, Key, Lpm, Match, MatchKind, Param, Range, Table, Ternary
from switch.errors import (
    BadEntry,
    BuildError,
    EngineError,
    EntryError,
    EntryExists,
    ImmutableTable,
    LoadError,
    NoSuchEntry,
    TableFull,
)

__all__ = [
    "Array",
    "BadEntry",
    "BuildError",
    "Engine",
    "EngineError",
    "Entry",
    "EntryError",
    "EntryExists",
    "Exact",
    "ImmutableTable",
    "Key",
    "LoadError",
    "Lpm",
    "Match",
    "MatchKind",
    "NoSuchEntry",
    "Param",
    "Range",
    "Table",
    "TableFull",
    "Ternary",
]


class Engine:
    """A loaded program. Everything that takes a name raises BadEntry when the program has no such object."""

    tables: Mapping[str, Table]
    counters: Mapping[str, Array]
    registers: Mapping[str, Array]
    process_address: int
    quiesce_address: int
    state: int

    @classmethod
    def load(cls, config: bytes, *, cache: Path | None = None) -> Self:
        """Compile (or take from the cache) and load a BMv2 JSON.

        cache: directory for generated C and shared objects; default $SLUICE_CACHE or ~/.cache/sluice/switch.
        Raises LoadError or BuildError.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Free the program's state. No thread may be processing."""
        raise NotImplementedError

    def insert(self, table: str, entry: Entry) -> None:
        """Raises EntryExists, TableFull, ImmutableTable or BadEntry."""
        raise NotImplementedError

    def modify(self, table: str, entry: Entry) -> None:
        """Give an existing entry another action or data; its direct counter goes on.

        Raises NoSuchEntry, ImmutableTable or BadEntry.
        """
        raise NotImplementedError

    def delete(self, table: str, match: Sequence[Match], priority: int = 0) -> None:
        """Raises NoSuchEntry, ImmutableTable or BadEntry."""
        raise NotImplementedError

    def entry(self, table: str, match: Sequence[Match], priority: int = 0) -> Entry:
        """The entry with exactly this match and priority (not a lookup). Raises NoSuchEntry or BadEntry."""
        raise NotImplementedError

    def entries(self, table: str) -> list[Entry]:
        """All entries; by descending priority where there are priorities."""
        raise NotImplementedError

    def default(self, table: str) -> tuple[str, tuple[int, ...]] | None:
        """The action of a packet that matches no entry, and its parameters."""
        raise NotImplementedError

    def set_default(self, table: str, action: str, data: Sequence[int]) -> None:
        """Raises ImmutableTable or BadEntry."""
        raise NotImplementedError

    def reset_default(self, table: str) -> None:
        """Back to the default action that the program names. Raises BadEntry."""
        raise NotImplementedError

    def counter_read(self, name: str, index: int) -> tuple[int, int]:
        """(packets, bytes) of one cell of an indirect counter."""
        raise NotImplementedError

    def counter_write(self, name: str, index: int, packets: int, octets: int) -> None:
        raise NotImplementedError

    def direct_counter_read(self, table: str, match: Sequence[Match], priority: int = 0) -> tuple[int, int]:
        """(packets, bytes) that hit an entry. Raises NoSuchEntry or BadEntry."""
        raise NotImplementedError

    def direct_counter_write(
        self, table: str, match: Sequence[Match], priority: int, packets: int, octets: int
    ) -> None:
        raise NotImplementedError

    def register_read(self, name: str, index: int) -> int:
        raise NotImplementedError

    def register_write(self, name: str, index: int, value: int) -> None:
        raise NotImplementedError

    def set_multicast_group(self, group: int, replicas: Sequence[tuple[int, int]]) -> None:
        """Create or replace a group; replicas: (port, rid) in the order in which copies are to be made."""
        raise NotImplementedError

    def delete_multicast_group(self, group: int) -> None:
        """Raises NoSuchEntry."""
        raise NotImplementedError

    def multicast_groups(self) -> dict[int, tuple[tuple[int, int], ...]]:
        raise NotImplementedError

    def digests(self) -> list[tuple[str, tuple[int, ...]]]:
        """The digests sent since the last call: (learn list, values). The queue is bounded; `drops` counts the excess."""
        raise NotImplementedError

    @property
    def drops(self) -> Mapping[str, int]:
        """Packets that ended inside the switch, by reason."""
        raise NotImplementedError

    def process(self, port: int, packet: bytes, now: int | None = None) -> list[tuple[int, bytes]]:
        """Take a packet through the program; returns (port, bytes) of what leaves, in order.

        now: virtual time in microseconds since the start, not decreasing; default: the real time.
        """
        raise NotImplementedError
