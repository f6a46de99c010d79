"""Lookups agree with the obvious way of doing them, through random insertions, changes and deletions."""

from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from switch.engine import Engine, Entry, Exact, Lpm, Match, Range, Ternary
from tests.switch.engines import Layout, load

QUERY = Layout({"which": 8, "a": 32, "b": 16, "c": 8, "wide": 128, "result": 32, "path": 8})

LPM_32, LPM_128, MASKED, MIXED = 3, 4, 5, 6
WIDE = 128

BASES = (0, 0x0A000000, 0x0A0B0C0D, 0xFFFFFFFF, 0x80000001)
"""Few values, so that prefixes nest and masks overlap."""

Packet = dict[str, int]
Model = dict[tuple[tuple[Match, ...], int], int]

searching = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = load("tables")
    yield engine
    engine.close()


def prefixes(bits: int) -> st.SearchStrategy[Lpm]:
    def cut(value: int, length: int) -> Lpm:
        return Lpm(value >> (bits - length) << (bits - length), length)

    values = st.sampled_from([base << (bits - 32) | base for base in BASES]) | st.integers(0, (1 << bits) - 1)
    return st.builds(cut, values, st.integers(0, bits))


def ternaries(bits: int) -> st.SearchStrategy[Ternary]:
    full = (1 << bits) - 1
    masks = st.sampled_from([0, full, full >> 4 << 4, 1, full >> bits // 2]) | st.integers(0, full)
    values = st.sampled_from(BASES) | st.integers(0, full)
    return st.builds(lambda value, mask: Ternary(value & mask, mask), values, masks)


ranges = st.builds(
    lambda a, b: Range(min(a, b), max(a, b)),
    st.integers(0, 9) | st.integers(0, 0xFFFF),
    st.integers(0, 9) | st.integers(0, 0xFFFF),
)

packets = st.fixed_dictionaries(
    {
        "a": st.sampled_from(BASES) | st.integers(0, 0xFFFFFFFF),
        "b": st.integers(0, 9) | st.integers(0, 0xFFFF),
        "c": st.integers(0, 2),
        "wide": st.sampled_from([base << 96 | base for base in BASES]) | st.integers(0, (1 << WIDE) - 1),
    }
)


def matches(match: Match, value: int, bits: int) -> bool:
    match match:
        case Exact(wanted):
            return value == wanted
        case Lpm(wanted, length):
            return value >> (bits - length) == wanted >> (bits - length)
        case Ternary(wanted, mask):
            return value & mask == wanted
        case Range(low, high):
            return low <= value <= high


def expected(
    model: Model, fields: list[str], packet: Packet, rank: Callable[[tuple[Match, ...], int], int]
) -> int:
    """The best of all entries that match; of equal ones the oldest."""
    best, result = -1, 0
    for (match, priority), value in model.items():
        hit = all(matches(m, packet[f], QUERY.fields[f]) for m, f in zip(match, fields, strict=True))
        if hit and rank(match, priority) > best:
            best, result = rank(match, priority), value
    return result


def check(
    engine: Engine,
    table: tuple[int, str, str, list[str]],
    entries: list[tuple[tuple[Match, ...], int]],
    queries: list[Packet],
    rank: Callable[[tuple[Match, ...], int], int],
) -> None:
    """Inserts what is new and modifies what is not, then takes half away, and compares after each step."""
    which, name, action, fields = table
    model: Model = {}

    def compare() -> None:
        for packet in queries:
            ((_, sent),) = engine.process(1, QUERY.pack(which=which, **packet))
            assert QUERY.unpack(sent)["result"] == expected(model, fields, packet, rank)

    try:
        for result, (match, priority) in enumerate(entries, start=1):
            change = engine.modify if (match, priority) in model else engine.insert
            change(name, Entry(match, priority, action, (result,)))
            model[match, priority] = result
        compare()
        for match, priority in list(model)[::2]:
            engine.delete(name, match, priority)
            del model[match, priority]
        compare()
    finally:
        for match, priority in model:
            engine.delete(name, match, priority)


def longest(match: tuple[Match, ...], priority: int) -> int:
    return max(m.prefix_len for m in match if isinstance(m, Lpm))


def by_priority(match: tuple[Match, ...], priority: int) -> int:
    return priority


@searching
@given(st.lists(prefixes(32), max_size=30), st.lists(packets, max_size=20))
def test_longest_prefix(engine: Engine, found: list[Lpm], queries: list[Packet]) -> None:
    table = (LPM_32, "MyIngress.lpm_32", "MyIngress.give", ["a"])
    check(engine, table, [((p,), 0) for p in found], queries, longest)


@searching
@given(st.lists(st.tuples(st.integers(0, 3), prefixes(WIDE)), max_size=30), st.lists(packets, max_size=20))
def test_longest_prefix_of_128_bits(
    engine: Engine, found: list[tuple[int, Lpm]], queries: list[Packet]
) -> None:
    table = (LPM_128, "MyIngress.lpm_128", "MyIngress.give", ["b", "wide"])
    check(engine, table, [((Exact(b), p), 0) for b, p in found], queries, longest)


@searching
@given(
    st.lists(
        st.tuples(st.tuples(ternaries(32), ternaries(16), ternaries(WIDE)), st.integers(0, 5)), max_size=30
    ),
    st.lists(packets, max_size=20),
)
def test_ternary(engine: Engine, found: list[tuple[tuple[Ternary, ...], int]], queries: list[Packet]) -> None:
    table = (MASKED, "MyIngress.masked", "MyIngress.counted_ternary", ["a", "b", "wide"])
    check(engine, table, list(found), queries, by_priority)


@searching
@given(
    st.lists(
        st.tuples(
            st.tuples(prefixes(32), ranges, st.builds(Exact, st.integers(0, 2)), ternaries(WIDE)),
            st.integers(0, 5),
        ),
        max_size=30,
    ),
    st.lists(packets, max_size=20),
)
def test_mixed(engine: Engine, found: list[tuple[tuple[Match, ...], int]], queries: list[Packet]) -> None:
    table = (MIXED, "MyIngress.mixed", "MyIngress.give", ["a", "b", "c", "wide"])
    check(engine, table, found, queries, by_priority)
