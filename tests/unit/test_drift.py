"""A look finds what is not as it was left, decodes nothing else, and goes on while writes do."""

from collections.abc import AsyncIterator
from typing import cast

import numpy as np
import pytest
from finsy.proto import p4r

from controller.codec import Codec
from controller.config import parse
from controller.drift import ROWS_AT_A_TIME, Digests, Look
from controller.holdings import Holdings
from controller.model import add_backend, change_backend, make_backend
from controller.program import (
    BACKENDS,
    BUCKETS,
    HEALTH_CHECKERS,
    MACS,
    REPLY_RATE,
    ROUTES,
    VIPS,
    Do,
    Key,
    Table,
)
from controller.wire import Connection
from tests.fakes.switch import PROGRAM, FakeSwitch, at_once
from tests.unit.test_reconciler import DOCUMENT, World

STRANGER = Do("backend_address", (1, 1))


async def no_turn() -> None:
    """Nobody else has anything to do."""


def look(world: World) -> dict[Table, int]:
    at_once(world.reconciler.look(no_turn))
    return world.reconciler.compare()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Table, Key, Do] | None]:
    """The entries that were decoded."""
    read, rows = Codec.read, []

    def noted(self: Codec, entity: p4r.Entity) -> tuple[Table, Key, Do] | None:
        rows.append(read(self, entity))
        return rows[-1]

    monkeypatch.setattr(Codec, "read", noted)
    return rows


def first(world: World, table: Table) -> Key:
    return next(iter(world.switch.tables[table]))


@pytest.mark.parametrize("table", [BACKENDS, BUCKETS, VIPS, ROUTES, MACS, REPLY_RATE], ids=repr)
def test_an_entry_that_is_gone_is_found_and_written_again(world: World, table: Table) -> None:
    held = dict(world.switch.tables[table])
    del world.switch.tables[table][first(world, table)]
    assert look(world) == {table: 1}
    assert world.apply().written == 1
    assert world.switch.tables[table] == held
    assert look(world) == {}


@pytest.mark.parametrize(
    ("table", "other"),
    [
        (BACKENDS, STRANGER),
        (BUCKETS, Do("owners", (3, 2, 1, 1, 5))),
        (REPLY_RATE, Do("rate", (5, 64))),
        (ROUTES, Do("via", (1,))),
    ],
    ids=repr,
)
def test_an_entry_that_says_something_else_is_found_and_mended(world: World, table: Table, other: Do) -> None:
    held = dict(world.switch.tables[table])
    world.switch.tables[table][first(world, table)] = other
    assert look(world) == {table: 1}
    assert world.apply().written == 1
    assert world.switch.tables[table] == held


@pytest.mark.parametrize(
    ("table", "key", "do"),
    [
        (BACKENDS, (99,), STRANGER),
        (BUCKETS, (1, 64), Do("owners", (1, 1, 0, 0, 0))),
        (BUCKETS, (7, 3), Do("owners", (1, 1, 0, 0, 0))),
        (HEALTH_CHECKERS, (1, 1, 0, 0), Do("untranslated")),
    ],
)
def test_an_entry_of_somebody_else_is_found_and_removed(world: World, table: Table, key: Key, do: Do) -> None:
    world.switch.tables[table][key] = do
    assert look(world) == {table: 1}
    assert world.apply().written == 1
    assert key not in world.switch.tables[table]


def test_a_switch_that_has_lost_everything_is_filled_again(world: World) -> None:
    held = {table: dict(rows) for table, rows in world.switch.tables.items()}
    for table in held:
        world.switch.tables[table] = {}
    assert look(world) == {table: len(rows) for table, rows in held.items() if rows and not table.const}
    world.apply()
    assert {table: rows for table, rows in world.switch.tables.items() if not table.const} == {
        table: rows for table, rows in held.items() if not table.const
    }


def test_only_what_is_not_as_it_was_left_is_decoded(world: World, decoded: list[object]) -> None:
    assert look(world) == {}
    assert decoded == []
    world.switch.tables[BACKENDS][99,] = STRANGER
    assert look(world) == {BACKENDS: 1}
    assert decoded == [(BACKENDS, (99,), STRANGER)]


def test_an_entry_that_says_the_same_in_other_octets_is_as_it_was_left(
    world: World, decoded: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def longer(table: Table) -> AsyncIterator[list[bytes]]:
        entities = [PROGRAM.codec.entry(table, *row) for row in world.switch.tables[table].items()]
        for entity in entities:
            if entity.HasField("table_entry"):
                entity.table_entry.idle_timeout_ns = 5
        yield [entity.SerializeToString() for entity in entities]

    monkeypatch.setattr(world.switch, "encoded_rows", longer)
    assert look(world) == {}
    assert len(decoded) > 64, "all but the cells of meters"


def test_digests_are_made_again_only_of_what_has_changed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded, made = Codec.encoded, []

    def noted(self: Codec, table: Table, key: Key, do: Do | None) -> bytes:
        made.append((table, key))
        return encoded(self, table, key, do)

    async def nothing(_: Table) -> AsyncIterator[list[bytes]]:
        for some in ():
            yield some

    assert look(world) == {}
    monkeypatch.setattr(Codec, "encoded", noted)
    monkeypatch.setattr(world.switch, "encoded_rows", nothing)
    digests = world.reconciler._digests
    for _ in range(2):
        made.clear()
        sums = at_once(digests.of(BUCKETS, world.reconciler.holdings, no_turn))
        assert len(sums) == 64
    assert made == [], "since nothing was written"
    world.config = add_backend(world.config, "web", make_backend("b4", "10.0.1.14", 8080))
    assert world.apply().complete
    at_once(digests.of(BUCKETS, world.reconciler.holdings, no_turn))
    assert len(made) == 64


def test_what_is_written_during_a_look_is_as_it_was_written(world: World) -> None:
    world.switch.tables[BACKENDS][99,] = STRANGER
    assert at_once(world.reconciler.look(no_turn))
    world.config = add_backend(world.config, "web", make_backend("b4", "10.0.1.14", 8080))
    assert world.apply().complete
    assert world.reconciler.compare() == {BACKENDS: 1}, "the stranger's, and none of ours"
    assert [change.key for change in world.written(BACKENDS)] == [(4,)]
    assert world.apply().written == 1, "the stranger's is removed"
    assert (99,) not in world.switch.tables[BACKENDS]
    assert look(world) == {}


def test_what_is_read_between_two_writes_is_none_of_a_stranger(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = world.switch.encoded_rows

    async def read_between(table: Table) -> AsyncIterator[list[bytes]]:
        for weight in (3, 1):
            if table is BUCKETS:
                world.config = change_backend(world.config, "web", "b1", weight=weight)
                assert (await world.reconciler.apply(world.wanted())).written
            if weight == 3:
                read = [some async for some in rows(table)]
        for some in read:
            yield some

    monkeypatch.setattr(world.switch, "encoded_rows", read_between)
    assert not at_once(world.reconciler.look(no_turn))


def test_writes_between_two_pieces_of_a_look_are_none_of_a_stranger() -> None:
    """Backends come and go at every fifth."""
    world, turns = World(), 0

    async def turn() -> None:
        nonlocal turns
        turns += 1
        if turns % 5 == 0:
            await add_or_remove(world, turns)

    assert not at_once(world.reconciler.look(turn))
    assert turns > 100
    assert look(world) == {}
    world.switch.tables[BACKENDS][99,] = STRANGER
    assert look(world) == {BACKENDS: 1}


async def add_or_remove(world: World, turn: int) -> None:
    """Another backend each time, in the place of the one before."""
    world.config = parse(DOCUMENT)
    if turn % 2:
        world.config = add_backend(
            world.config, "web", make_backend(f"more{turn}", f"10.0.2.{turn % 250 + 1}", 80)
        )
    assert (await world.reconciler.apply(world.wanted())).complete


def test_a_look_is_void_when_all_has_been_read_back_since(world: World) -> None:
    world.switch.tables[BACKENDS][99,] = STRANGER
    assert at_once(world.reconciler.look(no_turn))
    at_once(world.reconciler.read_back())
    assert world.reconciler.compare() == {}
    assert (99,) in world.reconciler.holdings.rows[BACKENDS]


def test_others_have_their_turn_after_each_piece() -> None:
    switch, holdings, turns = FakeSwitch(), Holdings(), []
    holdings.rows[BACKENDS] = {(n,): Do("backend_address", (n, 80)) for n in range(10 * ROWS_AT_A_TIME)}

    async def turn() -> None:
        turns.append(len(turns))

    connection = cast(Connection, switch)
    at_once(Digests(connection).of(BACKENDS, holdings, turn))
    assert len(turns) >= 10
    turns.clear()
    holdings.buckets = {pool: np.ones((16, 5), np.int32) for pool in range(1, 101)}
    at_once(Digests(connection).of(BUCKETS, holdings, turn))
    assert len(turns) >= 100, "also if there are many of few"
    turns.clear()
    holdings.buckets.clear()
    switch.tables[BACKENDS] = dict(holdings.rows[BACKENDS])
    at_once(Look(connection, holdings, Digests(connection), turn).run())
    assert len(turns) > 10 * ROWS_AT_A_TIME, "this switch sends one at a time"
