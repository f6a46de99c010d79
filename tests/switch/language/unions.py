"""Header unions and stacks of them, varbits, value sets: programs/unions.p4."""

from finsy import P4ValueSetEntry
from finsy.p4entity import P4ValueSetMember

from tests.switch.language.case import Case, Exchange, same, write

IN = 4
REFERENCE_HAS_NO_VALUE_SETS = "simple_switch_grpc has no value sets in P4Runtime"


def becomes(packet: str, changed: str) -> Exchange:
    return same(IN, bytes.fromhex(packet), bytes.fromhex(changed))


SMALL, LARGE, TEXT, EMPTY_TEXT = "01 aa", "02 123456", "03 03 616263", "03 00"

CASES = (
    Case(
        "unions",
        "which members of which unions are there",
        (
            becomes(f"01 0000 ff {SMALL} {LARGE} {TEXT} 00 ff", f"01 0000 00 {SMALL} {LARGE} {TEXT} 00 0f"),
            becomes(f"01 0000 ff {LARGE} {LARGE} 00 ff", f"01 0000 00 {LARGE} {LARGE} 00 05"),
            becomes(f"01 0000 ff {EMPTY_TEXT} 00 ff", f"01 0000 00 {EMPTY_TEXT} 00 01"),
            becomes("01 0000 ff 09 aa 00 ff", "01 0000 00 09 aa 00 10"),
        ),
    ),
    Case(
        "unions",
        "a packet with more than the stack holds goes on unparsed from there",
        (
            becomes(
                f"01 0000 ff {SMALL} {SMALL} {SMALL} {LARGE} 00 ff",
                f"01 0000 00 {SMALL} {SMALL} {SMALL} {LARGE} 00 ff",
            ),
        ),
    ),
    Case(
        "unions",
        "to make a member valid makes the others invalid",
        (becomes(f"02 0000 ff {TEXT} {SMALL} 00 ff", f"02 0000 00 02 abcdef {SMALL} 00 01"),),
    ),
    Case(
        "unions",
        "all members invalid",
        (becomes(f"03 0000 ff {TEXT} {SMALL} 00 ff", f"03 0000 00 {SMALL} 00 01"),),
    ),
    Case(
        "unions",
        "assigning a union",
        (
            becomes(f"04 0000 ff {TEXT} {LARGE} 00 ff", f"04 0000 00 {LARGE} {TEXT} {LARGE} 00 05"),
            becomes(f"04 0000 ff {TEXT} 00 ff", f"04 0000 00 {TEXT} 00 01"),
        ),
    ),
    Case(
        "unions",
        "assigning a header with a varbit",
        (
            becomes(f"05 0000 ff {TEXT} 00 ff", f"05 0000 00 {TEXT} {TEXT} 00 01"),
            becomes(f"05 0000 ff {EMPTY_TEXT} 00 ff", f"05 0000 00 {EMPTY_TEXT} {EMPTY_TEXT} 00 01"),
            becomes(f"05 0000 ff {SMALL} 00 ff", f"05 0000 00 {SMALL} 00 03"),
        ),
    ),
    Case(
        "unions",
        "a varbit that is longer than its field, or than the packet, ends the parser",
        (
            becomes(
                "01 0000 ff 03 0b 6162636465666768696a6b 00 ff",
                "01 0000 00 03 0b 6162636465666768696a6b 00 ff",
            ),
            becomes("01 0000 ff 03 04 616263", "01 0000 00 03 04 616263"),
        ),
    ),
    Case(
        "unions",
        "select by masks, ranges and several fields",
        (
            becomes("15 1234 ff", "15 1234 01"),
            becomes("20 0150 ff", "20 0150 42"),
            becomes("20 0250 ff", "20 0250 02"),
            becomes("30 0150 ff", "30 0150 00"),
        ),
    ),
    Case(
        "unions",
        "value sets",
        (
            write(
                ~P4ValueSetEntry("kinds", members=[P4ValueSetMember(0x1234), P4ValueSetMember(0xFFFF)]),
                ~P4ValueSetEntry("pairs", members=[P4ValueSetMember({"what": 0x20, "kind": 0x0150})]),
            ),
            becomes("15 1234 ff", "15 1234 81"),
            becomes("1f ffff ff", "1f ffff 81"),
            becomes("15 1235 ff", "15 1235 01"),
            becomes("20 0150 ff", "20 0150 82"),
            becomes("20 0151 ff", "20 0151 42"),
            write(~P4ValueSetEntry("kinds", members=[P4ValueSetMember(0x1235)])),
            becomes("15 1234 ff", "15 1234 01"),
            becomes("15 1235 ff", "15 1235 81"),
        ),
        only_here=REFERENCE_HAS_NO_VALUE_SETS,
    ),
)
