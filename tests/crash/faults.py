"""What may be wrong with a daemon: one rule of crash-safety taken out each.

Planted in the daemon's own process, after it was forked.
"""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from controller import assignment, desired, reconciler
from controller.assignment import Assignment
from controller.reconciler import Reconciler
from controller.revision import Revision
from controller.stillness import Stillness
from controller.store import SqliteStore, packed
from controller.verdicts import Verdicts
from controller.wanted import owners
from controller.wire import Connection


def not_synced() -> None:
    """A change is acknowledged when the operating system has it, and not the disk."""
    prepare = SqliteStore._prepare

    def wrong(self: SqliteStore) -> None:
        prepare(self)
        self._db.execute("PRAGMA synchronous = NORMAL")

    SqliteStore._prepare = wrong


def acknowledged_before_commit() -> None:
    commit = SqliteStore.commit

    def wrong(self: SqliteStore, document: str, *, who: str, what: str, from_file: bool = False) -> Revision:
        latest = self.latest()
        if latest is None:
            return commit(self, document, who=who, what=what, from_file=from_file)
        more: dict[str, Any] = {"who": who, "what": what, "from_file": from_file}
        threading.Timer(0.1, lambda: commit(self, document, **more)).start()
        return Revision(latest.number + 1, time.time(), who, what)

    SqliteStore.commit = wrong


def half_committed() -> None:
    """The first of the new backends are on disk before the others."""
    commit = SqliteStore.commit

    def wrong(self: SqliteStore, document: str, *, who: str, what: str, from_file: bool = False) -> Revision:
        if from_file:
            return commit(self, document, who=who, what=what, from_file=True)
        half = json.loads(document)
        backends = half["pools"][0]["backends"]
        del backends[len(backends) // 2 :]
        revision = commit(self, json.dumps(half), who=who, what=what)
        with self._transaction() as db:
            change = "UPDATE revisions SET document = ? WHERE number = ?"
            db.execute(change, (packed(document), revision.number))
        return revision

    SqliteStore.commit = wrong


def store_is_believed() -> None:
    """What was stored is taken for what was written, and buckets are not read back."""
    adopt = desired.adopt

    def wrong(assignment: Assignment, config: Any, holdings: Any, now: float) -> None:
        for assigned in assignment.pools.values():
            rows = owners(assigned.buckets).astype(np.int32)
            if assigned.id in holdings.buckets:
                holdings.buckets[assigned.id] = rows
        adopt(assignment, config, holdings, now)

    desired.adopt = wrong


def begun_from_nothing() -> None:
    """Neither what was stored nor what the switch holds decides who has which bucket."""
    SqliteStore.load = lambda self: Assignment()
    desired.adopt = lambda *arguments: None


def unknown_is_down() -> None:
    """Until the first verdict a backend counts as dead."""
    is_up = Verdicts.is_up
    Verdicts.is_up = lambda self, pool, backend: bool(is_up(self, pool, backend))


def program_always_pushed() -> None:
    async def unknown(self: Connection) -> None:
        return None

    Connection.cookie = unknown


def order_reversed() -> None:
    """What points at something is written before it."""
    reconciler.TABLES = tuple(reversed(reconciler.TABLES))
    Reconciler._may_point = lambda self, changes: changes


def file_always_wins() -> None:
    """What commands changed is gone at the next start."""
    SqliteStore.file = lambda self: None


def settled_at_once() -> None:
    Stillness.of = lambda self, cells: np.full(len(cells), np.inf)


def gap_between_old_and_new() -> None:
    """Who is to leave does so before anybody has taken its place."""
    assignment._who_could_stand_in = lambda *arguments: {}


FAULTS: dict[str, Callable[[], None]] = {
    fault.__name__: fault
    for fault in (
        not_synced,
        acknowledged_before_commit,
        half_committed,
        store_is_believed,
        begun_from_nothing,
        unknown_is_down,
        program_always_pushed,
        order_reversed,
        file_always_wins,
        settled_at_once,
        gap_between_old_and_new,
    )
}
