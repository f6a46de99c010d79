"""The pipelines: each table and condition is a labelled block that goes to the next one."""

from switch.compiler.actions import may_stop
from switch.compiler.expressions import Expressions
from switch.compiler.jsonin import placed, refuse
from switch.compiler.layout import DataLayout, KeyLayout, data_offset
from switch.compiler.model import Action, ActionProfile, Conditional, Node, Pipeline, Program, TableNode
from switch.compiler.primitives import write_direct_meter
from switch.compiler.read_pipeline import successors
from switch.compiler.symbols import Scope, Symbols
from switch.compiler.widths import literal, storage
from switch.compiler.writer import Writer


def conditions(program: Program) -> list[Conditional]:
    """In the order in which the trace numbers them."""
    nodes = (*program.ingress.nodes.values(), *program.egress.nodes.values())
    return [node for node in nodes if isinstance(node, Conditional)]


def write_pipeline(w: Writer, program: Program, symbols: Symbols, pipeline: Pipeline) -> None:
    _PipelineWriter(w, program, symbols, pipeline).write()


class _PipelineWriter:
    def __init__(self, w: Writer, program: Program, symbols: Symbols, pipeline: Pipeline) -> None:
        self.w = w
        self.program = program
        self.symbols = symbols
        self.pipeline = pipeline
        scope = Scope()
        self.labels = {name: scope.name(f"at_{name}") for name in pipeline.nodes}

    def write(self) -> None:
        w = self.w
        with w.function(f"static void {self.pipeline.name}(struct state *s, struct packet *p)"):
            w.line("(void)s, (void)p;")
            if self.pipeline.start is None:
                return
            w.line(self._go(self.pipeline.start))
            for name in self._order():
                node = self.pipeline.nodes[name]
                w.line()
                w.label(self.labels[name])
                with w.block():
                    self._node(node)

    def _order(self) -> list[str]:
        """Every node that can be reached, each before those it leads to. A loop would never end: refused."""
        nodes, done, path = self.pipeline.nodes, [], []

        def visit(name: str | None) -> None:
            if name is None or name in done:
                return
            if name in path:
                raise refuse(f"pipeline '{self.pipeline.name}'", f"'{name}' leads back to itself")
            path.append(name)
            for target in reversed(successors(nodes[name])):
                visit(target)
            done.append(path.pop())

        visit(self.pipeline.start)
        return done[::-1]

    def _go(self, target: str | None) -> str:
        return "return;" if target is None else f"goto {self.labels[target]};"

    def _node(self, node: Node) -> None:
        if isinstance(node, Conditional):
            self.w.comment("", node.source)
            what = placed(f"condition '{node.name}'", node.source)
            condition = Expressions(self.symbols, what).condition(node.condition)
            number = conditions(self.program).index(node)
            self.w.line(f"if (TRACE_BOOL({number}, {condition})) {self._go(node.on_true)}")
            self.w.line(self._go(node.on_false))
        elif node.inline:
            self._inline(node)
        else:
            self._table(node)

    def _inline(self, table: TableNode) -> None:
        assert table.default is not None
        action, data = table.default.action, table.default.data
        name = self.symbols.actions[action]
        if action.parameters:
            values = ", ".join(
                f".{place.name} = {literal(value, storage(place.bits))}"
                for place, value in zip(DataLayout.of(action).places, data, strict=True)
            )
            self.w.line(f"action_{name}(s, p, &(const struct data_{name}){{ {values} }});")
        else:
            self.w.line(f"action_{name}(s, p, NULL);")
        self._stop_after((action,))
        self.w.line(self._go(self._next_after(table, action, hit=False)))

    def _next_after(self, table: TableNode, action: Action, *, hit: bool) -> str | None:
        if table.by_hit:
            return table.on_hit if hit else table.on_miss
        return table.next.get(action.id, table.default_next)

    def _stop_after(self, actions: tuple[Action, ...]) -> None:
        if any(may_stop(a) for a in actions):
            self.w.line("if (p->c.stop) return;")

    def _table(self, table: TableNode) -> None:
        w, name = self.w, self.symbols.tables[table]
        w.comment(f"table {table.name}", table.source)
        if table.keys:
            w.line(f"const struct entry *e = find_{name}(s, p);")
            w.line("if (e) TRACE_WORDS(TRACE_HIT, (uintptr_t)e);")
            w.line("else TRACE_WORDS(TRACE_MISS, 0);")
            if table.by_hit:
                w.line("const bool hit = e != NULL;")
            self._hit_or_miss(table)
        else:
            w.line(f"TRACE_WORDS(TRACE_KEY, TABLE_{name});")
            w.line(f"const struct entry *e = table_miss(&s->tables[TABLE_{name}]);")
            if table.by_hit:
                w.line("const bool hit = false;")
        with w.block("if (e)"):
            self._actions(table)
        if table.by_hit:
            self._stop_after(table.actions)
            w.line(f"if (hit) {self._go(table.on_hit)}")
            w.line(self._go(table.on_miss))
        else:
            w.line(self._go(table.default_next))

    def _hit_or_miss(self, table: TableNode) -> None:
        """What a hit does before its action: counter, idle timeout, direct meter, choice within a group."""
        w, miss = self.w, f"e = table_miss(&s->tables[TABLE_{self.symbols.tables[table]}]);"
        if not table.stateful and table.profile is None:
            w.line(f"if (!e) {miss}")
            return
        with w.block("if (e)"):
            if table.counter is not None:
                w.line("count(&e->state->hits, p->c.ingress_length);")
            if table.ageing:
                w.line("touch(e->state, s->core.now);")
            if table.meter is not None:
                write_direct_meter(w, self.program, self.symbols, table.meter)
            if table.profile is not None:
                self._choose(table, table.profile)
        w.line(f"else {miss}")

    def _choose(self, table: TableNode, profile: ActionProfile) -> None:
        """From the entry to the action that it refers to."""
        w = self.w
        w.comment(f"action profile {profile.name}", profile.source)
        offset = KeyLayout.of(table).data_offset(table.kind)
        w.line(f"const struct target *target = entry_target(e, {offset});")
        if profile.selector is None:
            w.line("e = member_action(target->member);")
            return
        call = f"calculate_{self.symbols.calculations[profile.selector]}(s, p)"
        w.line(f"e = target->group ? group_action(&s->core, target->group, {call})")
        w.line("                  : member_action(target->member);")

    def _repeated(self, table: TableNode, action: Action) -> list[Action]:
        """An action and those that p4c made of it for other tables with the same action profile.

        A member that they share has the action of one of them.
        """
        others = [t for t in self.program.tables.values() if t.profile is table.profile and t is not table]
        alike = [a for t in others for a in t.actions if a.name == action.name and a is not action]
        return [action, *(alike if table.profile is not None else ())]

    def _actions(self, table: TableNode) -> None:
        w = self.w
        offset = data_offset(table)
        with w.block("switch (e->action)"):
            for action in table.actions:
                name = self.symbols.actions[action]
                data = f"(const void *)((const char *)e + {offset})" if action.parameters else "NULL"
                for one in self._repeated(table, action):
                    w.line(f"case ACTION_{self.symbols.actions[one]}:")
                w.line(f"    action_{name}(s, p, {data});")
                if table.by_hit:
                    w.line("    break;")
                    continue
                if may_stop(action):
                    w.line("    if (p->c.stop) return;")
                w.line(f"    {self._go(self._next_after(table, action, hit=True))}")
