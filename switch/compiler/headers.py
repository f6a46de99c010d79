"""Headers and metadata: their structs, and the way between structs and packet bytes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from switch.compiler.jsonin import refuse
from switch.compiler.model import Field, HeaderType, Program, Stack
from switch.compiler.operators import compare, get_bits, put_bits
from switch.compiler.symbols import VALID, Symbols
from switch.compiler.widths import U32, U64, literal, ones, storage
from switch.compiler.writer import Writer

BYTE = 8
WORD = 64


@dataclass(frozen=True, slots=True)
class Piece:
    """A value and its width, on the way into packed bytes."""

    text: str
    bits: int


def packed_types(program: Program) -> list[HeaderType]:
    """The types that appear in packets, in the order of their headers."""
    return list({id(h.type): h.type for h in program.headers.values() if not h.metadata}.values())


def write_types(w: Writer, symbols: Symbols, program: Program) -> None:
    """One struct for each type, then all metadata, all headers and the fill of stacks."""
    for type_, name in symbols.types.items():
        _struct(w, symbols, type_, name)
    with w.block("struct metadata", "};"):
        for header, name in symbols.headers.items():
            if header.metadata:
                w.line(f"struct {symbols.types[header.type]} {name};")
    w.line()
    with w.block("struct headers", "};"):
        for header, name in symbols.headers.items():
            if not header.metadata:
                w.line(f"struct {symbols.types[header.type]} {name};")
        for stack in program.stacks.values():
            w.line(f"struct {symbols.types[stack.type]} {symbols.stacks[stack.name]}[{len(stack.headers)}];")
    w.line()
    w.comment("How many headers the parser (and push, pop) put into each stack.")
    with w.block("struct next_free", "};"):
        for name in symbols.counts.values():
            w.line(f"uint8_t {name};")
    w.line()
    with w.block("struct packet", "};"):
        w.line("struct packet_context c;")
        w.line("struct next_free next;")
        w.line("struct metadata meta;")
        w.line("struct headers hdr;")


def _struct(w: Writer, symbols: Symbols, type_: HeaderType, name: str) -> None:
    with w.block(f"struct {name}", "};"):
        w.line(f"bool {VALID};")
        for field in type_.fields:
            text = symbols.field(type_, field)
            if field.varbit:
                w.line(f"uint16_t {text}_length; /* bytes in use */")
                w.line(f"uint8_t {text}[{max(field.bits // BYTE, 1)}];")
            else:
                w.line(f"{storage(field.bits).name} {text}; /* {field.bits} bits */")
    w.line()


def write_conversions(w: Writer, symbols: Symbols, program: Program) -> None:
    """extract_, emit_ and same_ for each type, push_ and pop_ for each stack."""
    for type_ in packed_types(program):
        _check_varbit(type_)
        _extract(w, symbols, type_)
        _emit(w, symbols, type_)
        _same(w, symbols, type_)
    for name in symbols.counts:
        _push_pop(w, symbols, name, [s for s in program.stacks.values() if s.counter == name])


def byte_length(symbols: Symbols, type_: HeaderType, text: str) -> str:
    """How many bytes a header takes in a packet."""
    fixed = str(type_.fixed_bits // BYTE)
    return f"{fixed} + {text}.{symbols.field(type_, type_.varbit)}_length" if type_.varbit else fixed


def _check_varbit(type_: HeaderType) -> None:
    bits = 0
    for field in type_.fields:
        if field.varbit and bits % BYTE:
            raise refuse(
                f"header type '{type_.name}'", f"the varbit '{field.name}' does not begin at a whole byte"
            )
        bits += field.bits


def _sections(type_: HeaderType) -> tuple[list[Field], Field | None, list[Field]]:
    """The fields before the varbit, the varbit, the fields behind it."""
    at = next((i for i, f in enumerate(type_.fields) if f.varbit), len(type_.fields))
    return list(type_.fields[:at]), type_.varbit, list(type_.fields[at + 1 :])


# From bytes.


def _extract(w: Writer, symbols: Symbols, type_: HeaderType) -> None:
    before, varbit, behind = _sections(type_)
    name = symbols.types[type_]
    more = ", uint32_t varbit_length" if varbit else ""
    with w.function(f"static inline void extract_{name}(struct {name} *h, const uint8_t *b{more})"):
        _load_fields(w, symbols, type_, before)
        if varbit:
            text = symbols.field(type_, varbit)
            w.line(f"h->{text}_length = (uint16_t)varbit_length;")
            w.line(f"memcpy(h->{text}, b + {sum(f.bits for f in before) // BYTE}, varbit_length);")
        if behind:
            w.line(f"b += {sum(f.bits for f in before) // BYTE} + varbit_length;")
            _load_fields(w, symbols, type_, behind)
        w.line(f"h->{VALID} = true;")


def _runs(widths: Iterable[int]) -> list[tuple[int, int, int]]:
    """Splits widths at byte boundaries: (first, behind last, bits) of the shortest runs of whole bytes."""
    found, first, bits = [], 0, 0
    place = -1
    for place, width in enumerate(widths):
        bits += width
        if bits % BYTE == 0:
            found.append((first, place + 1, bits))
            first, bits = place + 1, 0
    if bits:
        found.append((first, place + 1, bits))
    return found


def _load_fields(w: Writer, symbols: Symbols, type_: HeaderType, fields: Sequence[Field]) -> None:
    at = 0
    for first, behind, bits in _runs(f.bits for f in fields):
        run = fields[first:behind]
        names = [symbols.field(type_, f) for f in run]
        if len(run) == 1 and (bits <= WORD or bits == 2 * WORD):
            w.line(f"h->{names[0]} = load_{bits}(b + {at // BYTE});")
        elif bits <= WORD:
            _load_run(w, run, names, at // BYTE, bits)
        else:
            offset = at
            for field, name in zip(run, names, strict=True):
                w.line(f"h->{name} = {get_bits(storage(field.bits), 'b', offset, field.bits)};")
                offset += field.bits
        at += bits


def _load_run(w: Writer, run: Sequence[Field], names: Sequence[str], byte: int, bits: int) -> None:
    """Fields that share bytes: one load, then shifts and masks."""
    word = U32 if bits <= U32.bits else U64
    with w.block():
        w.line(f"const {word.name} word = load_{bits}(b + {byte});")
        left = bits
        for field, name in zip(run, names, strict=True):
            left -= field.bits
            value = f"word >> {left}" if left else "word"
            if left + field.bits < bits:
                value = f"{value} & {literal(ones(field.bits), word)}"
            w.line(f"h->{name} = ({storage(field.bits).name})({value});")


# To bytes.


def _emit(w: Writer, symbols: Symbols, type_: HeaderType) -> None:
    before, varbit, behind = _sections(type_)
    name = symbols.types[type_]
    w.line()
    w.comment("Returns the end of what was written.")
    w.line(f"static inline uint8_t *emit_{name}(const struct {name} *h, uint8_t *b)")
    with w.block():
        store_pieces(w, [Piece(f"h->{symbols.field(type_, f)}", f.bits) for f in before])
        length = sum(f.bits for f in before) // BYTE
        if varbit:
            text = symbols.field(type_, varbit)
            w.line(f"memcpy(b + {length}, h->{text}, h->{text}_length);")
            w.line(f"b += {length} + h->{text}_length;")
            store_pieces(w, [Piece(f"h->{symbols.field(type_, f)}", f.bits) for f in behind])
            length = sum(f.bits for f in behind) // BYTE
        w.line(f"return b + {length};")


def store_pieces(w: Writer, pieces: Sequence[Piece]) -> None:
    """Packs values without gaps from `b` on; a last byte that is not full ends in zeros."""
    at = 0
    for first, behind, bits in _runs(p.bits for p in pieces):
        run = pieces[first:behind]
        whole = -(-bits // BYTE) * BYTE
        if whole <= WORD:
            w.line(f"store_{whole}(b + {at // BYTE}, {_joined(run, whole)});")
        elif len(run) == 1 and bits == 2 * WORD:
            w.line(f"store_128(b + {at // BYTE}, {run[0].text});")
        else:
            if whole > bits:
                w.line(f"b[{(at + bits) // BYTE}] = 0;")
            offset = at
            for piece in run:
                w.line(put_bits(storage(piece.bits), "b", offset, piece.bits, piece.text))
                offset += piece.bits
        at += bits


def _joined(run: Sequence[Piece], whole: int) -> str:
    """Values side by side in one word of `whole` bits, from its high end."""
    word = (U32 if whole <= U32.bits else U64).name
    left, terms = whole, []
    for piece in run:
        left -= piece.bits
        terms.append(f"({word}){piece.text} << {left}" if left else f"({word}){piece.text}")
    text = " | ".join(terms)
    exact = whole in (U32.bits, U64.bits)
    return text if exact else f"({storage(whole).name})({text})"


# Comparing, and stacks.


def _same(w: Writer, symbols: Symbols, type_: HeaderType) -> None:
    name = symbols.types[type_]
    w.line()
    w.comment("Equal as BMv2 has it: both valid, and every field the same.")
    w.line(f"static inline bool same_{name}(const struct {name} *a, const struct {name} *b)")
    with w.block():
        tests = [f"a->{VALID} && b->{VALID}"]
        for field in type_.fields:
            text = symbols.field(type_, field)
            if field.varbit:
                tests.append(f"a->{text}_length == b->{text}_length")
                tests.append(f"memcmp(a->{text}, b->{text}, a->{text}_length) == 0")
            else:
                tests.append(compare("==", storage(field.bits), f"a->{text}", f"b->{text}"))
        w.line(f"return {' && '.join(tests)};")


def _push_pop(w: Writer, symbols: Symbols, counter: str, stacks: Sequence[Stack]) -> None:
    """The whole stack moves; what comes in is invalid (P4-16, section 8.18).

    stacks: one, or for a union stack those of its members.
    """
    name, size = symbols.counts[counter], len(stacks[0].headers)
    count = symbols.next_free(stacks[0])
    with w.function(f"static inline void push_{name}(struct packet *p, uint64_t by)"):
        w.line(f"const unsigned n = by < {size} ? (unsigned)by : {size};")
        for stack in stacks:
            place = symbols.stack(stack.name)
            w.line(f"memmove({place} + n, {place}, ({size} - n) * sizeof {place}[0]);")
            w.line(f"memset({place}, 0, n * sizeof {place}[0]);")
        w.line(f"{count} = (uint8_t)({count} + n < {size} ? {count} + n : {size});")
    with w.function(f"static inline void pop_{name}(struct packet *p, uint64_t by)"):
        w.line(f"const unsigned n = by < {size} ? (unsigned)by : {size};")
        for stack in stacks:
            place = symbols.stack(stack.name)
            w.line(f"memmove({place}, {place} + n, ({size} - n) * sizeof {place}[0]);")
            w.line(f"memset({place} + {size} - n, 0, n * sizeof {place}[0]);")
        w.line(f"{count} = (uint8_t)({count} > n ? {count} - n : 0);")
