"""The parser: states to labels, selects to comparisons."""

from switch.compiler.expressions import Expressions
from switch.compiler.jsonin import placed, refuse
from switch.compiler.layout import words_of
from switch.compiler.model import (
    Advance,
    Case,
    Const,
    Expr,
    Extract,
    Header,
    KeyPart,
    Lookahead,
    Op,
    Parser,
    ParserState,
    Program,
    Set,
    Stack,
    ValueSet,
    Verify,
)
from switch.compiler.primitives import STOPPING, Primitives
from switch.compiler.symbols import VALID, Scope, Symbols
from switch.compiler.values import word_texts
from switch.compiler.widths import U64, literal, ones
from switch.compiler.writer import Writer

BYTE = 8
MAX_STATES = 256
"""States that one packet may pass where the states form a loop; then ParserTimeout."""

CORE_ERRORS = (
    "NoError",
    "PacketTooShort",
    "NoMatch",
    "StackOutOfBounds",
    "HeaderTooShort",
    "ParserTimeout",
    "ParserInvalidArgument",
)
"""P4-16's core library; a program that lacks one still gets a number of its own for it."""


def error_numbers(program: Program) -> dict[str, int]:
    numbers = dict(program.errors)
    for name in CORE_ERRORS:
        if name not in numbers:
            numbers[name] = max(numbers.values(), default=-1) + 1
    return numbers


def write_parser(w: Writer, program: Program, symbols: Symbols) -> None:
    w.line()
    with w.block("enum parser_error", "};"):
        for name, value in error_numbers(program).items():
            w.line(f"ERROR_{name} = {value},")
    _ParserWriter(w, program, symbols).write()


class _ParserWriter:
    def __init__(self, w: Writer, program: Program, symbols: Symbols) -> None:
        self.w = w
        self.program = program
        self.symbols = symbols
        scope = Scope()
        self.labels = {name: scope.name(f"state_{name}") for name in program.parser.states}
        self.loops = _has_loop(program.parser)

    def write(self) -> None:
        w, parser = self.w, self.program.parser
        w.line()
        w.comment("b is the place in the packet. What was extracted before an error stays, and ingress runs.")
        w.line("static void parse(struct state *s, struct packet *p)")
        with w.block():
            w.line("(void)s;")
            w.line("const uint8_t *b = p->c.bytes, *const end = b + p->c.length;")
            w.line("uint32_t error = ERROR_NoError;")
            if self.loops:
                w.line(f"unsigned states = 0; /* a loop: at most {MAX_STATES} */")
            w.line(f"goto {self._target(parser.start)};")
            for state in self._reachable():
                w.line()
                w.label(self.labels[state.name])
                self._state(state)
            w.line()
            w.label("done")
            w.line("if (error != ERROR_NoError) TRACE_WORDS(TRACE_ERROR, error);")
            w.line("p->c.parser_error = error;")
            w.line("p->c.payload = b;")
            w.line("p->c.payload_length = (uint32_t)(end - b);")

    def _reachable(self) -> list[ParserState]:
        states = self.program.parser.states
        found: dict[str, ParserState] = {}
        waiting = [self.program.parser.start]
        while waiting:
            name = waiting.pop()
            if name is not None and name not in found:
                found[name] = states[name]
                waiting += [states[name].default, *(case.next for case in reversed(states[name].cases))]
        return list(found.values())

    def _target(self, state: str | None) -> str:
        return "done" if state is None else self.labels[state]

    def _fail(self, error: str) -> str:
        return f"{{ error = ERROR_{error}; goto done; }}"

    def _state(self, state: ParserState) -> None:
        what = f"parser state '{state.name}'"
        expressions = Expressions(self.symbols, what)
        with self.w.block():
            number = list(self.program.parser.states).index(state.name)
            self.w.line(f"TRACE_WORDS(TRACE_STATE, {number});")
            if self.loops:
                self.w.line(f"if (++states > {MAX_STATES}) {self._fail('ParserTimeout')}")
            for op in state.ops:
                match op:
                    case Extract():
                        self._extract(op, expressions)
                    case Set():
                        self._set(op, what, expressions)
                    case Advance():
                        self._advance(op, expressions)
                    case Verify(condition, error):
                        with self.w.block(f"if (!({expressions.condition(condition)}))"):
                            self.w.line(f"error = (uint32_t){expressions.bits(error, 32).closed};")
                            self.w.line("goto done;")
                    case _:
                        if op.op in STOPPING:
                            raise refuse(
                                placed(what, op.source), f"this switch cannot do '{op.op}' in a parser"
                            )
                        Primitives(self.w, self.program, self.symbols, what, None).write(op)
            self._transition(state, what, expressions)

    def _need(self, size: str) -> None:
        self.w.line(f"if ((size_t)(end - b) < {size}) {self._fail('PacketTooShort')}")

    def _extract(self, op: Extract, expressions: Expressions) -> None:
        w, target = self.w, op.target
        if isinstance(target, Header):
            place = self.symbols.header(target)
        else:
            count = self.symbols.next_free(target)
            w.line(f"if ({count} == {len(target.headers)}) {self._fail('StackOutOfBounds')}")
            place = f"{self.symbols.stack(target.name)}[{count}]"
        type_ = target.type
        name, fixed = self.symbols.types[type_], type_.fixed_bits // BYTE
        if type_.varbit is None:
            self._need(str(fixed))
            w.line(f"extract_{name}(&{place}, b);")
            w.line(f"b += {fixed};")
        else:
            self._extract_varbit(op, place, expressions)
        headers = list(self.program.headers.values())
        if isinstance(target, Header):
            w.line(f"TRACE_WORDS(TRACE_EXTRACT, {headers.index(target)});")
        else:
            places = ", ".join(str(headers.index(h)) for h in target.headers)
            w.line(f"TRACE_WORDS(TRACE_EXTRACT, ((const uint64_t[]){{ {places} }})[{count}]);")
        if isinstance(target, Header):
            rivals = self.symbols.rivals(target)
        else:
            rivals = self.symbols.rivals_at(target, self.symbols.next_free(target))
        for rival in rivals:
            w.line(f"{rival}.{VALID} = false;")
        if isinstance(target, Stack):
            w.line(f"{self.symbols.next_free(target)}++;")

    def _extract_varbit(self, op: Extract, place: str, expressions: Expressions) -> None:
        """In BMv2's order of errors: no whole bytes, packet too short, longer than the varbit."""
        w, type_ = self.w, op.target.type
        assert type_.varbit is not None
        name, fixed = self.symbols.types[type_], type_.fixed_bits // BYTE
        bits = expressions.size(op.length, 1 << 32).text if op.length is not None else "0"
        with w.block():
            w.line(f"const uint64_t bits = {bits};")
            w.line(f"if (bits % 8) {self._fail('ParserInvalidArgument')}")
            self._need(f"{fixed} + bits / 8")
            w.line(f"if (bits > {type_.varbit.bits}) {self._fail('HeaderTooShort')}")
            w.line(f"extract_{name}(&{place}, b, (uint32_t)(bits / 8));")
            w.line(f"b += {fixed} + bits / 8;")

    def _set(self, op: Set, what: str, expressions: Expressions) -> None:
        self._look_ahead_of(op.value)
        primitives = Primitives(self.w, self.program, self.symbols, what, None)
        primitives.store(op.target, None, op.value)

    def _look_ahead_of(self, value: object) -> None:
        if isinstance(value, Lookahead):
            self._need(str(-(-(value.offset + value.bits) // BYTE)))

    def _advance(self, op: Advance, expressions: Expressions) -> None:
        w = self.w
        if isinstance(op.bits, Const) and op.bits.value % BYTE == 0:
            self._need(str(op.bits.value // BYTE))
            w.line(f"b += {op.bits.value // BYTE};")
            return
        with w.block():
            w.line(f"const uint64_t bits = {expressions.size(op.bits, 1 << 40).text};")
            w.line(f"if (bits % 8) {self._fail('ParserInvalidArgument')}")
            self._need("bits / 8")
            w.line("b += bits / 8;")

    def _transition(self, state: ParserState, what: str, expressions: Expressions) -> None:
        if not state.key or not state.cases:
            self.w.line(f"goto {self._target(state.default)};")
            return
        for part in state.key:
            self._look_ahead_of(part.value)
        if (
            len(state.key) == 1
            and state.key[0].bits <= U64.bits
            and all(_whole(c, state.key) for c in state.cases)
        ):
            self._switch(state, expressions.bits(state.key[0].value, state.key[0].bits).closed)
        else:
            for case in state.cases:
                if case.value_set is not None:
                    self._in_value_set(case.value_set, state.key, expressions)
                    self.w.line(f"goto {self._target(case.next)};")
                    continue
                self.w.line(f"if ({_test(case, state.key, expressions)}) goto {self._target(case.next)};")
            self.w.line(f"goto {self._target(state.default)};")

    def _in_value_set(
        self, value_set: ValueSet, parts: tuple[KeyPart, ...], expressions: Expressions
    ) -> None:
        """Writes the `if` and its condition: the parts side by side are a member."""
        joined: Expr = Const(0)
        for part in parts:
            value = Op("&", part.value, Const(ones(part.bits)))
            joined = Op("|", Op("<<", joined, Const(part.bits)), value)
        words = word_texts(expressions.bits(joined, value_set.bits), words_of(value_set))
        table = f"&s->tables[VALUE_SET_{self.symbols.value_sets[value_set]}]"
        key = f"(const uint64_t[]){{ {', '.join(words)} }}"
        self.w.line(f"if (ternary_find({table}, {key}, {len(words)}, NULL, 0))")

    def _switch(self, state: ParserState, key: str) -> None:
        seen: set[int] = set()
        with self.w.block(f"switch ({key})"):
            for case in state.cases:
                if case.values[0] in seen:  # the first match wins
                    continue
                seen.add(case.values[0])
                self.w.line(f"case {literal(case.values[0], U64)}: goto {self._target(case.next)};")
            self.w.line(f"default: goto {self._target(state.default)};")


def _whole(case: Case, key: tuple[KeyPart, ...]) -> bool:
    """Whether all bits of the key are compared, with a constant."""
    return case.value_set is None and all(
        mask & ones(part.bits) == ones(part.bits) for mask, part in zip(case.masks, key, strict=True)
    )


def _test(case: Case, key: tuple[KeyPart, ...], expressions: Expressions) -> str:
    tests = []
    for value, mask, part in zip(case.values, case.masks, key, strict=True):
        mask &= ones(part.bits)
        if mask != 0 or value != 0:
            tests.append(expressions.condition(Op("==", Op("&", part.value, Const(mask)), Const(value))))
    return " && ".join(tests) or "true"


def _has_loop(parser: Parser) -> bool:
    done: set[str] = set()

    def visit(name: str | None, path: frozenset[str]) -> bool:
        if name is None or name in done:
            return False
        if name in path:
            return True
        state = parser.states[name]
        found = any(visit(n, path | {name}) for n in (state.default, *(c.next for c in state.cases)))
        done.add(name)
        return found

    return visit(parser.start, frozenset())
