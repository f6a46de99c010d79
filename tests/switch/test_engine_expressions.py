"""Random expressions mean the same in the generated C as in unlimited integers.

The reference is BMv2's own definition of its operators over unlimited integers, with p4c's habit of cutting
every fixed-width result to its width (a mask, or two_comp_mod).
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from switch.engine import Engine
from tests.switch.engines import Layout
from tests.switch.json_programs import Json, assign, const, encoded, field, operator, program

EXPRESSIONS = 150
PACKETS = 150
DEPTH = 4
SEED = 7

WIDTHS = (1, 3, 8, 13, 16, 31, 32, 33, 48, 63, 64, 65, 100, 128, 129, 200, 256, 300)

INPUTS = {f"u{width}": (width, False) for width in WIDTHS} | {
    f"s{width}": (width, True) for width in (8, 32, 64, 128, 140, 256)
}
"""Fields of the header: name to (width, signed)."""

Packet = dict[str, int]
Evaluate = Callable[[Packet], int]


@dataclass(frozen=True)
class Made:
    """An expression: as JSON, and what it means. Its values are those of bit<width> or int<width>."""

    json: Json
    value: Evaluate
    width: int
    signed: bool


def two_comp_mod(value: int, width: int) -> int:
    value %= 1 << width
    return value - (1 << width) if value >> (width - 1) else value


def cut(made: Json, value: Evaluate, width: int, signed: bool) -> Made:
    """What p4c makes of a fixed-width result."""
    if signed:
        return Made(
            operator("two_comp_mod", made, const(width)), lambda p: two_comp_mod(value(p), width), width, True
        )
    mask = (1 << width) - 1
    return Made(operator("&", made, const(mask)), lambda p: value(p) & mask, width, False)


class Maker:
    """Random expressions of a given type, from fields and constants up."""

    def __init__(self, choose: random.Random) -> None:
        self.choose = choose

    def leaf(self, width: int, signed: bool) -> Made:
        fields = [name for name, kind in INPUTS.items() if kind == (width, signed)]
        if fields and self.choose.random() < 0.8:
            name = self.choose.choice(fields)
            return Made(field("h", name), lambda p: p[name], width, signed)
        if self.choose.random() < 0.5:
            return self.converted(width, signed, 0)
        low = -(1 << (width - 1)) if signed else 0
        high = (1 << (width - signed)) - 1
        number = self.choose.choice([low, high, 0, min(1, high), self.choose.randint(low, high)])
        return Made(const(number), lambda _: number, width, signed)

    def converted(self, width: int, signed: bool, depth: int) -> Made:
        """A cast from another type."""
        other, other_signed = self.choose.choice(list(INPUTS.values()))
        fields = [name for name, kind in INPUTS.items() if kind == (other, other_signed)]
        name = self.choose.choice(fields)
        made = self.make(other, other_signed, depth - 1) if depth > 0 else None
        inner = made or Made(field("h", name), lambda p: p[name], other, other_signed)
        return cut(inner.json, inner.value, width, signed)

    def condition(self, depth: int) -> tuple[Json, Callable[[Packet], bool]]:
        kind = self.choose.choice(["compare", "compare", "and", "or", "not", "d2b"])
        if kind == "not":
            made, value = self.condition(depth - 1) if depth > 0 else self.compared(0)
            return operator("not", None, made), lambda p: not value(p)
        if kind in ("and", "or") and depth > 0:
            (a, va), (b, vb) = self.condition(depth - 1), self.condition(depth - 1)
            both = kind == "and"
            return operator(kind, a, b), lambda p: (va(p) and vb(p)) if both else (va(p) or vb(p))
        if kind == "d2b":
            made = self.make(*self.choose.choice(list(INPUTS.values())), depth - 1)
            return operator("d2b", None, made.json), lambda p: made.value(p) != 0
        return self.compared(depth)

    def compared(self, depth: int) -> tuple[Json, Callable[[Packet], bool]]:
        width, signed = self.choose.choice(list(INPUTS.values()))
        a, b = self.make(width, signed, depth - 1), self.make(width, signed, depth - 1)
        op, compare = self.choose.choice(list(COMPARISONS.items()))
        return operator(op, a.json, b.json), lambda p: compare(a.value(p), b.value(p))

    def make(self, width: int, signed: bool, depth: int) -> Made:
        if depth <= 0:
            return self.leaf(width, signed)
        kind = self.choose.choice(
            ["binary"] * 5 + ["shift", "negate", "cast", "choice", "saturate", "divide", "b2d"]
        )
        if kind == "cast":
            return self.converted(width, signed, depth)
        if kind == "b2d":
            made, condition = self.condition(depth - 1)
            return cut(operator("b2d", None, made), lambda p: int(condition(p)), width, signed)
        a = self.make(width, signed, depth - 1)
        if kind == "negate":
            return cut(operator("~", None, a.json), lambda p: ~a.value(p), width, signed)
        if kind == "shift":
            return self.shifted(a, depth)
        b = self.make(width, signed, depth - 1)
        if kind == "choice":
            made, condition = self.condition(depth - 1)
            chosen = operator("?", a.json, b.json, made)
            return Made(chosen, lambda p: a.value(p) if condition(p) else b.value(p), width, signed)
        if kind == "saturate":
            return self.saturated(a, b)
        if kind == "divide" and not signed:
            return self.divided(a)
        op, compute = self.choose.choice(list(OPERATORS.items()))
        return cut(operator(op, a.json, b.json), lambda p: compute(a.value(p), b.value(p)), width, signed)

    def shifted(self, a: Made, depth: int) -> Made:
        by = self.make(8, False, min(depth - 1, 1))
        if self.choose.random() < 0.5:
            constant = self.choose.randrange(a.width + 2)
            by = Made(const(constant), lambda _: constant, 8, False)
        if self.choose.random() < 0.5:
            made = operator("<<", a.json, by.json)
            return cut(made, lambda p: a.value(p) << by.value(p), a.width, a.signed)
        return Made(operator(">>", a.json, by.json), lambda p: a.value(p) >> by.value(p), a.width, a.signed)

    def saturated(self, a: Made, b: Made) -> Made:
        op, compute = self.choose.choice([("+", int.__add__), ("-", int.__sub__)])
        low = -(1 << (a.width - 1)) if a.signed else 0
        high = (1 << (a.width - a.signed)) - 1
        cast = "sat_cast" if a.signed else "usat_cast"
        made = operator(cast, operator(op, a.json, b.json), const(a.width))
        return Made(made, lambda p: max(low, min(high, compute(a.value(p), b.value(p)))), a.width, a.signed)

    def divided(self, a: Made) -> Made:
        by = self.choose.choice([1, 2, 7, 10, 255])
        if self.choose.random() < 0.5:
            return Made(operator("/", a.json, const(by)), lambda p: a.value(p) // by, a.width, False)
        return Made(operator("%", a.json, const(by)), lambda p: a.value(p) % by, a.width, False)


COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
}

OPERATORS: dict[str, Callable[[int, int], int]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "&": lambda a, b: a & b,
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
}


def with_padding(fields: dict[str, tuple[int, bool]]) -> list[list[object]]:
    """Fields of a header type, filled up to whole bytes."""
    bits = sum(width for width, _ in fields.values())
    padding = [["padding", -bits % 8, False]] if bits % 8 else []
    return [[name, width, signed] for name, (width, signed) in fields.items()] + padding


def layout(fields: list[list[object]]) -> Layout:
    return Layout({str(name): int(str(width)) for name, width, _ in fields})


@pytest.fixture(scope="module")
def made() -> list[Made]:
    maker = Maker(random.Random(SEED))
    kinds = list(INPUTS.values())
    return [maker.make(*maker.choose.choice(kinds), DEPTH) for _ in range(EXPRESSIONS)]


@pytest.fixture(scope="module")
def engine(made: list[Made]) -> Iterator[Engine]:
    results = {f"r{number}": (m.width, m.signed) for number, m in enumerate(made)}
    primitives = [assign(field("r", f"r{number}"), m.json) for number, m in enumerate(made)]
    valid = {"op": "add_header", "parameters": [{"type": "header", "value": "r"}]}
    types = {"h_t": with_padding(INPUTS), "r_t": with_padding(results)}
    engine = Engine.load(encoded(program(types, [valid, *primitives])))
    yield engine
    engine.close()


def test_random_expressions(engine: Engine, made: list[Made]) -> None:
    choose = random.Random(SEED + 1)
    inputs = layout(with_padding(INPUTS))
    results = layout(with_padding({f"r{number}": (m.width, m.signed) for number, m in enumerate(made)}))
    for _ in range(PACKETS):
        raw = {}
        for name, (width, _) in INPUTS.items():
            top = 1 << width
            raw[name] = choose.choice(
                [0, 1 % top, top - 1, top // 2, choose.randrange(top), choose.randrange(top)]
            )
        values = {
            name: two_comp_mod(value, width) if signed else value
            for (name, value), (width, signed) in zip(raw.items(), INPUTS.values(), strict=True)
        }
        ((_, sent),) = engine.process(0, inputs.pack(**raw))
        said = results.unpack(inputs.rest(sent))
        for number, m in enumerate(made):
            wanted = m.value(values) % (1 << m.width)
            assert said[f"r{number}"] == wanted, f"{m.json} of {values}"
