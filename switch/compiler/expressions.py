"""Expressions of the model to numbers and booleans of C; arithmetic.py has the operators."""

from dataclasses import replace
from typing import TypeGuard

from switch.compiler.arithmetic import Arithmetic
from switch.compiler.model import (
    Action,
    Bool,
    Cell,
    Const,
    Expr,
    Field,
    FieldRef,
    HeaderExpr,
    HeaderRef,
    LastField,
    Local,
    Lookahead,
    Member,
    Op,
    StackElement,
    StackRef,
    UnionRef,
    Valid,
    ValidUnion,
)
from switch.compiler.operators import get_bits
from switch.compiler.symbols import VALID, Symbols, identifier
from switch.compiler.values import Value, number, raw
from switch.compiler.widths import S64, U8, U64, WIDEST, literal, ones, storage

COMPARISONS = frozenset(("==", "!=", "<", ">", "<=", ">="))
MODULAR = frozenset(("+", "-", "*", "|", "^"))
LOGIC = {"and": "&&", "or": "||"}
BOOLEAN_OPS = COMPARISONS | frozenset(("and", "or", "not", "d2b"))


class Expressions(Arithmetic):
    """Compiles expressions of one place in the program.

    `what` names it in errors, `action` gives `Local` its sense.
    """

    def __init__(self, symbols: Symbols, what: str, action: Action | None = None) -> None:
        super().__init__(what)
        self.symbols = symbols
        self.action = action

    def exact(self, expr: Expr) -> Value:
        return self._data(expr, None)

    def bits(self, expr: Expr, width: int) -> Value:
        """The low `width` bits, as a non-negative number."""
        return self.masked(self._data(expr, width), width)

    def condition(self, expr: Expr) -> str:
        """A boolean, as C's."""
        return self._bool(expr).text

    def header(self, expr: HeaderExpr) -> tuple[str | None, str]:
        """(condition under which it exists, or None if it always does; the header's struct)."""
        if isinstance(expr, HeaderRef):
            return None, self.symbols.header(expr.header)
        size = len(expr.stack.headers)
        index = self.exact(expr.index)
        text = f"{self.symbols.stack(expr.stack.name)}[{index.text}]"
        guard = f"in_range(&s->core, {index.cast(U64)}, {size})"
        return (None if index.within(0, size - 1) else guard), text

    def size(self, expr: Expr, limit: int) -> Value:
        """A number that is used as an index or length.

        Anything beyond the limit stays beyond it, negative or not.
        """
        value = self.exact(expr)
        if value.within(0, ones(64)):
            return value
        text = f"{value.closed} < 0 || {value.closed} > {limit} ? {limit} : {value.closed}"
        return Value(f"(uint64_t)({text})", U64, 0, limit, atom=True)

    def _data(self, expr: Expr, need: int | None) -> Value:
        match expr:
            case Const(value):
                return self._constant(value, need)
            case FieldRef():
                return self._load(self.symbols.place(expr), expr.field, need)
            case LastField(stack, field):
                count = self.symbols.next_free(stack)
                place = (
                    f"{self.symbols.stack(stack.name)}[{count} - 1].{self.symbols.field(stack.type, field)}"
                )
                return self._load(f"({count} ? {place} : {_zero(field)})", field, need)
            case Member(header, field):
                guard, place = self.header(header)
                type_ = header.stack.type if isinstance(header, StackElement) else header.header.type
                text = f"{place}.{self.symbols.field(type_, field)}"
                return self._load(f"({guard} ? {text} : {_zero(field)})" if guard else text, field, need)
            case Local(index):
                return self._local(index)
            case Cell(array, index):
                at = self.size(index, array.size)
                text = f"read_{self.symbols.registers[array]}(s, {at.text})"
                return raw(text, storage(array.bits), 0, ones(array.bits))
            case Lookahead(offset, bits):
                type_ = storage(bits)
                return raw(f"({get_bits(type_, 'b', offset, bits)})", type_, 0, ones(bits))
            case Op():
                return self._operator(expr, need)
            case Bool() | Valid() | ValidUnion():
                return Value(self._bool(expr).text, U8, 0, 1)
        raise self.refuse("expected a number")

    def _constant(self, value: int, need: int | None) -> Value:
        found = number(value if need is None or value >= 0 else value & ones(need))
        if found is None:
            raise self.refuse(f"the constant {value:#x} is too wide for this switch")
        return replace(found, exact=False) if found.low != value else found

    def _load(self, text: str, field: Field, need: int | None) -> Value:
        if field.varbit:
            raise self.refuse(f"the varbit '{field.name}' cannot be computed with")
        type_ = storage(field.bits)
        value = raw(text, type_, 0, ones(field.bits))
        if not field.signed:
            return value
        if need is not None and need <= field.bits:
            return replace(value, exact=False)
        return self.signed(value, field.bits)

    def _local(self, index: int) -> Value:
        if self.action is None or not 0 <= index < len(self.action.parameters):
            raise self.refuse(f"there is no action parameter number {index}")
        parameter = self.action.parameters[index]
        return raw(f"d->{identifier(parameter.name)}", storage(parameter.bits), 0, ones(parameter.bits))

    def _operator(self, expr: Op, need: int | None) -> Value:
        op, left, right = expr.op, expr.left, expr.right
        if op == "b2d" and right is not None:
            return Value(self._bool(right).text, U8, 0, 1)
        if op in BOOLEAN_OPS:
            return Value(self._bool(expr).text, U8, 0, 1)
        if op == "~" and right is not None:
            return self.complement(self._data(right, need), need)
        if op in ("last_stack_index", "size_stack") and isinstance(right, StackRef):
            count = self.symbols.next_free(right.stack)
            if op == "size_stack":
                return raw(count, U8, 0, len(right.stack.headers))
            return Value(f"(int64_t){count} - 1", S64, -1, len(right.stack.headers) - 1)
        if left is None or right is None:
            raise self.refuse(f"operator '{op}' lacks an operand")
        if op == "?" and expr.cond is not None:
            return self.choice(self._bool(expr.cond), self._data(left, need), self._data(right, need), need)
        if op in ("two_comp_mod", "usat_cast", "sat_cast"):
            return self._to_width(op, left, right, need)
        if op == "&":
            return self._and(left, right, need)
        if op in MODULAR:
            return self.modular(op, self._data(left, need), self._data(right, need), need)
        if op in ("/", "%"):
            return self.divide(op, self.exact(left), self.exact(right))
        if op == "<<":
            return self.shift_left(self._data(left, need), self.exact(right), need)
        if op == ">>":
            return self.shift_right(self.exact(left), self.exact(right))
        raise self.refuse(f"this switch cannot do the operator '{op}' here")

    def _and(self, left: Expr, right: Expr, need: int | None) -> Value:
        if isinstance(left, Const):
            left, right = right, left
        if isinstance(right, Const) and right.value >= 0:
            return self.under_mask(self._data(left, right.value.bit_length()), right.value)
        return self.bit_and(self._data(left, need), self._data(right, need), need)

    def _to_width(self, op: str, left: Expr, right: Expr, need: int | None) -> Value:
        if not isinstance(right, Const) or not 1 <= right.value <= WIDEST:
            raise self.refuse(f"the width of '{op}' must be a constant from 1 to {WIDEST}")
        width = right.value
        if op == "two_comp_mod":
            return self.wrapped(self._data(left, width), width, need)
        signed = op == "sat_cast"
        low, high = (-(1 << (width - 1)), ones(width - 1)) if signed else (0, ones(width))
        return self.saturated(self.exact(left), low, high)

    def _bool(self, expr: Expr) -> Value:
        match expr:
            case Bool(value):
                return raw(str(value).lower(), U8, 0, 1)
            case Valid(header):
                guard, text = self.header(header)
                found = f"{guard} && {text}.{VALID}" if guard else f"{text}.{VALID}"
                return Value(found, U8, 0, 1, atom=guard is None)
            case ValidUnion(headers):
                members = [self._bool(Valid(header)).closed for header in headers]
                return Value(" || ".join(members) or "false", U8, 0, 1)
            case Op(op="d2b", right=right) if right is not None:
                return self.not_zero(self.exact(right))
            case Op(op="not", right=right) if right is not None:
                return Value(f"!{self._bool(right).closed}", U8, 0, 1, atom=True)
            case Op(op="and" | "or", left=left, right=right) if left is not None and right is not None:
                text = f"{self._bool(left).closed} {LOGIC[expr.op]} {self._bool(right).closed}"
                return Value(text, U8, 0, 1)
            case Op(op="?", left=left, right=right, cond=cond) if left and right and cond:
                parts = (self._bool(cond).closed, self._bool(left).closed, self._bool(right).closed)
                return Value("{} ? {} : {}".format(*parts), U8, 0, 1)
            case Op(op=op, left=left, right=right) if (
                op in COMPARISONS and left is not None and right is not None
            ):
                return self._comparison(op, left, right)
        return self.not_zero(self.exact(expr))

    def _comparison(self, op: str, left: Expr, right: Expr) -> Value:
        if isinstance(left, HeaderRef | StackElement) and isinstance(right, HeaderRef | StackElement):
            return self._same_header(op, left, right)
        if isinstance(left, UnionRef) and isinstance(right, UnionRef):
            return self._same_union(op, left, right)
        if _is_varbit(left) and _is_varbit(right):
            return self._same_varbit(op, self.symbols.place(left), self.symbols.place(right))
        if is_boolean(left) and is_boolean(right):
            return Value(f"{self._truth(left)} {op} {self._truth(right)}", U8, 0, 1)
        return self.compare(op, self.exact(left), self.exact(right))

    def _truth(self, expr: Expr) -> str:
        return f"!!{self._bool(expr).closed}"

    def _same_varbit(self, op: str, a: str, b: str) -> Value:
        if op not in ("==", "!="):
            raise self.refuse(f"varbits have no order, so no '{op}'")
        text = f"({a}_length == {b}_length && memcmp({a}, {b}, {a}_length) == 0)"
        return Value(f"!{text}" if op == "!=" else text, U8, 0, 1, atom=True)

    def _same_header(self, op: str, left: HeaderExpr, right: HeaderExpr) -> Value:
        (guard_a, a), (guard_b, b) = self.header(left), self.header(right)
        type_ = left.header.type if isinstance(left, HeaderRef) else left.stack.type
        text = f"same_{self.symbols.types[type_]}(&{a}, &{b})"
        for guard in filter(None, (guard_a, guard_b)):
            text = f"({guard} && {text})"
        return Value(f"!{text}" if op == "!=" else text, U8, 0, 1, atom=True)

    def _same_union(self, op: str, left: UnionRef, right: UnionRef) -> Value:
        """Equal as BMv2 has it: the same header valid in both, and equal."""
        pairs = zip(left.headers, right.headers, strict=True)
        tests = [self._same_header("==", a, b).text for a, b in pairs]
        text = f"({' || '.join(tests)})"
        return Value(f"!{text}" if op == "!=" else text, U8, 0, 1, atom=True)


def _zero(field: Field) -> str:
    return literal(0, storage(field.bits))


def _is_varbit(expr: Expr) -> TypeGuard[FieldRef]:
    return isinstance(expr, FieldRef) and expr.field.varbit


def is_boolean(expr: Expr) -> bool:
    match expr:
        case Bool() | Valid() | ValidUnion():
            return True
        case Op(op="?", left=left) if left is not None:
            return is_boolean(left)
        case Op(op=op):
            return op in BOOLEAN_OPS
    return False
