"""C names for everything that a program names, and how generated code reaches it."""

import re
from collections.abc import Iterable
from typing import TypeVar

from switch.compiler.model import (
    Action,
    Calculation,
    Counter,
    Field,
    FieldRef,
    Header,
    HeaderType,
    Meter,
    Program,
    Register,
    Stack,
    TableNode,
    ValueSet,
)

N = TypeVar("N", Action, TableNode, Register, Counter, Meter, Calculation, ValueSet)

C_WORDS = frozenset(
    """auto bool break case char const continue default do double else enum extern false float for goto if
    inline int long register restrict return short signed sizeof static struct switch true typedef union
    unsigned void volatile while asm typeof""".split()  # noqa: SIM905
)

VALID = "valid"
"""The validity bit of every header struct; a P4 field of that name gets another."""


OWN_STRUCTS = ("headers", "metadata", "next_free", "packet", "registers", "counters", "meters")
"""The structs that every generated program has beside those of its header types."""

RUNTIME_STRUCTS = tuple(
    """array block bucket choices core digest_ring entry entry_state group hits index member meter
    ordering packet_context pending place rates reclaimer replica selector_group state table table_shape
    target tuple tuple_head tuples""".split()  # noqa: SIM905
)
"""Those of the runtime's headers that it includes."""


def identifier(name: str) -> str:
    """Letters, digits and _ only; not a word of C."""
    text = re.sub(r"\W+", "_", name).strip("_") or "_"
    if text[0].isdigit():
        text = f"_{text}"
    return f"{text}_" if text in C_WORDS else text


class Scope:
    """Gives each object of one kind a name of its own."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)

    def name(self, wanted: str) -> str:
        base = text = identifier(wanted)
        number = 1
        while text in self._taken:
            number += 1
            text = f"{base}_{number}"
        self._taken.add(text)
        return text


class Symbols:
    """Names are stable: they follow from the program alone."""

    def __init__(self, program: Program) -> None:
        types = {id(h.type): h.type for h in program.headers.values()}.values()
        self.types: dict[HeaderType, str] = {}
        self.fields: dict[tuple[HeaderType, Field], str] = {}
        scope = Scope((*OWN_STRUCTS, *RUNTIME_STRUCTS))
        for type_ in types:
            self.types[type_] = scope.name(type_.name)
            fields = Scope((VALID,))
            for field in type_.fields:
                self.fields[type_, field] = fields.name(field.name)
        meta, headers = Scope(), Scope()
        self.stacks: dict[str, str] = {s.name: headers.name(s.name) for s in program.stacks.values()}
        self.headers: dict[Header, str] = {
            h: (meta if h.metadata else headers).name(h.name)
            for h in program.headers.values()
            if h.stack is None
        }
        self._unions = program.unions
        self._union_stacks = program.union_stacks
        counters = Scope()
        names = dict.fromkeys(stack.counter for stack in program.stacks.values())
        self.counts: dict[str, str] = {name: counters.name(name) for name in names}
        self.actions: dict[Action, str] = _named(program.actions)
        self.tables: dict[TableNode, str] = _named(program.tables.values())
        self.registers: dict[Register, str] = _named(program.registers.values())
        self.counters: dict[Counter, str] = _named(program.counters.values())
        self.meters: dict[Meter, str] = _named(program.meters.values())
        selectors = (p.selector for p in program.profiles.values() if p.selector is not None)
        self.calculations: dict[Calculation, str] = _named((*program.calculations.values(), *selectors))
        self.value_sets: dict[ValueSet, str] = _named(program.value_sets.values())

    def header(self, header: Header) -> str:
        """A header or metadata struct of the packet `p`."""
        if header.stack is not None:
            return f"{self.stack(header.stack)}[{header.index}]"
        return f"p->{'meta' if header.metadata else 'hdr'}.{self.headers[header]}"

    def stack(self, name: str) -> str:
        return f"p->hdr.{self.stacks[name]}"

    def next_free(self, stack: Stack) -> str:
        """The number of headers that the parser (and push, pop) put into a stack."""
        return f"p->next.{self.counts[stack.counter]}"

    def place(self, reference: FieldRef) -> str:
        """A field of the packet."""
        return f"{self.header(reference.header)}.{self.field(reference.header.type, reference.field)}"

    def rivals(self, header: Header) -> list[str]:
        """The structs of the other headers of a union, which become invalid when this one becomes valid."""
        if header.union is None:
            return []
        return [self.header(other) for other in self._unions[header.union].headers if other is not header]

    def rivals_at(self, stack: Stack, index: str) -> list[str]:
        """The same for an element of a union stack by a run-time index that is in range."""
        if stack.counter not in self._union_stacks:
            return []
        others = self._union_stacks[stack.counter].members.values()
        return [f"{self.stack(other.name)}[{index}]" for other in others if other is not stack]

    def field(self, type_: HeaderType, field: Field) -> str:
        return self.fields[type_, field]


def _named(objects: Iterable[N]) -> dict[N, str]:
    scope = Scope()
    return {obj: scope.name(obj.name) for obj in objects}
