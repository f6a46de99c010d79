"""Actions: statements, and the lists of fields that statements name."""

from dataclasses import dataclass

from switch.compiler.model.arrays import Counter, Meter, Register
from switch.compiler.model.calculations import Calculation
from switch.compiler.model.expressions import Expr
from switch.compiler.model.headers import FieldRef
from switch.compiler.model.source import Source

Argument = Expr | Calculation | Counter | Meter | Register | str | tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Primitive:
    op: str
    arguments: tuple[Argument, ...]
    source: Source | None


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    bits: int


@dataclass(frozen=True, eq=False, slots=True)
class Action:
    """p4c repeats an action that several tables use: names are unique within a table only, ids always."""

    id: int
    name: str
    parameters: tuple[Parameter, ...]
    primitives: tuple[Primitive, ...]


@dataclass(frozen=True, eq=False, slots=True)
class FieldList:
    """Metadata that survives a resubmission, recirculation or clone."""

    id: int
    name: str
    fields: tuple[FieldRef, ...]


@dataclass(frozen=True, eq=False, slots=True)
class LearnList:
    """The values of a digest."""

    id: int
    name: str
    fields: tuple[FieldRef, ...]
