"""The parser: states, their operations, and how they choose the next."""

from collections.abc import Mapping
from dataclasses import dataclass

from switch.compiler.model.actions import Primitive
from switch.compiler.model.expressions import Expr
from switch.compiler.model.headers import FieldRef, Header, Stack
from switch.compiler.model.source import Source


@dataclass(frozen=True, eq=False, slots=True)
class ValueSet:
    """Values that the control plane gives to a parser. bits: of all parts of the select key together."""

    name: str
    size: int
    bits: int
    source: Source | None


@dataclass(frozen=True, slots=True)
class Extract:
    """Into a header, or the next free one of a stack (for a union stack: of one member's).

    length: of the varbit, in bits.
    """

    target: Header | Stack
    length: Expr | None = None


@dataclass(frozen=True, slots=True)
class Set:
    target: FieldRef
    value: Expr


@dataclass(frozen=True, slots=True)
class Verify:
    condition: Expr
    error: Expr


@dataclass(frozen=True, slots=True)
class Advance:
    """By a number of bits, which must turn out a multiple of 8."""

    bits: Expr


ParserOp = Extract | Set | Verify | Advance | Primitive


@dataclass(frozen=True, slots=True)
class KeyPart:
    """One part of a select key."""

    value: Expr
    bits: int


@dataclass(frozen=True, slots=True)
class Case:
    """A transition: values and masks one for each key part, or a value set. next: None accepts."""

    values: tuple[int, ...]
    masks: tuple[int, ...]
    next: str | None
    value_set: ValueSet | None = None


@dataclass(frozen=True, eq=False, slots=True)
class ParserState:
    name: str
    ops: tuple[ParserOp, ...]
    key: tuple[KeyPart, ...]
    cases: tuple[Case, ...]
    default: str | None


@dataclass(frozen=True, eq=False, slots=True)
class Parser:
    start: str | None
    states: Mapping[str, ParserState]
