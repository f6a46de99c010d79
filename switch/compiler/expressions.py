"""Expressions: exact integers of P4 to C integers of a fixed width.

BMv2 computes with unlimited integers and cuts results off only when they are stored; p4c writes the cut into
the expression as `& (2**w - 1)` or `two_comp_mod(x, w)`. To be exact without big numbers, each value carries
the interval that it can lie in, and C computes in the smallest type that holds the interval. Where only the
low bits of a value are needed (under a mask, or stored into a field), sums, products and the like may wrap
instead: they are congruent modulo 2**need, which is all that is asked of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeGuard

from switch.compiler.jsonin import refuse
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
from switch.compiler.operators import (
    binary,
    clamp,
    compare,
    complement,
    convert,
    divide,
    get_bits,
    shift_left,
    shift_right,
)
from switch.compiler.symbols import VALID, Symbols, identifier
from switch.compiler.widths import (
    S64,
    U8,
    U32,
    U64,
    U128,
    WIDEST,
    CType,
    container,
    fitting,
    literal,
    ones,
    storage,
)

COMPARISONS = frozenset(("==", "!=", "<", ">", "<=", ">="))
MODULAR = frozenset(("+", "-", "*", "|", "^"))
LOGIC = {"and": "&&", "or": "||"}
BOOLEAN_OPS = COMPARISONS | frozenset(("and", "or", "not", "d2b"))


@dataclass(frozen=True, slots=True)
class Value:
    """A C expression and what is known about its number.

    exact: the number is the one that BMv2 computes, and lies in low..high; otherwise it is only congruent
    to it,
        modulo 2**need of the request.
    atom: needs no parentheses.
    """

    text: str
    type: CType
    low: int
    high: int
    exact: bool = True
    atom: bool = False

    @property
    def closed(self) -> str:
        return self.text if self.atom else f"({self.text})"

    @property
    def constant(self) -> int | None:
        return self.low if self.exact and self.low == self.high else None

    def within(self, low: int, high: int) -> bool:
        return self.exact and low <= self.low and self.high <= high

    def cast(self, type_: CType) -> str:
        """The value as an operand of exactly that type."""
        if self.constant is not None:
            return literal(self.low & ones(type_.bits) if not type_.signed else self.low, type_)
        return self.closed if self.type is type_ else convert(self.closed, self.type, type_)

    def beside(self, type_: CType) -> str:
        """The value as the other operand of one that has that type.

        C's own conversions do where they suffice.
        """
        if type_.wide:
            return self.cast(type_)
        if self.constant is not None and 0 <= self.low < 1 << 31:
            return literal(self.low, U8)
        return self.closed if self.type.bits < type_.bits else self.cast(type_)


def raw(text: str, type_: CType, low: int, high: int) -> Value:
    return Value(text, type_, low, high, atom=True)


def number(value: int) -> Value | None:
    type_ = fitting(value, value)
    return raw(literal(value, type_), type_, value, value) if type_ else None


def word_texts(value: Value, count: int) -> list[str]:
    """A number as that many 64-bit words, low word first."""
    if value.type.bits <= U64.bits:
        return [value.cast(U64), *["0"] * (count - 1)]
    if value.type.wide:
        words = value.type.bits // U64.bits
        return [f"{value.closed}.w[{place}]" if place < words else "0" for place in range(count)]
    parts = [f"(uint64_t){value.closed}", f"(uint64_t)({value.closed} >> {U64.bits})"]
    return [parts[place] if place < len(parts) else "0" for place in range(count)]


class Expressions:
    """Compiles expressions of one place in the program.

    `what` names it in errors, `action` gives `Local` its sense.
    """

    def __init__(self, symbols: Symbols, what: str, action: Action | None = None) -> None:
        self.symbols = symbols
        self.what = what
        self.action = action

    # What other generators ask for.

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

    # Data.

    def _container(self, need: int | None, what: str) -> CType:
        type_ = container(need) if need is not None else None
        if type_ is None:
            raise self._refuse(f"{what} needs more than {WIDEST} bits")
        return type_

    def _fitting(self, low: int, high: int, what: str) -> CType:
        type_ = fitting(low, high)
        if type_ is None:
            raise self._refuse(f"{what} needs more than {WIDEST} bits")
        return type_

    def _refuse(self, why: str) -> Exception:
        return refuse(self.what, why)

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
        raise self._refuse("expected a number")

    def _constant(self, value: int, need: int | None) -> Value:
        found = number(value if need is None or value >= 0 else value & ones(need))
        if found is None:
            raise self._refuse(f"the constant {value:#x} is too wide for this switch")
        return replace(found, exact=False) if found.low != value else found

    def _load(self, text: str, field: Field, need: int | None) -> Value:
        if field.varbit:
            raise self._refuse(f"the varbit '{field.name}' cannot be computed with")
        type_ = storage(field.bits)
        value = raw(text, type_, 0, ones(field.bits))
        if not field.signed:
            return value
        if need is not None and need <= field.bits:
            return replace(value, exact=False)
        return self._sign(value, field.bits)

    def _local(self, index: int) -> Value:
        if self.action is None or not 0 <= index < len(self.action.parameters):
            raise self._refuse(f"there is no action parameter number {index}")
        parameter = self.action.parameters[index]
        return raw(f"d->{identifier(parameter.name)}", storage(parameter.bits), 0, ones(parameter.bits))

    def _sign(self, value: Value, width: int) -> Value:
        low, high = -(1 << (width - 1)), ones(width - 1)
        type_ = self._fitting(low, high, "a signed number")
        if type_.wide:
            unsigned = self._container(width, "a signed number")
            return raw(f"{type_.name}_cut({value.cast(unsigned)}, {width}, true)", type_, low, high)
        unsigned = U64 if type_ is S64 else U128
        return raw(f"signed_{type_.bits}({value.cast(unsigned)}, {width})", type_, low, high)

    def masked(self, value: Value, width: int) -> Value:
        """Modulo 2**width; the value must have been asked for with at least that need."""
        if value.within(0, ones(width)):
            return value
        type_ = self._container(width, "a number")
        if value.type.signed or value.type.bits > type_.bits:
            value = Value(value.cast(type_), type_, 0, type_.high)
        if value.type.bits == width and not value.type.promoted:
            return replace(value, low=0, high=ones(width), exact=True)
        if value.type.wide:
            return raw(f"{type_.name}_cut({value.closed}, {width}, false)", type_, 0, ones(width))
        text = f"{value.closed} & {literal(ones(width), U8 if width < 32 else type_)}"
        return Value(text, value.type, 0, ones(width))

    def _operator(self, expr: Op, need: int | None) -> Value:
        op, left, right = expr.op, expr.left, expr.right
        if op == "b2d" and right is not None:
            return Value(self._bool(right).text, U8, 0, 1)
        if op in BOOLEAN_OPS:
            return Value(self._bool(expr).text, U8, 0, 1)
        if op == "~" and right is not None:
            return self._complement(self._data(right, need), need)
        if op in ("last_stack_index", "size_stack") and isinstance(right, StackRef):
            count = self.symbols.next_free(right.stack)
            if op == "size_stack":
                return raw(count, U8, 0, len(right.stack.headers))
            return Value(f"(int64_t){count} - 1", S64, -1, len(right.stack.headers) - 1)
        if left is None or right is None:
            raise self._refuse(f"operator '{op}' lacks an operand")
        if op == "?" and expr.cond is not None:
            return self._choice(self._bool(expr.cond), self._data(left, need), self._data(right, need), need)
        if op in ("two_comp_mod", "usat_cast", "sat_cast"):
            return self._to_width(op, left, right, need)
        handlers: dict[str, Callable[[Expr, Expr, int | None], Value]] = {
            "&": self._and,
            "<<": self._shift_left,
            ">>": self._shift_right,
        }
        if op in MODULAR:
            return self._modular(op, self._data(left, need), self._data(right, need), need)
        if op in ("/", "%"):
            return self._divide(op, left, right)
        if op in handlers:
            return handlers[op](left, right, need)
        raise self._refuse(f"this switch cannot do the operator '{op}' here")

    def _modular(self, op: str, left: Value, right: Value, need: int | None) -> Value:
        """An operator whose low bits depend on the operands' low bits only."""
        if left.exact and right.exact:
            low, high = _interval(op, left, right)
            type_ = fitting(low, high)
            wanted = container(need) if need is not None else None
            if type_ and (need is None or (low >= 0 and wanted and type_.bits <= wanted.bits)):
                if op in "|^" and left.type.promoted and right.type.promoted:
                    return Value(
                        f"{left.closed} {op} {right.closed}", max(left.type, right.type, key=_bits), low, high
                    )
                text = binary(op, type_, left.cast(type_), right.beside(type_))
                return Value(text, type_, low, high, atom=type_.wide)
        type_ = self._container(need, f"the result of '{op}'")
        text = binary(op, type_, left.cast(type_), right.beside(type_))
        return Value(text, type_, 0, type_.high, exact=False, atom=type_.wide)

    def _complement(self, value: Value, need: int | None) -> Value:
        type_ = container(need) if need is not None else None
        if type_:
            text = complement(type_, value.cast(type_))
            return Value(text, type_, 0, type_.high, exact=False, atom=type_.wide)
        low, high = -value.high - 1, -value.low - 1
        signed = self._fitting(min(low, -1), high, "the result of '~'")
        return Value(complement(signed, value.cast(signed)), signed, low, high, atom=signed.wide)

    def _and(self, left: Expr, right: Expr, need: int | None) -> Value:
        if isinstance(left, Const):
            left, right = right, left
        if isinstance(right, Const) and right.value >= 0:
            return self._and_constant(left, right.value)
        a, b = self._data(left, need), self._data(right, need)
        if a.exact and b.exact and a.low >= 0 and b.low >= 0:
            high = min(a.high, b.high)
            if a.type.promoted and b.type.promoted:
                return Value(f"{a.closed} & {b.closed}", max(a.type, b.type, key=_bits), 0, high)
            type_ = max(a.type, b.type, key=_bits)
            text = binary("&", type_, a.cast(type_), b.beside(type_))
            return Value(text, type_, 0, high, atom=type_.wide)
        return self._modular("&", a, b, need)

    def _and_constant(self, expr: Expr, mask: int) -> Value:
        if mask == 0:
            return raw("0", U32, 0, 0)
        width = mask.bit_length()
        value = self._data(expr, width)
        if mask == ones(width):
            return self.masked(value, width)
        value = self.masked(value, width) if value.type.signed or not value.exact else value
        if value.type.bits < width:  # the mask's high bits meet only zeros
            mask &= ones(value.type.bits)
        if value.type.wide:
            text = binary("&", value.type, value.closed, literal(mask, value.type))
            return raw(text, value.type, 0, min(mask, value.high))
        small = literal(mask, U8 if mask < 1 << 31 else value.type)
        return Value(f"{value.closed} & {small}", value.type, 0, min(mask, value.high))

    def _shift_left(self, left: Expr, right: Expr, need: int | None) -> Value:
        value, by = self._data(left, need), self.exact(right)
        if by.high < 0:
            raise self._refuse(f"cannot shift by {by.high}")
        wanted = container(need) if need is not None else None
        if value.exact and by.constant is not None and by.low <= WIDEST:
            low, high = value.low << by.low, value.high << by.low
            type_ = fitting(low, high)
            if type_ and (need is None or (low >= 0 and wanted and type_.bits <= wanted.bits)):
                return self._left_by(value, by.low, type_, low, high, exact=True)
        if wanted is None:
            most = value.high << by.high if by.high <= WIDEST and value.within(0, ones(WIDEST)) else None
            type_ = fitting(0, most) if most is not None else None
            if type_ is None or not value.exact:
                raise self._refuse(f"the result of '<<' needs more than {WIDEST} bits")
            return raw(shift_left(type_, value.cast(type_), self._amount(by)), type_, 0, most or 0)
        if by.constant is not None:
            return self._left_by(value, by.low, wanted, 0, wanted.high, exact=False)
        text = shift_left(wanted, value.cast(wanted), self._amount(by))
        return Value(text, wanted, 0, wanted.high, exact=False, atom=True)

    def _left_by(self, value: Value, by: int, type_: CType, low: int, high: int, *, exact: bool) -> Value:
        if by >= type_.bits:
            return Value(literal(0, type_), type_, low, high, exact=exact, atom=True)
        if type_.wide:
            text = shift_left(type_, value.cast(type_), str(by))
            return Value(text, type_, low, high, exact=exact, atom=True)
        return Value(f"{value.cast(type_)} << {by}", type_, low, high, exact=exact)

    def _shift_right(self, left: Expr, right: Expr, need: int | None) -> Value:
        value, by = self.exact(left), self.exact(right)
        least, most = max(by.low, 0), min(max(by.high, 0), 2 * WIDEST)
        low = min(value.low >> least, value.low >> most)
        high = max(value.high >> least, value.high >> most)
        type_ = U32 if value.type.promoted else value.type
        if by.constant is not None and by.low >= 0 and not type_.wide:
            places = min(
                by.low, value.type.bits - 1
            )  # C shifts no further; what is left then is 0 or the sign
            if not value.type.signed and places < by.low:
                return raw("0", U32, 0, 0)
            return Value(f"{value.closed} >> {places}", value.type, low, high)
        shifted = raw(shift_right(type_, value.closed, self._amount(by)), type_, low, high)
        narrow = fitting(low, high)
        if type_.wide and narrow is not None and narrow.bits < type_.bits:
            return raw(f"({shifted.cast(narrow)})", narrow, low, high)
        return shifted

    def _amount(self, by: Value) -> str:
        """A shift's amount as 64 bits: what is too far stays too far."""
        if by.high <= ones(64):
            return by.text if not by.type.wide else by.cast(U64)
        limit = compare(">", by.type, by.closed, literal(WIDEST, by.type))
        return f"({limit} ? {WIDEST} : {by.cast(U64)})"

    def _divide(self, op: str, left: Expr, right: Expr) -> Value:
        a, b = self.exact(left), self.exact(right)
        low, high = min(a.low, b.low), max(a.high, b.high)
        type_ = self._fitting(low, high, f"an operand of '{op}'")
        if low >= 0 and op == "/":
            bounds = (0, a.high // max(b.low, 1))
        elif low >= 0:
            bounds = (0, min(a.high, max(b.high - 1, 0)))
        else:
            most = max(abs(a.low), abs(a.high))
            bounds = (-most, most)
        zero_possible = b.low <= 0 <= b.high
        text = divide(op, type_, a.cast(type_), b.beside(type_), zero_possible=zero_possible)
        return Value(text, type_, *bounds, atom=type_.wide)

    def _choice(self, condition: Value, left: Value, right: Value, need: int | None) -> Value:
        exact = left.exact and right.exact
        low, high = min(left.low, right.low), max(left.high, right.high)
        type_ = fitting(low, high) if exact else container(need or 0)
        if type_ is None:
            raise self._refuse("the branches of '?' have no common type")
        text = f"{condition.closed} ? {left.cast(type_)} : {right.cast(type_)}"
        return Value(text, type_, low if exact else 0, high if exact else type_.high, exact=exact)

    def _to_width(self, op: str, left: Expr, right: Expr, need: int | None) -> Value:
        if not isinstance(right, Const) or not 1 <= right.value <= WIDEST:
            raise self._refuse(f"the width of '{op}' must be a constant from 1 to {WIDEST}")
        width = right.value
        if op == "two_comp_mod":
            value = self._data(left, width)
            if value.within(-(1 << (width - 1)), ones(width - 1)):
                return value
            if need is not None and need <= width:
                return replace(value, exact=False)
            return self._sign(self.masked(value, width), width)
        value = self.exact(left)
        low, high = (0, ones(width)) if op == "usat_cast" else (-(1 << (width - 1)), ones(width - 1))
        if value.within(low, high):
            return value
        low, high = max(low, value.low), min(high, value.high)
        type_ = value.type if value.type.bits >= 64 else U64
        return raw(clamp(type_, value.text, low, high), type_, low, high)

    # Booleans.

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
                return self._not_zero(self.exact(right))
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
        return self._not_zero(self.exact(expr))

    def _not_zero(self, value: Value) -> Value:
        return Value(compare("!=", value.type, value.closed, literal(0, value.type)), U8, 0, 1)

    def _comparison(self, op: str, left: Expr, right: Expr) -> Value:
        if isinstance(left, HeaderRef | StackElement) and isinstance(right, HeaderRef | StackElement):
            return self._same_header(op, left, right)
        if isinstance(left, UnionRef) and isinstance(right, UnionRef):
            return self._same_union(op, left, right)
        if _is_varbit(left) and _is_varbit(right):
            return self._same_varbit(op, self.symbols.place(left), self.symbols.place(right))
        if is_boolean(left) and is_boolean(right):
            return Value(f"{self._truth(left)} {op} {self._truth(right)}", U8, 0, 1)
        a, b = self.exact(left), self.exact(right)
        if a.type.promoted and (b.type.promoted or (b.constant is not None and 0 <= b.constant <= U32.high)):
            return Value(f"{a.closed} {op} {b.beside(U32)}", U8, 0, 1)
        type_ = self._fitting(min(a.low, b.low), max(a.high, b.high), f"an operand of '{op}'")
        first = a.cast(type_) if a.type.signed else a.beside(type_)
        return Value(compare(op, type_, first, b.cast(type_)), U8, 0, 1)

    def _truth(self, expr: Expr) -> str:
        return f"!!{self._bool(expr).closed}"

    def _same_varbit(self, op: str, a: str, b: str) -> Value:
        if op not in ("==", "!="):
            raise self._refuse(f"varbits have no order, so no '{op}'")
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


def _bits(type_: CType) -> int:
    return type_.bits


def _interval(op: str, a: Value, b: Value) -> tuple[int, int]:
    """Where the result lies."""
    if op == "+":
        return a.low + b.low, a.high + b.high
    if op == "-":
        return a.low - b.high, a.high - b.low
    if op == "*":
        products = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
        return min(products), max(products)
    bits = max(x.bit_length() for x in (a.low, a.high, b.low, b.high))
    return (0 if a.low >= 0 and b.low >= 0 else -(1 << bits)), ones(bits)
