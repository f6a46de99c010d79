"""What a standby copies of the active controller's store: all of it at first, then what has changed.

`Versions` counts the changes of a store and knows what each concerned, so what a copy lacks can be said at
any time, however far behind it is. A copy of another life of the active (another `epoch`) begins anew.

The latest revision comes first, and what there is of older ones in portions behind it: a history of years
does not go into one answer, and a copy is of use before it has all of that.
"""

import secrets
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pydantic import Base64Bytes, BaseModel, ConfigDict

FORMAT = 3
"""Of what is copied, so that a standby that does not know all of it does not believe that it has a copy.

1: all in one answer. 2: revisions in portions; slow starts and penalties. 3: ejections; numbers of 18 bits in
buckets.
"""

PORTION = 16 * 2**20
"""Letters of documents in one answer, but for a document that is larger by itself."""


@dataclass(frozen=True, slots=True)
class Bookmark:
    """How far a copy has come: it has everything until `version` of `epoch`.

    If `before` is not 0, it lacks the revisions that came before that one.
    """

    epoch: str = ""
    version: int = 0
    before: int = 0


class Row(BaseModel):
    model_config = ConfigDict(frozen=True)


class StoredRevision(Row):
    """A revision with its document, as text."""

    number: int
    time: float
    who: str
    what: str
    document: str


class StoredBackend(Row):
    """An identity."""

    id: int
    name: str
    address: str
    port: int | None
    removed: float | None
    came: float | None = None


class StoredFlapping(Row):
    """The penalty of a backend that goes up and down."""

    backend: str
    penalty: float
    at: float
    held: bool


class StoredEjection(Row):
    """The latest ejection of a backend."""

    backend: str
    at: float
    until: float
    times: int
    reason: str
    over: bool


class StoredPool(Row):
    """A pool's number, its buckets as they are kept on disk, its backends, their penalties and ejections."""

    id: int
    buckets: Base64Bytes
    backends: tuple[StoredBackend, ...]
    flaps: tuple[StoredFlapping, ...] = ()
    ejections: tuple[StoredEjection, ...] = ()


class StoredNumbers(Row):
    """Which number was given out last, and since when others rest (seconds since the epoch)."""

    what: str
    last: int
    resting: dict[int, float]


class Replica(Row):
    """What a copy lacks until `version`; all there is if `whole`. A pool of None has gone.

    If `older` is not 0, it is the oldest revision that is in this answer, and older ones are to be asked for.
    `term` is the election id with which the active became it. `file` is the latest document that came from
    an operator's file.
    """

    epoch: str
    version: int
    whole: bool
    older: int = 0
    term: int
    file: str | None
    revisions: tuple[StoredRevision, ...]
    pools: dict[str, StoredPool | None]
    numbers: tuple[StoredNumbers, ...]

    @property
    def bookmark(self) -> Bookmark:
        """Of a copy that has taken this."""
        return Bookmark(self.epoch, self.version, self.older)

    @property
    def latest(self) -> int:
        """The newest revision in it, 0 for none."""
        return max((revision.number for revision in self.revisions), default=0)


@dataclass(slots=True)
class Versions:
    """When what was changed last, in changes of this process. May be asked from any thread."""

    epoch: str = field(default_factory=lambda: secrets.token_hex(8))
    now: int = 0
    changed: Callable[[], object] = lambda: None
    """Called after each change, from the thread that made it."""
    _pools: dict[str, int] = field(default_factory=dict)
    _revisions: dict[int, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, *, revision: int | None = None, pools: Iterable[str] = ()) -> None:
        with self._lock:
            self.now += 1
            if revision is not None:
                self._revisions[revision] = self.now
            self._pools |= dict.fromkeys(pools, self.now)
        self.changed()

    def renew(self) -> None:
        """The store holds something else: whoever copies it begins anew."""
        with self._lock:
            self.epoch, self.now = secrets.token_hex(8), 0
            self._pools.clear()
            self._revisions.clear()

    def since(self, version: int) -> tuple[int, set[int], set[str]]:
        """The present version, and the revisions and pools that changed after `version`."""
        with self._lock:
            revisions = {number for number, at in self._revisions.items() if at > version}
            return self.now, revisions, {name for name, at in self._pools.items() if at > version}
