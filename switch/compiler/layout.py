"""How keys and action parameters lie in memory: the contract between the engine, which packs them, and the C
that reads them.

A key is a number of 64-bit words. Fields are placed in order, each into the current word if it still fits,
else into the next; one wider than 64 bits gets words of its own. Range fields have words of their own, apart,
and the highest of each is the first.
Parameters lie as a C compiler lays out a struct.
"""

from dataclasses import dataclass

from switch.compiler.jsonin import placed, refuse
from switch.compiler.model import Action, Program, TableNode, ValueSet
from switch.compiler.symbols import identifier
from switch.compiler.widths import storage
from switch.entries import MatchKind

WORD = 64
WORD_BYTES = 8
USUAL_KEY_WORDS = 16
"""MAX_KEY_WORDS in tables.h, for which a program with a longer key is compiled anew."""

MAX_KEY_WORDS = 1024
"""A packet's key and its mask lie on the packet thread's stack."""

ENTRY_HEAD = 16
"""Bytes of `struct entry` before the words."""

PLACE_WORDS = 3
"""Of `struct place`, which the words of an entry that is not exact begin with."""

DATA_ALIGNMENT = 16

MEMBER_DATA = ENTRY_HEAD
"""Where the action data of an action profile's member begins, as in profiles.h."""

TARGET_SIZE = 16
"""Bytes of `struct target` in profiles.h."""


@dataclass(frozen=True, slots=True)
class KeyPlace:
    """Where a key field is.

    Shift counts bits from the low end of the first word, or words of ranges to the first of this one.
    """

    kind: MatchKind
    bits: int
    shift: int

    @property
    def words(self) -> int:
        """As many as hold its bits."""
        return -(-self.bits // WORD)


@dataclass(frozen=True, slots=True)
class KeyLayout:
    """ranges: words of range fields."""

    places: tuple[KeyPlace, ...]
    words: int
    ranges: int

    @classmethod
    def of(cls, table: TableNode) -> "KeyLayout":
        what = placed(f"table '{table.name}'", table.source)
        places: list[KeyPlace] = []
        end = ranges = 0
        for key in table.keys:
            if key.kind is MatchKind.RANGE:
                places.append(KeyPlace(key.kind, key.bits, ranges))
                ranges += places[-1].words
                continue
            room = -end % WORD
            if key.bits > room:
                end += room
            places.append(KeyPlace(key.kind, key.bits, end))
            end += key.bits
        words = -(-end // WORD)
        if words + ranges > MAX_KEY_WORDS:
            raise refuse(what, f"its key has over {MAX_KEY_WORDS * WORD} bits")
        return cls(tuple(places), words, ranges)

    @property
    def lower(self) -> list[bool] | None:
        """`lower` of struct table_shape in tables.h."""
        sizes = [place.words for place in self.places if place.kind is MatchKind.RANGE]
        return [word > 0 for size in sizes for word in range(size)] if any(n > 1 for n in sizes) else None

    def data_offset(self, kind: MatchKind) -> int:
        """Where an entry's action data begins, in bytes."""
        words = self.words if kind is MatchKind.EXACT else PLACE_WORDS + 2 * self.words + 2 * self.ranges
        end = ENTRY_HEAD + words * WORD_BYTES
        return -(-end // DATA_ALIGNMENT) * DATA_ALIGNMENT


def data_offset(table: TableNode) -> int:
    """Where the data of the action begins in what an entry comes to: itself, or a member of its profile."""
    return MEMBER_DATA if table.profile is not None else KeyLayout.of(table).data_offset(table.kind)


def words_of(value_set: ValueSet) -> int:
    """A value set's members are ternary entries with one field."""
    words = -(-value_set.bits // WORD)
    if words > MAX_KEY_WORDS:
        what = placed(f"value set '{value_set.name}'", value_set.source)
        raise refuse(what, f"has over {MAX_KEY_WORDS * WORD} bits")
    return words


def longest_key(program: Program) -> int:
    """Words of the longest key in the program."""
    layouts = map(KeyLayout.of, program.tables.values())
    return max(
        (*(one.words + one.ranges for one in layouts), *map(words_of, program.value_sets.values())), default=0
    )


def data_size(table: TableNode) -> int:
    """The most bytes that an entry has behind `data_offset`: of an action's data, or a `struct target`."""
    if table.profile is not None:
        return TARGET_SIZE
    return max((DataLayout.of(action).size for action in table.actions), default=0)


@dataclass(frozen=True, slots=True)
class DataPlace:
    """A parameter: name in C, width in bits, offset and size in bytes."""

    name: str
    bits: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class DataLayout:
    places: tuple[DataPlace, ...]
    size: int

    @classmethod
    def of(cls, action: Action) -> "DataLayout":
        places: list[DataPlace] = []
        end, widest = 0, 1
        for parameter in action.parameters:
            type_ = storage(parameter.bits)
            size = type_.bytes
            end = -(-end // type_.alignment) * type_.alignment
            places.append(DataPlace(identifier(parameter.name), parameter.bits, end, size))
            end += size
            widest = max(widest, type_.alignment)
        return cls(tuple(places), -(-end // widest) * widest)
