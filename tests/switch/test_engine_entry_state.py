"""What entries gather beside their action: direct meters and idle timeouts, in virtual time."""

from collections.abc import Iterator

import pytest

from switch.engine import BadEntry, Engine, Entry, Exact, NoSuchEntry, Rates
from tests.switch.json_programs import Json, encoded, program, with_table

SECOND = 1_000_000
KEY, OTHER = (Exact(1),), (Exact(2),)
GREEN, YELLOW, RED = 0, 1, 2
NEVER_WRITTEN = 9


def config() -> Json:
    """h.a is the key, h.b what the action sets, h.color where the meter writes."""
    made = with_table(
        program({"h_t": [["a", 16, False], ["b", 16, False], ["color", 8, False]]}, []),
        direct_meters="speed",
        support_timeout=True,
        with_counters=True,
    )
    made["meter_arrays"] = [
        {
            "name": "speed",
            "id": 0,
            "is_direct": True,
            "rate_count": 2,
            "type": "packets",
            "binding": "t",
            "result_target": ["h", "color"],
        }
    ]
    return made


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine.load(encoded(config()))
    engine.process(0, packet(0), now=0)
    for key in (KEY, OTHER):
        engine.insert("t", Entry(key, 0, "set_b", (7,)))
    yield engine
    engine.close()


def packet(a: int) -> bytes:
    return a.to_bytes(2, "big") + bytes(2) + bytes([NEVER_WRITTEN])


def color(engine: Engine, a: int, now: int) -> int:
    ((_, sent),) = engine.process(0, packet(a), now=now)
    return sent[4]


def test_colours_of_one_entry(engine: Engine) -> None:
    rates = Rates(cir=1, cburst=1, pir=2, pburst=3)
    engine.direct_meter_write("t", KEY, 0, rates)
    assert engine.direct_meter_read("t", KEY) == rates
    assert [color(engine, 1, SECOND) for _ in range(4)] == [GREEN, YELLOW, YELLOW, RED]
    assert [color(engine, 2, SECOND) for _ in range(4)] == [GREEN] * 4
    assert color(engine, 1, 2 * SECOND) == GREEN


def test_a_miss_leaves_the_result_alone(engine: Engine) -> None:
    """As simple_switch has it: without an entry there is no meter."""
    assert color(engine, 5, SECOND) == NEVER_WRITTEN


def test_the_meter_outlives_a_modification_and_not_a_deletion(engine: Engine) -> None:
    engine.direct_meter_write("t", KEY, 0, Rates(0, 1, 0, 1))
    assert color(engine, 1, SECOND) == GREEN
    engine.modify("t", Entry(KEY, 0, "set_b", (8,)))
    assert color(engine, 1, SECOND) == RED
    assert engine.direct_meter_read("t", KEY) == Rates(0, 1, 0, 1)
    engine.delete("t", KEY)
    engine.insert("t", Entry(KEY, 0, "set_b", (8,)))
    assert color(engine, 1, SECOND) == GREEN
    assert engine.direct_meter_read("t", KEY) is None


def test_back_to_green(engine: Engine) -> None:
    engine.direct_meter_write("t", KEY, 0, Rates(0, 0, 0, 0))
    assert color(engine, 1, SECOND) == RED
    engine.direct_meter_write("t", KEY, 0, None)
    assert color(engine, 1, SECOND) == GREEN


def test_impossible_meters(engine: Engine) -> None:
    with pytest.raises(NoSuchEntry):
        engine.direct_meter_write("t", (Exact(5),), 0, None)
    with pytest.raises(BadEntry, match="above the peak rate"):
        engine.direct_meter_write("t", KEY, 0, Rates(2, 1, 1, 1))
    with pytest.raises(BadEntry, match="speed is a direct meter"):
        engine.meters["speed"].read(0)


def expired(engine: Engine) -> list[int]:
    """The keys of the entries whose timeout is over, at the time of the last packet."""
    return [entry.match[0].value for _, entry in engine.expired()]  # type: ignore[union-attr]


def test_an_idle_entry_is_named_once_for_each_timeout(engine: Engine) -> None:
    engine.modify("t", Entry(KEY, 0, "set_b", (7,), idle_timeout_ns=2 * SECOND * 1000))
    named = {}
    for second in range(1, 8):
        engine.process(0, packet(0), now=second * SECOND)
        named[second] = expired(engine)
    assert named == {1: [], 2: [1], 3: [], 4: [1], 5: [], 6: [1], 7: []}


def test_a_hit_begins_the_timeout_anew(engine: Engine) -> None:
    engine.modify("t", Entry(KEY, 0, "set_b", (7,), idle_timeout_ns=2 * SECOND * 1000))
    for second in (1, 2, 3):
        engine.process(0, packet(1), now=second * SECOND)
        assert expired(engine) == []
    assert engine.time_since_hit("t", KEY) == 0
    engine.process(0, packet(0), now=4 * SECOND)
    assert engine.time_since_hit("t", KEY) == SECOND
    assert expired(engine) == []
    engine.process(0, packet(0), now=5 * SECOND)
    assert expired(engine) == [1]
    engine.process(0, packet(1), now=6 * SECOND)
    assert expired(engine) == []


def test_entries_without_a_timeout_never_expire(engine: Engine) -> None:
    engine.process(0, packet(0), now=1000 * SECOND)
    assert expired(engine) == []


def test_an_insertion_counts_as_a_hit(engine: Engine) -> None:
    engine.process(0, packet(0), now=10 * SECOND)
    engine.insert("t", Entry((Exact(3),), 0, "set_b", (7,), idle_timeout_ns=SECOND * 1000))
    assert engine.time_since_hit("t", (Exact(3),)) == 0
    assert expired(engine) == []


def test_timeouts_where_the_program_has_none() -> None:
    made = config()
    made["pipelines"][0]["tables"][0]["support_timeout"] = False
    engine = Engine.load(encoded(made))
    with pytest.raises(BadEntry, match="the entries of t have no idle timeout"):
        engine.insert("t", Entry(KEY, 0, "set_b", (7,), idle_timeout_ns=1))
    engine.insert("t", Entry(KEY, 0, "set_b", (7,)))
    with pytest.raises(BadEntry, match="t keeps no time of hits"):
        engine.time_since_hit("t", KEY)
    engine.close()
