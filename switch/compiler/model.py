"""The program as typed objects: what the reader makes of a BMv2 JSON and what the generators turn into C.

Objects refer to each other directly (an expression holds the Header, not its name) and are compared by
identity. Terms are BMv2's: https://github.com/p4lang/behavioral-model/blob/main/docs/JSON_format.md
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from switch.entries import MatchKind

MAX_BITS = 2048
"""The widest field, register or parameter. Results on the way may be twice as wide (widths.py)."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where in the P4 program an object comes from."""

    filename: str
    line: int
    fragment: str

    def __str__(self) -> str:
        return f"{self.filename}:{self.line}"


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


# Expressions. Numbers are integers of unlimited size, as in BMv2; the compiler keeps them
# exact (expressions.py).


@dataclass(frozen=True, slots=True)
class Const:
    value: int


@dataclass(frozen=True, slots=True)
class Bool:
    value: bool


@dataclass(frozen=True, slots=True)
class FieldRef:
    header: Header
    field: Field


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

    array: "Register"
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


# Stateful objects and calculations.


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
class ActionProfile:
    """Actions that entries refer to.

    size: the most members, 0 for any number. selector: the hash that chooses within a group; None where
    there are no groups.
    """

    name: str
    size: int
    selector: Calculation | None
    source: Source | None


@dataclass(frozen=True, eq=False, slots=True)
class ValueSet:
    """Values that the control plane gives to a parser. bits: of all parts of the select key together."""

    name: str
    size: int
    bits: int
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


# Actions.

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


# The parser.


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


# The pipelines.


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
        """Whether it is only p4c's wrapper for statements: no key, and an action that nobody can change."""
        return not self.keys and self.default is not None and self.default.const


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


@dataclass(frozen=True, eq=False)
class Program:
    """Everything. Mappings go by name and keep the JSON's order."""

    name: str
    headers: Mapping[str, Header]
    stacks: Mapping[str, Stack]
    unions: Mapping[str, Union]
    union_stacks: Mapping[str, UnionStack]
    aliases: Mapping[str, FieldRef]
    errors: Mapping[str, int]
    parser: Parser
    deparser: tuple[Header, ...]
    ingress: Pipeline
    egress: Pipeline
    actions: tuple[Action, ...]
    counters: Mapping[str, Counter]
    registers: Mapping[str, Register]
    meters: Mapping[str, Meter]
    calculations: Mapping[str, Calculation]
    profiles: Mapping[str, ActionProfile]
    value_sets: Mapping[str, ValueSet]
    checksums: tuple[Checksum, ...]
    field_lists: Mapping[int, FieldList]
    learn_lists: Mapping[int, LearnList]
    tables: Mapping[str, TableNode] = field(init=False)
    """All but the wrappers, of both pipelines."""

    def __post_init__(self) -> None:
        tables = {t.name: t for p in (self.ingress, self.egress) for t in p.tables if not t.inline}
        object.__setattr__(self, "tables", tables)
