"""The whole program as one C file. Each part is written by the module of its name."""

from switch.compiler.actions import write_actions, write_data, write_numbers
from switch.compiler.calculations import scratch_bytes, write_calculations, write_checksums
from switch.compiler.deparser import (
    digest_words,
    most_header_bytes,
    write_deparser,
    write_field_lists,
    write_learn,
)
from switch.compiler.headers import write_conversions, write_types
from switch.compiler.intrinsic import write_intrinsics
from switch.compiler.model import Counter, Meter, Program, Register
from switch.compiler.parser import write_parser
from switch.compiler.pipelines import write_pipeline
from switch.compiler.symbols import Symbols
from switch.compiler.tables import write_find, write_shapes, write_table_numbers
from switch.compiler.widths import literal, storage
from switch.compiler.writer import Writer

HITS_BYTES = 16
"""sizeof(struct hits)"""


def arrays(program: Program) -> list[Register | Counter | Meter]:
    """Registers, then indirect counters, then meters: the order in which the C numbers them."""
    counters = (c for c in program.counters.values() if c.table is None)
    meters = (m for m in program.meters.values() if m.table is None)
    return [*program.registers.values(), *counters, *meters]


def write_program(program: Program) -> str:
    """Raises LoadError for what cannot be done."""
    w = Writer()
    symbols = Symbols(program)
    w.comment(f"{program.name}: written by switch/compiler. Comments name the lines of the P4 source.")
    for header in ("stddef.h", "stdlib.h"):
        w.line(f"#include <{header}>")
    w.line()
    w.line('#include "core.h"')
    w.line('#include "meters.h"')
    w.line('#include "packet.h"')
    w.line('#include "profiles.h"')
    w.line('#include "wide.h"')
    w.line()
    write_types(w, symbols, program)
    w.line()
    write_numbers(w, program, symbols)
    write_data(w, program, symbols)
    write_table_numbers(w, program, symbols)
    _write_state_parts(w, program, symbols)
    w.line('#include "state.h"')
    _write_register_reads(w, program, symbols)
    w.line()
    write_intrinsics(w, program, symbols)
    write_conversions(w, symbols, program)
    write_calculations(w, program, symbols)
    write_parser(w, program, symbols)
    write_checksums(w, program, symbols)
    write_actions(w, program, symbols)
    write_find(w, program, symbols)
    write_pipeline(w, program, symbols, program.ingress)
    write_pipeline(w, program, symbols, program.egress)
    write_deparser(w, program, symbols)
    write_field_lists(w, program, symbols)
    write_learn(w, program, symbols)
    write_shapes(w, program, symbols)
    _write_arrays(w, program, symbols)
    w.line()
    w.line('#include "v1model.h"')
    w.line('#include "lifetime.h"')
    return w.text()


def _write_state_parts(w: Writer, program: Program, symbols: Symbols) -> None:
    with w.block("struct registers", "};"):
        for register in program.registers.values():
            note = f"[{register.size}] of {register.bits} bits, {register.source or 'source unknown'}"
            w.line(f"{storage(register.bits).name} *{symbols.registers[register]}; /* {note} */")
    w.line()
    with w.block("struct counters", "};"):
        for counter in program.counters.values():
            if counter.table is None:
                w.line(f"struct hits *{symbols.counters[counter]}; /* [{counter.size}] */")
    w.line()
    with w.block("struct meters", "};"):
        for meter in program.meters.values():
            if meter.table is None:
                w.line(f"struct meter *{symbols.meters[meter]}; /* [{meter.size}] */")
    w.line()
    digests = [digest_words(learn_list.fields) for learn_list in program.learn_lists.values()]
    with w.block("enum", "};"):
        w.line(f"MOST_HEADER_BYTES = {most_header_bytes(program)},")
        w.line(f"SCRATCH_BYTES = MAX_PACKET + {scratch_bytes(program)},")
        w.line(f"DIGEST_WORDS = {max(digests, default=0)},")
    w.line()


def _write_register_reads(w: Writer, program: Program, symbols: Symbols) -> None:
    """For registers inside expressions: out of range reads 0, and is counted."""
    for register in program.registers.values():
        type_, name = storage(register.bits), symbols.registers[register]
        head = f"static inline {type_.name} read_{name}(struct state *s, uint64_t at)"
        with w.function(head):
            w.line(f"if (at < {register.size}) return s->registers.{name}[at];")
            w.line("out_of_range(&s->core);")
            w.line(f"return {literal(0, type_)};")


def _write_arrays(w: Writer, program: Program, symbols: Symbols) -> None:
    """Where the state keeps each array, and its size.

    For allocating them, and for the engine to reach them.
    """
    w.line()
    with w.block(f"static const struct array arrays[{len(arrays(program)) + 1}] =", "};"):
        for array in arrays(program):
            size: int | str
            if isinstance(array, Register):
                place, size = f"registers.{symbols.registers[array]}", storage(array.bits).bytes
            elif isinstance(array, Counter):
                place, size = f"counters.{symbols.counters[array]}", HITS_BYTES
            else:
                place, size = f"meters.{symbols.meters[array]}", "sizeof(struct meter)"
            meters = str(isinstance(array, Meter)).lower()
            w.line(f"{{ offsetof(struct state, {place}), {array.size}, {size}, {meters} }},")
    w.line(f"enum {{ ARRAYS = {len(arrays(program))} }};")
