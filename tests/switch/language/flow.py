"""The flow of control: programs/flow.p4, whose packets carry a trail of digits, one for each place passed."""

from finsy import P4TableAction, P4TableEntry, P4TableMatch

from tests.switch.engines import Layout
from tests.switch.language.case import Case, Exchange, same, write

ASK = Layout({"what": 8, "a": 8, "b": 8, "trail": 64, "sum": 32})
PORT = 4
CONDITIONS, LOOP, SWITCH, HIT_OR_MISS, CONTROL, SKIPPING, NOTHING = 1, 2, 3, 4, 5, 6, 99
BEFORE = 7
"""The sum, where no loop sets it."""


def goes(what: int, a: int, b: int, trail: int, total: int = BEFORE) -> Exchange:
    return same(
        PORT,
        ASK.pack(what=what, a=a, b=b, sum=BEFORE),
        ASK.pack(what=what, a=a, b=b, trail=trail, sum=total),
    )


def entry(table: str, a: int, action: str, **data: int) -> P4TableEntry:
    return +P4TableEntry(table, match=P4TableMatch({"hdr.ask.a": a}), action=P4TableAction(action, **data))


CASES = (
    Case(
        "flow",
        "conditions and return in an action",
        (
            goes(CONDITIONS, 3, 2, 0x15FD),
            goes(CONDITIONS, 2, 2, 0x235FD),
            goes(CONDITIONS, 7, 7, 0x2FD),
            goes(CONDITIONS, 1, 9, 0x45FD),
        ),
    ),
    Case(
        "flow",
        "a loop in an action, continue, break",
        (
            goes(LOOP, 0, 0, 0xFD, 0),
            goes(LOOP, 6, 0, 0xFD, 1 + 3 + 5),
            goes(LOOP, 30, 0, 0xFD, sum(range(1, 21, 2))),
        ),
    ),
    Case(
        "flow",
        "switch on the action that ran, loops with action data, exit from an action",
        (
            write(
                entry("chosen", 1, "branches"),
                entry("chosen", 2, "sum_in", by=3),
                entry("chosen", 3, "sum_of_odd"),
                entry("chosen", 4, "leave"),
            ),
            goes(SWITCH, 1, 2, 0x456AFD),
            goes(SWITCH, 2, 4, 0x7AFD, 3 + 6 + 9 + 12),
            goes(SWITCH, 2, 200, 0x7AFD, sum(3 * i % 256 for i in range(201))),
            goes(SWITCH, 3, 0, 0x7AFD, 1),
            goes(SWITCH, 4, 0, 0xED),
            goes(SWITCH, 5, 0, 0x9AFD),
        ),
    ),
    Case(
        "flow",
        "hit and miss",
        (
            write(entry("found", 1, "NoAction"), entry("found", 2, "leave")),
            goes(HIT_OR_MISS, 1, 0, 0xBFD),
            goes(HIT_OR_MISS, 2, 0, 0xED),
            goes(HIT_OR_MISS, 3, 0, 0xED),
        ),
    ),
    Case(
        "flow",
        "a control applied twice, return from it, functions",
        (goes(CONTROL, 0, 0, 0x12FD), goes(CONTROL, 1, 0, 0x1C2CFD)),
    ),
    Case(
        "flow",
        "a loop that ends",
        (goes(SKIPPING, 1, 0, 0xFD, 0), goes(SKIPPING, 0xFF, 0, 0xFD, 127)),
    ),
    Case(
        "flow",
        "a loop without an end costs the packet only",
        (Exchange(PORT, ASK.pack(what=SKIPPING, a=2), ()), goes(SKIPPING, 5, 0, 0xFD, 2)),
        only_here="simple_switch stays in the loop",
    ),
    Case(
        "flow",
        "exit from egress; a switch that no case of suits",
        (goes(NOTHING, 0, 0xEE, 0xF), goes(NOTHING, 0, 0, 0xFD)),
    ),
)
