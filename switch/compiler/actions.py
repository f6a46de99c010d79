"""Actions: the struct of an action's parameters, and one C function each."""

from switch.compiler.layout import DataLayout
from switch.compiler.model import Action, Program
from switch.compiler.primitives import JUMPS, STOPPING, Primitives, jump_target
from switch.compiler.symbols import Symbols
from switch.compiler.widths import storage
from switch.compiler.writer import Writer


def may_stop(action: Action) -> bool:
    """Whether the pipeline must look at p->c.stop after the action."""
    return any(p.op in STOPPING for p in action.primitives)


def write_numbers(w: Writer, program: Program, symbols: Symbols) -> None:
    """The numbers by which entries name their action (engine.py uses the same.

    The place in the program's list).
    """
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
    what = f"action '{action.name}'"
    name = symbols.actions[action]
    data = f"const struct data_{name} *d" if action.parameters else "const void *d"
    primitives = Primitives(w, program, symbols, what, action)
    targets = {jump_target(p, what) for p in action.primitives if p.op in JUMPS}
    with w.function(f"static inline void action_{name}(struct state *s, struct packet *p, {data})"):
        w.line("(void)s, (void)p, (void)d;")
        size = DataLayout.of(action).size
        w.line(f"TRACE_BYTES(TRACE_ACTION, ACTION_{name}, d, {size});")
        for number, primitive in enumerate(action.primitives):
            if number in targets:
                w.label(f"at_{number}")
            if primitive.op == "_jump":
                w.line(f"goto at_{_inside(jump_target(primitive, what), action)};")
            elif primitive.op == "_jump_if_zero":
                condition = primitives.expressions.condition(primitive.arguments[0])  # type: ignore[arg-type]
                w.line(f"if (!({condition})) goto at_{_inside(jump_target(primitive, what), action)};")
            else:
                primitives.write(primitive)
        if any(_inside(t, action) == len(action.primitives) for t in targets):
            w.label(f"at_{len(action.primitives)}")


def _inside(target: int, action: Action) -> int:
    """Jumps behind the last primitive end the action."""
    return min(target, len(action.primitives))
