"""Statements: the primitives of actions, each by its name in the JSON."""

from collections.abc import Callable

from switch.compiler.expressions import Expressions
from switch.compiler.headers import byte_length
from switch.compiler.jsonin import placed, refuse
from switch.compiler.model import (
    Action,
    Calculation,
    Const,
    Counter,
    Expr,
    Field,
    FieldRef,
    HeaderRef,
    HeaderType,
    LastField,
    Member,
    Meter,
    Primitive,
    Program,
    Register,
    StackElement,
    StackRef,
    UnionRef,
    UnionStackRef,
)
from switch.compiler.symbols import VALID, Symbols
from switch.compiler.values import Value
from switch.compiler.widths import U32, U64, CType, literal, ones, storage
from switch.compiler.writer import Writer

JUMPS = frozenset(("_jump", "_jump_if_zero"))
STOPPING = frozenset(("exit", "assert", "assume"))
"""Primitives after which the pipeline may not go on."""

UINT64 = ones(64)

RED = 2
"""The highest of the colours (meters.h)."""


class Primitives:
    """Writes the primitives of one action (or parser state)."""

    def __init__(
        self, w: Writer, program: Program, symbols: Symbols, what: str, action: Action | None
    ) -> None:
        self.w = w
        self.program = program
        self.symbols = symbols
        self.what = what
        self.expressions = Expressions(symbols, what, action)
        self.handlers: dict[str, Callable[[Primitive], None]] = {
            "assign": self._assign,
            "set": self._assign,  # p4c's word for it in deparsers
            "assign_VL": self._assign_varbit,
            "assign_header": self._assign_header,
            "copy_header": self._assign_header,
            "assign_header_stack": self._assign_stack,
            "assign_union": self._assign_union,
            "assign_union_stack": self._assign_union_stack,
            "add_header": self._add_header,
            "remove_header": self._remove_header,
            "push": self._push_pop,
            "pop": self._push_pop,
            "mark_to_drop": self._mark_to_drop,
            "register_read": self._register_read,
            "register_write": self._register_write,
            "count": self._count,
            "execute_meter": self._meter,
            "modify_field_with_hash_based_offset": self._hash,
            "modify_field_rng_uniform": self._random,
            "generate_digest": self._digest,
            "resubmit": self._pass_again,
            "recirculate": self._pass_again,
            "clone_ingress_pkt_to_egress": self._clone,
            "clone_egress_pkt_to_egress": self._clone,
            "truncate": self._truncate,
            "exit": self._exit,
            "assert": self._assert,
            "assume": self._assert,
            "log_msg": self._log,
            "no_op": self._nothing,
        }

    def write(self, primitive: Primitive) -> None:
        self.begin(primitive)
        handler = self.handlers.get(primitive.op)
        if handler is None:
            raise refuse(self.expressions.what, "this switch cannot do that primitive")
        try:
            handler(primitive)
        except (IndexError, ValueError, AssertionError) as error:
            raise refuse(self.expressions.what, "has unsuitable parameters") from error

    def begin(self, primitive: Primitive) -> None:
        """Names it in errors, and in a comment."""
        self.expressions.what = placed(f"{self.what}, {primitive.op}", primitive.source)
        if primitive.source:
            self.w.comment("", primitive.source)

    def store(self, target: Expr, value: Value | None, source: Expr | None = None) -> None:
        """Into a field; either a value, or an expression that is cut to the field's width."""
        field, type_, guard, place = self._lvalue(target)
        if value is None:
            assert source is not None
            value = self.expressions.bits(source, field.bits)
        else:
            value = self.expressions.masked(value, field.bits)
        text = self._as_stored(value, storage(field.bits))
        statement = f"{place}.{self.symbols.field(type_, field)} = {text};"
        self.w.line(f"if ({guard}) {statement}" if guard else statement)

    def _as_stored(self, value: Value, kind: CType) -> str:
        """A value, already cut to its width, as that type; C's own conversion does where it suffices."""
        return value.cast(kind) if kind.wide or value.type.bits > kind.bits else value.text

    def _lvalue(self, target: Expr) -> tuple[Field, HeaderType, str | None, str]:
        """(field, its header's type, condition under which it exists, the header's struct)."""
        match target:
            case FieldRef(header, field):
                return field, header.type, None, self.symbols.header(header)
            case Member(header, field):
                guard, place = self.expressions.header(header)
                type_ = header.stack.type if isinstance(header, StackElement) else header.header.type
                return field, type_, guard, place
            case LastField(stack, field):
                count = self.symbols.next_free(stack)
                return field, stack.type, f"{count} > 0", f"{self.symbols.stack(stack.name)}[{count} - 1]"
        raise refuse(self.expressions.what, "expected a field to write to")

    def _header(self, expr: object) -> tuple[HeaderType, str | None, str]:
        """(type, condition under which it exists, struct)."""
        if isinstance(expr, HeaderRef):
            return expr.header.type, *self.expressions.header(expr)
        if isinstance(expr, StackElement):
            return expr.stack.type, *self.expressions.header(expr)
        raise refuse(self.expressions.what, "expected a header")

    def _number(self, expr: object) -> int:
        if isinstance(expr, Const):
            return expr.value
        raise refuse(self.expressions.what, "expected a constant")

    # Assignments and headers.

    def _assign(self, p: Primitive) -> None:
        target, source = p.arguments
        self.store(target, None, source)  # type: ignore[arg-type]

    def _assign_varbit(self, p: Primitive) -> None:
        to, type_to, _, place_to = self._lvalue(p.arguments[0])  # type: ignore[arg-type]
        source, type_from, _, place_from = self._lvalue(p.arguments[1])  # type: ignore[arg-type]
        target, origin = (
            f"{place_to}.{self.symbols.field(type_to, to)}",
            self.symbols.field(type_from, source),
        )
        room = max(to.bits // 8, 1)
        with self.w.block():
            self.w.line(f"const uint32_t length = {place_from}.{origin}_length;")
            self.w.line(f"{target}_length = (uint16_t)(length < {room} ? length : {room});")
            self.w.line(f"memmove({target}, {place_from}.{origin}, {target}_length);")

    def _assign_header(self, p: Primitive) -> None:
        _, guard_to, to = self._header(p.arguments[0])
        _, guard_from, source = self._header(p.arguments[1])
        guard = " && ".join(f"({g})" for g in (guard_to, guard_from) if g)
        with self.w.block(f"if ({guard})" if guard else ""):
            with self.w.block(f"if ({source}.{VALID})"):
                self.w.line(f"{to} = {source};")
                self._invalidate_rivals(p.arguments[0])
            self.w.line(f"else {to}.{VALID} = false;")

    def _invalidate_rivals(self, header: object) -> None:
        rivals: list[str] = []
        if isinstance(header, HeaderRef):
            rivals = self.symbols.rivals(header.header)
        elif isinstance(header, StackElement):
            rivals = self.symbols.rivals_at(header.stack, self.expressions.exact(header.index).text)
        for rival in rivals:
            self.w.line(f"{rival}.{VALID} = false;")

    def _assign_union(self, p: Primitive) -> None:
        to, source = p.arguments
        if not isinstance(to, UnionRef) or not isinstance(source, UnionRef):
            raise refuse(self.expressions.what, "expected two header unions")
        for target, origin in zip(to.headers, source.headers, strict=True):
            self._assign_header(Primitive(p.op, (target, origin), None))

    def _assign_stack(self, p: Primitive) -> None:
        to, source = p.arguments
        if not isinstance(to, StackRef) or not isinstance(source, StackRef):
            raise refuse(self.expressions.what, "expected two header stacks")
        for target, origin in zip(to.stack.headers, source.stack.headers, strict=True):
            self._assign_header(Primitive(p.op, (HeaderRef(target), HeaderRef(origin)), None))
        self.w.line(f"{self.symbols.next_free(to.stack)} = {self.symbols.next_free(source.stack)};")

    def _assign_union_stack(self, p: Primitive) -> None:
        to, source = p.arguments
        if not isinstance(to, UnionStackRef) or not isinstance(source, UnionStackRef):
            raise refuse(self.expressions.what, "expected two stacks of header unions")
        parts = zip(to.stack.members.values(), source.stack.members.values(), strict=True)
        for target, origin in parts:
            self._assign_stack(Primitive(p.op, (StackRef(target), StackRef(origin)), None))

    def _add_header(self, p: Primitive) -> None:
        type_, guard, place = self._header(p.arguments[0])
        condition = f"({guard}) && " if guard else ""
        with self.w.block(f"if ({condition}!{place}.{VALID})"):
            self.w.line(f"memset(&{place}, 0, sizeof {place});")
            self.w.line(f"{place}.{VALID} = true;")
            self.w.line(f"p->c.length_now += {type_.fixed_bits // 8};")
            self._invalidate_rivals(p.arguments[0])

    def _remove_header(self, p: Primitive) -> None:
        type_, guard, place = self._header(p.arguments[0])
        condition = f"({guard}) && " if guard else ""
        with self.w.block(f"if ({condition}{place}.{VALID})"):
            self.w.line(f"{place}.{VALID} = false;")
            self.w.line(f"p->c.length_now -= {byte_length(self.symbols, type_, place)};")

    def _push_pop(self, p: Primitive) -> None:
        stack, by = p.arguments
        if not isinstance(stack, StackRef | UnionStackRef):
            raise refuse(self.expressions.what, "expected a header stack")
        self.w.line(f"{p.op}_{self.symbols.counts[stack.stack.name]}(p, {self._number(by)});")

    # Stateful objects.

    def _index(self, expr: object, size: int) -> tuple[str, bool]:
        """(index, whether it needs a check): out of bounds has no effect."""
        value = self.expressions.size(expr, size)  # type: ignore[arg-type]
        return value.text, not value.within(0, size - 1)

    def _indexed(self, index: str, check: bool, size: int, write: Callable[[str], None]) -> None:
        if not check:
            write(index)
            return
        with self.w.block():
            self.w.line(f"const uint64_t at = {index};")
            with self.w.block(f"if (at < {size})"):
                write("at")
            self.w.line("else out_of_range(&s->core);")

    def _register_read(self, p: Primitive) -> None:
        target, array, index = p.arguments
        assert isinstance(array, Register)
        kind = storage(array.bits)
        name = f"s->registers.{self.symbols.registers[array]}"

        def read(at: str) -> None:
            self.store(target, Value(f"{name}[{at}]", kind, 0, ones(array.bits), atom=True))  # type: ignore[arg-type]

        self._indexed(*self._index(index, array.size), array.size, read)

    def _register_write(self, p: Primitive) -> None:
        array, index, source = p.arguments
        assert isinstance(array, Register)
        value = self.expressions.bits(source, array.bits)  # type: ignore[arg-type]
        text = self._as_stored(value, storage(array.bits))
        name = f"s->registers.{self.symbols.registers[array]}"
        self._indexed(
            *self._index(index, array.size), array.size, lambda at: self.w.line(f"{name}[{at}] = {text};")
        )

    def _count(self, p: Primitive) -> None:
        counter, index = p.arguments
        assert isinstance(counter, Counter)
        name = f"s->counters.{self.symbols.counters[counter]}"
        self._indexed(
            *self._index(index, counter.size),
            counter.size,
            lambda at: self.w.line(f"count(&{name}[{at}], p->c.ingress_length);"),
        )

    def _meter(self, p: Primitive) -> None:
        """Of an array; the direct ones work when an entry is hit (pipelines.py)."""
        meter, index, target = p.arguments
        assert isinstance(meter, Meter) and meter.table is None
        name = f"s->meters.{self.symbols.meters[meter]}"
        amount = "p->c.ingress_length" if meter.octets else "1"

        def execute(at: str) -> None:
            color = f"meter_color(&{name}[{at}], s->core.now, {amount})"
            self.store(target, Value(color, U32, 0, RED, atom=True))  # type: ignore[arg-type]

        self._indexed(*self._index(index, meter.size), meter.size, execute)

    # Computed by the switch.

    def _hash(self, p: Primitive) -> None:
        """base + H % max, in 64 bits as BMv2 does it; a max of 0 counts as 1."""
        target, base, calculation, most = p.arguments
        assert isinstance(calculation, Calculation)
        offset = self.expressions.bits(base, 64)  # type: ignore[arg-type]
        limit = self.expressions.bits(most, 64)  # type: ignore[arg-type]
        call = f"(uint64_t)calculate_{self.symbols.calculations[calculation]}(s, p)"
        if limit.constant is not None:
            text = f"{call} % {literal(limit.constant or 1, U64)}"
        else:
            text = f"{call} % ({limit.closed} == 0 ? 1 : {limit.cast(U64)})"
        if offset.constant != 0:
            text = f"{text} + {offset.cast(U64)}"
        self.store(target, Value(text, U64, 0, UINT64))  # type: ignore[arg-type]

    def _random(self, p: Primitive) -> None:
        target, low, high = p.arguments
        ends = [self.expressions.bits(e, 64).text for e in (low, high)]  # type: ignore[arg-type]
        with self.w.block():
            self.w.line(f"const uint64_t low = {ends[0]}, high = {ends[1]};")
            with self.w.block("if (low <= high)"):
                self.store(target, Value("random_between(&s->core, low, high)", U64, 0, UINT64, atom=True))  # type: ignore[arg-type]

    # The packet's fate.

    def _mark_to_drop(self, p: Primitive) -> None:
        """Of the standard metadata that is given, which may be a copy that an action took."""
        header = p.arguments[0]
        assert isinstance(header, HeaderRef)
        for name, value in (("egress_spec", "DROP_PORT"), ("mcast_grp", "0")):
            field = header.header.type.field(name)
            if field is not None:
                text = self.symbols.field(header.header.type, field)
                self.w.line(f"{self.symbols.header(header.header)}.{text} = {value};")

    def _digest(self, p: Primitive) -> None:
        list_id = self._number(p.arguments[1])
        if list_id not in self.program.learn_lists:
            raise refuse(self.expressions.what, f"there is no learn list number {list_id}")
        self.w.line(f"p->c.learn_list = {list_id};")

    def _field_list(self, expr: object) -> int:
        """BMv2's ids begin with 1; 0 asks for nothing."""
        list_id = self._number(expr)
        if list_id != 0 and list_id not in self.program.field_lists:
            raise refuse(self.expressions.what, f"there is no field list number {list_id}")
        return list_id

    def _pass_again(self, p: Primitive) -> None:
        self.w.line(f"p->c.{p.op}_list = {self._field_list(p.arguments[0])};")

    def _clone(self, p: Primitive) -> None:
        session = self.expressions.bits(p.arguments[0], 15)  # type: ignore[arg-type]
        self.w.line(f"p->c.clone = (uint16_t)({session.text}) | CLONE_REQUESTED;")
        self.w.line(f"p->c.clone_list = {self._field_list(p.arguments[1])};")

    def _truncate(self, p: Primitive) -> None:
        length = self.expressions.bits(p.arguments[0], U32.bits)  # type: ignore[arg-type]
        with self.w.block():
            self.w.line(f"const uint32_t length = {length.text};")
            self.w.line("if (length < p->c.truncate_to) p->c.truncate_to = length;")

    def _exit(self, p: Primitive) -> None:
        self.w.line("p->c.stop = EXITED;")

    def _assert(self, p: Primitive) -> None:
        condition = self.expressions.condition(p.arguments[0])  # type: ignore[arg-type]
        with self.w.block(f"if (!({condition}))"):
            self.w.line("p->c.stop = FAILED;")
            self.w.line("return;")

    def _log(self, p: Primitive) -> None:
        """Only the trace shows it. Values are cut to 64 bits."""
        message, values = p.arguments[0], p.arguments[1] if len(p.arguments) > 1 else ()
        if not isinstance(message, str) or not isinstance(values, tuple):
            raise refuse(self.expressions.what, "expected a text and a list of values")
        texts = [self.expressions.bits(value, 64).closed for value in values]
        number = log_messages(self.program).index(message)
        self.w.line(f"TRACE_WORDS(TRACE_LOG, {', '.join((str(number), *texts))});")

    def _nothing(self, p: Primitive) -> None:
        """Has no effect on packets."""


def log_messages(program: Program) -> list[str]:
    """The texts of log_msg, in the order in which the trace numbers them."""
    actions = (primitive for action in program.actions for primitive in action.primitives)
    states = (op for state in program.parser.states.values() for op in state.ops)
    all_ops = (*actions, *states, *program.deparser.primitives)
    calls = (op for op in all_ops if isinstance(op, Primitive) and op.op == "log_msg")
    return list(dict.fromkeys(str(call.arguments[0]) for call in calls if call.arguments))


def write_direct_meter(w: Writer, program: Program, symbols: Symbols, meter: Meter) -> None:
    """The colour of the entry `e` that was hit, as BMv2 has it: before the action runs."""
    assert meter.target is not None
    w.comment(f"direct meter {meter.name}", meter.source)
    amount = "p->c.ingress_length" if meter.octets else "1"
    color = Value(f"meter_color(&e->state->meter, s->core.now, {amount})", U32, 0, RED, atom=True)
    Primitives(w, program, symbols, f"direct meter '{meter.name}'", None).store(meter.target, color)


def jump_target(primitive: Primitive, action: Action) -> int:
    """The number of a primitive; all that are behind the last one are the end of the action."""
    target = primitive.arguments[-1] if primitive.arguments else None
    if not isinstance(target, Const) or target.value < 0:
        what = placed(f"action '{action.name}', {primitive.op}", primitive.source)
        raise refuse(what, "the target must be the number of a primitive")
    return min(target.value, len(action.primitives))


def jumps_back(action: Action) -> bool:
    return any(
        primitive.op in JUMPS and jump_target(primitive, action) <= number
        for number, primitive in enumerate(action.primitives)
    )
