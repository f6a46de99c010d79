"""Expressions and the data they refer to: JSON to model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from switch.compiler.jsonin import member, number, pair, refuse
from switch.compiler.model import (
    MAX_BITS,
    ActionProfile,
    Bool,
    Calculation,
    Cell,
    Const,
    Counter,
    Expr,
    Field,
    FieldRef,
    Header,
    HeaderExpr,
    HeaderRef,
    HeaderType,
    LastField,
    Local,
    Lookahead,
    Member,
    Meter,
    Op,
    Register,
    Stack,
    StackElement,
    StackRef,
    Union,
    UnionRef,
    UnionStack,
    UnionStackRef,
    Valid,
    ValidUnion,
    ValueSet,
)

MAX_LOOKAHEAD = 8 * 65536
"""Bits of the longest packet."""

VALID_FIELD = "$valid$"

LAST = "last"
"""How p4c names the last header of a stack as a whole."""

BINARY = frozenset(
    [
        "+",
        "-",
        "*",
        "/",
        "%",
        "<<",
        ">>",
        "&",
        "|",
        "^",
        "==",
        "!=",
        ">",
        "<",
        ">=",
        "<=",
        "and",
        "or",
        "two_comp_mod",
        "usat_cast",
        "sat_cast",
    ]
)
UNARY = frozenset(["~", "not", "d2b", "b2d", "last_stack_index", "size_stack"])


@dataclass
class Names:
    """What names mean, filled as the reader goes through the JSON."""

    types: dict[str, HeaderType] = field(default_factory=dict)
    headers: dict[str, Header] = field(default_factory=dict)
    stacks: dict[str, Stack] = field(default_factory=dict)
    unions: dict[str, Union] = field(default_factory=dict)
    union_stacks: dict[str, UnionStack] = field(default_factory=dict)
    aliases: dict[str, FieldRef] = field(default_factory=dict)
    counters: dict[str, Counter] = field(default_factory=dict)
    registers: dict[str, Register] = field(default_factory=dict)
    meters: dict[str, Meter] = field(default_factory=dict)
    calculations: dict[str, Calculation] = field(default_factory=dict)
    profiles: dict[str, ActionProfile] = field(default_factory=dict)
    value_sets: dict[str, ValueSet] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    """Names of objects that the switch cannot do, and what they are."""

    def find(self, table: Mapping[str, Any], name: Any, kind: str, what: str) -> Any:
        if _has(table, name):
            return table[name]
        if _has(self.refused, name):
            raise refuse(what, f"uses {self.refused[name]} '{name}', which this switch cannot do")
        raise refuse(what, f"there is no {kind} '{name}'")

    def header(self, name: Any, what: str) -> Header:
        return self.find(self.headers, name, "header", what)

    def stack(self, name: Any, what: str) -> Stack:
        return self.find(self.stacks, name, "header stack", what)

    def union_stack(self, name: Any, what: str) -> UnionStack:
        return self.find(self.union_stacks, name, "stack of header unions", what)

    def member_stack(self, stack: Any, member: Any, what: str) -> Stack:
        """The stack of one member of a union stack."""
        found = self.union_stack(stack, what)
        if not _has(found.members, member):
            raise refuse(what, f"the header unions of '{found.name}' have no member '{member}'")
        return found.members[member]

    def field_of(self, type_: HeaderType, name: Any, what: str) -> Field:
        found = type_.field(name)
        if found is None:
            raise refuse(what, f"header type '{type_.name}' has no field '{name}'")
        return found

    def field(self, value: Any, what: str) -> FieldRef | Valid:
        """A pair [header, field], where the field may be the hidden one."""
        header_name, field_name = pair(value, what)
        alias = self.aliases.get(f"{header_name}.{field_name}")
        if alias is not None:
            return alias
        header = self.header(header_name, what)
        if field_name == VALID_FIELD:
            return Valid(HeaderRef(header))
        return FieldRef(header, self.field_of(header.type, field_name, what))

    def plain_field(self, value: Any, what: str) -> FieldRef:
        """A field that can be written."""
        found = self.field(value, what)
        if not isinstance(found, FieldRef):
            raise refuse(what, f"{value} cannot be written")
        return found


def _has(table: Mapping[str, Any], name: Any) -> bool:
    """Where the JSON should have a name there may be anything."""
    return isinstance(name, str) and name in table


def read_expression(names: Names, obj: Any, what: str) -> Expr:
    """A type-value object as an expression."""
    kind = member(obj, "type", str, what)
    value = obj.get("value")
    match kind:
        case "expression":
            inner = member(obj, "value", dict, what)
            return _operator(names, inner, what) if "op" in inner else read_expression(names, inner, what)
        case "field":
            return _as_data(_field(names, value, what))
        case "hexstr":
            return Const(number(value, what))
        case "bool":
            return Bool(bool(value))
        case "local" | "runtime_data":
            return Local(member(obj, "value", int, what))
        # In some places p4c calls the elements of a stack of unions headers, and such a stack one of headers.
        case "header" if not _has(names.unions, value):
            return HeaderRef(names.header(value, what))
        case "header" | "header_union":
            return _union(names.find(names.unions, value, "header union", what))
        case "header_stack" if not _has(names.union_stacks, value):
            return StackRef(names.stack(value, what))
        case "header_stack" | "header_union_stack":
            return UnionStackRef(names.union_stack(value, what))
        case "stack_field":
            stack_name, field_name = pair(value, what)
            stack = names.stack(stack_name, what)
            if field_name == LAST and stack.type.field(LAST) is None:
                return StackElement(stack, Op("last_stack_index", None, StackRef(stack)))
            return LastField(stack, names.field_of(stack.type, field_name, what))
        case "union_stack_field":
            if not isinstance(value, list) or len(value) != 3:
                raise refuse(what, f"expected a list of three, not {value!r}")
            stack = names.member_stack(value[0], value[1], what)
            return LastField(stack, names.field_of(stack.type, value[2], what))
        case "register":
            array, index = pair(value, what)
            register = names.find(names.registers, array, "register", what)
            return Cell(register, read_expression(names, index, what))
        case "lookahead":
            offset, bits = (number(part, what) for part in pair(value, what))
            if not 0 < bits <= MAX_BITS or not 0 <= offset <= MAX_LOOKAHEAD:
                raise refuse(what, f"cannot look {bits} bits ahead, from bit {offset} on")
            return Lookahead(offset, bits)
    raise refuse(what, f"this switch cannot do values of type '{kind}'")


def width_of(value: Expr) -> int | None:
    """In bits, of what a table key or a select can be; None for anything else."""
    match value:
        case FieldRef(field=field) | LastField(field=field) | Member(field=field):
            return field.bits
        case Lookahead(bits=bits):
            return bits
        case Op(op="b2d", right=Valid()):
            return 1
    return None


def _field(names: Names, value: Any, what: str) -> FieldRef | Member | Valid:
    """As Names.field; the header may also be an element of a stack by a run-time index."""
    header, name = pair(value, what)
    if not isinstance(header, dict):
        return names.field(value, what)
    element = _header(_operator(names, header, what), what)
    if name == VALID_FIELD:
        return Valid(element)
    if isinstance(element, HeaderRef):
        return FieldRef(element.header, names.field_of(element.header.type, name, what))
    return Member(element, names.field_of(element.stack.type, name, what))


def _as_data(value: FieldRef | Member | Valid) -> Expr:
    """$valid$ read as a one-bit number."""
    return Op("b2d", None, value) if isinstance(value, Valid) else value


def _operator(names: Names, obj: dict[str, Any], what: str) -> Expr:
    op = member(obj, "op", str, what)

    def operand(key: str) -> Expr:
        return read_expression(names, member(obj, key, dict, f"{what}, operator '{op}'"), what)

    match op:
        case "valid":
            return Valid(_header(operand("right"), what))
        case "valid_union":
            union = operand("right")
            if not isinstance(union, UnionRef):
                raise refuse(what, f"operator '{op}' needs a header union")
            return ValidUnion(union.headers)
        case "?":
            return Op(op, operand("left"), operand("right"), operand("cond"))
        case "==b" | "!=b" | "==h" | "!=h" | "==u" | "!=u":
            return Op(op[:2], operand("left"), operand("right"))
        case "+" | "-" if obj.get("left") is None:
            return Op(op, Const(0), operand("right"))
        case "dereference_header_stack" | "dereference_stack" | "dereference_union_stack":
            return _element(operand("left"), operand("right"), f"{what}, operator '{op}'")
        case "access_union_header":
            union, place = operand("left"), member(obj, "right", int, what)
            if not isinstance(union, UnionRef) or not 0 <= place < len(union.headers):
                raise refuse(what, f"operator '{op}' needs a header union with a member number {place}")
            return union.headers[place]
        case "access_field":
            return _access_field(operand("left"), member(obj, "right", int, what), what)
    if op in BINARY:
        return Op(op, operand("left"), operand("right"))
    if op in UNARY:
        return Op(op, None, operand("right" if obj.get("right") is not None else "left"))
    raise refuse(what, f"this switch cannot do the operator '{op}'")


def _element(stack: Expr, index: Expr, what: str) -> Expr:
    """Of a stack of headers or of unions."""
    place = index.value if isinstance(index, Const) else -1
    match stack:
        case StackRef(headers):
            found = 0 <= place < len(headers.headers)
            return HeaderRef(headers.headers[place]) if found else StackElement(headers, index)
        case UnionStackRef(unions) if 0 <= place < len(unions.unions):
            return _union(unions.unions[place])
        case UnionStackRef(unions):
            return UnionRef(tuple(StackElement(part, index) for part in unions.members.values()))
    raise refuse(what, "expected a stack")


def _union(union: Union) -> UnionRef:
    return UnionRef(tuple(HeaderRef(header) for header in union.headers))


def _header(value: Expr, what: str) -> HeaderExpr:
    if not isinstance(value, HeaderRef | StackElement):
        raise refuse(what, "expected a header")
    return value


def _access_field(value: Expr, index: int, what: str) -> Expr:
    header = _header(value, what)
    fields = header.header.type.fields if isinstance(header, HeaderRef) else header.stack.type.fields
    if not 0 <= index < len(fields):
        raise refuse(what, f"there is no field number {index}")
    if isinstance(header, HeaderRef):
        return FieldRef(header.header, fields[index])
    return Member(header, fields[index])


def read_argument(names: Names, obj: Any, what: str) -> Any:
    """A primitive's argument: an expression, or an object of the program by name, or a text."""
    kind = member(obj, "type", str, what)
    value = obj.get("value")
    match kind:
        case "calculation":
            return names.find(names.calculations, value, "calculation", what)
        case "counter_array":
            return names.find(names.counters, value, "counter", what)
        case "register_array":
            return names.find(names.registers, value, "register", what)
        case "meter_array":
            return names.find(names.meters, value, "meter", what)
        case "string":
            return str(value)
        case "parameters_vector":
            items = member(obj, "value", list, what) if value != {} else []  # so p4c writes an empty one
            return tuple(read_expression(names, item, what) for item in items)
        case "extern":
            raise refuse(what, f"this switch has no extern '{value}'")
    return read_expression(names, obj, what)
