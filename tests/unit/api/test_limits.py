"""What a client may take of the daemon: sizes, times, numbers. On real sockets where it is about them.

The times are shortened, so that what should end ends soon; nothing here asserts how soon.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import pytest

from controller.api import limits
from controller.api.app import create_app
from controller.api.limits import Connections, Ended
from controller.api.schemas import Refusal
from controller.api.serving import Server
from controller.events import Kind
from tests.fakes.controller import DOCUMENT, FakeController

PATIENCE = 20.0
SOON = 0.2
"""Seconds."""

FOLLOW = b"GET /v1/events/stream HTTP/1.1\r\nHost: sluice\r\n\r\n"


@asynccontextmanager
async def served(
    controller: FakeController, folder: Path, connections: Connections | None = None
) -> AsyncIterator[Path]:
    """The API on a unix socket, as the daemon serves it."""
    path = folder / "sluice.sock"
    server = Server(create_app(controller), connections=connections)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        serving = asyncio.create_task(server.serve([listener]))
        await server.ready.wait()
        yield path
        server.should_exit = True
        await serving


@contextmanager
def connected(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.setblocking(False)
        sock.connect(str(path))
        yield sock


async def received(sock: socket.socket) -> bytes:
    """Until the daemon closes the connection."""
    loop, data = asyncio.get_running_loop(), b""
    async with asyncio.timeout(PATIENCE):
        while piece := await _piece(loop, sock):
            data += piece
    return data


async def _piece(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> bytes:
    try:
        return await loop.sock_recv(sock, 1 << 16)
    except ConnectionResetError:
        return b""


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


# Bodies


@pytest.mark.parametrize(
    ("method", "path", "limit", "name"),
    [("PUT", "/v1/config", "MAX_DOCUMENT", "1 MB"), ("POST", "/v1/vips", "MAX_BODY", "64 kB")],
)
async def test_a_body_without_end_is_refused(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, method: str, path: str, limit: str, name: str
) -> None:
    monkeypatch.setattr(limits, "MAX_DOCUMENT", 1 << 20)
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1 << 14
            yield bytes(1 << 14)

    headers = {"Content-Type": "application/json"}
    answer = await api.request(method, path, content=endless(), headers=headers)
    assert answer.status_code == 413
    assert Refusal.model_validate(answer.json()).error == f"the body is larger than {name}"
    assert sent <= getattr(limits, limit) + (1 << 14)


async def test_a_body_that_says_it_is_too_large_is_refused_unread(api: httpx.AsyncClient) -> None:
    async def nothing() -> AsyncIterator[bytes]:
        pytest.fail("the body was asked for")
        yield b""

    headers = {"Content-Length": str(1 << 30)}
    answer = await api.put("/v1/config", content=nothing(), headers=headers)
    assert answer.status_code == 413


async def test_a_body_that_does_not_come(
    api: httpx.AsyncClient, controller: FakeController, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BODY_TIME", SOON)

    async def slow() -> AsyncIterator[bytes]:
        yield b"switch: "
        await asyncio.sleep(PATIENCE)

    answer = await api.put("/v1/config", content=slow())
    assert answer.status_code == 408
    assert Refusal.model_validate(answer.json()).error == f"the body did not arrive within {SOON} s"
    assert controller.changes == []


async def test_documents_wait_for_each_other_and_delay_nothing_else(
    api: httpx.AsyncClient, controller: FakeController
) -> None:
    sent, rest = asyncio.Queue[int](), asyncio.Event()

    async def document(number: int) -> AsyncIterator[bytes]:
        sent.put_nowait(number)
        yield DOCUMENT[:10].encode()
        await rest.wait()
        yield DOCUMENT[10:].encode()

    async with asyncio.timeout(PATIENCE):
        putting = [
            asyncio.create_task(api.put("/v1/config", content=document(number)))
            for number in range(limits.MAX_DOCUMENTS + 1)
        ]
        assert len({await sent.get() for _ in range(limits.MAX_DOCUMENTS)}) == limits.MAX_DOCUMENTS
        assert (await api.get("/v1/vips")).status_code == 200
        assert sent.empty()
        rest.set()
        assert {answer.status_code for answer in await asyncio.gather(*putting)} == {200}
    assert len(controller.changes) == limits.MAX_DOCUMENTS + 1


# Connections


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"GET /v1/sta",
        b"GET /v1/status HTTP/1.1\r\nHost: sluice\r\nX-A: ",
        b"GET /v1/status HTTP/1.1\r\nHost: sluice\r\n\r\nGET /v1/st",  # the second one does not come
    ],
)
async def test_a_client_that_dawdles_is_hung_up_on(
    controller: FakeController, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    monkeypatch.setattr(limits, "HEADER_TIME", SOON)
    connections = Connections()
    async with served(controller, tmp_path, connections) as path:
        with connected(path) as sock:
            sock.sendall(head)
            dripping = asyncio.create_task(_drip(sock))
            said = await received(sock)
            dripping.cancel()
    assert said.count(b"HTTP/1.1 200") == head.count(b"\r\n\r\n")
    assert connections.ended == {("socket", Ended.REQUEST): 1}
    assert connections.present == {"socket": 0}


async def _drip(sock: socket.socket) -> None:
    """One byte now and then, so that the connection is never idle."""
    while True:
        await asyncio.sleep(SOON / 4)
        try:
            sock.send(b"x")
        except OSError:
            return


async def test_a_head_too_large_is_refused(controller: FakeController, tmp_path: Path) -> None:
    async with served(controller, tmp_path) as path:
        with connected(path) as sock:
            sock.sendall(b"GET /v1/status HTTP/1.1\r\nHost: sluice\r\nX-A: " + bytes(limits.MAX_HEADERS + 1))
            assert (await received(sock)).startswith(b"HTTP/1.1 400 ")


async def test_a_client_that_does_not_read_is_hung_up_on(
    controller: FakeController, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STALL_TIME", SOON)
    request = b"GET /v1/openapi.json HTTP/1.1\r\nHost: sluice\r\n\r\n"
    connections = Connections()
    async with served(controller, tmp_path, connections) as path:
        with connected(path) as sock:
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(PATIENCE):
                with pytest.raises((BrokenPipeError, ConnectionResetError)):
                    while True:
                        await loop.sock_sendall(sock, request)
    assert connections.ended == {("socket", Ended.READING): 1}


async def test_a_follower_that_does_not_read_is_hung_up_on_and_delays_nobody(
    controller: FakeController, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STALL_TIME", SOON)
    loop, connections = asyncio.get_running_loop(), Connections()
    async with served(controller, tmp_path, connections) as path:
        with connected(path) as lazy, connected(path) as eager:
            for sock in (lazy, eager):
                sock.sendall(FOLLOW)
                assert (await loop.sock_recv(sock, 1 << 16)).startswith(b"HTTP/1.1 200 ")
            reading = asyncio.create_task(received(eager))
            await until(
                lambda: bool(controller.events.record(Kind.DAEMON, "x" * 10_000, "x") and connections.ended)
            )
            assert connections.ended == {("socket", Ended.READING): 1}
            controller.events.record(Kind.DAEMON, "daemon", "the last one")
            controller.events.close()
            said = await reading
    assert b"the last one" in said
    assert said.count(b"\nid: ") == controller.events.last


async def test_who_comes_when_all_places_are_taken_waits_for_one(
    controller: FakeController, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_CONNECTIONS", 3)
    request = b"GET /v1/vips HTTP/1.1\r\nHost: sluice\r\nConnection: close\r\n\r\n"
    async with served(controller, tmp_path) as path:
        with connected(path), connected(path), connected(path) as third, connected(path) as fourth:
            fourth.sendall(request)
            waiting = asyncio.create_task(received(fourth))
            await asyncio.sleep(SOON)
            assert not waiting.done()
            third.close()
            assert (await waiting).startswith(b"HTTP/1.1 200 ")


async def test_the_followers_are_counted_and_bounded(
    controller: FakeController, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_FOLLOWERS", 2)
    loop = asyncio.get_running_loop()
    async with served(controller, tmp_path) as path:
        with connected(path) as first, connected(path) as second, connected(path) as third:
            for sock in (first, second):
                sock.sendall(FOLLOW)
                assert (await loop.sock_recv(sock, 1 << 16)).startswith(b"HTTP/1.1 200 ")
            third.sendall(FOLLOW.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            answer = await received(third)
            assert answer.startswith(b"HTTP/1.1 429 ")
            assert b"2 clients follow the events already" in answer
            first.close()
            transport = httpx.AsyncHTTPTransport(uds=str(path))
            async with httpx.AsyncClient(transport=transport, base_url="http://sluice") as client:
                async with asyncio.timeout(PATIENCE):
                    while "sluice_event_followers 1.0" not in (await client.get("/metrics")).text:
                        await asyncio.sleep(0.01)
            controller.events.close()
