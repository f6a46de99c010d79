"""Action profiles and selectors, direct meters, idle timeouts: programs/selection.p4."""

from finsy import (
    P4ActionProfileGroup,
    P4ActionProfileMember,
    P4DirectMeterEntry,
    P4IndirectAction,
    P4Member,
    P4MeterConfig,
    P4TableAction,
    P4TableEntry,
    P4TableMatch,
)

from tests.switch.engines import Layout
from tests.switch.language.case import Case, Exchange, Idle, same, write

ASK = Layout({"which": 8, "key": 16, "flow": 16, "color": 8, "result": 8})
PORT = 4
BY_MEMBER, BY_GROUP, METERED = 1, 2, 3
GREEN, YELLOW, RED = 0, 1, 2
MISS = 0xEE


def answers(which: int, key: int, result: int, color: int = GREEN) -> Exchange:
    return same(
        PORT, ASK.pack(which=which, key=key), ASK.pack(which=which, key=key, result=result, color=color)
    )


def leaves(which: int, key: int, *ports: int, flow: int = 0) -> Exchange:
    packet = ASK.pack(which=which, key=key, flow=flow)
    return Exchange(PORT, packet, tuple((port, packet) for port in ports))


def member(profile: str, number: int, action: str, **data: int) -> P4ActionProfileMember:
    return P4ActionProfileMember(profile, member_id=number, action=P4TableAction(action, **data))


def group(number: int, *members: int) -> P4ActionProfileGroup:
    return P4ActionProfileGroup(
        "hashed", group_id=number, max_size=4, members=[P4Member(m, weight=1) for m in members]
    )


def entry(
    table: str, key: object, *, member_id: int | None = None, group_id: int | None = None
) -> P4TableEntry:
    target = P4IndirectAction(member_id=member_id, group_id=group_id)
    return P4TableEntry(table, match=P4TableMatch({"hdr.ask.key": key}), action=target)


def metered(key: int, result: int, idle_timeout_ns: int = 0) -> P4TableEntry:
    return P4TableEntry(
        "metered",
        match=P4TableMatch({"hdr.ask.key": key}),
        action=P4TableAction("measure", result=result),
        idle_timeout_ns=idle_timeout_ns,
    )


CASES = (
    Case(
        "selection",
        "members that entries share, and that exchange their action",
        (
            write(
                +member("members", 1, "give", result=7),
                +member("members", 2, "send", port=9),
                +member("members", 3, "refuse"),
                +entry("by_member", (0x0100, 8), member_id=1),
                +entry("by_member", (0x0120, 12), member_id=2),
                +entry("by_member", (0x0123, 16), member_id=3),
                +entry("by_member", (0x0200, 8), member_id=1),
            ),
            answers(BY_MEMBER, 0x0134, 7),
            leaves(BY_MEMBER, 0x0124, 9),
            leaves(BY_MEMBER, 0x0123),
            answers(BY_MEMBER, 0x0300, 0),
            write(~member("members", 1, "give", result=8)),
            answers(BY_MEMBER, 0x0134, 8),
            answers(BY_MEMBER, 0x0200, 8),
            write(~entry("by_member", (0x0200, 8), member_id=3)),
            leaves(BY_MEMBER, 0x0200),
        ),
    ),
    Case(
        "selection",
        "groups, whose members are chosen by a hash",
        (
            write(
                *(+member("hashed", port, "send", port=port) for port in (1, 2, 3)),
                +group(1, 1, 2, 3),
                +group(2, 2),
                +entry("by_group", 1, group_id=1),
                +entry("by_group", 2, group_id=2),
                +entry("by_group", 3, member_id=3),
            ),
            *(leaves(BY_GROUP, 1, 1 + flow % 3, flow=flow) for flow in (0, 1, 2, 3, 0xFFFF)),
            leaves(BY_GROUP, 2, 2, flow=1),
            leaves(BY_GROUP, 3, 3, flow=1),
            answers(BY_GROUP, 4, MISS),
            write(~group(1, 2, 3)),
            *(leaves(BY_GROUP, 1, 2 + flow % 2, flow=flow) for flow in (0, 1, 7)),
        ),
    ),
    Case(
        "selection",
        "a direct meter, which an action reads",
        (
            write(
                +metered(1, 7),
                +metered(2, 8),
                ~P4DirectMeterEntry(
                    table_entry=metered(1, 7), config=P4MeterConfig(cir=1, cburst=1, pir=1, pburst=2)
                ),
            ),
            answers(METERED, 1, 7, GREEN),
            answers(METERED, 1, 7, YELLOW),
            answers(METERED, 1, 7, RED),
            answers(METERED, 2, 8, GREEN),
            answers(METERED, 3, 0, GREEN),
        ),
    ),
    Case(
        "selection",
        "an idle timeout",
        (write(+metered(1, 7, idle_timeout_ns=20_000_000)), Idle("metered", (1,))),
    ),
)
