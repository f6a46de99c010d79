"""Ranges of more than 64 bits, and keys of more than 1024: found as the obvious way of looking finds them."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.engine import Engine, Entry, Exact, LoadError, Match, Range, Ternary
from tests.switch.engines import Layout
from tests.switch.json_programs import encoded, program, with_table
from tests.switch.test_engine_lookup_property import matches, searching

LONG = 200
LONGEST = 2048
ASK = Layout({"kind": 8, "long": LONG, "other": 128, "first": LONGEST, "second": LONGEST, "b": 16})
KEYS = {"kind": "exact", "long": "range", "other": "range", "first": "range", "second": "ternary"}

Key = tuple[Match, ...]
Values = dict[str, int]


def keyed(keys: dict[str, str], **changes: Any) -> bytes:
    """The program with a table of these keys, which are fields of its header, and their match kinds."""
    fields = [[name, bits, False] for name, bits in ASK.fields.items()]
    key = [
        {"match_type": kind, "name": f"h.{name}", "target": ["h", name], "mask": None}
        for name, kind in keys.items()
    ]
    return encoded(with_table(program({"h_t": fields}, []), key=key, **changes))


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine.load(keyed(KEYS))
    yield engine
    engine.close()


def answer(engine: Engine, values: Values) -> int:
    ((_, sent),) = engine.process(1, ASK.pack(**values))
    return ASK.unpack(sent)["b"]


def numbers(bits: int) -> st.SearchStrategy[int]:
    """With few values in each word, so that the bounds of ranges agree in some of them."""
    edges = st.sampled_from((0, 1, 2, (1 << 64) - 2, (1 << 64) - 1))

    def joined(words: Sequence[int]) -> int:
        return sum(word << (64 * place) for place, word in enumerate(words)) & ((1 << bits) - 1)

    count = min(-(-bits // 64), 4)
    return st.lists(edges, min_size=count, max_size=count).map(joined) | st.integers(0, (1 << bits) - 1)


def ranges(bits: int) -> st.SearchStrategy[Range]:
    return st.builds(lambda a, b: Range(min(a, b), max(a, b)), numbers(bits), numbers(bits))


masked = st.builds(
    lambda value, mask: Ternary(value & mask, mask),
    numbers(LONGEST),
    st.sampled_from((0, 1, (1 << LONGEST) - 1, 3 << (LONGEST - 2))),
)
everything = st.just(Range(0, (1 << LONGEST) - 1))
keys = st.tuples(
    st.builds(Exact, st.integers(0, 1)), ranges(LONG), ranges(128), everything | ranges(LONGEST), masked
)
packets = st.fixed_dictionaries(
    {name: st.integers(0, 1) if name == "kind" else numbers(ASK.fields[name]) for name in KEYS}
)


@searching
@given(st.lists(st.tuples(keys, st.integers(0, 5)), max_size=20), st.lists(packets, max_size=10))
def test_the_best_entry_is_found(
    engine: Engine, entries: list[tuple[Key, int]], queries: list[Values]
) -> None:
    """For random packets, and for those at both ends of each entry's ranges."""
    model: dict[tuple[Key, int], int] = {}
    for result, (match, priority) in enumerate(entries, start=1):
        change = engine.modify if (match, priority) in model else engine.insert
        change("t", Entry(match, priority, "set_b", (result,)))
        model[match, priority] = result
    try:
        assert {(e.match, e.priority): e.data[0] for e in engine.entries("t")} == model
        for query in (*queries, *(end for match, _ in entries for end in ends(match))):
            assert answer(engine, query) == best(model, query)
    finally:
        for match, priority in model:
            engine.delete("t", match, priority)


def ends(match: Key) -> Iterator[Values]:
    """Packets at the ends of its ranges, and next to them."""
    for low, beyond in ((True, 0), (False, 0), (True, -1), (False, 1)):
        values = {name: end(field, low=low) for name, field in zip(KEYS, match, strict=True)}
        values["long"] = max(values["long"] + beyond, 0) & ((1 << LONG) - 1)
        yield values


def end(field: Match, *, low: bool) -> int:
    if isinstance(field, Range):
        return field.low if low else field.high
    assert isinstance(field, Exact | Ternary)
    return field.value


def best(model: dict[tuple[Key, int], int], values: Values) -> int:
    found, result = -1, 0
    for (match, priority), value in model.items():
        hit = all(matches(m, values[n], ASK.fields[n]) for m, n in zip(match, KEYS, strict=True))
        if hit and priority > found:
            found, result = priority, value
    return result


def test_entries_of_the_program() -> None:
    """Such as p4c writes them."""
    ends = {"start": hex(1 << 64), "end": hex(5 << 64 | 7)}
    entry = {
        "match_key": [{"match_type": "range", **ends}],
        "action_entry": {"action_id": 0, "action_data": ["0x9"]},
        "priority": 1,
    }
    engine = Engine.load(keyed({"long": "range"}, entries=[entry]))
    assert [answer(engine, {"long": at}) for at in ((1 << 64) - 1, 1 << 64, 5 << 64 | 7, 5 << 64 | 8)] == [
        0,
        9,
        9,
        0,
    ]
    engine.close()


def test_a_long_key_is_told_by_the_trace(engine: Engine) -> None:
    key = (Exact(1), Range(5, 9 << 100), Range(0, 1), Range(0, 1 << 2000), Ternary(0, 0))
    values = {"kind": 1, "long": 7 << 90, "other": 1, "first": 3 << 1000, "second": 1 << 2047}
    entry = Entry(key, 1, "set_b", (4,))
    engine.insert("t", entry)
    _, events = engine.trace(1, ASK.pack(**values))
    (applied,) = [event for event in events if event.kind == "table"]
    assert applied.entry == entry
    assert applied.values == {"hit": True, **{f"h.{name}": value for name, value in values.items()}}
    engine.delete("t", key, 1)


def test_exact_keys_of_any_length() -> None:
    names = {"first": "exact", "second": "exact", "long": "exact"}
    engine = Engine.load(keyed(names))
    values = {"first": 1 << 2047 | 5, "second": 6, "long": 7}
    engine.insert("t", Entry(tuple(Exact(values[name]) for name in names), 0, "set_b", (3,)))
    assert answer(engine, values) == 3
    for name in names:
        assert answer(engine, values | {name: values[name] ^ 1 << 64}) == 0
    engine.close()


def test_what_is_too_long_is_refused() -> None:
    """A packet's key lies on a stack."""
    config = program({"h_t": [["a", 16, False], ["b", 16, False]], "m_t": [["a", 2048, False]]}, [])
    key = {"match_type": "ternary", "name": "m.a", "target": ["m", "a"], "mask": None}
    with pytest.raises(LoadError, match="table 't': its key has over 65536 bits"):
        Engine.load(encoded(with_table(config, key=[key] * 33)))
