"""How many health checks a second, and what they do to everything else in the process that has them made.

    python -m bench.health

A small server on loopback answers TCP connections and HTTP requests. The checks are made by the daemon's own
parts (`controller/health/`), first in the event loop of this process, then in a process of their own as the
daemon does it; without checks at all for comparison. Meanwhile this process does what the daemon mostly does:
it sleeps, and wakes when something is due. How late it wakes is how much the checks delay everything else.

`at the most` lets each check follow the one before at once, so many at a time. The number counts checks that
the server has seen, whoever made them. It takes a good part of the processor, too: with two cores and three
processes (this one, the checks, the server) a rate is bounded by all of them.
"""

import argparse
import asyncio
import multiprocessing
import socket
import statistics
import sys
from collections.abc import Callable
from contextlib import nullcontext, suppress
from ipaddress import ip_address
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from controller.health.asker import Asker
from controller.health.checks import Target, Watch
from controller.health.monitor import Checker
from controller.health.process import CheckProcess
from controller.health.schedule import Schedule
from controller.health.settings import Check, HttpCheck, TcpCheck

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BACKENDS = 1000
AT_A_TIME = 32
TICK = 0.005
WARM_UP = 2.0
QUIET = {"timeout": 5.0, "rise": 1}
NOWHERE = Path("/nonexistent")
"""Where the programs of `exec` checks are looked for, of which there are none here."""


class Line(NamedTuple):
    """One measurement; lateness in seconds."""

    rate: float
    late: list[float]


def serve(listener: socket.socket, served: Synchronized) -> None:
    """Answers whoever says something; hangs up on everybody."""
    while True:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            if connection.recv(4096):
                connection.sendall(ANSWER)
        served.value += 1


def watches(kind: str, port: int, rate: float) -> list[Watch]:
    """Checks that make `rate` a second together, or as many as they can for a rate of 0."""
    count = BACKENDS if rate else AT_A_TIME
    timing = QUIET | {"interval": count / rate if rate else 0.01, "fall": 100}
    check: Check = TcpCheck(**timing) if kind == "tcp" else HttpCheck(type="http", **timing)
    if not rate:
        check = check.model_copy(update={"interval": 0.0})
    target = Target(ip_address("127.0.0.1"), port)
    return [Watch("bench", f"b{number}", target, check) for number in range(count)]


async def lateness(seconds: float) -> list[float]:
    """By how much this loop woke too late, each time."""
    loop = asyncio.get_running_loop()
    late = []
    end = loop.time() + seconds
    while (due := loop.time() + TICK) < end:
        await asyncio.sleep(TICK)
        late.append(loop.time() - due)
    return late


async def measure(
    checker: Checker | None, watched: list[Watch], seconds: float, served: Callable[[], int]
) -> Line:
    if checker is None:
        return Line(0, await lateness(seconds))
    checker.watch(gone=(), new=watched)
    running = asyncio.create_task(checker.run(lambda news: None))
    await asyncio.sleep(WARM_UP)
    before, loop = served(), asyncio.get_running_loop()
    began = loop.time()
    late = await lateness(seconds)
    rate = (served() - before) / (loop.time() - began)
    running.cancel()
    await asyncio.wait([running])
    return Line(rate, late)


def row(name: str, line: Line) -> list[str]:
    late = sorted(line.late)
    at = [statistics.median(late), late[int(0.99 * len(late))], late[-1]]
    return [name, f"{line.rate:,.0f}" if line.rate else "", *(f"{moment * 1000:.2f}" for moment in at)]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], epilog="Example: python -m bench.health --seconds 5"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="for each line of the table")
    parser.add_argument("--rates", type=float, nargs="*", default=[1000, 3000, 0], help="0: at the most")
    arguments = parser.parse_args()
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        served = multiprocessing.Value("q", 0)
        server = multiprocessing.Process(target=serve, args=(listener, served), daemon=True)
        server.start()
        port = listener.getsockname()[1]
        table = Table(title="health checks on loopback, and how late the process wakes meanwhile (ms)")
        for title in ("", "checks/s", "median", "99 %", "longest"):
            table.add_column(title, justify="right" if title else "left")
        nothing = measure(None, [], arguments.seconds, lambda: 0)
        table.add_row(*row("no checks", asyncio.run(nothing)))
        for kind in ("tcp", "http"):
            for rate in arguments.rates:
                table.add_section()
                wanted = f"{rate:,.0f} a second" if rate else "at the most"
                for where in ("in the same loop", "in a process of their own"):

                    async def one(where: str = where, kind: str = kind, rate: float = rate) -> Line:
                        own = where != "in the same loop"
                        with nullcontext() if own else Asker(NOWHERE) as asker:
                            checker = Schedule(asker.ask) if asker else CheckProcess(NOWHERE)
                            watched = watches(kind, port, rate)
                            return await measure(checker, watched, arguments.seconds, lambda: served.value)

                    table.add_row(*row(f"{kind}, {wanted}, {where}", asyncio.run(one())))
        server.terminate()
        Console(width=110).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
