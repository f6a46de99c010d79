"""Action profiles and selectors over P4Runtime: members, groups, one-shot entries, watched ports."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from finsy.proto import p4i, p4r
from google.protobuf import text_format

from switch.ports import Port
from tests.switch.client import Client, Refused
from tests.switch.conftest import Running
from tests.switch.json_programs import encoded, field, program, with_table
from tests.switch.test_server_atomicity import update
from tests.switch.test_server_state import codes

TABLE, ACTION, PROFILE = 0x02000001, 0x01000001, 0x11000001  # finsy looks at the first byte
SIZE = 8
EMPTY = 0xFFFF  # what a packet keeps when no action runs

P4INFO = f"""
    tables {{
        preamble {{ id: {TABLE} name: "t" alias: "t" }}
        match_fields {{ id: 1 name: "h.a" bitwidth: 16 match_type: EXACT }}
        action_refs {{ id: {ACTION} }}
        implementation_id: {PROFILE}
        size: 1024
    }}
    actions {{
        preamble {{ id: {ACTION} name: "set_b" alias: "set_b" }}
        params {{ id: 1 name: "value" bitwidth: 16 }}
    }}
    action_profiles {{
        preamble {{ id: {PROFILE} name: "shared" alias: "shared" }}
        table_ids: {TABLE}
        with_selector: true
        size: {SIZE}
    }}
"""


def config(selector: bool = True, **profile: Any) -> p4r.ForwardingPipelineConfig:
    """h.a is the key, h.b what the action sets, h.c what the selector hashes (as it is).

    profile: other fields of it in the P4Info.
    """
    types = {"h_t": [["a", 16, False], ["b", 16, False], ["c", 64, False]]}
    description = with_table(
        program(types, []), type="indirect_ws" if selector else "indirect", action_profile="shared"
    )
    shared: dict[str, Any] = {"name": "shared", "id": 0, "max_size": SIZE}
    if selector:
        shared["selector"] = {"algo": "identity", "input": [field("h", "c")]}
    description["pipelines"][0]["action_profiles"] = [shared]
    p4info = text_format.Parse(P4INFO, p4i.P4Info())
    p4info.action_profiles[0].with_selector = selector
    p4info.action_profiles[0].MergeFrom(p4i.ActionProfile(**profile))
    return p4r.ForwardingPipelineConfig(p4info=p4info, p4_device_config=encoded(description))


@pytest.fixture
def primary(switch: Running) -> Iterator[Client]:
    """With the program of `config`."""
    with switch.client() as client:
        client.become_primary()
        client.set_pipeline(config())
        yield client


# ---- Messages ----


def action(value: int) -> p4r.Action:
    octets = value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")
    return p4r.Action(action_id=ACTION, params=[p4r.Action.Param(param_id=1, value=octets)])


def member(number: int, value: int | None = None) -> p4r.Entity:
    """Without a value: its id."""
    message = p4r.ActionProfileMember(action_profile_id=PROFILE, member_id=number)
    if value is not None:
        message.action.CopyFrom(action(value))
    return p4r.Entity(action_profile_member=message)


def members(*numbers: int) -> list[p4r.Entity]:
    """Each sets h.b to its own number."""
    return [member(number, number) for number in numbers]


def watched(number: int, weight: int = 1, port: int | None = None) -> p4r.ActionProfileGroup.Member:
    message = p4r.ActionProfileGroup.Member(member_id=number, weight=weight)
    if port is not None:
        message.watch_port = bytes([port])
    return message


def group(number: int, *chosen: p4r.ActionProfileGroup.Member, max_size: int = 0) -> p4r.Entity:
    return p4r.Entity(
        action_profile_group=p4r.ActionProfileGroup(
            action_profile_id=PROFILE, group_id=number, members=chosen, max_size=max_size
        )
    )


def entry(do: p4r.TableAction | None = None, key: int = 1) -> p4r.Entity:
    match = p4r.FieldMatch(field_id=1, exact=p4r.FieldMatch.Exact(value=bytes([key])))
    return p4r.Entity(table_entry=p4r.TableEntry(table_id=TABLE, match=[match], action=do))


def to_member(number: int) -> p4r.TableAction:
    return p4r.TableAction(action_profile_member_id=number)


def to_group(number: int) -> p4r.TableAction:
    return p4r.TableAction(action_profile_group_id=number)


def share(value: int, weight: int = 1, port: int | None = None) -> p4r.ActionProfileAction:
    message = p4r.ActionProfileAction(action=action(value), weight=weight)
    if port is not None:
        message.watch_port = bytes([port])
    return message


def one_shot(*shares: p4r.ActionProfileAction, **fields: Any) -> p4r.TableAction:
    return p4r.TableAction(
        action_profile_action_set=p4r.ActionProfileActionSet(action_profile_actions=shares, **fields)
    )


def chosen(switch: Running, hash_: int, key: int = 1) -> int:
    """What h.b becomes."""
    packet = key.to_bytes(2, "big") + EMPTY.to_bytes(2, "big") + hash_.to_bytes(8, "big")
    ((_, sent),) = switch.data_plane.receive(0, packet)
    return int.from_bytes(sent[2:4], "big")


def spread(switch: Running, hashes: int) -> list[int]:
    """What becomes of packets with as many hashes, sorted."""
    return sorted(chosen(switch, hash_) for hash_ in range(hashes))


# ---- Members ----


def test_a_member_is_shared_by_entries(switch: Running, primary: Client) -> None:
    primary.insert(member(7, 70), entry(to_member(7)), entry(to_member(7), key=2))
    assert [chosen(switch, 0), chosen(switch, 0, key=2)] == [70, 70]
    primary.modify(member(7, 71))
    assert [chosen(switch, 0), chosen(switch, 0, key=2)] == [71, 71]


def test_members_are_read_as_they_were_written(primary: Client) -> None:
    primary.insert(*members(7, 9))
    assert primary.read(member(9)) == [member(9, 9)]
    assert primary.read(member(0)) == members(7, 9)
    everywhere = p4r.Entity(action_profile_member=p4r.ActionProfileMember())
    assert primary.read(everywhere) == members(7, 9)
    assert codes(lambda: primary.read(member(8))) == ["NOT_FOUND"]
    primary.delete(member(7))
    assert primary.read(member(0)) == members(9)


WITHOUT_ACTION = p4r.Entity(
    action_profile_member=p4r.ActionProfileMember(action_profile_id=PROFILE, member_id=3)
)
WRONG_MEMBERS: dict[str, tuple[Callable[[Client], object], str]] = {
    "exists": (lambda c: c.insert(member(1, 5)), "ALREADY_EXISTS"),
    "number 0": (lambda c: c.insert(member(0, 5)), "INVALID_ARGUMENT"),
    "no action": (lambda c: c.insert(WITHOUT_ACTION), "INVALID_ARGUMENT"),
    "modify without action": (lambda c: c.modify(member(1)), "INVALID_ARGUMENT"),
    "modify what is missing": (lambda c: c.modify(member(9, 1)), "NOT_FOUND"),
    "delete what is missing": (lambda c: c.delete(member(9)), "NOT_FOUND"),
    "an entry refers to it": (lambda c: c.delete(member(1)), "FAILED_PRECONDITION"),
    "a group refers to it": (lambda c: c.delete(member(2)), "FAILED_PRECONDITION"),
    "too many": (lambda c: c.insert(*members(*range(10, 10 + SIZE))), "RESOURCE_EXHAUSTED"),
    "value too wide": (lambda c: c.insert(member(3, 1 << 16)), "OUT_OF_RANGE"),
    "an unknown action": (
        lambda c: c.insert(
            p4r.Entity(
                action_profile_member=p4r.ActionProfileMember(
                    action_profile_id=PROFILE, member_id=3, action=p4r.Action(action_id=99)
                )
            )
        ),
        "INVALID_ARGUMENT",
    ),
    "an unknown profile": (
        lambda c: c.insert(
            p4r.Entity(action_profile_member=p4r.ActionProfileMember(action_profile_id=9, member_id=3))
        ),
        "INVALID_ARGUMENT",
    ),
}


@pytest.mark.parametrize(("attempt", "code"), WRONG_MEMBERS.values(), ids=WRONG_MEMBERS.keys())
def test_wrong_members(attempt: Callable[[Client], object], code: str, primary: Client) -> None:
    primary.insert(*members(1, 2), group(1, watched(2)), entry(to_member(1)))
    assert codes(lambda: attempt(primary))[-1] == code


# ---- Groups ----


def test_a_group_spreads_by_weight(switch: Running, primary: Client) -> None:
    primary.insert(*members(1, 2), group(4, watched(1, 3), watched(2, 1)), entry(to_group(4)))
    assert spread(switch, 4) == [1, 1, 1, 2]
    primary.modify(group(4, watched(2, 1)))
    assert spread(switch, 4) == [2, 2, 2, 2]


def test_groups_are_read_as_they_were_written(primary: Client) -> None:
    one = group(4, watched(2, 3, port=5), watched(1), max_size=6)
    primary.insert(*members(1, 2), one, group(5))
    assert primary.read(group(4)) == [one]
    assert primary.read(group(0)) == [one, group(5)]
    assert primary.read(p4r.Entity(action_profile_group=p4r.ActionProfileGroup())) == [one, group(5)]
    assert codes(lambda: primary.read(group(6))) == ["NOT_FOUND"]
    primary.delete(group(4), group(5), member(1), member(2))
    assert primary.read(group(0)) == []


def test_a_group_that_becomes_empty_runs_no_action(switch: Running, primary: Client) -> None:
    primary.insert(*members(1), group(4, watched(1)), entry(to_group(4)))
    primary.modify(group(4))
    assert chosen(switch, 0) == EMPTY
    primary.modify(group(4, watched(1)))
    assert chosen(switch, 0) == 1


WRONG_GROUPS: dict[str, tuple[Callable[[Client], object], str]] = {
    "exists": (lambda c: c.insert(group(1)), "ALREADY_EXISTS"),
    "number 0": (lambda c: c.insert(group(0)), "INVALID_ARGUMENT"),
    "a missing member": (lambda c: c.insert(group(2, watched(9))), "NOT_FOUND"),
    "a member twice": (lambda c: c.insert(group(2, watched(1), watched(1))), "INVALID_ARGUMENT"),
    "weight 0": (lambda c: c.insert(group(2, watched(1, 0))), "INVALID_ARGUMENT"),
    "negative weight": (lambda c: c.insert(group(2, watched(1, -1))), "INVALID_ARGUMENT"),
    "negative size": (lambda c: c.insert(group(2, max_size=-1)), "INVALID_ARGUMENT"),
    "above its size": (lambda c: c.insert(group(2, watched(1, 3), max_size=2)), "RESOURCE_EXHAUSTED"),
    "another size": (lambda c: c.modify(group(1, watched(1), max_size=5)), "INVALID_ARGUMENT"),
    "modify what is missing": (lambda c: c.modify(group(9)), "NOT_FOUND"),
    "delete what is missing": (lambda c: c.delete(group(9)), "NOT_FOUND"),
    "an entry refers to it": (lambda c: c.delete(group(1)), "FAILED_PRECONDITION"),
    "an entry of a missing group": (lambda c: c.insert(entry(to_group(9), key=2)), "NOT_FOUND"),
    "an entry of a missing member": (lambda c: c.insert(entry(to_member(9), key=2)), "NOT_FOUND"),
    "an entry with an action": (
        lambda c: c.insert(entry(p4r.TableAction(action=action(1)), key=2)),
        "INVALID_ARGUMENT",
    ),
    "a port that is none": (
        lambda c: c.insert(
            group(2, p4r.ActionProfileGroup.Member(member_id=1, weight=1, watch_port=b"\x02\x00"))
        ),
        "OUT_OF_RANGE",
    ),
    "a negative port": (
        lambda c: c.insert(group(2, p4r.ActionProfileGroup.Member(member_id=1, weight=1, watch=-1))),
        "INVALID_ARGUMENT",
    ),
    "one shot beside groups": (lambda c: c.insert(entry(one_shot(share(1)), key=2)), "INVALID_ARGUMENT"),
    "a default action": (
        lambda c: c.modify(
            p4r.Entity(
                table_entry=p4r.TableEntry(
                    table_id=TABLE, is_default_action=True, action=p4r.TableAction(action=action(1))
                )
            )
        ),
        "INVALID_ARGUMENT",
    ),
}


@pytest.mark.parametrize(("attempt", "code"), WRONG_GROUPS.values(), ids=WRONG_GROUPS.keys())
def test_wrong_groups(
    attempt: Callable[[Client], object], code: str, switch: Running, primary: Client
) -> None:
    primary.insert(*members(1), group(1, watched(1)), entry(to_group(1)))
    assert codes(lambda: attempt(primary))[-1] == code
    assert chosen(switch, 0) == 1
    assert primary.read(group(0)) == [group(1, watched(1))]


def with_config(switch: Running, used: p4r.ForwardingPipelineConfig) -> Client:
    client = switch.client(5)
    client.become_primary()
    client.set_pipeline(used)
    return client


def test_the_bounds_of_the_p4info(switch: Running) -> None:
    with with_config(switch, config(max_group_size=3)) as client:
        client.insert(*members(1, 2))
        for size in (0, 4):
            assert codes(lambda size=size: client.insert(group(1, max_size=size))) == ["INVALID_ARGUMENT"]
        client.insert(group(1, watched(1, 2), watched(2, 1), max_size=3))
        client.delete(group(1), member(1), member(2))
        assert codes(lambda: client.insert(entry(one_shot(share(1, 4))))) == ["INVALID_ARGUMENT"]
        client.insert(entry(one_shot(share(1, 3))))


def test_sizes_that_count_members(switch: Running) -> None:
    of_members = p4i.ActionProfile.SumOfMembers(max_member_weight=4)
    with with_config(switch, config(max_group_size=2, sum_of_members=of_members)) as client:
        client.insert(*members(1, 2, 3), group(1, watched(1, 4), watched(2, 4), max_size=2))
        too_many = group(2, watched(1), watched(2), watched(3), max_size=2)
        assert codes(lambda: client.insert(too_many)) == ["RESOURCE_EXHAUSTED"]
        client.delete(group(1), *(member(n) for n in (1, 2, 3)))
        for wrong in (one_shot(share(1, 5)), one_shot(share(1), share(2), share(3))):
            assert codes(lambda wrong=wrong: client.insert(entry(wrong))) == ["INVALID_ARGUMENT"]
        client.insert(entry(one_shot(share(1, 4), share(2, 4))))


def test_weights_that_are_disallowed(switch: Running) -> None:
    with with_config(switch, config(weights_disallowed=True)) as client:
        client.insert(*members(1))
        assert codes(lambda: client.insert(group(1, watched(1, 1)))) == ["INVALID_ARGUMENT"]
        client.insert(group(1, watched(1, 0)))
        assert client.read(group(1)) == [group(1, watched(1, 0))]


def test_a_profile_that_is_no_selector_has_no_groups(switch: Running) -> None:
    with with_config(switch, config(selector=False)) as client:
        client.insert(*members(1), entry(to_member(1)))
        assert chosen(switch, 0) == 1
        assert codes(lambda: client.insert(group(1))) == ["INVALID_ARGUMENT"]
        assert codes(lambda: client.insert(entry(one_shot(share(1)), key=2))) == ["INVALID_ARGUMENT"]


# ---- One-shot entries ----


def test_a_one_shot_entry_is_a_group_of_its_own(switch: Running, primary: Client) -> None:
    primary.insert(entry(one_shot(share(1, 3), share(2))))
    assert spread(switch, 4) == [1, 1, 1, 2]
    primary.modify(entry(one_shot(share(5))))
    assert spread(switch, 4) == [5, 5, 5, 5]
    primary.delete(entry())
    assert chosen(switch, 0) == EMPTY


def test_it_is_read_as_it_was_written(primary: Client) -> None:
    """Equal actions are not joined, and there are no members to be seen."""
    written = entry(one_shot(share(1, 3), share(2, 1, port=7), share(1, 2)))
    primary.insert(written)
    assert primary.read(entry()) == [written]
    assert primary.read(member(0)) == []
    assert primary.read(group(0)) == []


def test_its_actions_count_as_members(primary: Client) -> None:
    primary.insert(entry(one_shot(*(share(n) for n in range(SIZE)))))
    assert codes(lambda: primary.insert(entry(one_shot(share(1)), key=2))) == ["RESOURCE_EXHAUSTED"]


def test_one_shots_and_members_exclude_each_other_until_they_are_gone(primary: Client) -> None:
    primary.insert(entry(one_shot(share(1))))
    for other in (member(1, 1), group(1)):
        assert codes(lambda other=other: primary.insert(other)) == ["INVALID_ARGUMENT"]
    assert codes(lambda: primary.modify(entry(to_member(1)))) == ["INVALID_ARGUMENT"]
    primary.delete(entry())
    primary.insert(member(1, 1))
    assert codes(lambda: primary.insert(entry(one_shot(share(1))))) == ["INVALID_ARGUMENT"]
    primary.delete(member(1))
    primary.insert(entry(one_shot(share(1))))


ActionSet = p4r.ActionProfileActionSet
WRONG_SETS = {
    "weight 0": (one_shot(share(1, 0)), "INVALID_ARGUMENT"),
    "empty": (one_shot(), "INVALID_ARGUMENT"),
    "random": (one_shot(share(1), action_selection_mode=ActionSet.RANDOM), "UNIMPLEMENTED"),
    "counted otherwise": (one_shot(share(1), size_semantics=ActionSet.SUM_OF_MEMBERS), "UNIMPLEMENTED"),
    "value too wide": (one_shot(share(1), share(1 << 16)), "OUT_OF_RANGE"),
}


@pytest.mark.parametrize(("wrong", "code"), WRONG_SETS.values(), ids=WRONG_SETS.keys())
def test_wrong_sets(wrong: p4r.TableAction, code: str, primary: Client) -> None:
    assert codes(lambda: primary.insert(entry(wrong))) == [code]
    primary.insert(*members(1))  # nothing of it is left


def test_modes_that_are_the_selectors_own(primary: Client) -> None:
    own = one_shot(share(1), action_selection_mode=ActionSet.HASH, size_semantics=ActionSet.SUM_OF_WEIGHTS)
    primary.insert(entry(own))
    assert primary.read(entry()) == [entry(own)]


# ---- Watched ports ----


def kinds(primary: Client) -> dict[str, Callable[[], None]]:
    """Two ways to have an entry whose actions 1 and 2 watch ports 1 and 2, and 3 none."""
    chosen_members = (watched(1, 2, port=1), watched(2, port=2), watched(3))
    shares = (share(1, 2, port=1), share(2, port=2), share(3))
    return {
        "group": lambda: primary.insert(*members(1, 2, 3), group(1, *chosen_members), entry(to_group(1))),
        "one shot": lambda: primary.insert(entry(one_shot(*shares))),
    }


@pytest.mark.parametrize("kind", ["group", "one shot"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_members_take_part_while_their_port_is_up(
    kind: str, when: str, switch: Running, primary: Client
) -> None:
    """when: whether the port went down before or after the entry was written."""
    ports = switch.data_plane.ports
    ports.add(Port(1, "eth1"))
    ports.add(Port(2, "eth2"))
    if when == "before":
        ports.set_up(1, False)
    kinds(primary)[kind]()
    if when == "after":
        assert spread(switch, 4) == [1, 1, 2, 3]
        ports.set_up(1, False)
    assert spread(switch, 4) == [2, 2, 3, 3]
    ports.set_up(2, False)
    assert spread(switch, 4) == [3, 3, 3, 3]
    ports.set_up(1, True)
    ports.set_up(2, True)
    assert spread(switch, 4) == [1, 1, 2, 3]


def test_a_new_pipeline_knows_what_is_down(switch: Running, primary: Client) -> None:
    switch.data_plane.ports.add(Port(1, "eth1", up=False))
    for set_pipeline in (
        lambda: primary.set_pipeline(config()),
        lambda: (primary.set_pipeline(config(), "VERIFY_AND_SAVE"), primary.set_pipeline(None, "COMMIT")),
    ):
        set_pipeline()
        primary.insert(entry(one_shot(share(1, port=1), share(2))))
        assert spread(switch, 2) == [2, 2]


def test_what_is_watched_is_read_back_whatever_is_down(switch: Running, primary: Client) -> None:
    written = group(4, watched(1, port=1))
    primary.insert(*members(1), written)
    switch.data_plane.ports.add(Port(1, "eth1", up=False))
    assert primary.read(group(4)) == [written]


# ---- Together with the rest ----


def test_entries_of_a_profile_have_no_action_to_filter_by(primary: Client) -> None:
    assert codes(lambda: primary.read(entry(p4r.TableAction(action=action(1))))) == ["INVALID_ARGUMENT"]


CHANGES = {
    "insert a member": update(p4r.Update.INSERT, member(9, 9)),
    "modify a member": update(p4r.Update.MODIFY, member(1, 9)),
    "delete a member": update(p4r.Update.DELETE, member(3)),
    "insert a group": update(p4r.Update.INSERT, group(9, watched(1))),
    "modify a group": update(p4r.Update.MODIFY, group(4, watched(1, 5))),
    "delete a group": update(p4r.Update.DELETE, group(5)),
    "modify an entry": update(p4r.Update.MODIFY, entry(to_member(1))),
    "delete an entry": update(p4r.Update.DELETE, entry()),
}


def everything(client: Client) -> list[p4r.Entity]:
    return client.read(member(0), group(0), p4r.Entity(table_entry=p4r.TableEntry(table_id=TABLE)))


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_batch_that_fails_is_undone(change: p4r.Update, primary: Client) -> None:
    primary.insert(
        *members(1, 2, 3), group(4, watched(1, 2, port=3), watched(2)), group(5), entry(to_group(4))
    )
    before = everything(primary)
    with pytest.raises(Refused) as caught:
        failing = update(p4r.Update.DELETE, member(99))
        primary.write_updates(change, failing, atomicity="ROLLBACK_ON_ERROR")
    assert caught.value.codes == ["ABORTED", "NOT_FOUND"]
    assert everything(primary) == before
    primary.write_updates(change)
    assert everything(primary) != before


def test_a_one_shot_that_is_undone_leaves_room_for_members(primary: Client) -> None:
    failing = update(p4r.Update.DELETE, member(99))
    with pytest.raises(Refused):
        primary.write_updates(
            update(p4r.Update.INSERT, entry(one_shot(share(1)))), failing, atomicity="ROLLBACK_ON_ERROR"
        )
    primary.insert(*members(1))


@pytest.mark.parametrize("kind", ["group", "one shot"])
def test_reconciling_keeps_them(kind: str, switch: Running, primary: Client) -> None:
    kinds(primary)[kind]()
    before = everything(primary)
    other = config()
    other.p4_device_config += b"\n"
    primary.set_pipeline(other, "RECONCILE_AND_COMMIT")
    assert everything(primary) == before
    assert spread(switch, 4) == [1, 1, 2, 3]
