"""The C types that hold P4 numbers: C's own up to 128 bits, and structs of words beyond (runtime/wide.h)."""

from dataclasses import dataclass

from switch.compiler.model import MAX_BITS


@dataclass(frozen=True, slots=True)
class CType:
    """An integer type of the generated C."""

    name: str
    bits: int
    signed: bool = False

    @property
    def low(self) -> int:
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        return (1 << (self.bits - self.signed)) - 1

    @property
    def promoted(self) -> bool:
        """Whether C computes with it as `int`, which holds all of its values."""
        return self.bits < 32

    @property
    def wide(self) -> bool:
        """Whether it is a struct, for which C has no operators."""
        return self.bits > 128

    @property
    def alignment(self) -> int:
        """In bytes."""
        return 8 if self.wide else self.bytes

    @property
    def bytes(self) -> int:
        return self.bits // 8


U8 = CType("uint8_t", 8)
U16 = CType("uint16_t", 16)
U32 = CType("uint32_t", 32)
U64 = CType("uint64_t", 64)
U128 = CType("uint128_t", 128)
S64 = CType("int64_t", 64, signed=True)
S128 = CType("int128_t", 128, signed=True)

WIDE_BITS = (256, 512, 1024, 2048, 4096)
WIDE = tuple(CType(f"wide_{bits}", bits) for bits in WIDE_BITS)
WIDE_SIGNED = tuple(CType(f"wide_{bits}", bits, signed=True) for bits in WIDE_BITS)

STORAGE = (U8, U16, U32, U64, U128, *WIDE)
UNSIGNED = (U32, U64, U128, *WIDE)
SIGNED = (S64, S128, *WIDE_SIGNED)

WIDEST = WIDE_BITS[-1]


def ones(bits: int) -> int:
    return (1 << bits) - 1


def storage(bits: int) -> CType:
    """The type of a field or parameter of this width. At most MAX_BITS, which the reader ensured."""
    assert 0 < bits <= MAX_BITS
    return next(t for t in STORAGE if t.bits >= bits)


def container(bits: int) -> CType | None:
    """The smallest unsigned type to compute in, modulo 2**bits."""
    return next((t for t in UNSIGNED if t.bits >= bits), None)


def fitting(low: int, high: int) -> CType | None:
    """The smallest type to compute in that holds all of low..high."""
    return next((t for t in (UNSIGNED if low >= 0 else SIGNED) if t.low <= low and high <= t.high), None)


def literal(value: int, type_: CType) -> str:
    """A C constant of exactly that type (plain `int` for the promoted ones)."""
    if type_.wide:
        value &= ones(type_.bits)
        count = max(-(-value.bit_length() // U64.bits), 1)
        words = ", ".join(f"{value >> (U64.bits * i) & ones(U64.bits):#x}" for i in range(count))
        return f"(({type_.name}){{{{{words}}}}})"
    text = str(value) if -10 < value < 10 else hex(value)
    if type_.promoted:
        return text
    if type_ is U32:
        return f"{text}u"
    if type_ is U64:
        return f"{text}ull"
    if type_ is S64:
        return "INT64_MIN" if value == type_.low else f"{text}ll"
    if type_ is U128 and value > ones(64):
        return f"U128({hex(value >> 64)}, {hex(value & ones(64))})"
    if type_ is S128 and not S64.low < value <= S64.high:
        return f"(int128_t)U128({hex((value & ones(128)) >> 64)}, {hex(value & ones(64))})"
    return f"({type_.name}){text}{'ll' if type_.signed else 'ull'}"
