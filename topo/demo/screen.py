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

    phase: str
    backends: tuple[BackendReport, ...] = ()
    requests: Mapping[str, int] = field(default_factory=Counter)
    recent: Mapping[str, int] = field(default_factory=Counter)
    streams: Mapping[str, int] = field(default_factory=Counter)
    failed: int = 0
    broken: int = 0
    lost: int = 0
    """New and long-lived connections that a server took with it when it died."""
    others: tuple["View", ...] = ()
    """The other pools, each in a line; their `phase` is the pool's name."""


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

    def say(self, text: str) -> None:
        self.console.print(Text(text), soft_wrap=True)

    def command(self, line: str, output: str) -> None:
        """A command as an operator would have typed it, and what it answered."""
        self.console.print(Text(f"$ {line}", style="bold cyan"))
        if output.strip():
            self.console.print(Text(output.rstrip()), soft_wrap=True)

    def event(self, text: str) -> None:
        """Something that happened by itself."""
        self.console.print(
            Text(f"[{time.monotonic() - self._began:6.2f} s] {text}", style="yellow"), soft_wrap=True
        )

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
    """The live table."""
    grid = Table(title=f"pool web: {view.phase}", title_justify="left", expand=False)
    for column in ("backend", "health", "state"):
        grid.add_column(column)
    for column in ("weight", "buckets", "requests", "per second", "long-lived"):
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
    others = (Text(line(other, recent_seconds)) for other in view.others if other.recent)
    return Group(grid, Text(_failures(view)), *others)


def line(view: View, recent_seconds: float) -> str:
    """The same in one line."""
    total = sum(view.recent.values())
    shares = "  ".join(f"{name} {count / total:.0%}" for name, count in sorted(view.recent.items()))
    return (
        f"    {view.phase}: {total / recent_seconds:.0f} requests/s: {shares} | "
        f"{sum(view.streams.values())} long-lived | {_failures(view)}"
    )


def _failures(view: View) -> str:
    return f"failed {view.failed}, broken {view.broken}, lost to a death {view.lost}"
