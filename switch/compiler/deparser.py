"""The way out: headers to bytes, and what a program keeps or tells of a packet (field lists, digests)."""

from switch.compiler.model import FieldRef, Program
from switch.compiler.primitives import Primitives
from switch.compiler.symbols import VALID, Symbols
from switch.compiler.values import raw, word_texts
from switch.compiler.widths import ones, storage
from switch.compiler.writer import Writer

WORD = 64


def most_header_bytes(program: Program) -> int:
    return sum(header.type.max_bits for header in program.deparser.order) // 8


def write_deparser(w: Writer, program: Program, symbols: Symbols) -> None:
    with w.function("static inline void before_deparsing(struct state *s, struct packet *p)"):
        w.line("(void)s, (void)p;")
        primitives = Primitives(w, program, symbols, "deparser", None)
        for primitive in program.deparser.primitives:
            primitives.write(primitive)
    w.line()
    w.comment("The valid headers in the deparser's order; returns their end.")
    w.line("static uint8_t *deparse(const struct packet *p, uint8_t *b)")
    with w.block():
        w.line("(void)p;")
        for header in program.deparser.order:
            text = symbols.header(header)
            w.line(f"if ({text}.{VALID}) b = emit_{symbols.types[header.type]}(&{text}, b);")
        w.line("return b;")


def write_field_lists(w: Writer, program: Program, symbols: Symbols) -> None:
    head = "static void copy_field_list(struct metadata *to, const struct metadata *from, unsigned list)"
    with w.function(head):
        w.line("(void)to, (void)from;")
        with w.block("switch (list)"):
            for field_list in program.field_lists.values():
                w.line(f"case {field_list.id}: /* {field_list.name} */")
                for reference in field_list.fields:
                    field = symbols.field(reference.header.type, reference.field)
                    name = f"{symbols.headers[reference.header]}.{field}"
                    w.line(f"    to->{name} = from->{name};")
                w.line("    break;")
            w.line("default: break;")


def digest_words(fields: tuple[FieldRef, ...]) -> int:
    return sum(-(-reference.field.bits // WORD) for reference in fields)


def write_learn(w: Writer, program: Program, symbols: Symbols) -> None:
    """A digest's record: the list's number, then its values, low word first."""
    with w.function("static void learn(struct state *s, const struct packet *p)"):
        w.line("uint64_t *record = digest_begin(&s->core);")
        w.line("if (!record) return;")
        w.line("(void)p;")
        w.line("record[0] = p->c.learn_list;")
        with w.block("switch (p->c.learn_list)"):
            for learn_list in program.learn_lists.values():
                w.line(f"case {learn_list.id}: /* {learn_list.name} */")
                at = 1
                for reference in learn_list.fields:
                    bits = reference.field.bits
                    value = raw(symbols.place(reference), storage(bits), 0, ones(bits))
                    for text in word_texts(value, digest_words((reference,))):
                        w.line(f"    record[{at}] = {text};")
                        at += 1
                w.line("    break;")
            w.line("default: return;")
        w.line("digest_send(&s->core);")
