"""One half of a pair, whose other half is a store or a list of complaints."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from controller import pair, store
from controller.events import EventLog, Severity
from controller.pair import Pair, PeerRefuses, PeerUnreachable
from controller.replica import Bookmark, Replica
from controller.store import SqliteStore


class Other:
    """Answers what its store has, and complains first."""

    def __init__(self) -> None:
        self.store = SqliteStore(":memory:")
        self.complaints: Sequence[PeerUnreachable] = ()
        self.asked: list[Bookmark] = []
        self.refused = asyncio.Event()

    async def replica(self, copy: Bookmark, wait: float) -> Replica:
        self.asked.append(copy)
        if self.complaints:
            complaint, *self.complaints = self.complaints
            raise complaint
        while wait and copy == Bookmark(self.store.versions.epoch, self.store.versions.now):
            await asyncio.sleep(0.001)
        return self.store.replica(copy)

    def close(self) -> None:
        self.store.close()


class Half:
    def __init__(self) -> None:
        self.other, self.store, self.events = Other(), SqliteStore(":memory:"), EventLog()
        self.reloads = 0
        self.pair = Pair(self.other, self.store, self.events, self._reload)

    def _reload(self) -> None:
        self.reloads += 1

    def told(self) -> list[tuple[str, str, Severity]]:
        return [(event.text, event.cause, event.severity) for event in self.events.since()]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.001)


@pytest.fixture
async def half(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Half]:
    monkeypatch.setattr(pair, "FIRST_RETRY", 0.001)
    monkeypatch.setattr(pair, "LAST_RETRY", 0.004)
    monkeypatch.setattr(pair, "FIRST_QUESTION", 0.05)
    monkeypatch.setattr(pair, "IMPORTANT_QUESTION", 0.05)
    half = Half()
    yield half
    await half.pair.close()
    half.store.close()


def commit(store: SqliteStore, *documents: str) -> None:
    for document in documents:
        store.commit(document, who="somebody", what="a change")


FOLLOWS = "has a copy of all that the active knows"


async def test_a_long_history_comes_in_portions_the_latest_first(
    half: Half, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PORTION", 25)
    commit(half.other.store, *(f"document {n}" for n in range(1, 8)))  # of 10 letters each
    half.pair.stands_by()
    await half.until(lambda: half.told()[-1][0] == FOLLOWS)
    assert [copy.before for copy in half.other.asked[:4]] == [0, 6, 4, 2]
    assert half.store.revisions() == half.other.store.revisions()
    assert half.reloads == 1, "what is old puts nothing in force"
    commit(half.other.store, "document 8")
    await half.until(lambda: half.reloads == 2)
    assert half.store.document(8) == "document 8"


async def test_a_document_that_is_larger_than_a_portion_comes_by_itself(
    half: Half, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PORTION", 5)
    commit(half.other.store, "document 1", "document 2")
    answer = half.other.store.replica(Bookmark())
    assert [revision.number for revision in answer.revisions] == [2]
    assert answer.bookmark.before == 2
    answer = half.other.store.replica(answer.bookmark)
    assert ([revision.number for revision in answer.revisions], answer.older) == ([1], 0)


async def test_who_takes_what_the_peer_knows_takes_its_history_too(
    half: Half, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PORTION", 5)
    commit(half.other.store, "one", "two", "three")
    half.other.store.begin_term(100)
    await half.pair.may_bid(highest=100)
    assert half.store.revisions() == half.other.store.revisions()
    assert half.told() == []


async def test_a_peer_that_goes_on_complaining_is_asked_less_and_less(
    half: Half, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses, sleep = [], asyncio.sleep

    async def noted(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    half.other.complaints = [PeerUnreachable("no daemon answers")] * 5
    monkeypatch.setattr(pair.asyncio, "sleep", noted)
    half.pair.stands_by()
    while not half.pair._in_step:
        await sleep(0.001)
    monkeypatch.undo()
    assert [seconds for seconds in pauses if seconds > 0.001] == [0.002, 0.004, 0.004, 0.004]


async def test_what_does_not_change_by_itself_is_told_at_once_and_once(half: Half) -> None:
    half.other.complaints = [PeerRefuses("the token is not known")] * 3 + [PeerRefuses("the role")] * 2
    half.pair.stands_by()
    await half.until(lambda: half.told()[-1][0] == FOLLOWS)
    assert [told for told in half.told() if told[2] is Severity.WARNING] == [
        ("cannot follow the active", "the token is not known", Severity.WARNING),
        ("cannot follow the active", "the role", Severity.WARNING),
    ]


@pytest.mark.parametrize(
    ("complaint", "severity"),
    [
        (PeerUnreachable("no daemon answers"), Severity.INFO),
        (PeerRefuses("the token is not known"), Severity.WARNING),
    ],
)
async def test_who_begins_without_the_peer_says_why(
    half: Half, complaint: PeerUnreachable, severity: Severity
) -> None:
    half.other.complaints = [complaint] * 1000
    await half.pair.may_bid(highest=0)
    assert half.told() == [("begins without the peer", str(complaint), severity)]
