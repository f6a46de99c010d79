"""What keeps its content from packet to packet, by index: counters, registers, meters."""

from dataclasses import dataclass

from switch.compiler.model.headers import FieldRef
from switch.compiler.model.source import Source


@dataclass(frozen=True, eq=False, slots=True)
class Counter:
    """An array of counters; direct ones belong to the entries of `table`."""

    name: str
    size: int
    table: str | None
    source: Source | None


@dataclass(frozen=True, eq=False, slots=True)
class Register:
    name: str
    size: int
    bits: int
    source: Source | None


@dataclass(frozen=True, eq=False, slots=True)
class Meter:
    """An array of meters; octets: whether it counts bytes rather than packets.

    Direct ones belong to the entries of `table`, and put the colour into `target` when an entry is hit.
    """

    name: str
    size: int
    octets: bool
    source: Source | None
    table: str | None = None
    target: FieldRef | None = None
