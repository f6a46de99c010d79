"""Fields of more than 128 bits, beside Python's integers: programs/wide.p4."""

import random
from collections.abc import Iterator

from finsy import P4TableAction, P4TableEntry, P4TableMatch

from tests.switch.engines import Layout
from tests.switch.language.case import Case, Exchange, same, write

WIDE = Layout(
    {
        "a": 256,
        "b": 256,
        "by": 8,
        "sum": 256,
        "difference": 256,
        "product": 256,
        "saturated": 256,
        "left": 256,
        "right": 256,
        "signed_right": 256,
        "joined": 512,
        "slice": 8,
        "comparisons": 8,
        "before": 304,
        "given": 304,
    }
)
IN = 4
TOP = 1 << 256
SEED = 7


def signed(value: int) -> int:
    return value - TOP if value >= TOP // 2 else value


def answers(a: int, b: int, by: int, before: int, given: int) -> Exchange:
    result = {
        "a": a,
        "b": b,
        "by": by,
        "sum": a + b,
        "difference": a - b,
        "product": a * b,
        "saturated": max(a - b, 0),
        "left": a << by,
        "right": a >> by,
        "signed_right": signed(a) >> by,
        "joined": a << 256 | (b ^ a ^ (TOP - 1)),
        "slice": a >> 193,
        "comparisons": (a < b) | (signed(a) < signed(b)) << 1 | (a == b) << 2,
        "before": before,
        "given": given,
    }
    return same(IN, WIDE.pack(a=a, b=b, by=by), WIDE.pack(**result))


def operands() -> Iterator[tuple[int, int, int]]:
    """Ends of the range, and random ones."""
    choose = random.Random(SEED)
    ends = (0, 1, TOP - 1, TOP // 2, TOP // 2 - 1, (1 << 128) - 1, 1 << 128)
    for _ in range(25):
        a = choose.choice([*ends, choose.randrange(TOP)])
        b = choose.choice([*ends, choose.randrange(TOP), a, (a + 1) % TOP])
        yield a, b, choose.choice([0, 1, 63, 64, 65, 128, 200, 255])


def computed() -> Iterator[Exchange]:
    before = 0
    for a, b, by in operands():
        yield answers(a, b, by, before, 0)
        before = a << 48 | b % (1 << 48)


KEY, OTHER, DATA = 0xABCD << 240 | 5, 0xABCD << 240 | 6, 0x1234 << 288 | 0x5678
PREFIX = 0xFF << 248


def entry(table: str, data: int, priority: int = 0, **key: object) -> P4TableEntry:
    match = P4TableMatch({f"hdr.wide.{name}": value for name, value in key.items()})
    return +P4TableEntry(table, match=match, priority=priority, action=P4TableAction("give", data=data))


CASES = (
    Case("wide", "arithmetic and registers", tuple(computed())),
    Case(
        "wide",
        "keys and action data",
        (
            write(
                entry("exactly", DATA, a=KEY),
                entry("masked", 1, 20, a=(0xABCD << 240, 0xFFFF << 240), b=(PREFIX, 8)),
                entry("masked", 2, 10, a=(6, 0xFF)),
            ),
            answers(KEY, 0, 0, 0, DATA),
            answers(OTHER, PREFIX | 1, 0, KEY << 48, 1),
            answers(OTHER, 1, 0, OTHER << 48 | 1, 2),
            answers(7, 1, 0, OTHER << 48 | 1, 0),
        ),
    ),
)
