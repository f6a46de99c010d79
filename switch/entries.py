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
class Member:
    """An action of the table's action profile."""

    id: int


@dataclass(frozen=True, slots=True)
class Group:
    """One of the members of a group, chosen by the packet's hash."""

    id: int


@dataclass(frozen=True, slots=True)
class Choice:
    """A member of a group.

    weight: how many shares of the hash space it gets. watch: the port that must be up, or None.
    """

    member: int
    weight: int = 1
    watch: int | None = None


@dataclass(frozen=True, slots=True)
class WeightedAction:
    """An action of a one-shot entry, which needs no members and groups; as Choice."""

    action: str
    data: tuple[int, ...]
    weight: int = 1
    watch: int | None = None


@dataclass(frozen=True, slots=True)
class ActionSet:
    """A one-shot entry's own group; it must not be empty."""

    actions: tuple[WeightedAction, ...]


Target = Member | Group | ActionSet


@dataclass(frozen=True, slots=True)
class Entry:
    """One table entry.

    match: one element for each key field, in the table's order, none left out; "don't care" is
        Lpm(0, 0), Ternary(0, 0) or Range(0, max).
    priority: of several matching entries the one with the *larger* priority wins (P4Runtime's sense);
        0 in tables without ternary or range fields.
    data: the action's parameters, in order.
    target: in a table with an action profile, instead of action ("") and data (()).
    idle_timeout_ns: after so long without a hit Engine.expired names the entry; 0: never.
    """

    match: tuple[Match, ...]
    priority: int
    action: str
    data: tuple[int, ...]
    target: Target | None = None
    idle_timeout_ns: int = 0


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
    direct_meter: str | None
    action_profile: str | None
    idle_timeout: bool
    """Whether entries may have one."""

    @property
    def has_direct_counter(self) -> bool:
        return self.direct_counter is not None

    @property
    def has_priorities(self) -> bool:
        """Whether entries may overlap, so that a priority must choose among them."""
        return any(key.kind in (MatchKind.TERNARY, MatchKind.RANGE) for key in self.keys)


@dataclass(frozen=True, slots=True)
class Rates:
    """How a meter's cell is configured: two rates, three colours (RFC 2698).

    cir, pir: committed and peak rate, in packets or bytes a second; cburst, pburst: what the buckets hold.
    """

    cir: int
    cburst: int
    pir: int
    pburst: int
