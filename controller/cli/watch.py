"""`--watch`: the same again and again. A terminal is redrawn, a pipe gets one document for each change."""

import contextlib
import io
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel

from controller.cli.options import Format
from controller.cli.output import console, print_data, show

T = TypeVar("T")

INTERVAL = 1.0
"""Seconds. The daemon reads the switch's counters as often."""

CLOCKS = {"time", "counted"}
"""Parts of a report that change by themselves: they make no other document."""


def present(fetch: Callable[[], T], form: Format, table: Callable[[T], None], watch: bool) -> None:
    """Prints what `fetch` brings; with `watch`, until Ctrl-C."""
    if not watch:
        show(fetch(), form, table)
        return
    with contextlib.suppress(KeyboardInterrupt):
        if sys.stdout.isatty():
            _redraw(fetch, form, table)
        else:
            _print_changes(fetch, form, table)


def _redraw(fetch: Callable[[], T], form: Format, table: Callable[[T], None]) -> None:
    """On the alternate screen, so that what was there before comes back; what was seen last stays."""
    from rich.live import Live
    from rich.text import Text

    printed = ""
    try:
        with Live(console=console(), screen=True, auto_refresh=False) as screen:
            while True:
                printed = captured(lambda: show(fetch(), form, table))
                screen.update(Text.from_ansi(printed), refresh=True)
                time.sleep(INTERVAL)
    finally:
        print(printed, end="")


def _print_changes(fetch: Callable[[], T], form: Format, table: Callable[[T], None]) -> None:
    before: Any = None
    while True:
        value = fetch()
        if (now := _without_clocks(value)) != before:
            if form is not Format.TABLE:
                print_data(value, form, one_of_many=True)
            else:
                if before is not None:
                    print()
                table(value)
            sys.stdout.flush()  # a pipe would keep it until there is more
            before = now
        time.sleep(INTERVAL)


def _without_clocks(value: object) -> object:
    return value.model_dump(exclude=CLOCKS) if isinstance(value, BaseModel) else value


class _Terminal(io.StringIO):
    """Takes what is printed for the terminal, colours and all."""

    def isatty(self) -> bool:
        return True


def captured(printing: Callable[[], None]) -> str:
    """What `printing` would print on a terminal."""
    with contextlib.redirect_stdout(_Terminal()) as terminal:
        printing()
    return terminal.getvalue()
