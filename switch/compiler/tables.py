"""Tables: their shapes, their keys out of a packet, and applying them."""

from switch.compiler.expressions import Expressions
from switch.compiler.jsonin import placed
from switch.compiler.layout import WORD, WORD_BYTES, KeyLayout, data_size, words_of
from switch.compiler.model import Const, Op, Program, TableKey, TableNode
from switch.compiler.symbols import Symbols
from switch.compiler.values import Value, word_texts
from switch.compiler.writer import Writer
from switch.entries import MatchKind

KINDS = {MatchKind.EXACT: "TABLE_EXACT", MatchKind.LPM: "TABLE_TERNARY", MatchKind.TERNARY: "TABLE_TERNARY"}


def write_table_numbers(w: Writer, program: Program, symbols: Symbols) -> None:
    with w.block("enum table_number", "};"):
        for table in program.tables.values():
            w.line(f"TABLE_{symbols.tables[table]},")
        for value_set in program.value_sets.values():
            w.line(f"VALUE_SET_{symbols.value_sets[value_set]},")
        w.line("TABLES,")
    w.line()


def write_shapes(w: Writer, program: Program, symbols: Symbols) -> None:
    """What the runtime must know about each table; one more, so that there is no array of length 0."""
    w.line()
    with w.block("static const struct table_shape table_shapes[TABLES + 1] =", "};"):
        for table in program.tables.values():
            layout = KeyLayout.of(table)
            w.comment(_describe(table), table.source)
            with w.block(f"[TABLE_{symbols.tables[table]}] =", "},"):
                w.line(f".kind = {KINDS[table.kind]},")
                w.line(f".key_words = {layout.words},")
                w.line(f".ranges = {layout.ranges},")
                if layout.lower is not None:
                    w.line(f".lower = {_booleans(layout.lower)},")
                w.line(f".stateful = {str(table.stateful).lower()},")
                w.line(f".data_offset = {layout.data_offset(table.kind)},")
                w.line(f".data_size = {data_size(table)},")
        for value_set in program.value_sets.values():
            members = KeyLayout((), words_of(value_set), 0)
            w.comment(f"value set {value_set.name}: {value_set.bits} bits", value_set.source)
            with w.block(f"[VALUE_SET_{symbols.value_sets[value_set]}] =", "},"):
                w.line(".kind = TABLE_TERNARY,")
                w.line(f".key_words = {members.words},")
                w.line(f".data_offset = {members.data_offset(MatchKind.TERNARY)},")


def _describe(table: TableNode) -> str:
    keys = ", ".join(f"{key.name}: {key.kind} {key.bits}" for key in table.keys)
    return f"{table.name}({keys})"


def _booleans(values: list[bool]) -> str:
    return f"(const bool[]){{{', '.join(str(value).lower() for value in values)}}}"


def write_find(w: Writer, program: Program, symbols: Symbols) -> None:
    """One function for each table that has a key: the entry that matches the packet, or NULL."""
    for table in program.tables.values():
        if table.keys:
            _write_find(w, symbols, table)


def _write_find(w: Writer, symbols: Symbols, table: TableNode) -> None:
    layout = KeyLayout.of(table)
    name = symbols.tables[table]
    w.line()
    w.comment(_describe(table), table.source)
    w.line(f"static inline const struct entry *find_{name}(struct state *s, const struct packet *p)")
    with w.block():
        words, ranges = _key_words(symbols, table, layout)
        at = f"&s->tables[TABLE_{name}]"
        with w.block(f"const uint64_t key[{max(layout.words, 1)}] =", "};"):
            for terms in words or [["0"]]:
                w.line(f"{' | '.join(terms)},")
        w.line(f"TRACE_BYTES(TRACE_KEY, TABLE_{name}, key, {WORD_BYTES * layout.words});")
        if table.kind is MatchKind.EXACT:
            w.line(f"return exact_find({at}, key, {layout.words});")
            return
        with w.block(f"const uint64_t range[{max(layout.ranges, 1)}] =", "};"):
            for text in ranges or ["0"]:
                w.line(f"{text},")
        if layout.ranges:
            w.line(f"TRACE_BYTES(TRACE_KEY, TABLE_{name}, range, {WORD_BYTES * layout.ranges});")
        arguments = f"{at}, key, {layout.words}, range, {layout.ranges}"
        if layout.lower is None:
            w.line(f"return ternary_find({arguments});")
        else:
            w.line(f"return wide_ternary_find({arguments}, {_booleans(layout.lower)});")


def _key_words(symbols: Symbols, table: TableNode, layout: KeyLayout) -> tuple[list[list[str]], list[str]]:
    """(for each word the terms to be joined, the words of the range fields)."""
    words: list[list[str]] = [[] for _ in range(layout.words)]
    ranges: list[str] = []
    expressions = Expressions(symbols, placed(f"table '{table.name}'", table.source))
    for key, place in zip(table.keys, layout.places, strict=True):
        value = _key_value(expressions, key)
        if place.kind is MatchKind.RANGE:
            ranges += [value.closed] if place.words == 1 else word_texts(value, place.words)[::-1]
            continue
        word, shift = divmod(place.shift, WORD)
        if place.words > 1:
            for at, text in enumerate(word_texts(value, place.words)):
                words[word + at].append(text)
        elif value.type.bits > WORD or shift:
            words[word].append(f"(uint64_t){value.closed}" + (f" << {shift}" if shift else ""))
        else:
            words[word].append(value.closed)
    return words, ranges


def _key_value(expressions: Expressions, key: TableKey) -> Value:
    """The field's value as far as it takes part."""
    expr = key.value if key.mask is None else Op("&", key.value, Const(key.mask))
    return expressions.bits(expr, key.bits)
