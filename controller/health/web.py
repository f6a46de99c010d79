"""HTTP and HTTPS checks: one request on one connection.

HTTP is spoken by h11 on a plain socket: a check costs a fifth of a millisecond of processor time (httpx takes
four times that, aiohttp no less), and neither proxies in the environment nor a pool of old connections have a
say.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import h11

from controller.health.checks import CheckFailed, CheckNotMade, Target, connected
from controller.health.settings import HttpCheck, HttpsCheck, compiled
from controller.values import format_service

MAX_BODY = 64 * 1024
"""Bytes of an answer's body that are read; the head is bounded by h11 (16 KiB)."""

RECEIVE_SIZE = 16 * 1024
HTTP_PORT, HTTPS_PORT = 80, 443
USER_AGENT = "sluice-health"

T = TypeVar("T")
pattern = lru_cache(compiled)


async def web(target: Target, check: HttpCheck | HttpsCheck) -> str:
    """Passes if the request is answered as expected. Redirects are answers like any other."""
    async with connected(target, socket.SOCK_STREAM) as sock:
        try:
            stream = await _Tls.over(sock, target, check) if isinstance(check, HttpsCheck) else _Plain(sock)
            status, body = await _exchange(stream, _request(target, check))
        except h11.RemoteProtocolError as error:
            raise CheckFailed(f"no valid HTTP answer: {error}") from error
        except ssl.SSLError as error:
            raise CheckFailed(f"TLS: {_reason(error)}") from error
    if not any(status in expected for expected in check.status):
        raise CheckFailed(f"status {status} instead of {' or '.join(map(str, check.status))}")
    if check.body is not None and not pattern(check.body).search(body):
        raise CheckFailed(f"status {status}, but the body has nothing like {check.body!r}")
    return f"status {status}"


def host_header(target: Target, default_port: int = HTTP_PORT) -> str:
    """The Host header that names the target itself (RFC 9110, section 7.2)."""
    return format_service(target.address, target.port).removesuffix(f":{default_port}")


def _request(target: Target, check: HttpCheck | HttpsCheck) -> h11.Request:
    default_port = HTTPS_PORT if isinstance(check, HttpsCheck) else HTTP_PORT
    headers = [
        ("Host", check.host or host_header(target, default_port)),
        ("User-Agent", USER_AGENT),
        ("Accept", "*/*"),
        ("Connection", "close"),
    ]
    if check.method == "POST":
        headers.append(("Content-Length", "0"))
    return h11.Request(method=check.method, target=check.path, headers=headers)


async def _exchange(stream: "_Plain", request: h11.Request) -> tuple[int, bytes]:
    """Reads the answer to its end, or as much of the body as is read at all; returns status and body."""
    connection = h11.Connection(h11.CLIENT)
    await stream.send(connection.send(request) + connection.send(h11.EndOfMessage()))
    status, body = 0, bytearray()
    while len(body) < MAX_BODY:
        match connection.next_event():
            case h11.NEED_DATA:
                received = await stream.receive()
                if not received and not status:
                    raise CheckFailed("connection closed without an answer")
                connection.receive_data(received)
            case h11.Response(status_code=code):
                status = code
            case h11.Data(data=data):
                body += data
            case h11.EndOfMessage():
                break
            case h11.InformationalResponse():
                pass
            case event:
                raise CheckFailed(f"unexpected {event!r}")
    return status, bytes(body)


class _Plain:
    """A connection as it is."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._sock, data)

    async def receive(self) -> bytes:
        """b"" at the end."""
        return await self._loop.sock_recv(self._sock, RECEIVE_SIZE)


class _Tls(_Plain):
    """TLS over a connection, in memory, so that the socket stays ours to bind and to close."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, name: str) -> None:
        super().__init__(sock)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)

    @classmethod
    async def over(cls, sock: socket.socket, target: Target, check: HttpsCheck) -> "_Tls":
        tls = cls(sock, _context(check), server_name(target, check))
        await tls._advance(tls._tls.do_handshake)
        return tls

    async def send(self, data: bytes) -> None:
        await self._advance(lambda: self._tls.write(data))

    async def receive(self) -> bytes:
        try:
            return await self._advance(lambda: self._tls.read(RECEIVE_SIZE))
        except ssl.SSLEOFError:
            return b""  # closed without a farewell, as many servers do; HTTP knows whether it was the end

    async def _advance(self, step: Callable[[], T]) -> T:
        """Takes one step of the protocol, with as many packets in both directions as it needs."""
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                await self._flush()
                if received := await super().receive():
                    self._incoming.write(received)
                else:
                    self._incoming.write_eof()
            else:
                await self._flush()
                return result

    async def _flush(self) -> None:
        if pending := self._outgoing.read():
            await super().send(pending)


def server_name(target: Target, check: HttpsCheck) -> str:
    """Whom the certificate is to be for; a name, not an address, is sent as SNI (RFC 6066, section 3)."""
    if check.sni is not None:
        return check.sni
    if check.host is None:
        return str(target.address)
    host, colon, port = check.host.rpartition(":")
    return host.strip("[]") if colon and port.isdecimal() else check.host


def _context(check: HttpsCheck) -> ssl.SSLContext:
    if not check.verify:
        return _trusting()
    if check.ca is None:
        return _verifying(None, 0.0)
    try:
        return _verifying(check.ca, Path(check.ca).stat().st_mtime)
    except (OSError, ssl.SSLError) as error:
        reason = _reason(error) if isinstance(error, ssl.SSLError) else (error.strerror or str(error)).lower()
        raise CheckNotMade(f"cannot read {check.ca}: {reason}") from error


@lru_cache(maxsize=64)
def _verifying(ca: str | None, changed: float) -> ssl.SSLContext:
    """Made once for each file, and again when it has `changed`: it takes milliseconds."""
    del changed
    return ssl.create_default_context(cafile=ca)


@lru_cache(maxsize=1)
def _trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not accepted: {error.verify_message}"
    return (error.reason or str(error)).replace("_", " ").lower()
