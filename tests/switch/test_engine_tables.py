"""Tables: programs/tables.p4. A packet names a table and carries its key; the answer comes back in it."""

from collections.abc import Iterator

import pytest

from switch.engine import (
    BadEntry,
    Engine,
    EngineError,
    Entry,
    EntryExists,
    Exact,
    ImmutableTable,
    Lpm,
    Match,
    MatchKind,
    NoSuchEntry,
    Range,
    TableFull,
    Ternary,
)
from tests.switch.engines import Layout, load

QUERY = Layout({"which": 8, "a": 32, "b": 16, "c": 8, "wide": 128, "result": 32, "path": 8})

EXACT_ONE, EXACT_MANY, LPM_32, LPM_128, MASKED, MIXED, FIXED, FIXED_LPM, BY_ACTION, KEYLESS = range(1, 11)

ALL_32 = 0xFFFF_FFFF
ALL_128 = (1 << 128) - 1
HIT, MISS, AFTER = 1, 2, 3


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = load("tables")
    yield engine
    engine.close()


def ask(engine: Engine, which: int, **key: int) -> dict[str, int]:
    ((_, sent),) = engine.process(1, QUERY.pack(which=which, **key))
    return QUERY.unpack(sent)


def answer(engine: Engine, which: int, **key: int) -> int:
    return ask(engine, which, **key)["result"]


def give(*match: Match, result: int, priority: int = 0) -> Entry:
    return Entry(match, priority, "MyIngress.give", (result,))


# What a table is.


def test_description(engine: Engine) -> None:
    table = engine.tables["MyIngress.mixed"]
    assert [(key.kind, key.bits) for key in table.keys] == [
        (MatchKind.LPM, 32),
        (MatchKind.RANGE, 16),
        (MatchKind.EXACT, 8),
        (MatchKind.TERNARY, 128),
    ]
    assert table.keys[0].name == "hdr.query.a"
    assert (table.size, table.immutable, table.const_default, table.has_priorities) == (
        64,
        False,
        False,
        True,
    )
    assert [(p.name, p.bits) for p in table.actions["MyIngress.give"]] == [("result", 32)]
    assert engine.tables["MyIngress.exact_one"].direct_counter == "MyIngress.exact_hits"
    assert engine.tables["MyIngress.fixed"].immutable
    assert engine.tables["MyIngress.fixed"].const_default


def test_unknown_names(engine: Engine) -> None:
    with pytest.raises(BadEntry, match="no table 'nowhere'"):
        engine.insert("nowhere", give(result=1))
    with pytest.raises(BadEntry, match=r"no action 'fly' \(it has MyIngress.give, NoAction\)"):
        engine.insert("MyIngress.lpm_32", Entry((Lpm(0, 0),), 0, "fly", ()))


# Exact.


def counted(value: int, result: int) -> Entry:
    return Entry((Exact(value),), 0, "MyIngress.counted", (result,))


def test_exact_hit_and_miss(engine: Engine) -> None:
    engine.insert("MyIngress.exact_one", counted(7, 0x77))
    assert ask(engine, EXACT_ONE, a=7) | {"result": 0x77, "path": HIT} == ask(engine, EXACT_ONE, a=7)
    missed = ask(engine, EXACT_ONE, a=8)
    assert (missed["result"], missed["path"]) == (0, MISS)


def test_exact_with_many_fields(engine: Engine) -> None:
    table = "MyIngress.exact_many"
    key = (Exact(0x01020304), Exact(1 << 127 | 5), Exact(0xBEEF), Exact(9), Exact(1))
    engine.insert(table, give(*key, result=1))
    fields = {"a": 0x01020304, "wide": 1 << 127 | 5, "b": 0xBEEF, "c": 9}
    assert answer(engine, EXACT_MANY, **fields) == 1
    for field in fields:
        other = fields | {field: fields[field] ^ 1}
        assert answer(engine, EXACT_MANY, **other) == 0xDEFA, f"{field} does not take part"


def test_parameters_of_128_bits(engine: Engine) -> None:
    key = (Exact(1), Exact(ALL_128), Exact(0), Exact(0), Exact(1))
    mask = 0x0123_4567_89AB_CDEF_FEDC_BA98_7654_3210
    engine.insert("MyIngress.exact_many", Entry(key, 0, "MyIngress.give_wide", (mask, 5)))
    said = ask(engine, EXACT_MANY, a=1, wide=ALL_128)
    assert (said["wide"], said["result"]) == (mask, 5)


def test_insert_modify_delete(engine: Engine) -> None:
    table = "MyIngress.exact_one"
    engine.insert(table, counted(7, 1))
    with pytest.raises(EntryExists, match="exact_one already holds"):
        engine.insert(table, counted(7, 2))
    assert answer(engine, EXACT_ONE, a=7) == 1
    engine.modify(table, counted(7, 3))
    assert answer(engine, EXACT_ONE, a=7) == 3
    assert engine.entry(table, (Exact(7),)) == counted(7, 3)
    engine.delete(table, (Exact(7),))
    assert ask(engine, EXACT_ONE, a=7)["path"] == MISS
    for absent in (
        lambda: engine.modify(table, counted(7, 4)),
        lambda: engine.delete(table, (Exact(7),)),
        lambda: engine.entry(table, (Exact(7),)),
    ):
        with pytest.raises(NoSuchEntry, match="holds no entry"):
            absent()
    assert engine.entries(table) == []


def test_a_table_fills_up(engine: Engine) -> None:
    table = "MyIngress.exact_many"
    size = engine.tables[table].size
    keys = [(Exact(i), Exact(0), Exact(0), Exact(0), Exact(1)) for i in range(size + 1)]
    for i in range(size):
        engine.insert(table, give(*keys[i], result=i))
    with pytest.raises(TableFull, match=f"holds {size} entries"):
        engine.insert(table, give(*keys[size], result=size))
    assert [answer(engine, EXACT_MANY, a=i) for i in range(size)] == list(range(size))
    engine.delete(table, keys[3])
    engine.insert(table, give(*keys[size], result=size))
    assert answer(engine, EXACT_MANY, a=size) == size


def test_a_table_grows_and_shrinks(engine: Engine) -> None:
    """Through several sizes of the index, and over deleted slots."""
    table = "MyIngress.exact_one"
    for value in range(2000):
        engine.insert(table, counted(value * 0x10001, value))
    for value in range(0, 2000, 2):
        engine.delete(table, (Exact(value * 0x10001),))
    for value in range(2000, 3000):
        engine.insert(table, counted(value * 0x10001, value))
    there = {value for value in range(3000) if ask(engine, EXACT_ONE, a=value * 0x10001)["path"] == HIT}
    assert there == {*range(1, 2000, 2), *range(2000, 3000)}
    assert len(engine.entries(table)) == 2000


# Longest prefix.


def test_longest_prefix_wins(engine: Engine) -> None:
    table = "MyIngress.lpm_32"
    for value, length in ((0, 0), (0x0A000000, 8), (0x0A0B0000, 16), (0x0A0B0C0D, 32)):
        engine.insert(table, give(Lpm(value, length), result=100 + length))
    assert answer(engine, LPM_32, a=0x0A0B0C0D) == 132
    assert answer(engine, LPM_32, a=0x0A0B0C0E) == 116
    assert answer(engine, LPM_32, a=0x0A0C0000) == 108
    assert answer(engine, LPM_32, a=0x0B000000) == 100
    engine.delete(table, (Lpm(0x0A0B0000, 16),))
    assert answer(engine, LPM_32, a=0x0A0B0C0E) == 108
    engine.delete(table, (Lpm(0, 0),))
    assert answer(engine, LPM_32, a=0x0B000000) == 0


def test_prefix_of_128_bits_beside_an_exact_field(engine: Engine) -> None:
    table = "MyIngress.lpm_128"
    network = 0x2001_0DB8 << 96
    engine.insert(table, give(Exact(1), Lpm(network, 32), result=1))
    engine.insert(table, give(Exact(2), Lpm(network, 32), result=2))
    engine.insert(table, give(Exact(1), Lpm(network | 1 << 63, 65), result=3))
    assert answer(engine, LPM_128, b=1, wide=network | 5) == 1
    assert answer(engine, LPM_128, b=2, wide=network | 5) == 2
    assert answer(engine, LPM_128, b=1, wide=network | 1 << 63 | 5) == 3
    assert answer(engine, LPM_128, b=3, wide=network) == 0


# Ternary, range, and mixtures.


def masked(a: tuple[int, int], wide: tuple[int, int], result: int, priority: int) -> Entry:
    match = (Ternary(*a), Ternary(0, 0), Ternary(*wide))
    return Entry(match, priority, "MyIngress.counted_ternary", (result,))


def test_the_larger_priority_wins(engine: Engine) -> None:
    table = "MyIngress.masked"
    engine.insert(table, masked((0x0A000000, 0xFF000000), (0, 0), 1, 10))
    engine.insert(table, masked((0, 0), (0, 0), 2, 5))
    engine.insert(table, masked((0x0A000001, ALL_32), (0, 0), 3, 20))
    engine.insert(table, masked((0x0A000002, ALL_32), (1 << 100, 1 << 100), 4, 30))
    assert answer(engine, MASKED, a=0x0A000001) == 3
    assert answer(engine, MASKED, a=0x0A000002) == 1
    assert answer(engine, MASKED, a=0x0A000002, wide=1 << 100) == 4
    assert answer(engine, MASKED, a=0x0B000002) == 2
    assert [entry.priority for entry in engine.entries(table)] == [30, 20, 10, 5]


def test_the_same_match_with_two_priorities(engine: Engine) -> None:
    table = "MyIngress.masked"
    low, high = masked((1, 1), (0, 0), 1, 1), masked((1, 1), (0, 0), 2, 2)
    engine.insert(table, low)
    engine.insert(table, high)
    assert answer(engine, MASKED, a=1) == 2
    engine.modify(table, masked((1, 1), (0, 0), 9, 2))
    assert answer(engine, MASKED, a=1) == 9
    engine.delete(table, high.match, 2)
    assert answer(engine, MASKED, a=1) == 1
    with pytest.raises(NoSuchEntry):
        engine.delete(table, high.match, 2)


def test_equal_priorities_keep_the_older(engine: Engine) -> None:
    engine.insert("MyIngress.masked", masked((1, 1), (0, 0), 1, 7))
    engine.insert("MyIngress.masked", masked((2, 2), (0, 0), 2, 7))
    assert answer(engine, MASKED, a=3) == 1


def test_all_kinds_in_one_table(engine: Engine) -> None:
    table = "MyIngress.mixed"
    any_wide = Ternary(0, 0)
    engine.insert(table, give(Lpm(0x0A000000, 8), Range(10, 20), Exact(1), any_wide, result=1, priority=1))
    engine.insert(
        table, give(Lpm(0, 0), Range(0, 0xFFFF), Exact(1), Ternary(5, ALL_128), result=2, priority=2)
    )
    assert answer(engine, MIXED, a=0x0A0000FF, b=10, c=1) == 1
    assert answer(engine, MIXED, a=0x0A0000FF, b=20, c=1) == 1
    assert answer(engine, MIXED, a=0x0A0000FF, b=21, c=1) == 0
    assert answer(engine, MIXED, a=0x0A0000FF, b=9, c=1) == 0
    assert answer(engine, MIXED, a=0x0A0000FF, b=15, c=2) == 0
    assert answer(engine, MIXED, a=0x0B000000, b=15, c=1) == 0
    assert answer(engine, MIXED, a=0x0A0000FF, b=15, c=1, wide=5) == 2


# Reading them.


def test_entries_come_in_an_order(engine: Engine) -> None:
    """In an exact table by key, else by descending priority and the older first, modified or not."""
    for value in (7, 1 << 31, 300, 2, 1 << 16):
        engine.insert("MyIngress.exact_one", counted(value, value & 0xFF))
    found = engine.entries("MyIngress.exact_one")
    assert [entry.match for entry in found] == [(Exact(n),) for n in (2, 7, 300, 1 << 16, 1 << 31)]
    table = "MyIngress.masked"
    entries = [masked((n, ALL_32), (0, 0), n, priority) for n, priority in enumerate((5, 9, 5, 1, 9, 5))]
    for entry in entries:
        engine.insert(table, entry)
    engine.modify(table, entries[0])
    assert engine.entries(table) == [entries[n] for n in (1, 4, 0, 2, 5, 3)]
    table = "MyIngress.lpm_32"
    prefixes = [give(Lpm(n << 24, length), result=n) for n, length in enumerate((8, 32, 16, 24))]
    for entry in prefixes:
        engine.insert(table, entry)
    assert engine.entries(table) == prefixes


# What the program fixes.


def test_const_entries_in_their_order(engine: Engine) -> None:
    assert answer(engine, FIXED, a=0x0A0B0000, b=17) == 1, "the first of two that match"
    assert answer(engine, FIXED, a=0x0A0B0000, b=25) == 2
    assert answer(engine, FIXED, a=0x0A0C0000, b=25) == 0xD
    assert engine.process(1, QUERY.pack(which=FIXED, b=0xFFFF)) == []
    assert answer(engine, FIXED_LPM, a=0x0A0B0001) == 16
    assert answer(engine, FIXED_LPM, a=0x0A0C0001) == 8


def test_const_entries_cannot_be_changed(engine: Engine) -> None:
    table = "MyIngress.fixed"
    held = engine.entries(table)
    assert [entry.data for entry in held] == [(1,), (2,), ()]
    assert held[0].priority > held[1].priority > held[2].priority
    for change in (
        lambda: engine.insert(table, give(Ternary(0, 0), Range(0, 1), result=3, priority=3)),
        lambda: engine.modify(table, held[0]),
        lambda: engine.delete(table, held[0].match, held[0].priority),
    ):
        with pytest.raises(ImmutableTable, match="fixed by the program"):
            change()
    with pytest.raises(ImmutableTable, match="default action"):
        engine.set_default(table, "MyIngress.give", (1,))


# Actions and what follows them.


def test_default_action(engine: Engine) -> None:
    table = "MyIngress.exact_many"
    assert engine.default(table) == ("MyIngress.give", (0xDEFA,))
    engine.set_default(table, "MyIngress.give", (0x11,))
    assert engine.default(table) == ("MyIngress.give", (0x11,))
    assert answer(engine, EXACT_MANY) == 0x11
    engine.set_default(table, "MyIngress.deny", ())
    assert engine.process(1, QUERY.pack(which=EXACT_MANY)) == []
    engine.reset_default(table)
    assert answer(engine, EXACT_MANY) == 0xDEFA


def test_keyless_table(engine: Engine) -> None:
    assert answer(engine, KEYLESS) == 5
    engine.set_default("MyIngress.keyless", "MyIngress.give", (6,))
    assert answer(engine, KEYLESS) == 6
    with pytest.raises(BadEntry, match="no key"):
        engine.insert("MyIngress.keyless", give(result=1))


def test_what_follows_by_action(engine: Engine) -> None:
    table = "MyIngress.by_action"
    engine.insert(table, give(Exact(1), result=1))
    engine.insert(table, Entry((Exact(2),), 0, "MyIngress.leave", ()))
    engine.insert(table, Entry((Exact(3),), 0, "NoAction", ()))

    def path(a: int) -> tuple[int, int]:
        said = ask(engine, BY_ACTION, a=a)
        return said["path"], said["c"]

    assert path(1) == (4, 1)
    assert path(2) == (0, 0), "exit: nothing after the table runs"
    assert path(3) == (6, 1)
    assert path(4) == (6, 1)


def test_exit_keeps_what_the_action_did(engine: Engine) -> None:
    key = (Exact(1), Exact(0), Exact(0), Exact(0), Exact(1))
    engine.insert("MyIngress.exact_many", Entry(key, 0, "MyIngress.leave", ()))
    said = ask(engine, EXACT_MANY, a=1)
    assert (said["result"], said["path"]) == (0xE, 0)
    assert ask(engine, EXACT_MANY, a=2)["path"] == AFTER


# Direct counters.


def test_direct_counter(engine: Engine) -> None:
    table = "MyIngress.exact_one"
    engine.insert(table, counted(7, 1))
    packet = QUERY.pack(which=EXACT_ONE, a=7)
    for extra in (0, 10):
        engine.process(1, packet + bytes(extra))
    engine.process(1, QUERY.pack(which=EXACT_ONE, a=8))
    assert engine.direct_counter_read(table, (Exact(7),)) == (2, 2 * len(packet) + 10)
    engine.modify(table, counted(7, 2))
    assert engine.direct_counter_read(table, (Exact(7),)) == (2, 2 * len(packet) + 10), (
        "modified, not begun anew"
    )
    engine.direct_counter_write(table, (Exact(7),), 0, 100, 1000)
    engine.process(1, packet)
    assert engine.direct_counter_read(table, (Exact(7),)) == (101, 1000 + len(packet))
    engine.delete(table, (Exact(7),))
    engine.insert(table, counted(7, 1))
    assert engine.direct_counter_read(table, (Exact(7),)) == (0, 0)


def test_direct_counter_of_a_ternary_table(engine: Engine) -> None:
    table = "MyIngress.masked"
    entry = masked((1, 1), (0, 0), 1, 7)
    engine.insert(table, entry)
    answer(engine, MASKED, a=1)
    answer(engine, MASKED, a=2)
    assert engine.direct_counter_read(table, entry.match, 7) == (1, QUERY.length)


def test_no_direct_counter(engine: Engine) -> None:
    engine.insert("MyIngress.lpm_32", give(Lpm(0, 0), result=1))
    with pytest.raises(BadEntry, match="no direct counter"):
        engine.direct_counter_read("MyIngress.lpm_32", (Lpm(0, 0),))
    with pytest.raises(BadEntry, match="direct counter"):
        engine.counters["MyIngress.exact_hits"].read(0)


# Entries that do not fit.


@pytest.mark.parametrize(
    ("table", "entry", "message"),
    [
        ("exact_one", Entry((), 0, "NoAction", ()), "1 key fields, not 0"),
        ("exact_one", Entry((Lpm(1, 32),), 0, "NoAction", ()), "hdr.query.a is matched by exact"),
        ("exact_one", Entry((Exact(1 << 32),), 0, "NoAction", ()), "has 32 bits"),
        ("exact_one", Entry((Exact(-1),), 0, "NoAction", ()), "has 32 bits"),
        ("exact_one", Entry((Exact(1),), 1, "NoAction", ()), "has no priorities"),
        ("exact_one", Entry((Exact(1),), 0, "NoAction", (1,)), "takes 0 parameters, not 1"),
        ("exact_one", Entry((Exact(1),), 0, "MyIngress.counted", (1 << 32,)), "result has 32 bits"),
        ("lpm_32", Entry((Lpm(0, 33),), 0, "NoAction", ()), "does not fit"),
        ("lpm_32", Entry((Lpm(1, 31),), 0, "NoAction", ()), "does not fit"),
        ("masked", masked((3, 1), (0, 0), 1, 1), "does not fit"),
        ("masked", masked((0, 0), (0, 0), 1, -1), "priority -1"),
        ("masked", masked((0, 0), (0, 0), 1, 1 << 31), "priority 2147483648"),
        (
            "mixed",
            give(Lpm(0, 0), Range(2, 1), Exact(0), Ternary(0, 0), result=1, priority=1),
            "does not fit",
        ),
        (
            "mixed",
            give(Lpm(0, 0), Range(0, 1 << 16), Exact(0), Ternary(0, 0), result=1, priority=1),
            "not fit",
        ),
    ],
)
def test_refused(engine: Engine, table: str, entry: Entry, message: str) -> None:
    with pytest.raises(BadEntry, match=message):
        engine.insert(f"MyIngress.{table}", entry)
    assert engine.entries(f"MyIngress.{table}") == []


def test_closed() -> None:
    engine = load("tables")
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.process(1, b"")
    with pytest.raises(EngineError, match="closed"):
        engine.entries("MyIngress.lpm_32")
