"""What the person in front of it sees while the demonstration runs.

On a terminal: commands, their output and events scroll by above a live table. Elsewhere: the same as plain
lines, with the table as one line now and then.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from controller.report import BackendReport

PLAIN_WIDTH = 110
REFRESH_SECONDS = 0.5
PLAIN_SECONDS = 6.0


@dataclass(frozen=True)
class View:
    """One moment: what the controller says of the pool beside what the clients see."""

    pool: str
    phase: str = ""
    backends: tuple[BackendReport, ...] = ()
    requests: Mapping[str, int] = field(default_factory=Counter)
    recent: Mapping[str, int] = field(default_factory=Counter)
    streams: Mapping[str, int] = field(default_factory=Counter)
    failed: int = 0
    broken: int = 0
    lost: int = 0
    """New and long-lived connections that a server took with it when it died."""
    others: tuple["View", ...] = ()
    """The other pools, each in a line."""


class Screen:
    """Prints, and keeps the table of `look()` up to date while the `with` block lasts."""

    def __init__(
        self, look: Callable[[], View], recent_seconds: float, console: Console | None = None
    ) -> None:
        self.look = look
        self.recent_seconds = recent_seconds
        self.console = console or make_console()
        self._live = Live(console=self.console, auto_refresh=False) if self.console.is_terminal else None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._refresh, daemon=True)
        self._began = time.monotonic()

    def __enter__(self) -> "Screen":
        if self._live is not None:
            self._live.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        if self._live is not None:
            self._live.stop()

    def phase(self, title: str) -> None:
        self.console.print()
        self.console.rule(Text(title, style="bold"), align="left")

    def say(self, text: str, style: str = "") -> None:
        """A terminal's lines are broken between words; elsewhere they stay whole."""
        self.console.print(Text(text, style), soft_wrap=not self.console.is_terminal)

    def command(self, line: str) -> None:
        """A command as an operator would have typed it."""
        self.say(f"$ {line}", "bold cyan")

    def answer(self, output: str) -> None:
        """What a command has printed."""
        if output.strip():
            self.say(output.rstrip())

    def event(self, text: str) -> None:
        """Something that happened by itself."""
        self.say(f"[{time.monotonic() - self._began:6.2f} s] {text}", "yellow")

    def _refresh(self) -> None:
        while not self._end.wait(REFRESH_SECONDS if self._live else PLAIN_SECONDS):
            view = self.look()
            if self._live is not None:
                self._live.update(table(view, self.recent_seconds), refresh=True)
            else:
                for one in (view, *view.others):
                    if one.recent:
                        self.say(line(one, self.recent_seconds))


def make_console() -> Console:
    """A console as wide as the terminal, or wide enough for our tables where there is none."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PLAIN_WIDTH)


def table(view: View, recent_seconds: float) -> Group:
    """The live table, for a terminal of 80 columns; with other pools, one more that has a line for each."""
    grid = Table(title=f"pool {view.pool}: {view.phase}", title_justify="left")
    for column in ("backend", "health", "state"):
        grid.add_column(column)
    for column in ("weight", "buckets", "requests", "req/s", "long-\nlived"):
        grid.add_column(column, justify="right")
    for backend in view.backends:
        grid.add_row(
            backend.name,
            Text(backend.health, style={"healthy": "green", "down": "red"}.get(backend.health, "yellow")),
            backend.state,
            str(backend.weight),
            f"{backend.share:.1%}",
            str(view.requests.get(backend.name, 0)),
            f"{view.recent.get(backend.name, 0) / recent_seconds:.0f}",
            str(view.streams.get(backend.name, 0)),
        )
    return Group(grid, _pools(view, recent_seconds) if view.others else Text(_failures(view)))


def _pools(view: View, recent_seconds: float) -> Table:
    """What the clients of each pool see: who answers them, in percent, and what went wrong."""
    views = (view, *view.others)
    backends = sorted({name for one in views for name in one.recent})
    grid = Table(box=None, pad_edge=False)
    grid.add_column("pool")
    for column in ("req/s", *backends, "long-\nlived", "failed", "broken", "lost to\na death"):
        grid.add_column(column, justify="right", vertical="bottom")
    for one in views:
        total = sum(one.recent.values())
        grid.add_row(
            one.pool,
            f"{total / recent_seconds:.0f}",
            *(f"{one.recent[name] / total:.0%}" if one.recent.get(name) else "" for name in backends),
            str(sum(one.streams.values())),
            *(Text(str(count), "red" if count else "") for count in (one.failed, one.broken)),
            str(one.lost),
        )
    return grid


def line(view: View, recent_seconds: float) -> str:
    """The same in one line."""
    total = sum(view.recent.values())
    shares = "  ".join(f"{name} {count / total:.0%}" for name, count in sorted(view.recent.items()))
    return (
        f"    {view.pool}: {total / recent_seconds:.0f} requests/s: {shares} | "
        f"{sum(view.streams.values())} long-lived | {_failures(view)}"
    )


def _failures(view: View) -> str:
    return f"failed {view.failed}, broken {view.broken}, lost to a death {view.lost}"
