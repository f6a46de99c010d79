"""Checks in a process of their own, so that no number of them delays anything else.

    daemon                                     child: python -m controller.health.process FOLDER
      CheckProcess ── whom to watch, whom to hurry ──►  Schedule, Asker
      Monitor      ◄────────── what was seen ────────

Each message is a length (4 bytes, network order) and a pickled object. Both ends are of one version and one
user, and the pipe is theirs alone. The child ends when its end of the pipe is closed, however that comes
about, and with it every program that it runs; if it is killed itself, a `guard` ends these.
"""

import asyncio
import logging
import os
import pickle
import resource
import signal
import struct
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from controller.health.asker import Asker
from controller.health.checks import Watch
from controller.health.guard import guarded
from controller.health.schedule import CONCURRENCY, Schedule, Seen, Tell, Trouble

logger = logging.getLogger("sluice.health")

LENGTH = struct.Struct("!I")

RESTART = 1.0
"""Seconds until another process is started when one has ended."""

LAST_WORDS = 2.0
"""Seconds that a child gets to end itself."""

GATHERED = 0.005
"""Seconds for which news are gathered, so that many of them are one message."""

DESCRIPTORS = 3
"""For a check under way: its socket; or the two ends of a program's pipe, and one to start it with."""


class CheckProcess:
    """A `monitor.Checker` whose checks are made by a child, started when there is somebody to watch."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs.absolute()  # the programs run in a folder of their own
        self._watches: dict[str, Watch] = {}
        self._needed = asyncio.Event()
        self._child: asyncio.StreamWriter | None = None

    def watch(self, *, gone: Iterable[str], new: Iterable[Watch]) -> None:
        gone, added = [*gone], {watch.name: watch for watch in new}
        for name in gone:
            del self._watches[name]
        self._watches |= added
        if self._watches:
            self._needed.set()
        if gone or added:
            self._send("watch", gone=gone, new=[*added.values()])

    def hurry(self, name: str) -> None:
        self._send("hurry", name=name)

    def _send(self, what: str, **arguments: Any) -> None:
        if self._child:
            self._child.write(framed((what, arguments)))

    async def run(self, tell: Tell) -> None:
        """Until cancelled. A child that has ended is replaced; the new one begins with everybody."""
        while True:
            await self._needed.wait()
            ended = await self._serve_one_child(tell)
            tell(Trouble("the process that makes the checks has ended; starting another", ended))
            await asyncio.sleep(RESTART)

    async def _serve_one_child(self, tell: Tell) -> str:
        """Returns how it ended."""
        command = (sys.executable, "-m", __name__, str(self._programs))
        child = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
        assert child.stdin and child.stdout
        self._child = child.stdin
        try:
            self._send("watch", gone=[], new=[*self._watches.values()])
            while True:
                for news in await received(child.stdout):
                    tell(news)
        except (asyncio.IncompleteReadError, ConnectionError):
            return f"exit status {await child.wait()}"
        finally:
            self._child = None
            await _end(child)


async def _end(child: asyncio.subprocess.Process) -> None:
    """By closing its pipe, so that it ends in good order the programs that it runs."""
    assert child.stdin
    child.stdin.close()
    try:
        async with asyncio.timeout(LAST_WORDS):
            await child.wait()
    except TimeoutError:
        child.terminate()  # the guard has all of them killed
        await child.wait()


def framed(message: object) -> bytes:
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(data)) + data


async def received(stream: asyncio.StreamReader) -> Any:
    """The next message. Raises IncompleteReadError when there is none any more."""
    (length,) = LENGTH.unpack(await stream.readexactly(LENGTH.size))
    return pickle.loads(await stream.readexactly(length))


# the child


async def work(programs: Path, orders_from: int, news_to: int) -> None:
    """Makes checks as the orders say, until there are no more orders."""
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), os.fdopen(orders_from, "rb"))
    pipe, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(news_to, "wb"))
    gathered: list[Seen | Trouble] = []

    def send() -> None:
        pipe.write(framed([*gathered]))
        gathered.clear()

    def tell(news: Seen | Trouble) -> None:
        if not gathered:
            loop.call_later(GATHERED, send)
        gathered.append(news)

    with Asker(programs) as asker:
        schedule = Schedule(asker.ask, concurrency=_room())
        checking = asyncio.create_task(schedule.run(tell))
        following = asyncio.create_task(_follow(orders, schedule))
        loop.add_signal_handler(signal.SIGTERM, following.cancel)
        await asyncio.wait([checking, following], return_when=asyncio.FIRST_COMPLETED)
        for task in (checking, following):
            task.cancel()
        await asyncio.wait([checking, following])


async def _follow(orders: asyncio.StreamReader, schedule: Schedule) -> None:
    while True:
        try:
            what, arguments = await received(orders)
        except asyncio.IncompleteReadError:
            return
        {"watch": schedule.watch, "hurry": schedule.hurry}[what](**arguments)


def _room() -> int:
    """How many checks may be under way at once, by the number of descriptors that we may have."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, min(CONCURRENCY, descriptors // (2 * DESCRIPTORS)))


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the daemon, which ends us in good order
    guarded()
    news_to = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever prints must not end up among the news
    asyncio.run(work(Path(sys.argv[1]), sys.stdin.fileno(), news_to))


if __name__ == "__main__":
    main()
