"""uvicorn with bounds: on connections, on the time that a client has for each part of a request, and to read.

uvicorn itself waits for a request's head without end, and for a client that does not read its answer; and it
cannot serve a plain socket beside one with TLS. So there is a `Server` for each listening socket, which
accepts connections itself, no more than there is room for. What it has to end is counted.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from controller.api import limits
from controller.api.limits import Connections, Ended

logger = logging.getLogger("sluice.api")

LAST_REQUESTS = 2
"""Seconds that requests under way get at the end."""

ACCEPT_AGAIN = 0.1
"""Seconds until the next try when there is no file descriptor for a connection."""


class Protocol(H11Protocol):
    """HTTP/1.1 on one connection, with a clock."""

    def __init__(self, gone: Callable[[], None], ended: Callable[[Ended], None], **rest: Any) -> None:
        super().__init__(**rest)
        self._gone, self._ended = gone, ended
        self._request_due: asyncio.TimerHandle | None = None
        self._reading_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch_request()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_request()

    def _watch_request(self) -> None:
        """Gives the client its time for the head of a request while we wait for one."""
        if self.cycle and not self.cycle.response_complete:
            self._request_due = _cancelled(self._request_due)
        elif self._request_due is None:
            self._request_due = self.loop.call_later(limits.HEADER_TIME, self._end, Ended.REQUEST)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reading_due = self.loop.call_later(limits.STALL_TIME, self._end, Ended.READING)

    def _end(self, why: Ended) -> None:
        self._ended(why)
        self.transport.abort()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._reading_due = _cancelled(self._reading_due)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._request_due = _cancelled(self._request_due)
        self._reading_due = _cancelled(self._reading_due)
        self._gone()


def _cancelled(timer: asyncio.TimerHandle | None) -> None:
    if timer:
        timer.cancel()


class Server(uvicorn.Server):
    """Serves `app` on one socket, until `should_exit` is set. `ready` is set when it accepts connections.

    Signals are the program's own affair.
    """

    def __init__(
        self, app: ASGIApp, tls: ssl.SSLContext | None = None, connections: Connections | None = None
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="h11",
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                ws="none",
                timeout_graceful_shutdown=LAST_REQUESTS,
                h11_max_incomplete_event_size=limits.MAX_HEADERS,
            )
        )
        self.ready = asyncio.Event()
        self._tls = tls
        self._listener = "tcp" if tls else "socket"
        self._counts = connections or Connections()
        self._places = asyncio.Semaphore(limits.MAX_CONNECTIONS)
        self._clients: Counter[str] = Counter()
        """Connections by address, where clients have one."""
        self._tasks = set[asyncio.Task[None]]()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.servers = []  # ours are not of asyncio's kind
        for listener in sockets or ():
            listener.setblocking(False)
            listener.listen()
            self._begin(self._accept(listener))
        self.started = True
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for task in self._tasks:
            task.cancel()
        await super().shutdown(sockets)

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._places.acquire()
            try:
                connection, peer = await loop.sock_accept(listener)
            except OSError as error:
                self._places.release()
                logger.warning("a connection cannot be accepted: %s", error.strerror)
                await asyncio.sleep(ACCEPT_AGAIN)
            else:
                self._take(connection, peer[0] if self._tls else "")

    def _take(self, connection: socket.socket, client: str) -> None:
        """Begins to serve a connection; `client` is its address, "" where there is none."""
        if client and self._clients[client] >= limits.MAX_CONNECTIONS_OF_ONE:
            self._ended(Ended.TOO_MANY)
            connection.close()
            self._places.release()
            return
        self._clients[client] += 1
        self._counts.present[self._listener] += 1
        self._begin(self._connect(connection, client))

    def _gone(self, client: str) -> None:
        self._places.release()
        self._counts.present[self._listener] -= 1
        self._clients[client] -= 1
        if not self._clients[client]:
            del self._clients[client]

    def _ended(self, why: Ended) -> None:
        self._counts.ended[self._listener, why] += 1

    async def _connect(self, connection: socket.socket, client: str) -> None:
        loop = asyncio.get_running_loop()
        gone = partial(self._gone, client)
        made = False

        def protocol() -> Protocol:
            return Protocol(
                gone,
                self._ended,
                config=self.config,
                server_state=self.server_state,
                app_state=self.lifespan.state,
            )

        try:
            await loop.connect_accepted_socket(
                protocol,
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=limits.HANDSHAKE_TIME if self._tls else None,
                ssl_shutdown_timeout=limits.HANDSHAKE_TIME if self._tls else None,
            )
            made = True
        except (OSError, ssl.SSLError) as error:  # TimeoutError among them
            self._ended(Ended.HANDSHAKE)
            logger.debug("a connection was not made: %s", error)
        finally:
            if not made:
                connection.close()
                gone()
