"""Entries to the bytes that the compiled program reads (compiler/layout.py), checked on the way."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from switch.compiler.layout import WORD, WORD_BYTES, DataLayout, KeyLayout
from switch.compiler.model import Action, TableKey, TableNode
from switch.compiler.widths import ones
from switch.entries import Exact, Lpm, Match, MatchKind, Range, Ternary
from switch.errors import BadEntry

MAX_PRIORITY = (1 << 31) - 1
"""Priorities are P4Runtime's: int32."""

KINDS = {Exact: MatchKind.EXACT, Lpm: MatchKind.LPM, Ternary: MatchKind.TERNARY, Range: MatchKind.RANGE}


@dataclass(frozen=True, slots=True)
class PackedKey:
    """words: as `struct entry` has them; mask: of an lpm key's prefix; rank: priority or prefix length."""

    words: bytes
    mask: bytes
    rank: int


class KeyPacker:
    def __init__(self, table: TableNode) -> None:
        self._table = table
        self._layout = KeyLayout.of(table)
        self._ternary = table.kind is MatchKind.TERNARY
        self._lpm = table.kind is MatchKind.LPM
        self._bytes = self._layout.words * WORD_BYTES

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
                bounds += (low, second)
                continue
            if key.kind is MatchKind.LPM and self._lpm:
                rank = second.bit_count()
            value |= low << place.shift
            mask |= second << place.shift
        packed, packed_mask = (n.to_bytes(self._bytes, "little") for n in (value, mask))
        if self._ternary:
            return PackedKey(packed + packed_mask + struct.pack(f"={len(bounds)}Q", *bounds), b"", rank)
        return PackedKey(packed, packed_mask, rank)

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
