"""One table of a running program: which entries it holds, and handing changes to the C side.

Not thread-safe; the engine serialises.
"""

import ctypes
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from switch.cells import Cells
from switch.compiler.layout import WORD_BYTES, DataLayout, KeyLayout
from switch.compiler.model import ConstEntry, MatchField, Program, TableNode
from switch.entries import (
    Entry,
    Exact,
    Key,
    Lpm,
    Match,
    MatchKind,
    Param,
    Range,
    Rates,
    Table,
    Target,
    Ternary,
)
from switch.errors import BadEntry, EntryExists, ImmutableTable, LoadError, NoSuchEntry, TableFull
from switch.library import Ordering
from switch.packing import MAX_PRIORITY, DataPacker, EntryReader, KeyPacker, PackedKey
from switch.profiles import ActionProfile, Holding

NO_ACTION = (1 << 32) - 1
"""For core_table_set_miss: nothing happens on a miss."""

COUNTER_BITS = 64


def describe(node: TableNode) -> Table:
    """The static description that the engine shows."""
    return Table(
        name=node.name,
        keys=tuple(Key(key.name, key.kind, key.bits) for key in node.keys),
        size=node.size,
        actions=MappingProxyType(
            {a.name: tuple(Param(p.name, p.bits) for p in a.parameters) for a in node.actions}
        ),
        const_default=node.default is not None and node.default.const,
        immutable=node.entries is not None,
        direct_counter=node.counter.name if node.counter else None,
        direct_meter=node.meter.name if node.meter else None,
        action_profile=node.profile.name if node.profile else None,
        idle_timeout=node.ageing,
    )


@dataclass(frozen=True, slots=True)
class TableLayout:
    """How the entries of a table lie in memory, for who writes them past RunningTable.

    number: of the table in the program. actions: by name, their numbers in the program and their data.
    own_actions: whether it has entries, and they have an action each rather than a target.
    plain: whether besides an entry is its key and its action alone, and all of them may be changed.
    """

    number: int
    key: KeyLayout
    kind: MatchKind
    size: int
    actions: Mapping[str, tuple[int, DataLayout]]
    own_actions: bool
    plain: bool


Targets = dict[PackedKey, tuple[Target, Holding]]
"""Of the entries of a table with an action profile: what they refer to, and what that keeps in use."""


class Snapshot:
    """A table's entries at one moment: by descending priority, the older first; in an exact table by key.

    They are put in order, and become objects, when they are taken: at any time, and without a lock.
    """

    def __init__(
        self, library: Any, reader: EntryReader, ordering: Ordering, copies: Any, targets: Targets
    ) -> None:
        """copies: as the C side made them, a ctypes array of characters."""
        self._library = library
        self._reader = reader
        self._ordering = ordering
        self.copies = copies
        self._targets = targets

    def __iter__(self) -> Iterator[Entry]:
        size = self._ordering.size
        octets = memoryview(self.copies)
        return (self._read(bytes(octets[at : at + size])) for at in self.order())

    def __len__(self) -> int:
        return len(self.copies) // self._ordering.size

    def order(self) -> Any:
        """Where in the copies the entries begin, in bytes: an array of numbers of 64 bits."""
        order = (ctypes.c_uint64 * len(self))()
        if not self._library.entries_order(self.copies, len(self), self._ordering, order):
            raise MemoryError("no memory to put a table's entries in order")
        return order

    def _read(self, octets: bytes) -> Entry:
        target, _ = self._targets[self._reader.key(octets)] if self._targets else (None, None)
        return self._reader.read(octets, target)


class RunningTable:
    def __init__(
        self,
        library: Any,
        state: int,
        number: int,
        node: TableNode,
        program: Program,
        profile: ActionProfile | None,
    ) -> None:
        """Begins with the program's own entries and default action. profile: the table's.

        Raises LoadError when they are impossible.
        """
        self._library = library
        self._state = state
        self._number = number
        self._node = node
        self._profile = profile
        self._fixed = node.entries is not None
        self._keys = KeyPacker(node)
        numbers = {action.id: place for place, action in enumerate(program.actions)}
        self._actions = {a.name: (numbers[a.id], DataPacker(a)) for a in node.actions}
        self._reader = EntryReader(node, {n: (name, packer) for name, (n, packer) in self._actions.items()})
        self._size = library.core_entry_size(state, number)
        self._ordering = Ordering(
            size=self._size,
            exact_words=KeyLayout.of(node).words if node.kind is MatchKind.EXACT else 0,
            priorities=node.kind is MatchKind.TERNARY,
        )
        self._targets: Targets = {}
        self.default: tuple[str, tuple[int, ...]] | None = None
        try:
            for const in node.entries or ():
                self._insert(_entry(node, const), 0)
            if node.default is not None:
                self._set_miss(node.default.action.name, node.default.data)
        except (BadEntry, EntryExists) as error:
            raise LoadError(f"table '{node.name}': {error}") from error

    # Entries.

    def insert(self, entry: Entry, now: int) -> None:
        """now: microseconds; the idle timeout begins."""
        self._check_mutable()
        self._insert(entry, now)

    def _insert(self, entry: Entry, now: int) -> None:
        if not self._node.keys:
            raise BadEntry(f"{self._node.name} has no key, so it has no entries, only a default action")
        key = self._keys.pack(entry.match, entry.priority)
        self._check_timeout(entry)
        if self._same(key):
            raise EntryExists(
                f"{self._node.name} already holds an entry for {_show(entry.match, entry.priority)}"
            )
        if len(self) >= self._node.size:
            raise TableFull(f"{self._node.name} holds {self._node.size} entries already, which is its size")
        action, data, holding = self._what_to_do(entry)
        handle = self._library.core_table_insert(
            self._state, self._number, key.words, key.rank, action, data, len(data), now
        )
        self._note(key, _checked(handle), entry, holding)

    def modify(self, entry: Entry) -> None:
        self._check_mutable()
        key, old = self._find(entry.match, entry.priority)
        self._check_timeout(entry)
        action, data, holding = self._what_to_do(entry)
        handle = self._library.core_table_replace(self._state, self._number, old, action, data, len(data))
        _checked(handle)
        self._let_go(key)
        self._note(key, handle, entry, holding)

    def delete(self, match: Sequence[Match], priority: int) -> None:
        self._check_mutable()
        key, handle = self._find(match, priority)
        _checked(self._library.core_table_remove(self._state, self._number, handle))
        self._let_go(key)

    def _note(self, key: PackedKey, handle: int, entry: Entry, holding: Holding | None) -> None:
        if self._node.ageing:
            self._library.core_entry_set_idle_timeout(handle, entry.idle_timeout_ns)
        if holding is not None and entry.target is not None:
            self._targets[key] = entry.target, holding

    def _let_go(self, key: PackedKey) -> None:
        _, holding = self._targets.pop(key, (None, None))
        if holding is not None:
            holding.release()

    def entry(self, match: Sequence[Match], priority: int) -> Entry:
        return self.entry_at(self._find(match, priority)[1])

    def snapshot(self) -> Snapshot:
        """All entries as they are now."""
        copies = ctypes.create_string_buffer(len(self) * self._size)
        self._library.core_table_copy(self._state, self._number, copies)
        return Snapshot(self._library, self._reader, self._ordering, copies, dict(self._targets))

    def layout(self) -> TableLayout:
        node = self._node
        own_actions = bool(node.keys) and self._profile is None
        return TableLayout(
            number=self._number,
            key=KeyLayout.of(node),
            kind=node.kind,
            size=node.size,
            actions={a.name: (self._actions[a.name][0], DataLayout.of(a)) for a in node.actions},
            own_actions=own_actions,
            plain=own_actions and not self._fixed and node.meter is None,
        )

    def __len__(self) -> int:
        return self._library.core_table_size(self._state, self._number)

    def handles(self) -> set[int]:
        """Where the C side has the entries now."""
        found = (ctypes.c_uint64 * len(self))()
        self._library.core_table_list(self._state, self._number, found)
        return set(found)

    def entry_at(self, handle: int) -> Entry:
        """The entry that the C side has there, where it must still be."""
        octets = bytearray(ctypes.string_at(handle, self._size))
        timeout = self._library.core_entry_idle_timeout(handle) if self._node.ageing else 0
        octets[:WORD_BYTES] = timeout.to_bytes(WORD_BYTES, sys.byteorder)
        copy = bytes(octets)
        target, _ = self._targets[self._reader.key(copy)] if self._targets else (None, None)
        return self._reader.read(copy, target)

    def counter(self, match: Sequence[Match], priority: int) -> Cells:
        """The direct counter of an entry, as one cell; valid until the entry is deleted."""
        if self._node.counter is None:
            raise BadEntry(f"{self._node.name} has no direct counter")
        address = self._library.core_entry_hits(self._find(match, priority)[1])
        return Cells(self._node.counter.name, address, 1, (COUNTER_BITS, COUNTER_BITS))

    def meter_address(self, match: Sequence[Match], priority: int) -> int:
        """Where the C side has the direct meter of an entry; valid until the entry is deleted."""
        if self._node.meter is None:
            raise BadEntry(f"{self._node.name} has no direct meter")
        return self._library.core_entry_meter(self._find(match, priority)[1])

    def rates(self, match: Sequence[Match], priority: int) -> Rates | None:
        """How the direct meter of an entry is configured."""
        if self._node.meter is None:
            raise BadEntry(f"{self._node.name} has no direct meter")
        numbers = (ctypes.c_uint64 * 4)()
        configured = self._library.core_entry_rates(self._find(match, priority)[1], numbers)
        return Rates(*numbers) if configured else None

    # Idle timeouts.

    def time_since_hit(self, match: Sequence[Match], priority: int, now: int) -> int:
        """Microseconds from the last hit or, without one, the insertion, to `now`."""
        if not self._node.ageing:
            raise BadEntry(f"{self._node.name} keeps no time of hits: it has no idle timeouts")
        _, handle = self._find(match, priority)
        return max(now - self._library.core_entry_last_hit(handle), 0)

    def expired(self, now: int) -> list[Entry]:
        """The entries whose timeout is over and that were not named yet since their last hit.

        One that stays idle is named once more after each further timeout.
        """
        if not self._node.ageing or not len(self):
            return []
        handles = (ctypes.c_uint64 * len(self))()
        count = self._library.core_table_expired(self._state, self._number, now, handles)
        return [self.entry_at(handle) for handle in handles[:count]]

    def _check_timeout(self, entry: Entry) -> None:
        if entry.idle_timeout_ns and not self._node.ageing:
            raise BadEntry(f"the entries of {self._node.name} have no idle timeout")
        if entry.idle_timeout_ns < 0:
            raise BadEntry(f"the idle timeout {entry.idle_timeout_ns} is negative")

    def _same(self, key: PackedKey) -> int:
        """The handle of the entry with this key; 0: there is none."""
        return self._library.core_table_same(self._state, self._number, key.words, key.rank)

    def _find(self, match: Sequence[Match], priority: int) -> tuple[PackedKey, int]:
        """The key, and the entry's handle."""
        key = self._keys.pack(match, priority)
        handle = self._same(key)
        if not handle:
            raise NoSuchEntry(f"{self._node.name} holds no entry for {_show(match, priority)}")
        return key, handle

    def release(self) -> None:
        """The program's own entries may be changed from now on."""
        self._fixed = False

    def _check_mutable(self) -> None:
        if self._fixed:
            raise ImmutableTable(f"the entries of {self._node.name} are fixed by the program")

    def _what_to_do(self, entry: Entry) -> tuple[int, bytes, Holding | None]:
        """(action number, data, what that keeps in use) for the C side."""
        if self._profile is None:
            if entry.target is not None:
                raise BadEntry(f"{self._node.name} has no action profile, so no {entry.target!r}")
            return *self._pack_action(entry.action, entry.data), None
        if entry.target is None:
            name = self._profile.name
            raise BadEntry(f"the entries of {self._node.name} refer to members or groups of {name}")
        holding = self._profile.hold(entry.target)
        return 0, struct.pack("=QQ", holding.member, holding.group), holding

    def _pack_action(self, name: str, data: Sequence[int]) -> tuple[int, bytes]:
        if name not in self._actions:
            known = ", ".join(self._actions)
            raise BadEntry(f"{self._node.name} has no action '{name}' (it has {known})")
        number, packer = self._actions[name]
        return number, packer.pack(data)

    # The default action.

    def set_default(self, action: str, data: tuple[int, ...]) -> None:
        if self._node.default is not None and self._node.default.const:
            raise ImmutableTable(f"the default action of {self._node.name} is fixed by the program")
        self._set_miss(action, data)

    def reset_default(self) -> None:
        default = self._node.default
        if default is not None:
            self._set_miss(default.action.name, default.data)
        else:
            _checked(self._library.core_table_set_miss(self._state, self._number, NO_ACTION, None, 0))
            self.default = None

    def _set_miss(self, name: str, data: tuple[int, ...]) -> None:
        if self._profile is not None:
            raise BadEntry(f"{self._node.name} has an action profile, so no default action")
        action, packed = self._pack_action(name, data)
        _checked(self._library.core_table_set_miss(self._state, self._number, action, packed, len(packed)))
        self.default = (name, data)


def _checked(result: int) -> int:
    if not result:
        raise MemoryError("no memory for a table entry")
    return result


def _show(match: Sequence[Match], priority: int) -> str:
    fields = ", ".join(map(repr, match))
    return f"({fields})" + (f" with priority {priority}" if priority else "")


def _entry(node: TableNode, const: ConstEntry) -> Entry:
    """A const entry in the engine's terms: BMv2's priorities are the smaller the better."""
    priority = MAX_PRIORITY - const.priority if node.kind is MatchKind.TERNARY else 0
    return Entry(tuple(map(_match, const.match)), priority, const.action.name, const.data)


def _match(field: MatchField) -> Match:
    match field.kind:
        case MatchKind.EXACT:
            return Exact(field.value)
        case MatchKind.LPM:
            return Lpm(field.value, field.extra)
        case MatchKind.TERNARY:
            return Ternary(field.value, field.extra)
        case MatchKind.RANGE:
            return Range(field.value, field.extra)
