"""Operators over many widths: programs/arithmetic.p4 against Python's integers."""

import random
from collections.abc import Iterator

import pytest

from switch.engine import Engine
from tests.switch.engines import Layout, load

OPERANDS = Layout(
    {
        "a8": 8,
        "b8": 8,
        "a16": 16,
        "b16": 16,
        "a32": 32,
        "b32": 32,
        "a48": 48,
        "b48": 48,
        "a64": 64,
        "b64": 64,
        "a128": 128,
        "b128": 128,
        "shift": 8,
    }
)

UNSIGNED = Layout(
    {
        "sum8": 8,
        "difference16": 16,
        "product32": 32,
        "sum48": 48,
        "product64": 64,
        "sum128": 128,
        "difference128": 128,
        "product128": 128,
        "left32": 32,
        "right64": 64,
        "left128": 128,
        "right128": 128,
        "logic16": 16,
        "joined64": 64,
        "slice24": 24,
        "saturated_sum8": 8,
        "saturated_difference64": 64,
        "comparisons": 8,
        "choice16": 16,
        "negated32": 32,
        "carry33": 32,
    }
)

SIGNED = Layout(
    {
        "sum8": 8,
        "product16": 16,
        "difference64": 64,
        "saturated_sum8": 8,
        "saturated_difference32": 32,
        "right32": 32,
        "extended64": 64,
        "comparisons": 8,
        "sum128": 128,
    }
)


def signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def clamp(value: int, low: int, high: int) -> int:
    return max(low, min(high, value))


def bits_of(*conditions: bool) -> int:
    return sum(1 << place for place, condition in enumerate(conditions) if condition)


def expected_unsigned(o: dict[str, int]) -> dict[str, int]:
    return {
        "sum8": o["a8"] + o["b8"],
        "difference16": o["a16"] - o["b16"],
        "product32": o["a32"] * o["b32"],
        "sum48": o["a48"] + o["b48"],
        "product64": o["a64"] * o["b64"],
        "sum128": o["a128"] + o["b128"],
        "difference128": o["a128"] - o["b128"],
        "product128": o["a128"] * o["b128"],
        "left32": o["a32"] << o["shift"],
        "right64": o["a64"] >> o["shift"],
        "left128": o["a128"] << o["shift"],
        "right128": o["a128"] >> o["shift"],
        "logic16": (o["a16"] & ~o["b16"]) | (o["a16"] ^ 0x0FF0),
        "joined64": o["a32"] << 32 | o["b32"],
        "slice24": o["a48"] >> 12,
        "saturated_sum8": clamp(o["a8"] + o["b8"], 0, 0xFF),
        "saturated_difference64": clamp(o["a64"] - o["b64"], 0, (1 << 64) - 1),
        "comparisons": bits_of(
            o["a128"] < o["b128"],
            o["a64"] >= o["b64"],
            (o["a32"] - o["b32"]) % (1 << 32) > 0x8000_0000,
            o["a8"] == o["b8"] or o["a16"] == o["b16"],
        ),
        "choice16": o["a16"] if o["a8"] > o["b8"] else o["b16"] + 1,
        "negated32": -o["a32"],
        "carry33": (o["a32"] + o["b32"]) >> 32,
    }


def expected_signed(o: dict[str, int]) -> dict[str, int]:
    s = {name: signed(value, OPERANDS.fields[name]) for name, value in o.items()}
    return {
        "sum8": s["a8"] + s["b8"],
        "product16": s["a16"] * s["b16"],
        "difference64": s["a64"] - s["b64"],
        "saturated_sum8": clamp(s["a8"] + s["b8"], -0x80, 0x7F),
        "saturated_difference32": clamp(s["a32"] - s["b32"], -(1 << 31), (1 << 31) - 1),
        "right32": s["a32"] >> o["shift"],
        "extended64": s["a8"],
        "comparisons": bits_of(s["a8"] < s["b8"], s["a64"] < 0, s["a8"] >= s["b64"]),
        "sum128": s["a128"] + s["b128"],
    }


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = load("arithmetic")
    yield engine
    engine.close()


def operands(choose: random.Random) -> dict[str, int]:
    """Ends of the range and random numbers, with the second operand often near the first."""
    found = {}
    for name, bits in OPERANDS.fields.items():
        top = 1 << bits
        ends = [0, 1, top - 1, top // 2, top // 2 - 1, top // 2 + 1]
        value = choose.choice([*ends, choose.randrange(top), choose.randrange(top)])
        if name.startswith("b") and choose.random() < 0.3:
            value = (found[f"a{name[1:]}"] + choose.choice([-1, 0, 1])) % top
        found[name] = value
    found["shift"] = choose.choice([0, 1, 7, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255])
    return found


def test_against_python(engine: Engine) -> None:
    choose = random.Random(20260101)
    for _ in range(2000):
        given = operands(choose)
        ((_, sent),) = engine.process(1, OPERANDS.pack(**given))
        for layout, wanted, packet in (
            (UNSIGNED, expected_unsigned(given), sent),
            (SIGNED, expected_signed(given), UNSIGNED.rest(sent)),
        ):
            cut = {name: value % (1 << layout.fields[name]) for name, value in wanted.items()}
            assert layout.unpack(packet) == cut, given
