"""What a key can be: programs/keys.p4."""

from finsy import P4TableAction, P4TableEntry, P4TableMatch

from tests.switch.engines import Layout
from tests.switch.language.case import Case, Exchange, same, write

ASK = Layout({"which": 8, "items": 8, "port": 16, "word": 64, "address": 128, "result": 8})
IN = 4
RANGES, WIDE_RANGE, OPTIONS, PARTS, FIXED, ORDERED = 1, 2, 3, 4, 6, 7
KEPT = 0
TOP = (1 << 64) - 1


def answers(which: int, result: int, *items: int, **key: int) -> Exchange:
    """items: the headers that follow."""
    more = b"".join(item.to_bytes(2, "big") for item in items)
    packet = ASK.pack(which=which, items=len(items), **key) + more
    return same(IN, packet, ASK.pack(which=which, items=len(items), result=result, **key) + more)


def give(table: str, result: int, priority: int = 0, **key: object) -> P4TableEntry:
    """A key's name is that of the field, or its own."""
    match = P4TableMatch({KEYS.get(name, f"hdr.ask.{name}"): value for name, value in key.items()})
    return P4TableEntry(table, match=match, priority=priority, action=P4TableAction("give", result=result))


KEYS = {
    "part": "part",
    "slice": "hdr.ask.word[47:16]",
    "second": "hdr.items[1].$valid$",
}

CASES = (
    Case(
        "keys",
        "ranges of up to 64 bits",
        (
            write(
                +give("ranges", 1, 30, port=(10, 20), word=(5, 5)),
                +give("ranges", 2, 20, port=(10, 15)),
                +give("ranges", 3, 10, word=(1 << 63, TOP)),
            ),
            answers(RANGES, 1, port=10, word=5),
            answers(RANGES, 1, port=20, word=5),
            answers(RANGES, 2, port=10, word=6),
            answers(RANGES, KEPT, port=16, word=6),
            answers(RANGES, 2, port=15, word=TOP),
            answers(RANGES, 3, port=16, word=TOP),
            answers(RANGES, KEPT, port=21, word=(1 << 63) - 1),
        ),
    ),
    Case(
        "keys",
        "optional values",
        (
            write(
                +give("options", 1, 30, address=1 << 127, port=80),
                +give("options", 2, 20, address=1 << 127),
                +give("options", 3, 10, port=80),
            ),
            answers(OPTIONS, 1, address=1 << 127, port=80),
            answers(OPTIONS, 2, address=1 << 127, port=81),
            answers(OPTIONS, 3, address=1 << 126, port=80),
            answers(OPTIONS, KEPT, address=1 << 126, port=81),
        ),
    ),
    Case(
        "keys",
        "slices, masked fields, the validity of a header",
        (
            write(
                +give("parts", 1, slice=0x12345678, part=0xABCD << 100, second=1),
                +give("parts", 2, slice=0x12345678, part=0xABCD << 100, second=0),
            ),
            answers(PARTS, 1, 7, 8, word=0xFFFF_12345678_FFFF, address=0xABCD << 100 | 5 << 120 | 9),
            answers(PARTS, 2, 7, word=0x12345678_0000, address=0xABCD << 100),
            answers(PARTS, KEPT, 7, word=0x12345678_0000, address=0xABCC << 100),
            answers(PARTS, KEPT, word=0x12345679_0000, address=0xABCD << 100),
        ),
    ),
    Case(
        "keys",
        "const entries, in their order, and a default action with data",
        (
            answers(FIXED, 1, port=0x0A01, word=1),
            answers(FIXED, 1, port=0x0AFF, word=5),
            answers(FIXED, 2, port=0x0B01, word=6),
            answers(FIXED, 3, port=0x2B01, word=1 << 63),
            answers(FIXED, 0xDD, port=0x2B01, word=(1 << 63) - 1),
        ),
    ),
    Case(
        "keys",
        "entries with priorities of their own",
        (
            answers(ORDERED, 3, port=0x0A0C),
            answers(ORDERED, 2, port=0x0A0B),
            answers(ORDERED, 1, port=0x0A0A),
            answers(ORDERED, KEPT, port=0x0B0B),
        ),
    ),
)
