"""How an operator is spelled in C: as such, or beyond 128 bits as a call (runtime/wide.h)."""

from switch.compiler.widths import U64, U128, CType, literal

CALLS = {"+": "add", "-": "sub", "*": "mul", "&": "and", "|": "or", "^": "xor"}


def binary(op: str, type_: CType, left: str, right: str) -> str:
    """Both operands have the type, or one that C converts to it."""
    return f"{type_.name}_{CALLS[op]}({left}, {right})" if type_.wide else f"{left} {op} {right}"


def complement(type_: CType, text: str) -> str:
    return f"{type_.name}_not({text})" if type_.wide else f"~{text}"


def compare(op: str, type_: CType, left: str, right: str) -> str:
    if not type_.wide:
        return f"{left} {op} {right}"
    return f"{type_.name}_order({left}, {right}, {_signed(type_)}) {op} 0"


def divide(op: str, type_: CType, left: str, right: str, *, zero_possible: bool) -> str:
    """Division by zero gives zero."""
    if type_.wide:
        rest = str(op == "%").lower()
        return f"{type_.name}_divide({left}, {right}, {_signed(type_)}, {rest})"
    text = f"{left} {op} {right}"
    return f"{right} == 0 ? 0 : {text}" if zero_possible else text


def shift_left(type_: CType, text: str, by: str) -> str:
    """By any amount."""
    return f"{type_.name}_left({text}, {by})" if type_.wide else f"shift_left_{type_.bits}({text}, {by})"


def shift_right(type_: CType, text: str, by: str) -> str:
    """By any amount."""
    if type_.wide:
        return f"{type_.name}_right({text}, {by}, {_signed(type_)})"
    return f"shift_right_{'s' if type_.signed else ''}{type_.bits}({text}, {by})"


def clamp(type_: CType, text: str, low: int, high: int) -> str:
    ends = f"{literal(low, type_)}, {literal(high, type_)}"
    if type_.wide:
        return f"{type_.name}_clamp({text}, {ends}, {_signed(type_)})"
    return f"clamp_{'s' if type_.signed else ''}{type_.bits}({text}, {ends})"


def convert(text: str, source: CType, target: CType) -> str:
    """A number (an atom) of one type as another: extended by zeros or its sign, or cut."""
    if source.wide and target.wide:
        return f"{target.name}_of({text}.w, {source.bits // U64.bits}, {_signed(source)})"
    if source.wide:
        low = f"{source.name}_low({text})"
        return low if target == U128 else f"({target.name}){low}"
    if target.wide:
        inner = f"(uint128_t)(int128_t){text}" if source.signed else text
        return f"{target.name}_from({inner}, {_signed(source)})"
    return f"({target.name}){text}"


def get_bits(type_: CType, place: str, offset: int, bits: int) -> str:
    """Bits of a packet as that type."""
    if type_.wide:
        return f"{type_.name}_load({place}, {offset}, {bits})"
    return f"({type_.name})get_bits({place}, {offset}, {bits})"


def put_bits(type_: CType, place: str, offset: int | str, bits: int, text: str) -> str:
    """The statement that writes them."""
    if type_.wide:
        return f"wide_store({place}, {offset}, {bits}, ({text}).w);"
    return f"put_bits({place}, {offset}, {bits}, {text});"


def _signed(type_: CType) -> str:
    return str(type_.signed).lower()
