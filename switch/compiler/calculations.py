"""Hashes and checksums: packing their input, and where the program verifies and updates.

Inputs are packed without gaps; fields of invalid headers are left out, so that with whole-byte runs the place
of what follows is a running pointer (BMv2's BufBuilder).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from switch.compiler.expressions import Expressions
from switch.compiler.headers import BYTE, Piece, store_pieces
from switch.compiler.jsonin import placed, refuse
from switch.compiler.model import (
    MAX_BITS,
    Bits,
    Calculation,
    Checksum,
    FieldRef,
    Header,
    HeaderRef,
    Payload,
    Program,
)
from switch.compiler.operators import put_bits
from switch.compiler.symbols import VALID, Symbols
from switch.compiler.widths import CType, literal, ones, storage
from switch.compiler.writer import Writer

U16, U32, U64 = (storage(bits) for bits in (16, 32, 64))

ALGORITHMS: dict[str, tuple[str, CType]] = {
    "crc32": ("hash_crc32", U32),
    "crc32_custom": ("hash_crc32", U32),
    "crc16": ("hash_crc16", U16),
    "crc16_custom": ("hash_crc16", U16),
    "crcCCITT": ("hash_crc_ccitt", U16),
    "csum16": ("hash_csum16", U16),
    "cksum16": ("hash_csum16", U16),
    "xor16": ("hash_xor16", U16),
    "identity": ("hash_identity", U64),
}
"""BMv2's names.

(function of hashes.h, type of its result). The custom ones have their standard's parameters.
"""


RANDOM = "random"
"""v1model names it and BMv2 does not know it; here it is a random number of 64 bits, whatever the input."""

Input = FieldRef | HeaderRef | Bits
"""What is packed; the payload follows after all of it."""


@dataclass(frozen=True, slots=True)
class Run:
    """Inputs that are there or not there together.

    Header is None for metadata and constants, always there.
    """

    header: Header | None
    pieces: tuple[Piece, ...]

    @property
    def bits(self) -> int:
        return sum(p.bits for p in self.pieces)


def all_calculations(program: Program) -> list[Calculation]:
    """Those of the program, and those that choose within groups."""
    selectors = (p.selector for p in program.profiles.values() if p.selector is not None)
    return [*program.calculations.values(), *selectors]


def write_calculations(w: Writer, program: Program, symbols: Symbols) -> None:
    for calculation in all_calculations(program):
        _write_calculation(w, symbols, calculation)


def _write_calculation(w: Writer, symbols: Symbols, calculation: Calculation) -> None:
    what = placed(f"calculation '{calculation.name}'", calculation.source)
    if calculation.algorithm == RANDOM:
        with w.function(
            f"static inline uint64_t calculate_{symbols.calculations[calculation]}"
            "(struct state *s, const struct packet *p)"
        ):
            w.comment(calculation.algorithm, calculation.source)
            w.line("(void)p;")
            w.line("return random_between(&s->core, 0, UINT64_MAX);")
        return
    if calculation.algorithm not in ALGORITHMS:
        known = ", ".join((*ALGORITHMS, RANDOM))
        raise refuse(what, f"unknown algorithm '{calculation.algorithm}' (known: {known})")
    function, type_ = ALGORITHMS[calculation.algorithm]
    head = f"static inline {type_.name} calculate_{symbols.calculations[calculation]}"
    with w.function(f"{head}(struct state *s, const struct packet *p)"):
        w.comment(calculation.algorithm, calculation.source)
        payload = any(isinstance(i, Payload) for i in calculation.inputs)
        inputs = [i for i in calculation.inputs if not isinstance(i, Payload)]
        if payload:
            w.line("uint8_t *const first = s->scratch, *b = first;")
        else:
            w.line("(void)s;")
            w.line(f"uint8_t first[{max(_most_bytes(inputs), 1)}], *b = first;")
        _pack(w, symbols, what, inputs)
        if payload:
            w.line("memcpy(b, p->c.payload, payload_seen(&p->c));")
            w.line("b += payload_seen(&p->c);")
        w.line(f"return {function}(first, (size_t)(b - first));")


def _most_bytes(inputs: Sequence[Input]) -> int:
    bits = 0
    for item in inputs:
        match item:
            case FieldRef(field=field):
                bits += field.bits
            case HeaderRef(header):
                bits += header.type.max_bits
            case Bits(width=width):
                bits += width
    return -(-bits // BYTE)


def scratch_bytes(program: Program) -> int:
    """Room for the inputs in front of a payload."""
    return max(
        (_most_bytes([i for i in c.inputs if not isinstance(i, Payload)]) for c in all_calculations(program)),
        default=0,
    )


def _pack(w: Writer, symbols: Symbols, what: str, inputs: Sequence[Input]) -> None:
    runs = _runs(symbols, what, inputs)
    if any(isinstance(run, Run) and run.bits % BYTE for run in runs[:-1]):
        _pack_bits(w, symbols, what, runs, _most_bytes(inputs))
        return
    for run in runs:
        if isinstance(run, HeaderRef):
            text = symbols.header(run.header)
            w.line(f"if ({text}.{VALID}) b = emit_{symbols.types[run.header.type]}(&{text}, b);")
            continue
        if isinstance(run, FieldRef):
            _pack_varbit(w, symbols, run)
            continue
        with w.block(f"if ({symbols.header(run.header)}.{VALID})" if run.header else ""):
            store_pieces(w, run.pieces)
            w.line(f"b += {-(-run.bits // BYTE)};")


def _pack_varbit(w: Writer, symbols: Symbols, varbit: FieldRef) -> None:
    text = symbols.place(varbit)
    with w.block(f"if ({symbols.header(varbit.header)}.{VALID})"):
        w.line(f"memcpy(b, {text}, {text}_length);")
        w.line(f"b += {text}_length;")


def _runs(symbols: Symbols, what: str, inputs: Sequence[Input]) -> list[Run | HeaderRef | FieldRef]:
    """Groups the inputs; whole headers and varbits stand alone."""
    runs: list[Run | HeaderRef | FieldRef] = []
    for item in inputs:
        if isinstance(item, HeaderRef) or (isinstance(item, FieldRef) and item.field.varbit):
            runs.append(item)
            continue
        if isinstance(item, Bits):
            if not 0 < item.width <= MAX_BITS:
                raise refuse(what, f"a constant has {item.width} bits; this switch does {MAX_BITS}")
            value = literal(item.value & ones(item.width), storage(item.width))
            header, piece = None, Piece(value, item.width)
        else:
            header = None if item.header.metadata else item.header
            piece = Piece(symbols.place(item), item.field.bits)
        last = runs[-1] if runs else None
        if isinstance(last, Run) and last.header is header:
            runs[-1] = Run(header, (*last.pieces, piece))
        else:
            runs.append(Run(header, (piece,)))
    return runs


def _pack_bits(
    w: Writer, symbols: Symbols, what: str, runs: Sequence[Run | HeaderRef | FieldRef], most: int
) -> None:
    """Runs that do not end at whole bytes: bit by bit, with a running place."""
    w.line("unsigned at = 0;")
    w.line(f"memset(b, 0, {most});")
    for run in runs:
        if not isinstance(run, Run):
            raise refuse(what, f"a part of the header '{run.header.name}' does not begin at a whole byte")
        with w.block(f"if ({symbols.header(run.header)}.{VALID})" if run.header else ""):
            for piece in run.pieces:
                w.line(put_bits(storage(piece.bits), "b", "at", piece.bits, piece.text))
                w.line(f"at += {piece.bits};")
    w.line(f"b += (at + {BYTE - 1}) / {BYTE};")


def write_checksums(w: Writer, program: Program, symbols: Symbols) -> None:
    with w.function("static inline void verify_checksums(struct state *s, struct packet *p)"):
        w.line("(void)s, (void)p;")
        for checksum in program.checksums:
            if checksum.verify:
                _verify(w, symbols, checksum)
    with w.function("static inline void update_checksums(struct state *s, struct packet *p)"):
        w.line("(void)s, (void)p;")
        for checksum in program.checksums:
            if checksum.update:
                _update(w, symbols, checksum)


def _condition(symbols: Symbols, checksum: Checksum) -> str:
    if checksum.condition is None:
        return "true"
    what = placed(f"checksum '{checksum.name}'", checksum.source)
    return Expressions(symbols, what).condition(checksum.condition)


def _verify(w: Writer, symbols: Symbols, checksum: Checksum) -> None:
    header = checksum.target.header
    valid = "true" if header.metadata else f"{symbols.header(header)}.{VALID}"
    call = f"calculate_{symbols.calculations[checksum.calculation]}(s, p)"
    w.comment(checksum.name, checksum.source)
    with w.block(f"if ({valid} && ({_condition(symbols, checksum)}))"):
        w.line(f"p->c.checksum_error |= {call} != {symbols.place(checksum.target)};")


def _update(w: Writer, symbols: Symbols, checksum: Checksum) -> None:
    bits = checksum.target.field.bits
    call = f"calculate_{symbols.calculations[checksum.calculation]}(s, p)"
    mask = "" if bits == storage(bits).bits else f" & {ones(bits):#x}"
    w.comment(checksum.name, checksum.source)
    with w.block(f"if ({_condition(symbols, checksum)})"):
        w.line(f"{symbols.place(checksum.target)} = ({storage(bits).name})({call}{mask});")
