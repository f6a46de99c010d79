"""One table of a running program: which entries it holds, and handing changes to the C side.

Not thread-safe; the engine serialises.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from switch.cells import Cells
from switch.compiler.model import ConstEntry, MatchField, Program, TableNode
from switch.entries import Entry, Exact, Key, Lpm, Match, MatchKind, Param, Range, Rates, Table, Ternary
from switch.errors import BadEntry, EntryExists, ImmutableTable, LoadError, NoSuchEntry, TableFull
from switch.packing import MAX_PRIORITY, DataPacker, KeyPacker
from switch.profiles import ActionProfile, Holding

NO_ACTION = (1 << 32) - 1
"""For core_table_set_miss: nothing happens on a miss."""

COUNTER_BITS = 64
NANOSECONDS = 1000
"""In a microsecond."""


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


@dataclass(slots=True)
class _Held:
    """An entry, where the C side has it, and what it keeps in use of its action profile."""

    entry: Entry
    handle: int
    holding: Holding | None
    rates: Rates | None = None
    reported: int = 0
    """The last hit before `expired` named the entry, and how many timeouts ago that was then."""
    timeouts: int = 0


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
        self._held: dict[tuple[bytes, int], _Held] = {}
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
        if (key.words, key.rank) in self._held:
            raise EntryExists(
                f"{self._node.name} already holds an entry for {_show(entry.match, entry.priority)}"
            )
        if len(self._held) >= self._node.size:
            raise TableFull(f"{self._node.name} holds {self._node.size} entries already, which is its size")
        action, data, holding = self._what_to_do(entry)
        handle = self._library.core_table_insert(
            self._state, self._number, key.words, key.mask, key.rank, action, data, len(data), now
        )
        self._held[key.words, key.rank] = _Held(entry, _checked(handle), holding)

    def modify(self, entry: Entry) -> None:
        self._check_mutable()
        held = self._find(entry.match, entry.priority)
        self._check_timeout(entry)
        action, data, holding = self._what_to_do(entry)
        handle = self._library.core_table_replace(
            self._state, self._number, held.handle, action, data, len(data)
        )
        held.handle = _checked(handle)
        held.entry = entry
        held.holding, before = holding, held.holding
        if before is not None:
            before.release()

    def delete(self, match: Sequence[Match], priority: int) -> None:
        self._check_mutable()
        held = self._find(match, priority)
        _checked(self._library.core_table_remove(self._state, self._number, held.handle))
        if held.holding is not None:
            held.holding.release()
        key = self._keys.pack(match, priority)
        del self._held[key.words, key.rank]

    def entry(self, match: Sequence[Match], priority: int) -> Entry:
        return self._find(match, priority).entry

    def entries(self) -> list[Entry]:
        found = [held.entry for held in self._held.values()]
        return sorted(found, key=lambda entry: -entry.priority)

    def by_address(self) -> dict[int, Entry]:
        """The entries by where the C side has them now."""
        return {held.handle: held.entry for held in self._held.values()}

    def counter(self, match: Sequence[Match], priority: int) -> Cells:
        """The direct counter of an entry, as one cell; valid until the entry is deleted."""
        if self._node.counter is None:
            raise BadEntry(f"{self._node.name} has no direct counter")
        held = self._find(match, priority)
        address = self._library.core_entry_hits(held.handle)
        return Cells(self._node.counter.name, address, 1, (COUNTER_BITS, COUNTER_BITS))

    def meter_address(self, match: Sequence[Match], priority: int) -> int:
        """Where the C side has the direct meter of an entry; valid until the entry is deleted."""
        if self._node.meter is None:
            raise BadEntry(f"{self._node.name} has no direct meter")
        return self._library.core_entry_meter(self._find(match, priority).handle)

    def rates(self, match: Sequence[Match], priority: int) -> Rates | None:
        return self._find(match, priority).rates

    def set_rates(self, match: Sequence[Match], priority: int, rates: Rates | None) -> None:
        """Notes what was configured at `meter_address`."""
        self._find(match, priority).rates = rates

    # Idle timeouts.

    def time_since_hit(self, match: Sequence[Match], priority: int, now: int) -> int:
        """Microseconds from the last hit or, without one, the insertion, to `now`."""
        if not self._node.ageing:
            raise BadEntry(f"{self._node.name} keeps no time of hits: it has no idle timeouts")
        handle = self._find(match, priority).handle
        return max(now - self._library.core_entry_last_hit(handle), 0)

    def expired(self, now: int) -> list[Entry]:
        """The entries whose timeout is over and that were not named yet since their last hit.

        One that stays idle is named once more after each further timeout.
        """
        found = []
        for held in self._held.values() if self._node.ageing else ():
            timeout = held.entry.idle_timeout_ns
            if not timeout:
                continue
            hit = self._library.core_entry_last_hit(held.handle)
            if hit != held.reported:
                held.reported, held.timeouts = hit, 0
            timeouts = max(now - hit, 0) * NANOSECONDS // timeout
            if timeouts > held.timeouts:
                held.timeouts = timeouts
                found.append(held.entry)
        return found

    def _check_timeout(self, entry: Entry) -> None:
        if entry.idle_timeout_ns and not self._node.ageing:
            raise BadEntry(f"the entries of {self._node.name} have no idle timeout")
        if entry.idle_timeout_ns < 0:
            raise BadEntry(f"the idle timeout {entry.idle_timeout_ns} is negative")

    def _find(self, match: Sequence[Match], priority: int) -> _Held:
        key = self._keys.pack(match, priority)
        held = self._held.get((key.words, key.rank))
        if held is None:
            raise NoSuchEntry(f"{self._node.name} holds no entry for {_show(match, priority)}")
        return held

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
