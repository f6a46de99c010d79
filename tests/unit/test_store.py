"""What the store keeps, it keeps as it was, and says when it cannot."""

import sqlite3
import struct
import threading
import time
import zlib
from contextlib import closing
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import numpy as np
import pytest

from controller.assignment import Assignment
from controller.buckets import Buckets
from controller.errors import StoreError, UnknownRevision
from controller.health.damping import Flapping, Flaps
from controller.health.ejection import Ejection, Ejections
from controller.model import Backend, Pool
from controller.store import MIGRATIONS, SCHEMA, SqliteStore
from controller.values import LAST_BACKEND

NOW = 1_000_000.0

FIRST_SCHEMA = """
CREATE TABLE revisions (number INTEGER PRIMARY KEY, time REAL NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL,
    document BLOB NOT NULL);
CREATE TABLE file (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), document BLOB NOT NULL);
CREATE TABLE pools (name TEXT PRIMARY KEY, id INTEGER NOT NULL UNIQUE, buckets BLOB NOT NULL);
CREATE TABLE identities (id INTEGER PRIMARY KEY, pool TEXT NOT NULL REFERENCES pools (name) ON DELETE CASCADE,
    name TEXT NOT NULL, address TEXT NOT NULL, port INTEGER, removed REAL);
CREATE TABLE numbers (what TEXT PRIMARY KEY, last INTEGER NOT NULL);
CREATE TABLE resting (what TEXT NOT NULL, number INTEGER NOT NULL, since REAL NOT NULL,
    PRIMARY KEY (what, number));
"""


def up(backend: str) -> bool | None:
    return True


def pool(*names: str, name: str = "web") -> Pool:
    backends = tuple(Backend(name=n, address=ip_address(f"10.0.1.{n[1:]}"), port=8080) for n in names)
    return Pool(name=name, buckets=64, backends=backends)


def moving_assignment() -> Assignment:
    assignment = Assignment()
    assignment.update(pool("b1", "b2", "b3"), up, NOW)
    assignment.update(pool("b1", "b3"), up, NOW + 1)
    assignment.update(pool("b7", name="other"), up, NOW + 2)
    return assignment


def assert_same(a: Assignment, b: Assignment) -> None:
    assert a.backend_numbers == b.backend_numbers
    assert a.pool_numbers == b.pool_numbers
    assert (a.slots_used == b.slots_used).all()
    assert a.pools.keys() == b.pools.keys()
    for name in a.pools:
        one, other = a.pools[name], b.pools[name]
        assert (one.id, one.backends) == (other.id, other.backends)
        for part in ("current", "previous", "standby", "motion", "began"):
            assert (getattr(one.buckets, part) == getattr(other.buckets, part)).all()


def test_revisions_are_numbered_and_kept(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store")
    assert store.latest() is None
    first = store.commit("one", who="file", what="start", from_file=True)
    second = store.commit("two", who="alice", what="weight")
    store.close()
    again = SqliteStore(tmp_path / "store")
    assert (first.number, second.number) == (1, 2)
    assert again.revisions() == [first, second]
    assert again.latest() == second
    assert (again.document(1), again.document(2)) == ("one", "two")
    assert again.file() == "one"


def test_an_assignment_survives_a_restart(tmp_path: Path) -> None:
    assignment = moving_assignment()
    assert assignment.pools["web"].buckets.moving.any()
    store = SqliteStore(tmp_path / "store")
    store.save(assignment, assignment.pools, Flaps(), Ejections())
    store.close()
    assert_same(SqliteStore(tmp_path / "store").load(), assignment)


def test_a_pool_that_went_is_forgotten(tmp_path: Path) -> None:
    assignment = moving_assignment()
    store = SqliteStore(tmp_path / "store")
    store.save(assignment, assignment.pools, Flaps(), Ejections())
    assignment.forget("web", NOW + 3)
    store.save(assignment, ["web"], Flaps(), Ejections())
    assert_same(store.load(), assignment)
    assert store.load().pools.keys() == {"other"}


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    assignment = moving_assignment()
    store = SqliteStore(tmp_path / "store")
    store.save(assignment, ["other"], Flaps(), Ejections())
    assert store.load().pools.keys() == {"other"}


def test_a_second_daemon_is_kept_out(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store")
    with pytest.raises(StoreError, match="another daemon has it"):
        SqliteStore(tmp_path / "store")
    store.close()


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("switch: {}\n" * 100)
    with pytest.raises(StoreError, match="not a database"):
        SqliteStore(tmp_path / "store")


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "store").close()
    with closing(sqlite3.connect(tmp_path / "store")) as db:
        db.execute("PRAGMA user_version = 7")
    with pytest.raises(StoreError, match="newer version"):
        SqliteStore(tmp_path / "store")


EJECTIONS = Ejections(
    {
        "web": {
            "b1": Ejection(NOW, NOW + 10, 2, "silent"),
            "b3": Ejection(NOW, NOW + 1, 1, "refusing", over=True),
        }
    }
)


def test_slow_starts_penalties_and_ejections_survive_a_restart(tmp_path: Path) -> None:
    assignment = moving_assignment()
    assignment.update(pool("b1", "b3", "b4"), up, NOW + 3)
    flaps = Flaps({"web": {"b1": Flapping(2.5, NOW, True), "b3": Flapping(1.0, NOW + 1)}})
    store = SqliteStore(tmp_path / "store")
    store.save(assignment, assignment.pools, flaps, EJECTIONS)
    store.close()
    again = SqliteStore(tmp_path / "store")
    assert_same(again.load(), assignment)
    came = {identity.name: identity.came for identity in again.load().pools["web"].backends.values()}
    assert (came["b1"], came["b4"]) == (None, NOW + 3)
    assert (again.flaps().of("web"), again.flaps().of("other")) == (flaps.of("web"), {})
    assert again.ejections().of("web") == EJECTIONS.of("web")
    again.save(assignment, ["web"], Flaps(), Ejections())
    assert again.flaps().of("web") == {}
    assert again.ejections().of("web") == {}


def test_a_store_of_the_first_version_opens_with_all_that_it_has(tmp_path: Path) -> None:
    """As the first release made it: without penalties, and without when who came."""
    assignment = moving_assignment()
    store = SqliteStore(tmp_path / "store")
    store.commit("one", who="file", what="start", from_file=True)
    store.save(assignment, assignment.pools, Flaps(), Ejections())
    store.close()
    with closing(sqlite3.connect(tmp_path / "store")) as db, db:
        db.execute("DROP TABLE ejections")
        db.execute("DROP TABLE flaps")
        db.execute("ALTER TABLE identities DROP COLUMN came")
        db.execute("PRAGMA user_version = 1")
    for _ in range(2):  # the second time it is of the present version
        again = SqliteStore(tmp_path / "store")
        assert_same(again.load(), assignment)
        assert again.document(1) == "one"
        flaps = Flaps({"web": {"b1": Flapping(2.5, NOW, True)}})
        again.save(assignment, assignment.pools, flaps, EJECTIONS)
        assert again.flaps().of("web") == flaps.of("web")
        again.close()


def test_a_store_of_the_second_version_knows_of_no_ejection_and_takes_some(tmp_path: Path) -> None:
    assignment = moving_assignment()
    flaps = Flaps({"web": {"b1": Flapping(2.5, NOW, True)}})
    store = SqliteStore(tmp_path / "store")
    store.save(assignment, assignment.pools, flaps, EJECTIONS)
    store.close()
    with closing(sqlite3.connect(tmp_path / "store")) as db, db:
        db.execute("DROP TABLE ejections")
        db.execute("PRAGMA user_version = 2")
    again = SqliteStore(tmp_path / "store")
    assert again.flaps().of("web") == flaps.of("web")
    assert again.ejections().of("web") == {}
    again.save(assignment, assignment.pools, flaps, EJECTIONS)
    assert again.ejections().of("web") == EJECTIONS.of("web")
    again.close()


def test_what_migrations_make_of_the_first_version_is_the_schema(tmp_path: Path) -> None:
    new, old = sqlite3.connect(":memory:"), sqlite3.connect(":memory:")
    new.executescript(SCHEMA)
    old.executescript(FIRST_SCHEMA)
    for script in MIGRATIONS:
        old.executescript(script)
    for table in ("revisions", "file", "pools", "identities", "flaps", "ejections", "numbers", "resting"):
        columns = [db.execute(f"PRAGMA table_info ({table})").fetchall() for db in (new, old)]
        assert columns[0] == columns[1], table
        keys = [db.execute(f"PRAGMA foreign_key_list ({table})").fetchall() for db in (new, old)]
        assert keys[0] == keys[1], table


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nowhere/store cannot be opened"):
        SqliteStore(tmp_path / "nowhere" / "store")


def test_an_unknown_revision_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnknownRevision, match="no revision 3"):
        SqliteStore(tmp_path / "store").document(3)


def test_buckets_that_were_stored_when_numbers_had_16_bits_are_read() -> None:
    count = 16
    numbers = np.arange(4 * count, dtype="<u2") + 65000
    began = np.arange(count, dtype="<f8")
    body = zlib.compress(numbers.tobytes() + began.tobytes())
    buckets = Buckets.from_bytes(struct.pack("<4sI", b"slb1", count) + body)
    current, previous, standby, motion = numbers.reshape(4, count)
    for part, expected in (
        (buckets.current, current),
        (buckets.previous, previous),
        (buckets.standby, standby),
        (buckets.motion, motion),
        (buckets.began, began),
    ):
        assert (part == expected).all()


def test_buckets_of_the_last_backends_survive_being_stored() -> None:
    last = np.arange(LAST_BACKEND - 15, LAST_BACKEND + 1, dtype=np.uint32)
    buckets = replace(Buckets.of_nobody(16), current=last, previous=last[::-1], standby=np.roll(last, 1))
    again = Buckets.from_bytes(buckets.to_bytes())
    for part in ("current", "previous", "standby", "motion", "began"):
        assert (getattr(again, part) == getattr(buckets, part)).all()


@pytest.mark.parametrize("damage", [b"", b"slb1", b"slb2", Buckets.of_nobody(16).to_bytes()[:-1], b"x" * 100])
def test_damaged_buckets_are_refused(damage: bytes) -> None:
    with pytest.raises(StoreError, match="damaged"):
        Buckets.from_bytes(damage)


@pytest.mark.parametrize(
    ("part", "value", "complaint"), [("current", 9, "name backends"), ("motion", 5, "used twice")]
)
def test_an_assignment_that_makes_no_sense_is_refused(part: str, value: int, complaint: str) -> None:
    sound = moving_assignment().pools["web"]
    parts = {name: getattr(sound.buckets, name) for name in Buckets.__dataclass_fields__}
    parts[part] = np.full(64, value, dtype=np.uint32)
    broken = type(sound)(sound.id, Buckets(**parts), sound.backends)
    with pytest.raises(StoreError, match=complaint):
        Assignment().restore("web", broken)


def test_closing_waits_for_what_another_thread_is_writing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store")
    began, done = threading.Event(), threading.Event()

    def write() -> None:
        with store._transaction():
            began.set()
            time.sleep(0.2)
            done.set()

    writer = threading.Thread(target=write)
    writer.start()
    began.wait()
    store.close()
    assert done.is_set()
    writer.join()
