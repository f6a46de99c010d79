"""Action profiles and selectors: members, groups, weights, one-shot entries, ports that go down."""

from collections import Counter
from collections.abc import Iterator

import pytest

from switch.engine import (
    ActionProfile,
    ActionSet,
    BadEntry,
    Choice,
    Engine,
    Entry,
    EntryExists,
    Exact,
    Group,
    InUse,
    Member,
    NoSuchEntry,
    TableFull,
    WeightedAction,
)
from tests.switch.json_programs import encoded, field, program, with_table

SIZE = 8
EMPTY = "no member in the selector group"
KEY = (Exact(1),)


@pytest.fixture
def engine() -> Iterator[Engine]:
    """h.a is the key, h.b what the action sets, h.c what the selector hashes (as it is)."""
    config = with_table(
        program({"h_t": [["a", 16, False], ["b", 16, False], ["c", 64, False]]}, []),
        type="indirect_ws",
        action_profile="shared",
    )
    selector = {"algo": "identity", "input": [field("h", "c")]}
    config["pipelines"][0]["action_profiles"] = [
        {"name": "shared", "id": 0, "max_size": SIZE, "selector": selector}
    ]
    engine = Engine.load(encoded(config))
    yield engine
    engine.close()


@pytest.fixture
def profile(engine: Engine) -> ActionProfile:
    return engine.action_profiles["shared"]


def packet(hash_: int, b: int = 0xFFFF) -> bytes:
    return (1).to_bytes(2, "big") + b.to_bytes(2, "big") + hash_.to_bytes(8, "big")


def chosen(engine: Engine, hash_: int) -> int:
    """What h.b becomes; 0xffff when no action ran."""
    ((_, sent),) = engine.process(0, packet(hash_))
    return int.from_bytes(sent[2:4], "big")


def point(engine: Engine, target: Member | Group | ActionSet) -> None:
    engine.insert("t", Entry(KEY, 0, "", (), target))


def fill(profile: ActionProfile, *members: int) -> None:
    """Each member sets h.b to its own number."""
    for member in members:
        profile.insert_member(member, "set_b", (member,))


def test_what_the_program_says(engine: Engine, profile: ActionProfile) -> None:
    assert (profile.size, profile.has_groups, profile.tables, profile.actions) == (
        SIZE,
        True,
        ("t",),
        ("set_b",),
    )
    assert engine.tables["t"].action_profile == "shared"


def test_a_member_is_shared(engine: Engine, profile: ActionProfile) -> None:
    fill(profile, 7)
    point(engine, Member(7))
    assert chosen(engine, 0) == 7
    profile.modify_member(7, "set_b", (9,))
    assert chosen(engine, 0) == 9
    assert profile.members() == {7: ("set_b", (9,))}
    assert engine.entries("t") == [Entry(KEY, 0, "", (), Member(7))]


def test_a_group_takes_members_in_the_order_of_their_ids_by_hash(
    engine: Engine, profile: ActionProfile
) -> None:
    fill(profile, 30, 10, 20)
    profile.insert_group(1, [Choice(30), Choice(10), Choice(20)])
    point(engine, Group(1))
    assert [chosen(engine, h) for h in range(6)] == [10, 20, 30, 10, 20, 30]


def test_weights_are_shares_of_the_hash_space(engine: Engine, profile: ActionProfile) -> None:
    fill(profile, 1, 2)
    profile.insert_group(1, [Choice(1, weight=3), Choice(2)])
    point(engine, Group(1))
    assert Counter(chosen(engine, h) for h in range(40)) == {1: 30, 2: 10}


def test_a_group_changes_under_its_entries(engine: Engine, profile: ActionProfile) -> None:
    fill(profile, 1, 2)
    profile.insert_group(1, [Choice(1)])
    point(engine, Group(1))
    assert {chosen(engine, h) for h in range(4)} == {1}
    profile.modify_group(1, [Choice(2)])
    assert {chosen(engine, h) for h in range(4)} == {2}
    assert profile.groups() == {1: (Choice(2),)}
    profile.delete_member(1)


def test_an_empty_group_runs_no_action_and_is_counted(engine: Engine, profile: ActionProfile) -> None:
    """simple_switch loses such packets; here they go on as after a miss without a default action."""
    profile.insert_group(1, [])
    point(engine, Group(1))
    assert chosen(engine, 5) == 0xFFFF
    assert engine.drops[EMPTY] == 1


def test_ports_that_are_watched(engine: Engine, profile: ActionProfile) -> None:
    """simple_switch divides by zero when the last member's port goes down."""
    fill(profile, 1, 2, 3)
    profile.insert_group(1, [Choice(1, watch=11), Choice(2, watch=12), Choice(3)])
    point(engine, Group(1))
    engine.set_port_up(11, up=False)
    assert {chosen(engine, h) for h in range(6)} == {2, 3}
    profile.modify_group(1, [Choice(1, watch=11), Choice(2, watch=12)])
    assert {chosen(engine, h) for h in range(6)} == {2}
    engine.set_port_up(12, up=False)
    assert {chosen(engine, h) for h in range(6)} == {0xFFFF}
    assert engine.drops[EMPTY] == 6
    engine.set_port_up(11, up=True)
    assert {chosen(engine, h) for h in range(6)} == {1}


def test_one_shot(engine: Engine, profile: ActionProfile) -> None:
    choice = ActionSet(
        (WeightedAction("set_b", (5,), weight=2), WeightedAction("set_b", (6,), watch=11)),
    )
    point(engine, choice)
    assert [chosen(engine, h) for h in range(3)] == [5, 5, 6]
    engine.set_port_up(11, up=False)
    assert {chosen(engine, h) for h in range(6)} == {5}
    assert engine.entries("t") == [Entry(KEY, 0, "", (), choice)]
    assert (profile.members(), profile.groups()) == ({}, {})


def test_one_shot_entries_need_room_too_and_give_it_back(engine: Engine, profile: ActionProfile) -> None:
    fill(profile, *range(1, SIZE))
    both = ActionSet((WeightedAction("set_b", (5,)), WeightedAction("set_b", (6,))))
    with pytest.raises(TableFull, match="7 of 8 members"):
        point(engine, both)
    assert engine.entries("t") == []
    profile.delete_member(1)
    point(engine, both)
    with pytest.raises(TableFull):
        fill(profile, 1)
    engine.delete("t", KEY)
    fill(profile, 1)


def test_what_is_in_use_cannot_go(engine: Engine, profile: ActionProfile) -> None:
    fill(profile, 1)
    profile.insert_group(1, [Choice(1)])
    with pytest.raises(InUse, match="1 entries and groups refer to member 1"):
        profile.delete_member(1)
    point(engine, Group(1))
    with pytest.raises(InUse, match="1 entries refer to group 1"):
        profile.delete_group(1)
    engine.modify("t", Entry(KEY, 0, "", (), Member(1)))
    profile.delete_group(1)
    with pytest.raises(InUse):
        profile.delete_member(1)
    engine.delete("t", KEY)
    profile.delete_member(1)


def test_impossible_requests_change_nothing(engine: Engine, profile: ActionProfile) -> None:
    fill(profile, 1)
    profile.insert_group(1, [Choice(1)], size=2)
    for error, attempt in (
        (EntryExists, lambda: fill(profile, 1)),
        (NoSuchEntry, lambda: profile.modify_member(2, "set_b", (1,))),
        (BadEntry, lambda: profile.insert_member(2, "set_c", (1,))),
        (BadEntry, lambda: profile.insert_member(2, "set_b", (1 << 16,))),
        (EntryExists, lambda: profile.insert_group(1, [])),
        (NoSuchEntry, lambda: profile.insert_group(2, [Choice(2)])),
        (NoSuchEntry, lambda: profile.modify_group(2, [])),
        (BadEntry, lambda: profile.modify_group(1, [Choice(1, weight=0)])),
        (BadEntry, lambda: profile.modify_group(1, [Choice(1), Choice(1)])),
        (BadEntry, lambda: profile.modify_group(1, [], size=3)),
        (TableFull, lambda: profile.modify_group(1, [Choice(1, weight=3)])),
        (NoSuchEntry, lambda: point(engine, Member(2))),
        (NoSuchEntry, lambda: point(engine, Group(2))),
        (BadEntry, lambda: point(engine, ActionSet(()))),
        (BadEntry, lambda: engine.insert("t", Entry(KEY, 0, "set_b", (1,)))),
        (BadEntry, lambda: engine.set_default("t", "set_b", (1,))),
    ):
        with pytest.raises(error):
            attempt()
    assert profile.members() == {1: ("set_b", (1,))}
    assert profile.groups() == {1: (Choice(1),)}
    assert engine.entries("t") == []
