"""Asking the other controller: what it answers, and what is made of answers that are none."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response

from controller.api import client
from controller.pair import PeerRefuses, PeerUnreachable
from controller.peer import ApiPeer
from controller.replica import FORMAT, Bookmark, Replica
from controller.store import SqliteStore
from tests.fakes.serving import serving

COPY = Bookmark("e0", 3, 2)


@contextmanager
def answering(folder: Path, answer: Callable[[Request], Response]) -> Iterator[ApiPeer]:
    app, place = FastAPI(), folder / "peer.sock"
    app.get("/v1/replica")(answer)
    peer = ApiPeer(place)
    with serving(app, place):
        yield peer
        peer.close()


async def test_it_is_asked_on_one_connection_and_told_how_far_the_copy_is(tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []
    store, clients = SqliteStore(":memory:"), set[Any]()

    def answer(request: Request) -> Response:
        asked.append(dict(request.query_params))
        return Response(store.replica(Bookmark()).model_dump_json())

    with answering(tmp_path, answer) as peer:
        for _ in range(2):
            assert isinstance(await peer.replica(COPY, 0.5), Replica)
            clients.add(*peer._idle)
    question = {"epoch": "e0", "version": "3", "before": "2", "wait": "0.5", "format": str(FORMAT)}
    assert asked == [question, question]
    assert len(clients) == 1


ANSWERS = [
    ("another shape", Response('{"nobody": "knows"}'), r"is of another version, bring both to the same one"),
    (
        "refused",
        Response('{"error": "no", "where": "here", "hint": "try there"}', 409),
        r"refuses: here: no \(try there\)",
    ),
    ("too much", Response("x" * 2000), r"peer.sock answers with more than 0 MB"),
    (
        "compressed nonsense",
        Response("x", headers={"Content-Encoding": "gzip"}),
        r"is of another version, bring both to the same one",
    ),
]


@pytest.mark.parametrize(("shows", "answer", "said"), ANSWERS, ids=[case[0] for case in ANSWERS])
async def test_what_is_no_copy_is_refused(
    tmp_path: Path, shows: str, answer: Response, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "MAX_ANSWER", 1000)

    def given(request: Request) -> Response:
        return answer

    with answering(tmp_path, given) as peer, pytest.raises(PeerRefuses, match=said):
        await peer.replica(COPY, 0)


async def test_nobody_there_is_nothing_to_put_right(tmp_path: Path) -> None:
    with pytest.raises(PeerUnreachable, match="no daemon answers at") as refused:
        await ApiPeer(tmp_path / "nobody.sock").replica(COPY, 0)
    assert not isinstance(refused.value, PeerRefuses)
