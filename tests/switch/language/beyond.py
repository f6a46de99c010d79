"""What simple_switch_grpc cannot do with what p4c writes: programs/beyond.p4."""

from finsy import (
    P4ActionProfileMember,
    P4DigestEntry,
    P4IndirectAction,
    P4TableAction,
    P4TableEntry,
    P4TableMatch,
)

from tests.switch.language.case import Case, Digest, Exchange, same, write

IN = 4
KEY = "hdr.items[hdr.ask.index].value"
ENDS = "simple_switch ends when it reads such a program"
OF_A_UNION = 0xEE
ONE, OTHER = 2, 3


def packet(index: int, result: int, items: tuple[int, ...], sign: bytes = b"") -> bytes:
    ask = bytes([len(sign), len(items), index, result])
    return ask + b"".join(item.to_bytes(2, "big") for item in items) + sign


def answers(index: int, result: int, before: tuple[int, ...], after: tuple[int, ...]) -> Exchange:
    return same(IN, packet(index, 0, before), packet(index, result, after))


def give(value: int, length: int, result: int) -> P4TableEntry:
    match = P4TableMatch({KEY: (value, length)})
    return +P4TableEntry("element", match=match, action=P4TableAction("give", result=result))


CASES = (
    Case(
        "beyond",
        "an element of a stack by a run-time index: as a key, its validity, read and written",
        (
            write(give(0x0A00, 8, 1), give(0x0A0B, 16, 2)),
            answers(0, 1, (0x0A0A, 0x0A0B), (0x0A0B, 0x0A0B)),
            answers(1, 2, (0x0A0A, 0x0A0B), (0x0A0A, 0x0A0C)),
            answers(1, 0, (0x0A0A, 0x0B0B, 7), (0x0A0A, 0x0B0C, 7)),
            answers(2, 0, (0x0A0A, 0x0A0B), (0x0A0A, 0x0A0B)),
            answers(3, 0, (0x0A0A, 0x0A0B, 7), (0x0A0A, 0x0A0B, 7)),
            answers(255, 0, (), ()),
        ),
        only_here=ENDS,
    ),
    Case(
        "beyond",
        "members that two tables share",
        (
            write(
                +P4ActionProfileMember("shared", member_id=1, action=P4TableAction("give", result=7)),
                *(
                    +P4TableEntry(table, match=P4TableMatch(index=9), action=P4IndirectAction(member_id=1))
                    for table in ("one", "other")
                ),
            ),
            *(same(IN, bytes([table, 0, 9, 0]), bytes([table, 0, 9, 7])) for table in (ONE, OTHER)),
            write(~P4ActionProfileMember("shared", member_id=1, action=P4TableAction("give", result=8))),
            *(same(IN, bytes([table, 0, 9, 0]), bytes([table, 0, 9, 8])) for table in (ONE, OTHER)),
        ),
        only_here=ENDS,
    ),
    Case(
        "beyond",
        "whether a union in a stack is valid; a digest with booleans and signed numbers",
        (
            write(+P4DigestEntry("seen_t", max_list_size=1)),
            same(IN, packet(3, 0, (), b"\xfe"), packet(3, OF_A_UNION, (), b"\xfe")),
            Digest("seen_t", ({"any": False, "sign": -2, "narrow": -2},)),
            same(IN, packet(3, 0, (), b"\x9f"), packet(3, OF_A_UNION, (), b"\x9f")),
            Digest("seen_t", ({"any": False, "sign": -97, "narrow": 31},)),
        ),
        only_here=ENDS,
    ),
)
