"""What a client of the API may take of the daemon: sizes, times, numbers.

Those of a connection are kept by `serving`, which knows the sockets; those of a request's body and of
followers here.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controller.config import MAX_DOCUMENT

MAX_HEADERS = 16 * 2**10
"""Bytes of a request before its body."""

MAX_BODY = 64 * 2**10
"""Bytes of a body, but for documents, which may have MAX_DOCUMENT."""

DOCUMENTS = ("PUT", "/v1/config")
"""The one request that brings a document."""

MAX_DOCUMENTS = 2
"""Documents in the memory at a time; more wait until they may send theirs."""

HEADER_TIME = 10.0
BODY_TIME = 30.0
STALL_TIME = 30.0
"""Seconds that a client has for the head of a request, for its body, and to take what waits for it."""

HANDSHAKE_TIME = 5.0
"""Seconds for TLS."""

MAX_CONNECTIONS = 128
"""On each of the sockets; more wait to be accepted."""

MAX_CONNECTIONS_OF_ONE = 64
"""By TCP, from one address: more are closed at once, so that no one client takes all places."""

MAX_FOLLOWERS = 32
"""Of events, together."""


class Ended(StrEnum):
    """Why a connection was closed that its client might have kept."""

    HANDSHAKE = "handshake"  # TLS was not agreed upon, or not in time
    REQUEST = "request"  # the head of a request did not arrive in time
    READING = "reading"  # an answer was not taken
    TOO_MANY = "too_many"  # its client has enough others


class Connections:
    """How many there are at each listening socket, and how many were ended for one of these reasons."""

    def __init__(self) -> None:
        self.present: Counter[str] = Counter()
        self.ended: Counter[tuple[str, Ended]] = Counter()


class BodyLimit:
    """Ends requests whose body is too large or too slow, before it fills the memory."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._documents = asyncio.Semaphore(MAX_DOCUMENTS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (scope["method"], scope["path"]) == DOCUMENTS:
            async with self._documents:
                await self._app(scope, _bounded(scope, receive, MAX_DOCUMENT), send)
        else:
            await self._app(scope, _bounded(scope, receive, MAX_BODY), send)


def _bounded(scope: Scope, receive: Receive, limit: int) -> Receive:
    size, complete = 0, False
    deadline = asyncio.get_running_loop().time() + BODY_TIME
    announced = Headers(scope=scope).get("content-length", "")

    async def bounded() -> Message:
        nonlocal size, complete
        if complete:
            return await receive()  # waits for the client to go
        if announced.isdecimal() and int(announced) > limit:
            raise _too_large(limit)
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, f"the body did not arrive within {BODY_TIME:g} s") from None
        size += len(message.get("body", b""))
        if size > limit:
            raise _too_large(limit)
        complete = not message.get("more_body", False)
        return message

    return bounded


def _too_large(limit: int) -> HTTPException:
    size = f"{limit >> 20} MB" if limit >> 20 else f"{limit >> 10} kB"
    return HTTPException(413, f"the body is larger than {size}")


class Followers:
    """How many follow the events. A place is taken before the answer begins, so that it can be refused."""

    def __init__(self) -> None:
        self.present = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """Raises HTTPException when there is none."""
        if self.present >= MAX_FOLLOWERS:
            raise HTTPException(
                429, f"{MAX_FOLLOWERS} clients follow the events already; ask for /v1/events now and then"
            )
        self.present += 1
        try:
            yield
        finally:
            self.present -= 1
