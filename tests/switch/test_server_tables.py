"""Writing and reading table entries (specification, "TableEntry")."""

from collections.abc import Callable

import grpc
import pytest
from finsy.proto import p4r
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from switch.server.native_reads import ENTITIES_PER_RESPONSE
from tests.switch import service
from tests.switch.client import Client, Refused
from tests.switch.conftest import Running
from tests.switch.service import (
    action,
    between,
    bridge,
    counts,
    default,
    exact,
    lpm,
    optional,
    table_entry,
    ternary,
)

FORWARD = action("forward", 1)
MARK = action("mark", 7)
ALL_ONES = (1 << 48) - 1


def codes(attempt: Callable[[], None]) -> list[str]:
    """What became of each update of a write that fails."""
    with pytest.raises(Refused) as caught:
        attempt()
    assert caught.value.code == grpc.StatusCode.UNKNOWN
    return caught.value.codes


# ---- Entries that are written come back ----

ENTRIES = {
    "exact": table_entry("bridge", exact(1, 0xAABBCCDDEEFF), do=FORWARD),
    "exact, zero": table_entry("bridge", exact(1, 0), do=FORWARD),
    "action without parameters": table_entry("bridge", exact(1, 1), do=action("drop")),
    "parameter zero": table_entry("bridge", exact(1, 1), do=action("forward", 0)),
    "lpm": table_entry("routes", lpm(1, 0xAABB00000000, 16), do=MARK),
    "lpm, whole length": table_entry("routes", lpm(1, 0xAABBCCDDEEFF, 48), do=MARK),
    "lpm, don't care": table_entry("routes", do=MARK),
    "ternary, optional and range": table_entry(
        "acl", ternary(1, 0x0200, 0xFF00), optional(2, 0x0800), between(3, 1, 5), do=MARK, priority=10
    ),
    "only optional": table_entry("acl", optional(2, 0), do=MARK, priority=10),
    "only range": table_entry("acl", between(3, 0, 0), do=MARK, priority=10),
    "range to the end": table_entry("acl", between(3, 1, 511), do=MARK, priority=10),
    "all don't care": table_entry("acl", do=MARK, priority=(1 << 31) - 1),
    "metadata": bridge(1, FORWARD, metadata=b"mine", controller_metadata=77),
}


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES.keys())
def test_an_entry_is_read_as_it_was_written(entry: p4r.Entity, client: Client) -> None:
    client.insert(entry)
    table = p4r.Entity(table_entry=p4r.TableEntry(table_id=entry.table_entry.table_id))
    assert client.read(table) == [entry]
    client.delete(entry)
    assert client.read(table) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(
    st.integers(0, ALL_ONES),
    st.integers(1, ALL_ONES),
    st.none() | st.integers(0, 0xFFFF),
    st.tuples(st.integers(0, 511), st.integers(0, 511)).map(sorted).filter(lambda bounds: bounds != [0, 511]),
    st.integers(1, (1 << 31) - 1),
    st.integers(0, 255),
)
def test_any_entry_is_read_as_it_was_written(
    client: Client,
    value: int,
    mask: int,
    kind: int | None,
    bounds: list[int],
    priority: int,
    mark: int,
) -> None:
    match = [ternary(1, value & mask, mask), between(3, *bounds)]
    if kind is not None:
        match.insert(1, optional(2, kind))
    entry = table_entry("acl", *match, do=action("mark", mark), priority=priority)
    client.insert(entry)
    assert client.read(table_entry("acl")) == [entry]
    client.delete(entry)


def test_byte_strings_may_be_long_and_come_back_short(client: Client) -> None:
    client.insert(table_entry("bridge", exact(1, bytes(10) + b"\x05"), do=FORWARD))
    assert client.read(table_entry("bridge")) == [bridge(5, FORWARD)]


def test_the_order_of_match_fields_does_not_matter(client: Client) -> None:
    client.insert(table_entry("acl", between(3, 1, 5), ternary(1, 1, 1), do=MARK, priority=1))
    assert client.read(table_entry("acl")) == [
        table_entry("acl", ternary(1, 1, 1), between(3, 1, 5), do=MARK, priority=1)
    ]


# ---- What is refused, and how ----

GOOD = bridge(1, FORWARD)
WRONG_INSERTS = {
    "unknown table": (p4r.Entity(table_entry=p4r.TableEntry(table_id=99)), "INVALID_ARGUMENT"),
    "no table": (p4r.Entity(table_entry=p4r.TableEntry()), "INVALID_ARGUMENT"),
    "no entity": (p4r.Entity(), "INVALID_ARGUMENT"),
    "unknown field": (table_entry("bridge", exact(2, 1), do=FORWARD), "INVALID_ARGUMENT"),
    "field twice": (table_entry("bridge", exact(1, 1), exact(1, 2), do=FORWARD), "INVALID_ARGUMENT"),
    "exact field missing": (table_entry("bridge", do=FORWARD), "INVALID_ARGUMENT"),
    "wrong kind of match": (table_entry("bridge", lpm(1, 0, 8), do=FORWARD), "INVALID_ARGUMENT"),
    "empty match": (table_entry("bridge", p4r.FieldMatch(field_id=1), do=FORWARD), "INVALID_ARGUMENT"),
    "value too wide": (table_entry("bridge", exact(1, 1 << 48), do=FORWARD), "OUT_OF_RANGE"),
    "empty value": (table_entry("bridge", exact(1, b""), do=FORWARD), "OUT_OF_RANGE"),
    "no action": (bridge(1), "INVALID_ARGUMENT"),
    "unknown action": (bridge(1, p4r.TableAction(action=p4r.Action(action_id=99))), "INVALID_ARGUMENT"),
    "action of another table": (bridge(1, MARK), "INVALID_ARGUMENT"),
    "action profile member": (bridge(1, p4r.TableAction(action_profile_member_id=1)), "INVALID_ARGUMENT"),
    "parameter missing": (bridge(1, action("forward")), "INVALID_ARGUMENT"),
    "parameter too many": (bridge(1, action("forward", 1, 2)), "INVALID_ARGUMENT"),
    "parameter twice": (
        bridge(
            1,
            p4r.TableAction(
                action=p4r.Action(
                    action_id=service.id_of("forward"),
                    params=[p4r.Action.Param(param_id=1, value=b"\x01")] * 2,
                )
            ),
        ),
        "INVALID_ARGUMENT",
    ),
    "parameter too wide": (bridge(1, action("forward", 512)), "OUT_OF_RANGE"),
    "priority where there is none": (bridge(1, FORWARD, priority=1), "INVALID_ARGUMENT"),
    "priority missing": (table_entry("acl", do=MARK), "INVALID_ARGUMENT"),
    "priority negative": (table_entry("acl", do=MARK, priority=-1), "INVALID_ARGUMENT"),
    "lpm of length 0": (table_entry("routes", lpm(1, 0, 0), do=MARK), "INVALID_ARGUMENT"),
    "lpm too long": (table_entry("routes", lpm(1, 0, 49), do=MARK), "INVALID_ARGUMENT"),
    "lpm with bits behind the prefix": (table_entry("routes", lpm(1, 1, 8), do=MARK), "INVALID_ARGUMENT"),
    "ternary mask 0": (table_entry("acl", ternary(1, 0, 0), do=MARK, priority=1), "INVALID_ARGUMENT"),
    "ternary bits outside the mask": (
        table_entry("acl", ternary(1, 3, 1), do=MARK, priority=1),
        "INVALID_ARGUMENT",
    ),
    "range upside down": (table_entry("acl", between(3, 2, 1), do=MARK, priority=1), "INVALID_ARGUMENT"),
    "range of everything": (table_entry("acl", between(3, 0, 511), do=MARK, priority=1), "INVALID_ARGUMENT"),
    "constant table": (table_entry("fixed", ternary(1, 5, 5), do=MARK, priority=9), "PERMISSION_DENIED"),
    "action for defaults only": (table_entry("scoped", exact(1, 1), do=action("drop")), "PERMISSION_DENIED"),
    "keyless table": (table_entry("keyless", do=MARK), "INVALID_ARGUMENT"),
    "default entry": (default("bridge", action("drop")), "INVALID_ARGUMENT"),
    "is_const": (bridge(1, FORWARD, is_const=True), "INVALID_ARGUMENT"),
    "idle timeout": (bridge(1, FORWARD, idle_timeout_ns=1), "INVALID_ARGUMENT"),
    "time since last hit": (
        bridge(1, FORWARD, time_since_last_hit=p4r.TableEntry.IdleTimeout()),
        "INVALID_ARGUMENT",
    ),
    "meter": (bridge(1, FORWARD, meter_config=p4r.MeterConfig(cir=1)), "INVALID_ARGUMENT"),
    "counter where there is none": (
        table_entry("small", exact(1, 1), do=MARK, counter_data=counts(1, 1)),
        "INVALID_ARGUMENT",
    ),
    "negative counter": (bridge(1, FORWARD, counter_data=counts(-1, 1)), "INVALID_ARGUMENT"),
    "action profile": (
        p4r.Entity(action_profile_member=p4r.ActionProfileMember(action_profile_id=1)),
        "INVALID_ARGUMENT",
    ),
    "meter entry": (p4r.Entity(meter_entry=p4r.MeterEntry(meter_id=1)), "INVALID_ARGUMENT"),
    "extern": (p4r.Entity(extern_entry=p4r.ExternEntry(extern_id=1)), "UNIMPLEMENTED"),
}


@pytest.mark.parametrize(("entity", "code"), WRONG_INSERTS.values(), ids=WRONG_INSERTS.keys())
def test_a_wrong_insert_is_refused_and_the_others_are_done(
    entity: p4r.Entity, code: str, client: Client
) -> None:
    before, after = bridge(1001, FORWARD), bridge(1002, FORWARD)
    constant = client.read(p4r.Entity(table_entry=p4r.TableEntry(table_id=service.id_of("fixed"))))
    assert codes(lambda: client.insert(before, entity, after)) == ["OK", code, "OK"]
    everything = client.read(p4r.Entity(table_entry=p4r.TableEntry()))
    assert sorted(e.SerializeToString() for e in everything) == sorted(
        e.SerializeToString() for e in [*constant, before, after]
    )


def test_each_refusal_says_why(client: Client) -> None:
    with pytest.raises(Refused) as caught:
        client.insert(GOOD, bridge(1 << 48, FORWARD))
    done, refused = caught.value.details
    assert done == p4r.Error()
    assert refused.message == (
        "ServiceIngress.bridge: match field destination: 0x1000000000000 does not fit within 48 bits"
    )
    assert caught.value.text.startswith("1 of 2 updates failed; the first: ServiceIngress.bridge")


def test_an_update_needs_a_type(client: Client) -> None:
    assert codes(lambda: client.write_updates(p4r.Update(entity=GOOD))) == ["INVALID_ARGUMENT"]


def test_no_update_is_no_error(client: Client) -> None:
    client.write_updates()


def test_a_large_batch_of_errors_still_has_its_details(client: Client) -> None:
    """The details travel in a header, of at most 64 KiB for finsy."""
    entries = [bridge(n, action("forward")) for n in range(1000)]
    with pytest.raises(Refused) as caught:
        client.insert(*entries)
    assert caught.value.codes == ["INVALID_ARGUMENT"] * 1000
    assert sum(detail.ByteSize() + 40 for detail in caught.value.details) < 64 * 1024


# ---- Insert, modify, delete ----


def test_an_entry_exists_once(client: Client) -> None:
    client.insert(GOOD)
    other = bridge(1, action("forward", 2))
    assert codes(lambda: client.insert(other)) == ["ALREADY_EXISTS"]
    assert client.read(table_entry("bridge")) == [GOOD]


def test_priority_is_part_of_the_key(client: Client) -> None:
    entries = [table_entry("acl", optional(2, 5), do=MARK, priority=p) for p in (2, 1)]
    client.insert(*entries)
    assert client.read(table_entry("acl")) == entries


def test_modify_and_delete_need_an_entry(client: Client) -> None:
    assert codes(lambda: client.modify(GOOD)) == ["NOT_FOUND"]
    assert codes(lambda: client.modify(bridge(1))) == ["NOT_FOUND"]
    assert codes(lambda: client.delete(GOOD)) == ["NOT_FOUND"]


def test_modify_changes_action_and_metadata(switch: Running, client: Client) -> None:
    client.insert(bridge(1, FORWARD, metadata=b"one"))
    changed = bridge(1, action("forward", 2), metadata=b"two")
    client.modify(changed)
    assert client.read(table_entry("bridge")) == [changed]
    packet = service.frame(1)
    assert switch.data_plane.receive(3, packet) == [(2, packet)]


def test_modify_without_an_action_keeps_it(client: Client) -> None:
    client.insert(GOOD)
    client.modify(bridge(1, metadata=b"new"))
    assert client.read(table_entry("bridge")) == [bridge(1, FORWARD, metadata=b"new")]


def test_delete_looks_at_the_key_only(client: Client) -> None:
    client.insert(GOOD)
    nonsense = bridge(1, p4r.TableAction(action=p4r.Action(action_id=99)), idle_timeout_ns=-5, is_const=True)
    client.delete(nonsense)
    assert client.read(table_entry("bridge")) == []


def test_metadata_goes_with_its_entry(client: Client) -> None:
    client.insert(bridge(1, FORWARD, metadata=b"one"))
    client.delete(bridge(1))
    client.insert(GOOD)
    assert client.read(table_entry("bridge")) == [GOOD]


def test_a_full_table_says_so(client: Client) -> None:
    entries = [table_entry("small", exact(1, n), do=MARK) for n in range(3)]
    assert codes(lambda: client.insert(*entries)) == ["OK", "OK", "RESOURCE_EXHAUSTED"]


def test_updates_are_done_in_order(client: Client) -> None:
    updates = [
        p4r.Update(type=p4r.Update.INSERT, entity=GOOD),
        p4r.Update(type=p4r.Update.DELETE, entity=GOOD),
        p4r.Update(type=p4r.Update.INSERT, entity=bridge(1, action("forward", 2))),
    ]
    client.write_updates(*updates)
    assert client.read(table_entry("bridge")) == [bridge(1, action("forward", 2))]


# ---- Default entries ----


def test_the_default_action_of_the_program(client: Client) -> None:
    assert client.read(default("bridge")) == [default("bridge", action("drop"))]
    assert client.read(default("routes")) == [default("routes", action("NoAction"))]


def test_the_default_action_can_be_changed_and_reset(switch: Running, client: Client) -> None:
    packet = service.frame(5)
    changed = default("bridge", action("forward", 4), metadata=b"mine")
    client.modify(changed)
    assert client.read(default("bridge")) == [changed]
    assert switch.data_plane.receive(1, packet) == [(4, packet)]
    client.modify(default("bridge"))
    assert client.read(default("bridge")) == [default("bridge", action("drop"))]
    assert switch.data_plane.receive(1, packet) == []


def test_a_keyless_table_has_a_default_action(client: Client) -> None:
    client.modify(default("keyless", MARK))
    assert client.read(default("keyless")) == [default("keyless", MARK)]


@pytest.mark.parametrize(
    ("entity", "code"),
    [
        (default("constant_default", MARK), "PERMISSION_DENIED"),
        (default("constant_default"), "PERMISSION_DENIED"),
        (default("scoped", MARK), "PERMISSION_DENIED"),
        (default("bridge", FORWARD, priority=1), "INVALID_ARGUMENT"),
        (table_entry("bridge", exact(1, 1), do=FORWARD, is_default_action=True), "INVALID_ARGUMENT"),
        (default("bridge", action("forward")), "INVALID_ARGUMENT"),
        (default("bridge", FORWARD, counter_data=counts(1, 1)), "UNIMPLEMENTED"),
    ],
    ids=["constant", "constant, reset", "scope", "priority", "match", "parameters", "counter"],
)
def test_a_wrong_default_is_refused(entity: p4r.Entity, code: str, client: Client) -> None:
    assert codes(lambda: client.modify(entity)) == [code]


def test_the_default_entry_cannot_be_deleted(client: Client) -> None:
    assert codes(lambda: client.delete(default("bridge"))) == ["INVALID_ARGUMENT"]


def test_a_constant_default_is_marked(client: Client) -> None:
    assert client.read(default("constant_default")) == [
        default("constant_default", action("mark", 9), is_const=True)
    ]


# ---- Constant tables ----

# The reference switch counts the priorities of a program's own entries down from the highest number.
FIRST, SECOND = (1 << 31) - 2, (1 << 31) - 3

FIXED = [
    table_entry("fixed", ternary(1, 0x0800, 0xFFFF), do=action("mark", 1), priority=FIRST, is_const=True),
    table_entry("fixed", do=action("mark", 2), priority=SECOND, is_const=True),
]


def test_constant_entries_can_be_read(client: Client) -> None:
    assert client.read(table_entry("fixed")) == FIXED


def test_constant_entries_cannot_be_changed(client: Client) -> None:
    entry = table_entry("fixed", ternary(1, 0x0800, 0xFFFF), do=MARK, priority=FIRST)
    assert codes(lambda: client.modify(entry)) == ["PERMISSION_DENIED"]
    assert codes(lambda: client.delete(entry)) == ["PERMISSION_DENIED"]
    assert client.read(table_entry("fixed")) == FIXED


def test_the_counters_of_constant_entries_can_be_set(client: Client) -> None:
    key = table_entry("fixed", ternary(1, 0x0800, 0xFFFF), priority=FIRST)
    client.modify(table_entry("fixed", ternary(1, 0x0800, 0xFFFF), priority=FIRST, counter_data=counts(3, 4)))
    assert client.read(service.direct_counter(key)) == [service.direct_counter(key, counts(3, 4))]


# ---- Reading ----


def test_all_tables_at_once(client: Client) -> None:
    route = table_entry("routes", lpm(1, 0, 8), do=MARK)
    client.insert(GOOD, route)
    found = client.read(p4r.Entity(table_entry=p4r.TableEntry()))
    assert sorted(e.SerializeToString() for e in found) == sorted(
        e.SerializeToString() for e in [GOOD, route, *FIXED]
    )


def test_all_default_entries_at_once(client: Client) -> None:
    found = client.read(p4r.Entity(table_entry=p4r.TableEntry(is_default_action=True)))
    assert {e.table_entry.table_id for e in found} == {table.preamble.id for table in service.P4INFO.tables}


def test_entries_can_be_filtered(client: Client) -> None:
    one = table_entry("acl", optional(2, 1), do=MARK, priority=1, metadata=b"a")
    two = table_entry("acl", optional(2, 1), do=action("drop"), priority=2, controller_metadata=5)
    three = table_entry("acl", optional(2, 3), do=MARK, priority=2)
    client.insert(one, two, three)

    def found(
        *match: p4r.FieldMatch, do: p4r.TableAction | None = None, **fields: object
    ) -> list[p4r.Entity]:
        return client.read(table_entry("acl", *match, do=do, **fields))

    assert found(priority=2) == [two, three]
    assert found(optional(2, 1)) == [two, one]
    assert found(optional(2, 1), priority=1) == [one]
    assert found(optional(2, 3), priority=1) == []
    assert found(metadata=b"a") == [one]
    assert found(controller_metadata=5) == [two]
    just_the_action = p4r.TableAction(action=p4r.Action(action_id=service.id_of("mark")))
    assert found(do=just_the_action) == [three, one]
    assert found(do=just_the_action, priority=2) == [three]


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        (p4r.Entity(), "INVALID_ARGUMENT"),
        (p4r.Entity(table_entry=p4r.TableEntry(table_id=99)), "INVALID_ARGUMENT"),
        (p4r.Entity(table_entry=p4r.TableEntry(priority=1)), "INVALID_ARGUMENT"),
        (table_entry("bridge", exact(2, 1)), "INVALID_ARGUMENT"),
        (bridge(1, MARK), "INVALID_ARGUMENT"),
        (table_entry("small", counter_data=p4r.CounterData()), "INVALID_ARGUMENT"),
        (table_entry("bridge", time_since_last_hit=p4r.TableEntry.IdleTimeout()), "INVALID_ARGUMENT"),
        (p4r.Entity(action_profile_member=p4r.ActionProfileMember(action_profile_id=5)), "INVALID_ARGUMENT"),
    ],
)
def test_a_wrong_read_is_refused_and_the_others_are_answered(
    wanted: p4r.Entity, code: str, client: Client
) -> None:
    client.insert(GOOD)
    found = []
    with pytest.raises(Refused) as caught:
        for message in client.read_messages(table_entry("bridge"), wanted, table_entry("fixed")):
            found += message.entities
    assert found == [GOOD, *FIXED]
    assert caught.value.code == grpc.StatusCode.UNKNOWN
    assert caught.value.codes == ["OK", code, "OK"]


def test_kinds_that_no_program_has_are_none(client: Client) -> None:
    """Controllers read all of everything, to clear a switch."""
    assert (
        client.read(
            p4r.Entity(action_profile_member=p4r.ActionProfileMember()),
            p4r.Entity(action_profile_group=p4r.ActionProfileGroup()),
            p4r.Entity(meter_entry=p4r.MeterEntry()),
            p4r.Entity(extern_entry=p4r.ExternEntry()),
        )
        == []
    )


def test_long_answers_come_in_pieces(client: Client) -> None:
    entries = [bridge(n, FORWARD) for n in range(2500)]
    client.insert(*entries)
    sizes = [len(message.entities) for message in client.read_messages(table_entry("bridge"))]
    assert sizes == [ENTITIES_PER_RESPONSE, ENTITIES_PER_RESPONSE, 500]


def test_reading_needs_no_stream(switch: Running, client: Client) -> None:
    with switch.client(0) as reader:
        assert reader.read(table_entry("fixed")) == FIXED
