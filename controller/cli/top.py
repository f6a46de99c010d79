"""`sluice top`: what is going on, live. The loop and the keyboard; what is drawn is in `screen`."""

import contextlib
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from typing import Annotated

import typer
from rich.live import Live

from controller.api.client import Client
from controller.api.schemas import Status
from controller.cli import completion
from controller.cli.options import Socket, session
from controller.cli.output import console
from controller.cli.place import DEFAULT_SOCKET
from controller.cli.screen import Look, draw
from controller.report import Recorded

INTERVAL = 1.0
"""Seconds between two looks."""

LOOKS = 6
"""Rates are those between the first and the last of so many."""

Quits = Callable[[float], bool]
"""Waits for so many seconds; whether somebody wants to end meanwhile."""


def top(
    pool: Annotated[
        str | None,
        typer.Option(
            "--pool",
            metavar="POOL",
            show_default=False,
            help="Only this one.",
            autocompletion=completion.pools,
        ),
    ] = None,
    socket: Socket = DEFAULT_SOCKET,
) -> None:
    """Show live what VIPs and backends get: packets and connections.

    Rates are those of the last seconds. q or Ctrl-C ends it. Without a terminal it is printed once, with the
    rates of one second.
    """
    looks: list[Look] = []
    with session(socket) as daemon:
        if not sys.stdout.isatty():
            looks = [_look(daemon)]
            while looks[-1].status.counted <= looks[0].status.counted and len(looks) < LOOKS:
                time.sleep(INTERVAL)
                looks.append(_look(daemon))
            console().print(draw(looks, pool, console().width))
            return
        with _keyboard() as quits, Live(console=console(), screen=True, auto_refresh=False) as live:
            while True:
                looks = [*looks, _look(daemon)][-LOOKS:]
                live.update(draw(looks, pool, live.console.width), refresh=True)
                if quits(INTERVAL):
                    return


def _look(daemon: Client) -> Look:
    return Look(daemon.get(Status, "status"), daemon.get(Recorded | None, "recorded"))  # type: ignore[arg-type]


@contextlib.contextmanager
def _keyboard() -> Iterator[Quits]:
    """Keys without Enter, where there is a keyboard."""
    if not sys.stdin.isatty():
        with contextlib.suppress(KeyboardInterrupt):
            yield lambda seconds: bool(time.sleep(seconds))
        return
    file = sys.stdin.fileno()
    before = termios.tcgetattr(file)

    def quits(seconds: float) -> bool:
        ready, _, _ = select.select([file], [], [], seconds)
        if not ready:
            return False
        typed = os.read(file, 64)
        return not typed or b"q" in typed.lower()

    try:
        tty.setcbreak(file)
        with contextlib.suppress(KeyboardInterrupt):
            yield quits
    finally:
        termios.tcsetattr(file, termios.TCSADRAIN, before)


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: sluice top --pool web")(top)
