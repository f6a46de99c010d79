"""Table entries, and the static description of what a program offers to its control plane.

All values are plain non-negative integers; widths are in bits. Names are those of the BMv2 JSON, which are
also the `name` (not the `alias`) of the P4Info.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class MatchKind(StrEnum):
    """How a table compares a key field. P4's `optional` is TERNARY in the JSON."""

    EXACT = "exact"
    LPM = "lpm"
    TERNARY = "ternary"
    RANGE = "range"


@dataclass(frozen=True, slots=True)
class Exact:
    value: int


@dataclass(frozen=True, slots=True)
class Lpm:
    """The first `prefix_len` bits of the field equal those of `value`; the other bits of `value` are 0."""

    value: int
    prefix_len: int


@dataclass(frozen=True, slots=True)
class Ternary:
    """`field & mask == value`; `value` has no bit that `mask` lacks."""

    value: int
    mask: int


@dataclass(frozen=True, slots=True)
class Range:
    """`low <= field <= high`."""

    low: int
    high: int


Match = Exact | Lpm | Ternary | Range


@dataclass(frozen=True, slots=True)
class Entry:
    """One table entry.

    match: one element for each key field, in the table's order, none left out; "don't care" is
        Lpm(0, 0), Ternary(0, 0) or Range(0, max).
    priority: of several matching entries the one with the *larger* priority wins (P4Runtime's sense);
        0 in tables without ternary or range fields.
    data: the action's parameters, in order.
    """

    match: tuple[Match, ...]
    priority: int
    action: str
    data: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Key:
    """One field of a table's key."""

    name: str
    kind: MatchKind
    bits: int


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter of an action."""

    name: str
    bits: int


@dataclass(frozen=True)
class Table:
    """What the program says about a table."""

    name: str
    keys: tuple[Key, ...]
    size: int
    actions: Mapping[str, tuple[Param, ...]]
    const_default: bool
    immutable: bool
    direct_counter: str | None

    @property
    def has_direct_counter(self) -> bool:
        return self.direct_counter is not None

    @property
    def has_priorities(self) -> bool:
        """Whether entries may overlap, so that a priority must choose among them."""
        return any(key.kind in (MatchKind.TERNARY, MatchKind.RANGE) for key in self.keys)


@dataclass(frozen=True, slots=True)
class Array:
    """An array of counters, registers or meters.

    bits: the width of a register's cell; 64 for counters and meters.
    table: for a direct counter, the table whose entries it counts; None for one with indices.
    """

    name: str
    size: int
    bits: int
    table: str | None = None


@dataclass(frozen=True, slots=True)
class Rates:
    """How a meter's cell is configured: two rates, three colours (RFC 2698).

    cir, pir: committed and peak rate, in packets or bytes a second; cburst, pburst: what the buckets hold.
    """

    cir: int
    cburst: int
    pir: int
    pburst: int
