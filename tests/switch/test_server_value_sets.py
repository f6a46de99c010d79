"""Parser value sets over P4Runtime."""

from collections.abc import Callable, Iterator

import pytest
from finsy.proto import p4i, p4r
from google.protobuf import text_format

from switch.p4info import P4InfoError, Schema
from tests.switch.client import Client
from tests.switch.conftest import Running
from tests.switch.json_programs import Json, const, encoded, field, program
from tests.switch.test_server_atomicity import refused, update
from tests.switch.test_server_state import codes

SET = 1

P4INFO = f"""
    value_sets {{
        preamble {{ id: {SET} name: "known" alias: "known" }}
        match {{ id: 1 name: "a" bitwidth: 16 match_type: LPM }}
        match {{ id: 2 name: "b" bitwidth: 8 match_type: EXACT }}
        match {{ id: 3 name: "c" bitwidth: 8 match_type: TERNARY }}
        size: 3
    }}
"""


def description() -> Json:
    """Selects on h.a, h.b and h.c; h.r becomes 1 for a member of `known`, else stays."""
    made = program({"h_t": [["a", 16, False], ["b", 8, False], ["c", 8, False], ["r", 8, False]]}, [])
    made["parse_vsets"] = [{"name": "known", "id": 0, "compressed_bitwidth": 32, "max_size": 3}]
    (start,) = made["parsers"][0]["parse_states"]
    start["transition_key"] = [field("h", name) for name in "abc"]
    start["transitions"].insert(
        0, {"type": "parse_vset", "value": "known", "mask": None, "next_state": "found"}
    )
    found: Json = {
        "name": "found",
        "id": 1,
        "parser_ops": [{"op": "set", "parameters": [field("h", "r"), const(1)]}],
        "transitions": [{"type": "default", "value": None, "mask": None, "next_state": None}],
        "transition_key": [],
    }
    made["parsers"][0]["parse_states"].append(found)
    return made


CONFIG = p4r.ForwardingPipelineConfig(
    p4info=text_format.Parse(P4INFO, p4i.P4Info()), p4_device_config=encoded(description())
)


@pytest.fixture
def primary(switch: Running) -> Iterator[Client]:
    with switch.client() as client:
        client.become_primary()
        client.set_pipeline(CONFIG)
        yield client


def member(b: int, a: tuple[int, int] | None = None, c: tuple[int, int] | None = None) -> p4r.ValueSetMember:
    """b: exact. a: value and prefix length, c: value and mask; None: any."""
    fields = [p4r.FieldMatch(field_id=2, exact=p4r.FieldMatch.Exact(value=bytes([b])))]
    if a is not None:
        value = a[0].to_bytes(2 if a[0] > 255 else 1, "big")
        lpm = p4r.FieldMatch.LPM(value=value, prefix_len=a[1])
        fields.insert(0, p4r.FieldMatch(field_id=1, lpm=lpm))
    if c is not None:
        ternary = p4r.FieldMatch.Ternary(value=bytes([c[0]]), mask=bytes([c[1]]))
        fields.append(p4r.FieldMatch(field_id=3, ternary=ternary))
    return p4r.ValueSetMember(match=fields)


def value_set(*members: p4r.ValueSetMember, id: int = SET) -> p4r.Entity:
    return p4r.Entity(value_set_entry=p4r.ValueSetEntry(value_set_id=id, members=members))


def is_member(switch: Running, a: int, b: int, c: int) -> bool:
    ((_, sent),) = switch.data_plane.receive(0, a.to_bytes(2, "big") + bytes([b, c, 0]))
    return sent[4] == 1


def test_the_parser_knows_the_members(switch: Running, primary: Client) -> None:
    assert not is_member(switch, 0x1234, 5, 6)
    primary.modify(value_set(member(5, a=(0x1200, 8)), member(7, c=(0x10, 0xF0))))
    assert is_member(switch, 0x1234, 5, 6)
    assert not is_member(switch, 0x1334, 5, 6)
    assert not is_member(switch, 0x1234, 6, 6)
    assert is_member(switch, 0, 7, 0x1F)
    assert not is_member(switch, 0, 7, 0x2F)
    primary.modify(value_set(member(7, c=(0x10, 0xF0))))
    assert not is_member(switch, 0x1234, 5, 6)
    primary.modify(value_set())
    assert not is_member(switch, 0, 7, 0x1F)


def test_members_are_read_as_they_were_written(primary: Client) -> None:
    assert primary.read(value_set()) == [value_set()]
    written = value_set(member(5, a=(0x1200, 8)), member(7, c=(0x10, 0xF0)), member(0))
    primary.modify(written)
    assert primary.read(value_set()) == [written]
    assert primary.read(value_set(id=0)) == [written]


def changed(change: Callable[[p4r.ValueSetMember], object]) -> p4r.Entity:
    wrong = member(5, a=(0x1200, 8))
    change(wrong)
    return value_set(wrong)


WRONG: dict[str, tuple[Callable[[Client], object], str]] = {
    "insert": (lambda c: c.insert(value_set(member(1))), "INVALID_ARGUMENT"),
    "delete": (lambda c: c.delete(value_set()), "INVALID_ARGUMENT"),
    "an unknown set": (lambda c: c.modify(value_set(id=9)), "INVALID_ARGUMENT"),
    "read an unknown set": (lambda c: c.read(value_set(id=9)), "INVALID_ARGUMENT"),
    "too many": (lambda c: c.modify(value_set(*map(member, range(4)))), "RESOURCE_EXHAUSTED"),
    "a member twice": (lambda c: c.modify(value_set(member(1), member(1))), "ALREADY_EXISTS"),
    "a field twice": (
        lambda c: c.modify(changed(lambda m: m.match.append(m.match[0]))),
        "INVALID_ARGUMENT",
    ),
    "an unknown field": (
        lambda c: c.modify(changed(lambda m: setattr(m.match[0], "field_id", 9))),
        "INVALID_ARGUMENT",
    ),
    "a missing field": (lambda c: c.modify(changed(lambda m: m.match.pop(1))), "INVALID_ARGUMENT"),
    "another kind of match": (
        lambda c: c.modify(changed(lambda m: m.match[1].ternary.SetInParent())),
        "INVALID_ARGUMENT",
    ),
    "a value too wide": (
        lambda c: c.modify(changed(lambda m: setattr(m.match[1].exact, "value", b"\x01\x00"))),
        "OUT_OF_RANGE",
    ),
}


@pytest.mark.parametrize(("attempt", "code"), WRONG.values(), ids=WRONG.keys())
def test_wrong_sets(attempt: Callable[[Client], object], code: str, primary: Client) -> None:
    primary.modify(value_set(member(1)))
    assert codes(lambda: attempt(primary)) == [code]
    assert primary.read(value_set()) == [value_set(member(1))]


def test_a_batch_that_fails_leaves_the_members(primary: Client) -> None:
    primary.modify(value_set(member(1)))
    failing = update(p4r.Update.MODIFY, value_set(id=9))
    changing = update(p4r.Update.MODIFY, value_set(member(2)))
    assert refused(primary, "ROLLBACK_ON_ERROR", changing, failing) == ["ABORTED", "INVALID_ARGUMENT"]
    assert primary.read(value_set()) == [value_set(member(1))]


def test_reconciling_keeps_them(switch: Running, primary: Client) -> None:
    primary.modify(value_set(member(1)))
    other = p4r.ForwardingPipelineConfig()
    other.CopyFrom(CONFIG)
    other.p4_device_config += b"\n"
    primary.set_pipeline(other, "RECONCILE_AND_COMMIT")
    assert primary.read(value_set()) == [value_set(member(1))]
    assert is_member(switch, 0, 1, 0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: setattr(f, "match_type", p4i.MatchField.RANGE), "a is a range"),
        (lambda f: setattr(f, "bitwidth", 0), "a has no bit width"),
    ],
)
def test_a_p4info_of_what_it_cannot_do(change: Callable[[p4i.MatchField], object], says: str) -> None:
    p4info = text_format.Parse(P4INFO, p4i.P4Info())
    change(p4info.value_sets[0].match[0])
    with pytest.raises(P4InfoError, match=says):
        Schema.parse(p4info)
