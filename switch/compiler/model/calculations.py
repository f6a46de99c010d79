"""Hashes and checksums."""

from dataclasses import dataclass

from switch.compiler.model.expressions import Expr, HeaderRef
from switch.compiler.model.headers import FieldRef
from switch.compiler.model.source import Source


@dataclass(frozen=True, slots=True)
class Payload:
    """All bytes that the parser left."""


@dataclass(frozen=True, slots=True)
class Bits:
    """A constant of a given width in a calculation's input."""

    value: int
    width: int


CalculationInput = FieldRef | HeaderRef | Bits | Payload


@dataclass(frozen=True, eq=False, slots=True)
class Calculation:
    """A hash or checksum over fields, packed without gaps."""

    name: str
    algorithm: str
    inputs: tuple[CalculationInput, ...]
    source: Source | None


@dataclass(frozen=True, eq=False, slots=True)
class Checksum:
    name: str
    target: FieldRef
    calculation: Calculation
    verify: bool
    update: bool
    condition: Expr | None
    source: Source | None
