"""Arithmetic on numbers of known intervals, in C types that hold them.

BMv2 computes with unlimited integers and cuts results off only when they are stored; p4c writes the cut into
the expression as `& (2**w - 1)` or `two_comp_mod(x, w)`. To be exact without big numbers, each value carries
the interval that it can lie in, and C computes in the smallest type that holds the interval. Where only the
low bits of a value are needed (under a mask, or stored into a field), sums, products and the like may wrap
instead: they are congruent modulo 2**need, which is all that is asked of them.
"""

from dataclasses import replace

from switch.compiler import operators, widths
from switch.compiler.jsonin import refuse
from switch.compiler.operators import binary, clamp
from switch.compiler.values import Value, raw
from switch.compiler.widths import S64, U8, U32, U64, U128, WIDEST, CType, literal, ones


class Arithmetic:
    """need: how many low bits of the result are wanted; None: the exact number.

    `what` names the place in the program in errors: LoadError where a number would be wider than the switch
    can hold.
    """

    def __init__(self, what: str) -> None:
        self.what = what

    def refuse(self, why: str) -> Exception:
        return refuse(self.what, why)

    def container(self, need: int | None, what: str) -> CType:
        type_ = widths.container(need) if need is not None else None
        if type_ is None:
            raise self.refuse(f"{what} needs more than {WIDEST} bits")
        return type_

    def fitting(self, low: int, high: int, what: str) -> CType:
        type_ = widths.fitting(low, high)
        if type_ is None:
            raise self.refuse(f"{what} needs more than {WIDEST} bits")
        return type_

    def masked(self, value: Value, width: int) -> Value:
        """Modulo 2**width; the value must have been asked for with at least that need."""
        if value.within(0, ones(width)):
            return value
        type_ = self.container(width, "a number")
        if value.type.signed or value.type.bits > type_.bits:
            value = Value(value.cast(type_), type_, 0, type_.high)
        if value.type.bits == width and not value.type.promoted:
            return replace(value, low=0, high=ones(width), exact=True)
        if value.type.wide:
            return raw(f"{type_.name}_cut({value.closed}, {width}, false)", type_, 0, ones(width))
        text = f"{value.closed} & {literal(ones(width), U8 if width < 32 else type_)}"
        return Value(text, value.type, 0, ones(width))

    def signed(self, value: Value, width: int) -> Value:
        """A non-negative number of that width, read as two's complement."""
        low, high = -(1 << (width - 1)), ones(width - 1)
        type_ = self.fitting(low, high, "a signed number")
        if type_.wide:
            unsigned = self.container(width, "a signed number")
            return raw(f"{type_.name}_cut({value.cast(unsigned)}, {width}, true)", type_, low, high)
        unsigned = U64 if type_ is S64 else U128
        return raw(f"signed_{type_.bits}({value.cast(unsigned)}, {width})", type_, low, high)

    def modular(self, op: str, left: Value, right: Value, need: int | None) -> Value:
        """An operator whose low bits depend on the operands' low bits only."""
        if left.exact and right.exact:
            low, high = _interval(op, left, right)
            type_ = widths.fitting(low, high)
            wanted = widths.container(need) if need is not None else None
            if type_ and (need is None or (low >= 0 and wanted and type_.bits <= wanted.bits)):
                if op in "|^" and left.type.promoted and right.type.promoted:
                    return Value(
                        f"{left.closed} {op} {right.closed}", max(left.type, right.type, key=_bits), low, high
                    )
                text = binary(op, type_, left.cast(type_), right.beside(type_))
                return Value(text, type_, low, high, atom=type_.wide)
        type_ = self.container(need, f"the result of '{op}'")
        text = binary(op, type_, left.cast(type_), right.beside(type_))
        return Value(text, type_, 0, type_.high, exact=False, atom=type_.wide)

    def complement(self, value: Value, need: int | None) -> Value:
        type_ = widths.container(need) if need is not None else None
        if type_:
            text = operators.complement(type_, value.cast(type_))
            return Value(text, type_, 0, type_.high, exact=False, atom=type_.wide)
        low, high = -value.high - 1, -value.low - 1
        signed = self.fitting(min(low, -1), high, "the result of '~'")
        return Value(operators.complement(signed, value.cast(signed)), signed, low, high, atom=signed.wide)

    def bit_and(self, a: Value, b: Value, need: int | None) -> Value:
        if a.exact and b.exact and a.low >= 0 and b.low >= 0:
            high = min(a.high, b.high)
            if a.type.promoted and b.type.promoted:
                return Value(f"{a.closed} & {b.closed}", max(a.type, b.type, key=_bits), 0, high)
            type_ = max(a.type, b.type, key=_bits)
            text = binary("&", type_, a.cast(type_), b.beside(type_))
            return Value(text, type_, 0, high, atom=type_.wide)
        return self.modular("&", a, b, need)

    def under_mask(self, value: Value, mask: int) -> Value:
        """The value, asked for with the need of the mask's width, under a mask that is not negative."""
        if mask == 0:
            return raw("0", U32, 0, 0)
        width = mask.bit_length()
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

    def shift_left(self, value: Value, by: Value, need: int | None) -> Value:
        if by.high < 0:
            raise self.refuse(f"cannot shift by {by.high}")
        wanted = widths.container(need) if need is not None else None
        if value.exact and by.constant is not None and by.low <= WIDEST:
            low, high = value.low << by.low, value.high << by.low
            type_ = widths.fitting(low, high)
            if type_ and (need is None or (low >= 0 and wanted and type_.bits <= wanted.bits)):
                return self._left_by(value, by.low, type_, low, high, exact=True)
        if wanted is None:
            most = value.high << by.high if by.high <= WIDEST and value.within(0, ones(WIDEST)) else None
            type_ = widths.fitting(0, most) if most is not None else None
            if type_ is None or not value.exact:
                raise self.refuse(f"the result of '<<' needs more than {WIDEST} bits")
            return raw(operators.shift_left(type_, value.cast(type_), self._amount(by)), type_, 0, most or 0)
        if by.constant is not None:
            return self._left_by(value, by.low, wanted, 0, wanted.high, exact=False)
        text = operators.shift_left(wanted, value.cast(wanted), self._amount(by))
        return Value(text, wanted, 0, wanted.high, exact=False, atom=True)

    def _left_by(self, value: Value, by: int, type_: CType, low: int, high: int, *, exact: bool) -> Value:
        if by >= type_.bits:
            return Value(literal(0, type_), type_, low, high, exact=exact, atom=True)
        if type_.wide:
            text = operators.shift_left(type_, value.cast(type_), str(by))
            return Value(text, type_, low, high, exact=exact, atom=True)
        return Value(f"{value.cast(type_)} << {by}", type_, low, high, exact=exact)

    def shift_right(self, value: Value, by: Value) -> Value:
        least, most = max(by.low, 0), min(max(by.high, 0), 2 * WIDEST)
        low = min(value.low >> least, value.low >> most)
        high = max(value.high >> least, value.high >> most)
        type_ = U32 if value.type.promoted else value.type
        if by.constant is not None and by.low >= 0 and not type_.wide:
            # C shifts no further; what is left then is 0 or the sign.
            places = min(by.low, value.type.bits - 1)
            if not value.type.signed and places < by.low:
                return raw("0", U32, 0, 0)
            return Value(f"{value.closed} >> {places}", value.type, low, high)
        shifted = raw(operators.shift_right(type_, value.closed, self._amount(by)), type_, low, high)
        narrow = widths.fitting(low, high)
        if type_.wide and narrow is not None and narrow.bits < type_.bits:
            return raw(f"({shifted.cast(narrow)})", narrow, low, high)
        return shifted

    def _amount(self, by: Value) -> str:
        """A shift's amount as 64 bits: what is too far stays too far."""
        if by.high <= ones(64):
            return by.text if not by.type.wide else by.cast(U64)
        limit = operators.compare(">", by.type, by.closed, literal(WIDEST, by.type))
        return f"({limit} ? {WIDEST} : {by.cast(U64)})"

    def divide(self, op: str, a: Value, b: Value) -> Value:
        low, high = min(a.low, b.low), max(a.high, b.high)
        type_ = self.fitting(low, high, f"an operand of '{op}'")
        if low >= 0 and op == "/":
            bounds = (0, a.high // max(b.low, 1))
        elif low >= 0:
            bounds = (0, min(a.high, max(b.high - 1, 0)))
        else:
            most = max(abs(a.low), abs(a.high))
            bounds = (-most, most)
        zero_possible = b.low <= 0 <= b.high
        text = operators.divide(op, type_, a.cast(type_), b.beside(type_), zero_possible=zero_possible)
        return Value(text, type_, *bounds, atom=type_.wide)

    def choice(self, condition: Value, left: Value, right: Value, need: int | None) -> Value:
        exact = left.exact and right.exact
        low, high = min(left.low, right.low), max(left.high, right.high)
        type_ = widths.fitting(low, high) if exact else widths.container(need or 0)
        if type_ is None:
            raise self.refuse("the branches of '?' have no common type")
        text = f"{condition.closed} ? {left.cast(type_)} : {right.cast(type_)}"
        return Value(text, type_, low if exact else 0, high if exact else type_.high, exact=exact)

    def wrapped(self, value: Value, width: int, need: int | None) -> Value:
        """`two_comp_mod`: the value, asked for with the need of the width, as a signed number."""
        if value.within(-(1 << (width - 1)), ones(width - 1)):
            return value
        if need is not None and need <= width:
            return replace(value, exact=False)
        return self.signed(self.masked(value, width), width)

    def saturated(self, value: Value, low: int, high: int) -> Value:
        """The nearest number within low..high, for an exact value."""
        if value.within(low, high):
            return value
        low, high = max(low, value.low), min(high, value.high)
        type_ = value.type if value.type.bits >= 64 else U64
        return raw(clamp(type_, value.text, low, high), type_, low, high)

    def not_zero(self, value: Value) -> Value:
        return Value(operators.compare("!=", value.type, value.closed, literal(0, value.type)), U8, 0, 1)

    def compare(self, op: str, a: Value, b: Value) -> Value:
        """A boolean."""
        if a.type.promoted and (b.type.promoted or (b.constant is not None and 0 <= b.constant <= U32.high)):
            return Value(f"{a.closed} {op} {b.beside(U32)}", U8, 0, 1)
        type_ = self.fitting(min(a.low, b.low), max(a.high, b.high), f"an operand of '{op}'")
        first = a.cast(type_) if a.type.signed else a.beside(type_)
        return Value(operators.compare(op, type_, first, b.cast(type_)), U8, 0, 1)


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
