"""Value sets: what the control plane gives to the parser."""

from collections.abc import Iterator

import pytest

from switch.engine import BadEntry, Engine, EntryExists, NoSuchEntry, TableFull, Ternary, ValueSet
from tests.switch.json_programs import Json, const, encoded, field, program

ALL = (1 << 24) - 1


@pytest.fixture
def engine() -> Iterator[Engine]:
    """Selects on h.a (16 bits) and h.b (8 bits); h.r becomes 1 for a member of `known`, else stays."""
    config = program({"h_t": [["a", 16, False], ["b", 8, False], ["r", 8, False]]}, [])
    config["parse_vsets"] = [{"name": "known", "id": 0, "compressed_bitwidth": 24, "max_size": 3}]
    (start,) = config["parsers"][0]["parse_states"]
    start["transition_key"] = [field("h", "a"), field("h", "b")]
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
    config["parsers"][0]["parse_states"].append(found)
    engine = Engine.load(encoded(config))
    yield engine
    engine.close()


@pytest.fixture
def known(engine: Engine) -> ValueSet:
    return engine.value_sets["known"]


def is_member(engine: Engine, value: int) -> bool:
    ((_, sent),) = engine.process(0, value.to_bytes(3, "big") + bytes(1))
    return sent[3] == 1


def test_members_come_and_go(engine: Engine, known: ValueSet) -> None:
    assert (known.bits, known.size, known.members()) == (24, 3, [])
    assert not is_member(engine, 0x123456)
    known.insert(Ternary(0x123456, ALL))
    assert is_member(engine, 0x123456)
    assert not is_member(engine, 0x123457)
    known.delete(Ternary(0x123456, ALL))
    assert not is_member(engine, 0x123456)


def test_masks_leave_parts_open(engine: Engine, known: ValueSet) -> None:
    known.insert(Ternary(0x120056, 0xFF00FF))
    assert is_member(engine, 0x12AB56)
    assert not is_member(engine, 0x12AB57)


def test_the_whole_set_at_once(engine: Engine, known: ValueSet) -> None:
    known.replace([Ternary(1, ALL), Ternary(2, ALL)])
    known.replace([Ternary(2, ALL), Ternary(3, ALL)])
    assert [is_member(engine, value) for value in (1, 2, 3)] == [False, True, True]
    assert known.members() == [Ternary(2, ALL), Ternary(3, ALL)]
    known.replace([])
    assert known.members() == []


def test_impossible_requests_change_nothing(known: ValueSet) -> None:
    known.insert(Ternary(1, ALL))
    for error, attempt in (
        (EntryExists, lambda: known.insert(Ternary(1, ALL))),
        (NoSuchEntry, lambda: known.delete(Ternary(2, ALL))),
        (BadEntry, lambda: known.insert(Ternary(2, 1))),
        (BadEntry, lambda: known.insert(Ternary(0, 1 << 24))),
        (TableFull, lambda: known.replace([Ternary(n, ALL) for n in range(4)])),
        (BadEntry, lambda: known.replace([Ternary(2, ALL), Ternary(2, 1)])),
    ):
        with pytest.raises(error):
            attempt()
    assert known.members() == [Ternary(1, ALL)]


def test_a_full_set(known: ValueSet) -> None:
    for value in range(3):
        known.insert(Ternary(value, ALL))
    with pytest.raises(TableFull, match="known has 3 members already, which is its size"):
        known.insert(Ternary(3, ALL))
