"""Fields of more than 128 bits, beside Python's integers, and keys of more than 1024: programs/wide.p4."""

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


def in_turn(*packets: tuple[int, int, int, int]) -> Iterator[Exchange]:
    """Of (a, b, by, given): each finds in the register what the one before left there."""
    before = 0
    for a, b, by, given in packets:
        yield answers(a, b, by, before, given)
        before = a << 48 | b % (1 << 48)


KEY, OTHER, DATA = 0xABCD << 240 | 5, 0xABCD << 240 | 6, 0x1234 << 288 | 0x5678
PREFIX = 0xFF << 248
LOW, HIGH = (3 << 192) - 2, 5 << 192 | 7
FIXED = 0xFE


def entry(table: str, data: int, priority: int = 0, **key: object) -> P4TableEntry:
    match = P4TableMatch({f"hdr.wide.{name}": value for name, value in key.items()})
    return +P4TableEntry(table, match=match, priority=priority, action=P4TableAction("give", data=data))


CASES = (
    Case("wide", "arithmetic and registers", tuple(in_turn(*((*three, 0) for three in operands())))),
    Case(
        "wide",
        "keys and action data",
        (
            write(
                entry("exactly", DATA, a=KEY),
                entry("masked", 1, 20, a=(0xABCD << 240, 0xFFFF << 240), b=(PREFIX, 8)),
                entry("masked", 2, 10, a=(6, 0xFF)),
            ),
            *in_turn((KEY, 0, 0, DATA), (OTHER, PREFIX | 1, 0, 1), (OTHER, 1, 0, 2), (7, 1, 0, 0)),
        ),
    ),
    Case(
        "wide",
        "ranges of more than 64 bits",
        (
            write(
                entry("between", 1, 20, a=(LOW, HIGH), b=(5, 5), by=1),
                entry("between", 2, 10, a=(LOW, LOW + 1), by=1),
                entry("between", 3, 30, b=(1 << 128, TOP - 1), by=1),
            ),
            *in_turn(
                (LOW - 1, 5, 1, 0),
                (LOW, 5, 1, 1),
                (HIGH, 5, 1, 1),
                (HIGH + 1, 5, 1, 0),
                (HIGH, 6, 1, 0),
                (LOW, 6, 1, 2),
                (LOW + 1, 6, 1, 2),
                (LOW + 2, 6, 1, 0),
                (LOW, 1 << 128, 1, 3),
                (HIGH + 1, TOP - 1, 1, 3),
                (LOW, (1 << 128) - 1, 1, 2),
            ),
        ),
    ),
    Case(
        "wide",
        "ranges of more than 64 bits, in the program's own entries",
        tuple(
            in_turn(
                (1, (1 << 64) - 1, FIXED, 0),
                (1, 1 << 64, FIXED, 1),
                (1, 5 << 64 | 0xFF, FIXED, 1),
                (1, 5 << 64 | 0x100, FIXED, 2),
                (1, 8 << 192, FIXED, 2),
                (1, 8 << 192 | 1, FIXED, 0),
            )
        ),
    ),
    Case(
        "wide",
        "keys of more than 1024 bits",
        (
            write(
                entry("longest", 1, 3, a=3, b=(1 << 70, 1 << 80), joined=(3 << 256, 0xF << 256)),
                entry("longest", 2, 2, a=3, product=(3 << 80) + 3),
                entry("longest", 3, 1, a=3),
            ),
            *in_turn(
                (3, 1 << 75, 0, 1),
                (3, (1 << 80) + 1, 0, 2),
                (3, (1 << 80) + 2, 0, 3),
                (19, 1 << 75, 0, 0),
            ),
        ),
    ),
)
