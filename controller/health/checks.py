"""One check of one backend: whom it asks, what can come of it, how much time it has.

    async with asyncio.timeout(...): await tcp(Target(ip_address("10.0.1.11"), 8080))

A check (here `tcp`; `web`, `echo`, `datagram` and `program` hold the others) returns what it saw. Otherwise
it raises:

    CheckError
      CheckFailed      the backend did not do what it should: counts against it
      CheckNotMade     this machine could not ask (no such source address, out of sockets): says nothing about
                       the backend, and must not take a whole pool down

A check has no time limit of its own; `within` gives it one. Each asks anew, from a socket of its own, because
a server that no longer accepts is what it is to find.
"""

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from controller.health.pulse import Pulse
from controller.health.settings import Check
from controller.values import Address

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
    """Whom to ask: a backend's address and port. `source`: the address to ask from, of the same family.

    The port is 0 where it means nothing, or is not known.
    """

    address: Address
    port: int
    source: Address | None = None

    @property
    def family(self) -> socket.AddressFamily:
        return socket.AF_INET if self.address.version == 4 else socket.AF_INET6


NUMBER = "#"
"""Before the number in the name of a backend that is no longer configured, and serves in the place of others.
No other name has it."""


def name_of(backend: str) -> str:
    """Without the number, if it has one."""
    return backend.partition(NUMBER)[0]


@dataclass(frozen=True, slots=True)
class Watch:
    """What is asked of one backend."""

    pool: str
    backend: str
    target: Target
    check: Check

    @property
    def name(self) -> str:
        return f"{self.pool}/{self.backend}"


async def within(seconds: float, check: Awaitable[str], pulse: Pulse) -> str:
    """The check's result, if it is complete in time.

    Raises CheckFailed when it is not; CheckNotMade when that may be because nobody was there to hear it.
    """
    began = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(seconds):
            return await check
    except TimeoutError:
        if pulse.longest_stall(since=began) > seconds / 2:
            raise CheckNotMade("this machine was too busy to listen for answers") from None
        raise CheckFailed(f"no answer within {seconds * 1000:g} ms") from None


async def tcp(target: Target) -> str:
    """Passes if the backend accepts a connection."""
    async with connected(target, socket.SOCK_STREAM):
        return "connected"


@asynccontextmanager
async def connected(target: Target, kind: socket.SocketKind) -> AsyncIterator[socket.socket]:
    """A socket connected to the target, closed at the end; translates the system's errors on it."""
    with blame(target), socket.socket(target.family, kind) as sock:
        sock.setblocking(False)
        if target.source is not None:
            # Bound to the address alone, the port is chosen at connect, where it has to be unused towards
            # this one target only. Chosen at bind it would be unused towards anybody, and 28 thousand ports,
            # each kept for a minute after use, would allow 470 checks a second.
            sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((str(target.source), 0))
        await asyncio.get_running_loop().sock_connect(sock, (str(target.address), target.port))
        yield sock


@contextmanager
def blame(target: Target) -> Iterator[None]:
    """Says of the system's errors whose fault they are."""
    try:
        yield
    except OSError as error:
        phrase = os.strerror(error.errno).lower() if error.errno else str(error)
        if error.errno in OURS:
            asked_from = f" from {target.source}" if target.source else ""
            raise CheckNotMade(f"cannot ask{asked_from}: {phrase}") from error
        raise CheckFailed(phrase) from error
