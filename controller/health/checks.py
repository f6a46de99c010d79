"""One check of one backend: a TCP connection, or an HTTP request on one.

    await tcp(Target(ip_address("10.0.1.11"), 8080))
    await http(target, path="/healthz", host=None, statuses={200})

A check returns what it saw. Otherwise it raises:

    CheckError
      CheckFailed      the backend did not do what it should: counts against it
      CheckNotMade     this machine could not ask (no such source address, out of sockets): says nothing about
                       the backend, and must not take a whole pool down

A check has no time limit of its own; `within` gives it one. Each opens a connection of its own, because a
server that no longer accepts is what it is to find. HTTP is spoken by h11 on a plain socket: one check costs
a quarter of a millisecond of processor time (httpx takes four times that, aiohttp no less), and neither
proxies in the environment nor a pool of old connections have a say.
"""

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass

import h11

from controller.values import Address, format_service

MAX_BODY = 64 * 1024
"""Bytes of an answer's body that are read; the head is bounded by h11 (16 KiB)."""

RECEIVE_SIZE = 16 * 1024
HTTP_PORT = 80
USER_AGENT = "sluice-health"

# <linux/in.h>; the socket module of Python 3.11 does not name it.
IP_BIND_ADDRESS_NO_PORT = 24

# Shortages of this machine. EADDRNOTAVAIL: the source address is not here, or all its ports are taken.
OURS = {
    errno.EADDRNOTAVAIL,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOBUFS,
    errno.ENOMEM,
    errno.EACCES,
    errno.EPERM,
}


class CheckError(Exception):
    """A check that did not pass; the message is a phrase such as `connection refused`."""


class CheckFailed(CheckError):
    """The backend is to blame."""


class CheckNotMade(CheckError):
    """This machine is to blame."""


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask: a backend's address and port. `source`: the address to ask from, of the same family."""

    address: Address
    port: int
    source: Address | None = None


def host_header(target: Target) -> str:
    """The Host header that names the target itself (RFC 9110, section 7.2)."""
    return format_service(target.address, target.port).removesuffix(f":{HTTP_PORT}")


async def within(seconds: float, check: Awaitable[str]) -> str:
    """The check's result, if it is complete in time.

    Raises CheckFailed when it is not.
    """
    try:
        async with asyncio.timeout(seconds):
            return await check
    except TimeoutError:
        raise CheckFailed(f"no answer within {seconds * 1000:g} ms") from None


async def tcp(target: Target) -> str:
    """Passes if the backend accepts a connection."""
    async with _connect(target):
        return "connected"


async def http(target: Target, *, path: str, host: str | None, statuses: Collection[int]) -> str:
    """Passes if a GET of `path` is answered with one of `statuses`.

    `host` is the Host header; None names the target itself. Redirects are answers like any other, and not
    followed.
    """
    request = h11.Request(
        method="GET",
        target=path,
        headers=[
            ("Host", host or host_header(target)),
            ("User-Agent", USER_AGENT),
            ("Accept", "*/*"),
            ("Connection", "close"),
        ],
    )
    connection = h11.Connection(h11.CLIENT)
    async with _connect(target) as sock:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, connection.send(request) + connection.send(h11.EndOfMessage()))
        try:
            status = await _answer(connection, sock)
        except h11.RemoteProtocolError as error:
            raise CheckFailed(f"no valid HTTP answer: {error}") from error
    if status not in statuses:
        raise CheckFailed(f"status {status} instead of {' or '.join(map(str, sorted(statuses)))}")
    return f"status {status}"


async def _answer(connection: h11.Connection, sock: socket.socket) -> int:
    """Reads the answer to its end, or as much of the body as is read at all; returns the status."""
    loop = asyncio.get_running_loop()
    status, body = 0, 0
    while body < MAX_BODY:
        match connection.next_event():
            case h11.NEED_DATA:
                received = await loop.sock_recv(sock, RECEIVE_SIZE)
                if not received and not status:
                    raise CheckFailed("connection closed without an answer")
                connection.receive_data(received)
            case h11.Response(status_code=code):
                status = code
            case h11.Data(data=data):
                body += len(data)
            case h11.EndOfMessage():
                break
            case h11.InformationalResponse():
                pass
            case event:
                raise CheckFailed(f"unexpected {event!r}")
    return status


@asynccontextmanager
async def _connect(target: Target) -> AsyncIterator[socket.socket]:
    """A connection to the target, closed at the end; translates the system's errors on it."""
    family = socket.AF_INET if target.address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.setblocking(False)
            if target.source is not None:
                # Bound to the address alone, the port is chosen at connect, where it has to be unused towards
                # this one target only. Chosen at bind it would be unused towards anybody, and 28 thousand
                # ports, each kept for a minute after use, would allow 470 checks a second.
                sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
                sock.bind((str(target.source), 0))
            await asyncio.get_running_loop().sock_connect(sock, (str(target.address), target.port))
            yield sock
    except OSError as error:
        phrase = os.strerror(error.errno).lower() if error.errno else str(error)
        if error.errno in OURS:
            asked_from = f" from {target.source}" if target.source else ""
            raise CheckNotMade(f"cannot ask{asked_from}: {phrase}") from error
        raise CheckFailed(phrase) from error
