"""Actions: the struct of an action's parameters, and one C function each."""

from contextlib import ExitStack

from switch.compiler.layout import DataLayout
from switch.compiler.model import Action, Primitive, Program
from switch.compiler.primitives import JUMPS, STOPPING, Primitives, jump_target, jumps_back
from switch.compiler.symbols import Symbols
from switch.compiler.widths import storage
from switch.compiler.writer import Writer


def may_stop(action: Action) -> bool:
    """Whether the pipeline must look at p->c.stop after the action."""
    return any(p.op in STOPPING for p in action.primitives) or jumps_back(action)


def write_numbers(w: Writer, program: Program, symbols: Symbols) -> None:
    """The numbers by which entries name their action: the place in the program's list, in the engine too."""
    with w.block("enum action", "};"):
        for number, action in enumerate(program.actions):
            w.line(f"ACTION_{symbols.actions[action]} = {number},")
        w.line("ACTIONS,")
    w.line()


def write_data(w: Writer, program: Program, symbols: Symbols) -> None:
    """The parameters as the engine packs them; the assertions keep both sides to the same layout."""
    for action in program.actions:
        if not action.parameters:
            continue
        name = f"struct data_{symbols.actions[action]}"
        layout = DataLayout.of(action)
        with w.block(name, "};"):
            for place in layout.places:
                w.line(f"{storage(place.bits).name} {place.name}; /* {place.bits} bits */")
        w.line(f'_Static_assert(sizeof({name}) == {layout.size}, "as the engine packs it");')
        for place in layout.places:
            w.line(
                f'_Static_assert(offsetof({name}, {place.name}) == {place.offset}, "as the engine packs it");'
            )
        w.line()


def write_actions(w: Writer, program: Program, symbols: Symbols) -> None:
    for action in program.actions:
        _write_action(w, program, symbols, action)


def _write_action(w: Writer, program: Program, symbols: Symbols, action: Action) -> None:
    name = symbols.actions[action]
    data = f"const struct data_{name} *d" if action.parameters else "const void *d"
    primitives = Primitives(w, program, symbols, f"action '{action.name}'", action)
    targets = {jump_target(p, action) for p in action.primitives if p.op in JUMPS}
    with w.function(f"static inline void action_{name}(struct state *s, struct packet *p, {data})"):
        w.line("(void)s, (void)p, (void)d;")
        if jumps_back(action):
            w.line("unsigned jumps = 0;")
        size = DataLayout.of(action).size
        w.line(f"TRACE_BYTES(TRACE_ACTION, ACTION_{name}, d, {size});")
        for number, primitive in enumerate(action.primitives):
            if number in targets:
                w.label(f"at_{number}")
            if primitive.op in JUMPS:
                _write_jump(w, primitives, action, number, primitive)
            else:
                primitives.write(primitive)
        if len(action.primitives) in targets:
            w.label(f"at_{len(action.primitives)}")


def _write_jump(w: Writer, primitives: Primitives, action: Action, number: int, jump: Primitive) -> None:
    primitives.begin(jump)
    target = jump_target(jump, action)
    with ExitStack() as inside:
        if jump.op == "_jump_if_zero":
            condition = primitives.expressions.condition(jump.arguments[0])  # type: ignore[arg-type]
            inside.enter_context(w.block(f"if (!({condition}))"))
        if target <= number:
            with w.block("if (++jumps > MAX_JUMPS)"):
                w.line("p->c.stop = ENDLESS;")
                w.line("return;")
        w.line(f"goto at_{target};")
