"""Ingress and egress: tables, and conditions between them; and the deparser."""

from collections.abc import Mapping
from dataclasses import dataclass

from switch.compiler.model.actions import Action, Primitive
from switch.compiler.model.arrays import Counter, Meter
from switch.compiler.model.calculations import Calculation
from switch.compiler.model.expressions import Expr
from switch.compiler.model.headers import Header
from switch.compiler.model.source import Source
from switch.entries import MatchKind


@dataclass(frozen=True, eq=False, slots=True)
class ActionProfile:
    """Actions that entries refer to.

    size: the most members, 0 for any number. selector: the hash that chooses within a group; None where
    there are no groups.
    """

    name: str
    size: int
    selector: Calculation | None
    source: Source | None


@dataclass(frozen=True, slots=True)
class TableKey:
    """A key field. mask: the bits of the value that take part, or None for all."""

    name: str
    kind: MatchKind
    value: Expr
    bits: int
    mask: int | None


@dataclass(frozen=True, slots=True)
class MatchField:
    """One field of a const entry. value/extra: value and prefix length, mask, or low and high."""

    kind: MatchKind
    value: int
    extra: int


@dataclass(frozen=True, slots=True)
class ConstEntry:
    match: tuple[MatchField, ...]
    priority: int
    """BMv2's sense: the smaller wins."""
    action: Action
    data: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DefaultEntry:
    action: Action
    data: tuple[int, ...]
    const: bool


@dataclass(frozen=True, eq=False, slots=True)
class TableNode:
    """A table. next: by action id, and by hit or miss where the program asks for that (`by_hit`)."""

    name: str
    kind: MatchKind
    """How the whole table is searched: by its least exact key (RANGE counts as TERNARY)."""
    keys: tuple[TableKey, ...]
    size: int
    actions: tuple[Action, ...]
    counter: Counter | None
    meter: Meter | None
    profile: ActionProfile | None
    ageing: bool
    """Whether entries can have an idle timeout."""
    default: DefaultEntry | None
    entries: tuple[ConstEntry, ...] | None
    by_hit: bool
    on_hit: str | None
    on_miss: str | None
    next: Mapping[int, str | None]
    default_next: str | None
    source: Source | None

    @property
    def stateful(self) -> bool:
        """Whether the entries gather something (struct entry_state)."""
        return self.counter is not None or self.meter is not None or self.ageing

    @property
    def inline(self) -> bool:
        """Whether it is only p4c's wrapper for statements: no key, a constant action, and nothing counted."""
        return not self.keys and self.default is not None and self.default.const and not self.stateful


@dataclass(frozen=True, eq=False, slots=True)
class Conditional:
    name: str
    condition: Expr
    on_true: str | None
    on_false: str | None
    source: Source | None


Node = TableNode | Conditional


@dataclass(frozen=True, eq=False, slots=True)
class Pipeline:
    name: str
    start: str | None
    nodes: Mapping[str, Node]

    @property
    def tables(self) -> list[TableNode]:
        return [node for node in self.nodes.values() if isinstance(node, TableNode)]


@dataclass(frozen=True, eq=False, slots=True)
class Deparser:
    """Statements, all of which come before the first header is written; headers in their order."""

    primitives: tuple[Primitive, ...]
    order: tuple[Header, ...]
