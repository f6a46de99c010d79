"""What must outlive the controller: revisions of the desired state, identities, buckets.

`Store` is what the controller asks for; `SqliteStore` keeps it in one file (and SQLite's two beside it).
Every method that writes returns when it is on disk. All raise StoreError. Methods may be called from any
thread.
"""

import base64
import shutil
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol, TypeVar

from controller.assignment import Assignment, PoolAssignment
from controller.buckets import Buckets
from controller.errors import StoreError, UnknownRevision
from controller.health.damping import Flapping, Flaps
from controller.health.ejection import Ejection, Ejections
from controller.identities import Identity
from controller.replica import (
    PORTION,
    Bookmark,
    Replica,
    Row,
    StoredBackend,
    StoredEjection,
    StoredFlapping,
    StoredNumbers,
    StoredPool,
    StoredRevision,
    Versions,
)
from controller.revision import Revision

SCHEMA = """
CREATE TABLE revisions (number INTEGER PRIMARY KEY, time REAL NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL,
    document BLOB NOT NULL);
CREATE TABLE file (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), document BLOB NOT NULL);
CREATE TABLE pools (name TEXT PRIMARY KEY, id INTEGER NOT NULL UNIQUE, buckets BLOB NOT NULL);
CREATE TABLE identities (id INTEGER PRIMARY KEY, pool TEXT NOT NULL REFERENCES pools (name) ON DELETE CASCADE,
    name TEXT NOT NULL, address TEXT NOT NULL, port INTEGER, removed REAL, came REAL);
CREATE TABLE flaps (pool TEXT NOT NULL REFERENCES pools (name) ON DELETE CASCADE, backend TEXT NOT NULL,
    penalty REAL NOT NULL, at REAL NOT NULL, held INTEGER NOT NULL, PRIMARY KEY (pool, backend));
CREATE TABLE ejections (pool TEXT NOT NULL REFERENCES pools (name) ON DELETE CASCADE, backend TEXT NOT NULL,
    at REAL NOT NULL, until REAL NOT NULL, times INTEGER NOT NULL, reason TEXT NOT NULL,
    over INTEGER NOT NULL, PRIMARY KEY (pool, backend));
CREATE TABLE numbers (what TEXT PRIMARY KEY, last INTEGER NOT NULL);
CREATE TABLE resting (what TEXT NOT NULL, number INTEGER NOT NULL, since REAL NOT NULL,
    PRIMARY KEY (what, number));
"""

MIGRATIONS = (
    """
ALTER TABLE identities ADD COLUMN came REAL;
CREATE TABLE flaps (pool TEXT NOT NULL REFERENCES pools (name) ON DELETE CASCADE, backend TEXT NOT NULL,
    penalty REAL NOT NULL, at REAL NOT NULL, held INTEGER NOT NULL, PRIMARY KEY (pool, backend));
""",
    # From here on buckets, too, may have numbers of more than 16 bits.
    """
CREATE TABLE ejections (pool TEXT NOT NULL REFERENCES pools (name) ON DELETE CASCADE, backend TEXT NOT NULL,
    at REAL NOT NULL, until REAL NOT NULL, times INTEGER NOT NULL, reason TEXT NOT NULL,
    over INTEGER NOT NULL, PRIMARY KEY (pool, backend));
""",
)
"""From version 1 to 2, and so on; what they end with is SCHEMA."""

SCHEMA_VERSION = 1 + len(MIGRATIONS)


R = TypeVar("R", bound=Row)

TERM = "term"
"""Among the numbers: the election id with which the store's latest active controller became it."""


class Store(Protocol):
    """Documents are text; the store does not look into them."""

    versions: Versions

    def commit(self, document: str, *, who: str, what: str, from_file: bool = False) -> Revision:
        """A new revision. `from_file`: it is what the operator's file says."""
        ...

    def latest(self) -> Revision | None: ...

    def revisions(self) -> list[Revision]:
        """All of them, oldest first."""
        ...

    def document(self, number: int) -> str: ...

    def file(self) -> str | None:
        """The document of the latest revision that came from the operator's file."""
        ...

    def save(self, assignment: Assignment, pools: Iterable[str], flaps: Flaps, ejections: Ejections) -> None:
        """Keeps `assignment`, of which `pools` changed (or went) since it was last kept, and of these `flaps`
        and `ejections`."""
        ...

    def load(self) -> Assignment:
        """The assignment as it was last kept."""
        ...

    def flaps(self) -> Flaps:
        """The penalties as they were last kept."""
        ...

    def ejections(self) -> Ejections:
        """As they were last kept."""
        ...

    def check(self) -> str:
        """What is wrong with it, "" for nothing. Takes a write lock, and reads all of it."""
        ...

    def space(self) -> int | None:
        """Bytes that are free where it is; None if it is in memory."""
        ...

    def term(self) -> int:
        """The election id of the controller that this was written by last; 0 without a standby."""
        ...

    def begin_term(self, election_id: int) -> None: ...

    def replica(self, copy: Bookmark) -> Replica:
        """What a copy lacks that has come as far as that."""
        ...

    def take(self, replica: Replica) -> None:
        """Follows another store. What this one has and the other has not is dropped if it is `whole`."""
        ...

    def close(self) -> None: ...


class Assignments(Protocol):
    """As much of a store as a session needs."""

    def save(
        self, assignment: Assignment, pools: Iterable[str], flaps: Flaps, ejections: Ejections
    ) -> None: ...

    def load(self) -> Assignment: ...


class Nowhere:
    """Keeps nothing: for a session that is only tried out."""

    def save(self, assignment: Assignment, pools: Iterable[str], flaps: Flaps, ejections: Ejections) -> None:
        pass

    def load(self) -> Assignment:
        return Assignment()


class SqliteStore:
    """A store in one file, or in memory when `path` is ":memory:". Opened by one process at a time."""

    def __init__(self, path: Path | str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self.versions = Versions()
        try:
            self._db = sqlite3.connect(path, timeout=1, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise StoreError(f"the store {path} cannot be opened: {error}") from None
        try:
            self._prepare()
        except (sqlite3.Error, StoreError) as error:
            self._db.close()
            hint = "; another daemon has it" if "locked" in str(error) else ""
            raise StoreError(f"the store {path} cannot be used: {error}{hint}") from None

    def _prepare(self) -> None:
        # A lock that is kept for good: two daemons with one store would give out the same numbers.
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA foreign_keys = ON")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise StoreError(f"it is of a newer version ({version}, this is {SCHEMA_VERSION})")
        self._db.execute("BEGIN EXCLUSIVE")
        for script in MIGRATIONS[version - 1 :] if version else (SCHEMA,):
            for statement in script.strip().rstrip(";").split(";"):
                self._db.execute(statement)
        self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        # Without it, each pool that is replaced looks for its identities among those of all pools.
        self._db.execute("CREATE INDEX IF NOT EXISTS identities_by_pool ON identities (pool)")
        self._db.execute("COMMIT")

    def close(self) -> None:
        with self._lock:  # SQLite does not survive being closed under a transaction of another thread
            self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                except BaseException:
                    self._db.execute("ROLLBACK")
                    raise
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                raise StoreError(f"the store {self._path} cannot be used: {error}") from None

    def commit(self, document: str, *, who: str, what: str, from_file: bool = False) -> Revision:
        now = time.time()
        with self._transaction() as db:
            row = db.execute(
                "INSERT INTO revisions (time, who, what, document) VALUES (?, ?, ?, ?)",
                (now, who, what, packed(document)),
            )
            if from_file:
                db.execute("INSERT OR REPLACE INTO file VALUES (1, ?)", (packed(document),))
            number = row.lastrowid or 0
        self.versions.note(revision=number)
        return Revision(number, now, who, what)

    def check(self) -> str:
        try:
            with self._transaction() as db:
                (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
        except StoreError as error:
            return str(error)
        return "" if found == "ok" else f"the store {self._path} is damaged: {found}"

    def space(self) -> int | None:
        path = Path(self._path)
        return shutil.disk_usage(path).free if path.exists() else None

    def latest(self) -> Revision | None:
        with self._transaction() as db:
            row = db.execute("SELECT number, time, who, what FROM revisions ORDER BY number DESC").fetchone()
        return Revision(*row) if row else None

    def revisions(self) -> list[Revision]:
        with self._transaction() as db:
            rows = db.execute("SELECT number, time, who, what FROM revisions ORDER BY number").fetchall()
        return [Revision(*row) for row in rows]

    def document(self, number: int) -> str:
        with self._transaction() as db:
            row = db.execute("SELECT document FROM revisions WHERE number = ?", (number,)).fetchone()
        if row is None:
            raise UnknownRevision(number)
        return _unpacked(row[0])

    def file(self) -> str | None:
        with self._transaction() as db:
            row = db.execute("SELECT document FROM file").fetchone()
        return _unpacked(row[0]) if row else None

    def save(self, assignment: Assignment, pools: Iterable[str], flaps: Flaps, ejections: Ejections) -> None:
        pools = [*pools]
        with self._transaction() as db:
            for name in pools:
                db.execute("DELETE FROM pools WHERE name = ?", (name,))
                if name in assignment.pools:
                    _insert_pool(db, name, assignment.pools[name])
                    rows = [(name, one, f.penalty, f.at, f.held) for one, f in flaps.of(name).items()]
                    db.executemany("INSERT INTO flaps VALUES (?, ?, ?, ?, ?)", rows)
                    out = ejections.of(name).items()
                    rows = [(name, b, e.at, e.until, e.times, e.reason, e.over) for b, e in out]
                    db.executemany("INSERT INTO ejections VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            for numbers in (assignment.backend_numbers, assignment.pool_numbers):
                _replace_numbers(db, numbers.what, numbers.last, numbers.resting)
        self.versions.note(pools=pools)

    def load(self) -> Assignment:
        assignment = Assignment()
        with self._transaction() as db:
            pools = db.execute("SELECT name, id, buckets FROM pools").fetchall()
            identities = db.execute(
                "SELECT id, pool, name, address, port, removed, came FROM identities"
            ).fetchall()
            last = dict(db.execute("SELECT what, last FROM numbers").fetchall())
            resting = db.execute("SELECT what, number, since FROM resting").fetchall()
        for numbers in (assignment.backend_numbers, assignment.pool_numbers):
            numbers.last = last.get(numbers.what, 0)
            numbers.resting = {number: since for what, number, since in resting if what == numbers.what}
        of_pool: dict[str, dict[int, Identity]] = {name: {} for name, _, _ in pools}
        for number, pool, name, address, port, removed, came in identities:
            of_pool[pool][number] = Identity(number, pool, name, ip_address(address), port, removed, came)
        for name, number, data in pools:
            assignment.restore(name, PoolAssignment(number, Buckets.from_bytes(data), of_pool[name]))
        return assignment

    def flaps(self) -> Flaps:
        known: dict[str, dict[str, Flapping]] = {}
        with self._transaction() as db:
            for pool, backend, penalty, at, held in db.execute("SELECT * FROM flaps"):
                known.setdefault(pool, {})[backend] = Flapping(penalty, at, bool(held))
        return Flaps(known)

    def ejections(self) -> Ejections:
        known: dict[str, dict[str, Ejection]] = {}
        with self._transaction() as db:
            for pool, backend, *times, over in db.execute("SELECT * FROM ejections"):
                known.setdefault(pool, {})[backend] = Ejection(*times, over=bool(over))
        return Ejections(known)

    def term(self) -> int:
        with self._transaction() as db:
            return _term(db)

    def begin_term(self, election_id: int) -> None:
        with self._transaction() as db:
            _replace_numbers(db, TERM, election_id, {})
        self.versions.note()

    def replica(self, copy: Bookmark) -> Replica:
        versions = self.versions
        whole = copy.epoch != versions.epoch
        with self._transaction() as db:  # nothing is written meanwhile, so it is all of one moment
            now, new, pools = versions.since(copy.version)
            revisions, older = _revisions(db, lambda number: whole or number in new or number < copy.before)
            file = db.execute("SELECT document FROM file").fetchone()
            return Replica(
                epoch=versions.epoch,
                version=now,
                whole=whole,
                older=older,
                term=_term(db),
                file=_unpacked(file[0]) if file else None,
                revisions=tuple(revisions),
                pools=_pools(db, None if whole else pools),
                numbers=tuple(_numbers(db)),
            )

    def take(self, replica: Replica) -> None:
        with self._transaction() as db:
            if replica.whole:
                for table in ("revisions", "file", "pools", "numbers", "resting"):
                    db.execute(f"DELETE FROM {table}")
            db.executemany(
                "INSERT OR REPLACE INTO revisions VALUES (?, ?, ?, ?, ?)",
                [(r.number, r.time, r.who, r.what, packed(r.document)) for r in replica.revisions],
            )
            if replica.file is not None:
                db.execute("INSERT OR REPLACE INTO file VALUES (1, ?)", (packed(replica.file),))
            for name in replica.pools:
                db.execute("DELETE FROM pools WHERE name = ?", (name,))
            for name, pool in replica.pools.items():
                if pool:
                    db.execute("INSERT INTO pools VALUES (?, ?, ?)", (name, pool.id, pool.buckets))
                    db.executemany(
                        "INSERT INTO identities VALUES (?, ?, ?, ?, ?, ?, ?)",
                        [(b.id, name, b.name, b.address, b.port, b.removed, b.came) for b in pool.backends],
                    )
                    db.executemany(
                        "INSERT INTO flaps VALUES (?, ?, ?, ?, ?)",
                        [(name, f.backend, f.penalty, f.at, f.held) for f in pool.flaps],
                    )
                    db.executemany(
                        "INSERT INTO ejections VALUES (?, ?, ?, ?, ?, ?, ?)",
                        [(name, e.backend, e.at, e.until, e.times, e.reason, e.over) for e in pool.ejections],
                    )
            for numbers in replica.numbers:
                _replace_numbers(db, numbers.what, numbers.last, numbers.resting)
        self.versions.renew()


# What a standby copies


def _revisions(db: sqlite3.Connection, lacks: Callable[[int], bool]) -> tuple[list[StoredRevision], int]:
    """The newest of those that a copy lacks, by their numbers, newest first.

    Also the last of them if more are to follow, 0 otherwise.
    """
    numbers = db.execute("SELECT number FROM revisions ORDER BY number DESC").fetchall()
    found, letters = list[StoredRevision](), 0
    for number in (number for (number,) in numbers if lacks(number)):
        row = db.execute("SELECT time, who, what, document FROM revisions WHERE number = ?", (number,))
        when, who, what, packed_document = row.fetchone()
        document = _unpacked(packed_document)
        letters += len(document)
        if found and letters > PORTION:
            return found, found[-1].number
        found.append(StoredRevision(number=number, time=when, who=who, what=what, document=document))
    return found, 0


def _pools(db: sqlite3.Connection, names: set[str] | None) -> dict[str, StoredPool | None]:
    """Those of these names, None for one that is not there; all of them for None."""
    pools: dict[str, StoredPool | None] = dict.fromkeys(names or ())
    for name, number, buckets in db.execute("SELECT name, id, buckets FROM pools").fetchall():
        if names is None or name in names:
            pools[name] = StoredPool(
                id=number,
                buckets=base64.b64encode(buckets),
                backends=tuple(_rows_of(db, name, "identities", StoredBackend)),
                flaps=tuple(_rows_of(db, name, "flaps", StoredFlapping)),
                ejections=tuple(_rows_of(db, name, "ejections", StoredEjection)),
            )
    return pools


def _rows_of(db: sqlite3.Connection, pool: str, table: str, kind: type[R]) -> Iterator[R]:
    """Of one pool, as `kind`, whose fields are the table's columns."""
    parts = [*kind.model_fields]
    for row in db.execute(f"SELECT {', '.join(parts)} FROM {table} WHERE pool = ?", (pool,)):
        yield kind(**dict(zip(parts, row, strict=True)))


def _numbers(db: sqlite3.Connection) -> Iterator[StoredNumbers]:
    for what, last in db.execute("SELECT what, last FROM numbers").fetchall():
        resting = dict(db.execute("SELECT number, since FROM resting WHERE what = ?", (what,)).fetchall())
        yield StoredNumbers(what=what, last=last, resting=resting)


def _term(db: sqlite3.Connection) -> int:
    row = db.execute("SELECT last FROM numbers WHERE what = ?", (TERM,)).fetchone()
    return row[0] if row else 0


def packed(document: str) -> bytes:
    """A document as it is kept."""
    return zlib.compress(document.encode(), level=1)


def _unpacked(data: bytes) -> str:
    try:
        return zlib.decompress(data).decode()
    except (zlib.error, UnicodeDecodeError) as error:
        raise StoreError(f"a stored document is damaged: {error}") from None


def _insert_pool(db: sqlite3.Connection, name: str, pool: PoolAssignment) -> None:
    db.execute("INSERT INTO pools VALUES (?, ?, ?)", (name, pool.id, pool.buckets.to_bytes()))
    db.executemany(
        "INSERT INTO identities VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(i.id, name, i.name, str(i.address), i.port, i.removed, i.came) for i in pool.backends.values()],
    )


def _replace_numbers(db: sqlite3.Connection, what: str, last: int, resting: Mapping[int, float]) -> None:
    db.execute("INSERT OR REPLACE INTO numbers VALUES (?, ?)", (what, last))
    db.execute("DELETE FROM resting WHERE what = ?", (what,))
    db.executemany(
        "INSERT INTO resting VALUES (?, ?, ?)", [(what, number, since) for number, since in resting.items()]
    )
