"""Checks of real servers on the loopback interface: what the server does, and what the check says of it."""

import asyncio
import resource
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address

import pytest

from controller.health.checks import CheckFailed, CheckNotMade, Target, tcp
from controller.health.checks import within as within_by
from controller.health.pulse import Pulse
from controller.health.settings import HttpCheck
from controller.health.web import MAX_BODY, host_header, web

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

PATIENT = 10.0
"""Seconds; a check that needs this long has hung."""


@asynccontextmanager
async def server(serve: Serve, address: str = "127.0.0.1") -> AsyncIterator[Target]:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    listener = await asyncio.start_server(connected, address, 0)
    try:
        yield Target(ip_address(address), listener.sockets[0].getsockname()[1])
    finally:
        listener.close()


def says(answer: bytes) -> Serve:
    """A server that reads a request's head and sends these bytes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    return serve


async def hangs(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def within(seconds: float, check: Awaitable[str]) -> str:
    return await within_by(seconds, check, Pulse())


async def ask(target: Target, *statuses: int | str, seconds: float = PATIENT, **more: object) -> str:
    settings = {"type": "http", "path": "/healthz?deep=1", "host": "shop.example"} | more
    check = HttpCheck.model_validate(settings | {"status": statuses or 200})
    return await within(seconds, web(target, check))


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


# what it shows, answer, acceptable statuses, what the check says
PASSES = [
    ("the usual answer", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", (200,), "status 200"),
    ("an answer that ends with the connection", b"HTTP/1.0 200 OK\r\n\r\nok", (200,), "status 200"),
    (
        "an answer in chunks",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        (200,),
        "status 200",
    ),
    ("no body at all", b"HTTP/1.1 204 No Content\r\n\r\n", (200, 204), "status 204"),
    ("a redirect, when that is wanted", b"HTTP/1.1 301 Moved\r\nLocation: /\r\n\r\n", (301,), "status 301"),
    (
        "an interim answer comes first",
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        (200,),
        "status 200",
    ),
    (
        "a body without end is read to the limit",
        b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n" + MAX_BODY * b"x",
        (200,),
        "status 200",
    ),
]

FAILS = [
    ("an error", b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", (200,), "status 503 instead of 200"),
    (
        "a redirect is not followed",
        b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
        (204, 200),
        "status 302 instead of 204 or 200",
    ),
    ("another protocol", b"220 mail.example\r\n\r\n", (200,), "no valid HTTP answer: illegal status line"),
    ("nothing", b"", (200,), "connection closed without an answer"),
    ("half a head", b"HTTP/1.1 200 OK\r\nContent-", (200,), "connection closed without an answer"),
    ("half a body", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", (200,), "no valid HTTP answer"),
    ("a head without end", b"HTTP/1.1 200 OK\r\nX: " + 99999 * b"x", (200,), "no valid HTTP answer"),
]


@pytest.mark.parametrize(("shows", "answer", "statuses", "result"), PASSES)
async def test_http_passes(shows: str, answer: bytes, statuses: tuple[int, ...], result: str) -> None:
    async with server(says(answer)) as target:
        assert await ask(target, *statuses) == result, shows


@pytest.mark.parametrize(("shows", "answer", "statuses", "reason"), FAILS)
async def test_http_fails(shows: str, answer: bytes, statuses: tuple[int, ...], reason: str) -> None:
    async with server(says(answer)) as target:
        with pytest.raises(CheckFailed) as failure:
            await ask(target, *statuses)
    assert str(failure.value).startswith(reason), shows


async def test_the_request_as_the_server_sees_it() -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with server(serve) as target:
        await ask(target)
    assert heads == [
        b"GET /healthz?deep=1 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: sluice-health\r\nAccept: */*\r\n"
        b"Connection: close\r\n\r\n"
    ]


@pytest.mark.parametrize(
    ("address", "port", "header"),
    [
        ("10.0.1.11", 8080, "10.0.1.11:8080"),
        ("10.0.1.11", 80, "10.0.1.11"),
        ("fd00::11", 8080, "[fd00::11]:8080"),
        ("fd00::11", 80, "[fd00::11]"),
    ],
)
def test_the_host_header_without_a_name(address: str, port: int, header: str) -> None:
    assert host_header(Target(ip_address(address), port)) == header


@pytest.mark.parametrize(("method", "more"), [("HEAD", b""), ("POST", b"Content-Length: 0\r\n")])
async def test_another_method(method: str, more: bytes) -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + b"ok" * (method != "HEAD"))

    async with server(serve) as target:
        assert await ask(target, method=method) == "status 200"
    assert heads[0].startswith(f"{method} /healthz?deep=1 HTTP/1.1\r\n".encode())
    assert heads[0].endswith(b"Connection: close\r\n" + more + b"\r\n")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("^ready$", None),
        ("re+ady|fine", None),
        ("READY", "status 200, but the body has nothing like 'READY'"),
        ("ready.$", "status 200, but the body has nothing like 'ready.$'"),
    ],
)
async def test_the_body_is_searched(body: str, reason: str | None) -> None:
    async with server(says(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nready")) as target:
        if reason is None:
            assert await ask(target, body=body) == "status 200"
            return
        with pytest.raises(CheckFailed) as failure:
            await ask(target, body=body)
    assert str(failure.value) == reason


async def test_a_pattern_cannot_be_made_to_take_long() -> None:
    """Python's own engine would need longer than the world is old for this."""
    body = 5000 * b"a"
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    async with server(says(answer)) as target:
        with pytest.raises(CheckFailed, match="the body has nothing like"):
            await ask(target, body="^(a+)+$b")


async def test_statuses_in_ranges() -> None:
    async with server(says(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")) as target:
        assert await ask(target, "200-299", 404) == "status 404"
        with pytest.raises(CheckFailed, match=r"^status 404 instead of 200-299 or 500$"):
            await ask(target, "200-299", 500)


async def test_a_check_that_nobody_could_hear_has_not_failed() -> None:
    pulse = Pulse()
    pulse.start()

    async def stalls() -> str:
        time.sleep(0.2)
        await asyncio.Event().wait()
        return ""

    with pytest.raises(CheckNotMade, match=r"^this machine was too busy to listen for answers$"):
        await within_by(0.1, stalls(), pulse)
    pulse.stop()


async def test_proxies_in_the_environment_have_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    async with server(says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as target:
        assert await ask(target) == "status 200"


async def test_the_time_limit_covers_the_whole_check() -> None:
    async def drips(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        with suppress(ConnectionError):
            while True:  # each line comes in time, the answer never does
                writer.write(b"X: y\r\n")
                await writer.drain()
                await asyncio.sleep(0.01)

    async with server(hangs) as target:
        with pytest.raises(CheckFailed, match=r"^no answer within 50 ms$"):
            await ask(target, seconds=0.05)
    async with server(drips) as target:
        with pytest.raises(CheckFailed, match=r"^no answer within 50 ms$"):
            await ask(target, seconds=0.05)


async def test_a_server_that_hangs_is_up_for_tcp() -> None:
    async with server(hangs) as target:
        assert await within(PATIENT, tcp(target)) == "connected"


async def test_nobody_listens() -> None:
    target = Target(ip_address("127.0.0.1"), closed_port())
    with pytest.raises(CheckFailed, match=r"^connection refused$"):
        await within(PATIENT, tcp(target))
    with pytest.raises(CheckFailed, match=r"^connection refused$"):
        await ask(target)


async def test_a_reset_counts_against_the_backend() -> None:
    async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        at_once = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)

    async with server(resets) as target:
        with pytest.raises(CheckFailed, match=r"^connection reset by peer$"):
            await ask(target)


async def test_a_full_backlog_is_no_connection() -> None:
    """The kernel drops a SYN when the listener's queue is full: no refusal, just silence."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            target = Target(ip_address("127.0.0.1"), port)
            with pytest.raises(CheckFailed, match=r"^no answer within 50 ms$"):
                await within(0.05, tcp(target))


async def test_ipv6() -> None:
    async with server(hangs, "::1") as target:
        assert await within(PATIENT, tcp(target)) == "connected"


@pytest.mark.parametrize("check", ["tcp", "http"])
async def test_the_check_comes_from_the_source_address(check: str) -> None:
    seen: list[str] = []
    accepted = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("peername")[0])
        accepted.set()
        if check == "http":
            await says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(reader, writer)

    async with server(serve) as target:
        asked_from = Target(target.address, target.port, ip_address("127.0.0.77"))
        await (within(PATIENT, tcp(asked_from)) if check == "tcp" else ask(asked_from))
        async with asyncio.timeout(PATIENT):
            await accepted.wait()
    assert seen == ["127.0.0.77"]


async def test_a_source_address_that_is_not_here_says_nothing_about_the_backend() -> None:
    async with server(hangs) as target:
        elsewhere = Target(target.address, target.port, ip_address("192.0.2.1"))
        with pytest.raises(
            CheckNotMade, match=r"^cannot ask from 192\.0\.2\.1: cannot assign requested address$"
        ):
            await within(PATIENT, tcp(elsewhere))


async def test_running_out_of_descriptors_says_nothing_about_the_backend() -> None:
    async with server(hangs) as target:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with socket.socket() as highest:
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest.fileno(), hard))
        try:
            with pytest.raises(CheckNotMade, match="too many open files"):
                await within(PATIENT, tcp(target))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_no_socket_is_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[socket.socket] = []
    real = socket.socket

    class Recorded(real):
        def __init__(self, *arguments: int) -> None:
            super().__init__(*arguments)
            opened.append(self)

    async with server(hangs) as target:
        monkeypatch.setattr(socket, "socket", Recorded)
        await within(PATIENT, tcp(target))
        with pytest.raises(CheckFailed):
            await ask(target, seconds=0.02)
        monkeypatch.undo()
    assert len(opened) == 2
    assert all(sock.fileno() == -1 for sock in opened)
