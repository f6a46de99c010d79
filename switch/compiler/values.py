"""A number on its way into C: its text, its type, and what is known of its value."""

from dataclasses import dataclass

from switch.compiler.operators import convert
from switch.compiler.widths import U8, U64, CType, fitting, literal, ones


@dataclass(frozen=True, slots=True)
class Value:
    """A C expression and what is known about its number.

    exact: the number is the one that BMv2 computes, and lies in low..high; otherwise it is only congruent
    to it, modulo 2**need of the request (arithmetic.py).
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
