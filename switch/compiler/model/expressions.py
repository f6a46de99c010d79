"""Expressions. Numbers are integers of unlimited size, as in BMv2.

The compiler keeps them exact (compiler/expressions.py).
"""

from dataclasses import dataclass

from switch.compiler.model.arrays import Register
from switch.compiler.model.headers import Field, FieldRef, Header, Stack, UnionStack


@dataclass(frozen=True, slots=True)
class Const:
    value: int


@dataclass(frozen=True, slots=True)
class Bool:
    value: bool


@dataclass(frozen=True, slots=True)
class Valid:
    """Whether a header is valid, as a boolean; `$valid$` and the operator `valid`."""

    header: "HeaderExpr"


@dataclass(frozen=True, slots=True)
class LastField:
    """A field of the last extracted header of a stack."""

    stack: Stack
    field: Field


@dataclass(frozen=True, slots=True)
class Member:
    """A field of a header that is found at run time."""

    header: "HeaderExpr"
    field: Field


@dataclass(frozen=True, slots=True)
class Local:
    """An action's parameter."""

    index: int


@dataclass(frozen=True, slots=True)
class Cell:
    """A register read inside an expression."""

    array: Register
    index: "Expr"


@dataclass(frozen=True, slots=True)
class Lookahead:
    """Bits of the packet ahead of the parser's position."""

    offset: int
    bits: int


@dataclass(frozen=True, slots=True)
class HeaderRef:
    header: Header


@dataclass(frozen=True, slots=True)
class StackElement:
    """A header of a stack by a run-time index."""

    stack: Stack
    index: "Expr"


@dataclass(frozen=True, slots=True)
class StackRef:
    stack: Stack


@dataclass(frozen=True, slots=True)
class UnionStackRef:
    stack: UnionStack


@dataclass(frozen=True, slots=True)
class UnionRef:
    """A union: its headers, which may be elements of stacks by a run-time index."""

    headers: "tuple[HeaderExpr, ...]"


@dataclass(frozen=True, slots=True)
class ValidUnion:
    """Whether any header of a union is valid."""

    headers: "tuple[HeaderExpr, ...]"


@dataclass(frozen=True, slots=True)
class Op:
    """An operator with its operands, in BMv2's spelling; unary operators have only `right`."""

    op: str
    left: "Expr | None"
    right: "Expr | None"
    cond: "Expr | None" = None


HeaderExpr = HeaderRef | StackElement


Expr = (
    Const
    | Bool
    | FieldRef
    | Valid
    | LastField
    | Member
    | Local
    | Cell
    | Lookahead
    | HeaderRef
    | StackElement
    | StackRef
    | UnionStackRef
    | UnionRef
    | ValidUnion
    | Op
)
