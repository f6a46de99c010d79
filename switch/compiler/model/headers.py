"""Headers and metadata: types, instances, stacks and unions of them."""

from collections.abc import Mapping
from dataclasses import dataclass

MAX_BITS = 2048
"""The widest field, register or parameter. Results on the way may be twice as wide (widths.py)."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a header type. bits is the largest width if the field is a varbit."""

    name: str
    bits: int
    signed: bool = False
    varbit: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class HeaderType:
    name: str
    fields: tuple[Field, ...]

    @property
    def fixed_bits(self) -> int:
        """The width without the varbit."""
        return sum(f.bits for f in self.fields if not f.varbit)

    @property
    def max_bits(self) -> int:
        return sum(f.bits for f in self.fields)

    @property
    def varbit(self) -> Field | None:
        return next((f for f in self.fields if f.varbit), None)

    def field(self, name: str) -> Field | None:
        return next((f for f in self.fields if f.name == name), None)


@dataclass(frozen=True, eq=False, slots=True)
class Header:
    """A header or metadata instance.

    Members of a stack know the stack's name and their place in it, members of a union the union's name.
    """

    name: str
    type: HeaderType
    metadata: bool
    stack: str | None = None
    index: int = 0
    union: str | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Stack:
    """counter: whose fill is counted; that of the union stack, if the stack is a part of one."""

    name: str
    type: HeaderType
    headers: tuple[Header, ...]
    counter: str


@dataclass(frozen=True, eq=False, slots=True)
class Union:
    """Headers of which at most one is valid."""

    name: str
    headers: tuple[Header, ...]


@dataclass(frozen=True, eq=False, slots=True)
class UnionStack:
    """A stack of header unions: as a stack for each member of the union, which are filled together."""

    name: str
    members: Mapping[str, Stack]
    unions: tuple[Union, ...]


@dataclass(frozen=True, slots=True)
class FieldRef:
    header: Header
    field: Field
