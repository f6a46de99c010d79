"""Entries to the bytes that the compiled program reads (compiler/layout.py), checked on the way, and back."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from switch.compiler.layout import (
    ENTRY_HEAD,
    PLACE_WORDS,
    WORD,
    WORD_BYTES,
    DataLayout,
    KeyLayout,
)
from switch.compiler.model import Action, TableKey, TableNode
from switch.compiler.widths import ones
from switch.entries import Entry, Exact, Lpm, Match, MatchKind, Range, Target, Ternary
from switch.errors import BadEntry

MAX_PRIORITY = (1 << 31) - 1
"""Priorities are P4Runtime's: int32."""

KINDS = {Exact: MatchKind.EXACT, Lpm: MatchKind.LPM, Ternary: MatchKind.TERNARY, Range: MatchKind.RANGE}


@dataclass(frozen=True, slots=True)
class PackedKey:
    """words: as table_insert takes them; rank: priority or prefix length."""

    words: bytes
    rank: int


class KeyPacker:
    def __init__(self, table: TableNode) -> None:
        self._table = table
        self._layout = KeyLayout.of(table)
        self._ternary = table.kind is MatchKind.TERNARY
        self._lpm = table.kind is MatchKind.LPM
        self._exact = table.kind is MatchKind.EXACT
        self._bytes = self._layout.words * WORD_BYTES
        self._bounds = struct.Struct(f"={2 * self._layout.ranges}Q")
        self._fields = [
            (place.kind, place.shift, ones(place.bits), place.words) for place in self._layout.places
        ]

    def pack(self, match: Sequence[Match], priority: int) -> PackedKey:
        """Raises BadEntry, with the field's name and what would be right."""
        keys = self._table.keys
        if len(match) != len(keys):
            raise BadEntry(f"{self._table.name} has {len(keys)} key fields, not {len(match)}")
        if not self._ternary and priority != 0:
            raise BadEntry(f"{self._table.name} has no priorities: use 0, not {priority}")
        if self._ternary and not 0 <= priority <= MAX_PRIORITY:
            raise BadEntry(f"{self._table.name}: priority {priority} is not between 0 and {MAX_PRIORITY}")
        value = mask = 0
        rank = priority
        bounds: list[int] = []
        for field, key, place in zip(match, keys, self._layout.places, strict=True):
            low, second = self._check(field, key)
            if key.kind is MatchKind.RANGE:
                for word in range(place.words)[::-1]:
                    bounds += (low >> WORD * word & ones(WORD), second >> WORD * word & ones(WORD))
                continue
            if key.kind is MatchKind.LPM and self._lpm:
                rank = second.bit_count()
            value |= low << place.shift
            mask |= second << place.shift
        packed = value.to_bytes(self._bytes, "little")
        if self._exact:
            return PackedKey(packed, rank)
        return PackedKey(packed + mask.to_bytes(self._bytes, "little") + self._bounds.pack(*bounds), rank)

    def unpack(self, words: bytes) -> tuple[Match, ...]:
        """The match of a packed key's words."""
        value = int.from_bytes(words[: self._bytes], "little")
        if self._exact:
            return tuple(Exact(value >> shift & limit) for _, shift, limit, _ in self._fields)
        mask = int.from_bytes(words[self._bytes : 2 * self._bytes], "little")
        bounds = self._bounds.unpack(words[2 * self._bytes :])
        return tuple(
            Range(*(joined(bounds[at : at + 2 * words : 2]) for at in (2 * shift, 2 * shift + 1)))
            if kind is MatchKind.RANGE
            else _matched(kind, value >> shift & limit, mask >> shift & limit)
            for kind, shift, limit, words in self._fields
        )

    def _check(self, field: Match, key: TableKey) -> tuple[int, int]:
        """(value, mask), or (low, high) of a range."""
        if KINDS.get(type(field)) is not key.kind:
            raise BadEntry(f"{self._table.name}: {key.name} is matched by {key.kind}, not with {field!r}")
        limit = ones(key.bits)
        match field:
            case Exact(value):
                good, result = True, (value, limit)
            case Lpm(value, length):
                good = 0 <= length <= key.bits
                mask = limit ^ ones(key.bits - length) if good else 0
                good, result = good and value & ~mask == 0, (value, mask)
            case Ternary(value, mask):
                good, result = value & ~mask == 0 and 0 <= mask <= limit, (value, mask)
            case Range(low, high):
                good, result = low <= high, (low, high)
        if not good or not all(0 <= number <= limit for number in result):
            raise BadEntry(f"{self._table.name}: {key.name} has {key.bits} bits; {field!r} does not fit them")
        return result


def joined(words: Sequence[int]) -> int:
    """The number that words are, the highest first."""
    number = 0
    for word in words:
        number = number << WORD | word
    return number


def _matched(kind: MatchKind, value: int, mask: int) -> Match:
    if kind is MatchKind.EXACT:
        return Exact(value)
    return Lpm(value, mask.bit_count()) if kind is MatchKind.LPM else Ternary(value, mask)


class DataPacker:
    """An action's parameters to the bytes of its C struct."""

    def __init__(self, action: Action) -> None:
        self._action = action
        layout = DataLayout.of(action)
        codes, end = "=", 0
        self._words: list[int] = []
        for place in layout.places:
            codes += f"{place.offset - end}x" + {1: "B", 2: "H", 4: "I"}.get(
                place.size, f"{place.size // WORD_BYTES}Q"
            )
            end = place.offset + place.size
            self._words.append(max(place.size // WORD_BYTES, 1))
        self._struct = struct.Struct(f"{codes}{layout.size - end}x")
        self._any_wide = any(words > 1 for words in self._words)

    def pack(self, data: Sequence[int]) -> bytes:
        """Raises BadEntry."""
        parameters = self._action.parameters
        if len(data) != len(parameters):
            raise BadEntry(f"{self._action.name} takes {len(parameters)} parameters, not {len(data)}")
        for value, parameter in zip(data, parameters, strict=True):
            if value < 0 or value >> parameter.bits:
                what = f"{self._action.name}: {parameter.name}"
                raise BadEntry(f"{what} has {parameter.bits} bits; {value:#x} does not fit")
        if self._any_wide:
            data = [
                part
                for value, words in zip(data, self._words, strict=True)
                for part in (value >> (WORD * place) & ones(WORD) for place in range(words))
            ]
        return self._struct.pack(*data)

    def unpack(self, octets: bytes) -> tuple[int, ...]:
        """The parameters; there may be more octets than they take."""
        numbers = self._struct.unpack_from(octets)
        if not self._any_wide:
            return numbers
        words = iter(numbers)
        return tuple(sum(next(words) << (WORD * place) for place in range(count)) for count in self._words)


class EntryReader:
    """A table's entries out of copies of `struct entry` with the idle timeout in the place of the state."""

    def __init__(self, table: TableNode, actions: Mapping[int, tuple[str, DataPacker]]) -> None:
        """actions: by the program's numbers."""
        layout = KeyLayout.of(table)
        self._keys = KeyPacker(table)
        self._actions = actions
        self._priorities = table.kind is MatchKind.TERNARY
        exact = table.kind is MatchKind.EXACT
        self._words = ENTRY_HEAD + (0 if exact else PLACE_WORDS * WORD_BYTES)
        self._words_end = self._words + WORD_BYTES * (
            layout.words if exact else 2 * (layout.words + layout.ranges)
        )
        self._data = layout.data_offset(table.kind)

    def key(self, octets: bytes) -> PackedKey:
        _, _, rank = _HEAD.unpack_from(octets)
        return PackedKey(octets[self._words : self._words_end], rank)

    def read(self, octets: bytes, target: Target | None) -> Entry:
        """target: what the entry refers to, in a table with an action profile."""
        timeout, action, rank = _HEAD.unpack_from(octets)
        match = self._keys.unpack(octets[self._words : self._words_end])
        priority = rank if self._priorities else 0
        if target is not None:
            return Entry(match, priority, "", (), target, timeout)
        name, packer = self._actions[action]
        return Entry(match, priority, name, packer.unpack(octets[self._data :]), None, timeout)


_HEAD = struct.Struct("=QIi")
"""state (or idle timeout), action, rank."""
