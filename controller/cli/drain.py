"""`sluice backend drain` and `undrain`: no new flows for a backend, and how far that is."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from time import monotonic, sleep, time
from typing import Annotated

import typer

from controller.api.client import Client
from controller.api.schemas import PoolView
from controller.cli.changes import report
from controller.cli.options import BackendName, Format, Output, PoolName, Socket, session
from controller.cli.output import console, line, print_data
from controller.cli.place import DEFAULT_SOCKET
from controller.draining import DrainReport
from controller.model import State
from controller.values import format_duration, parse_duration

INTERVAL = 1.0
"""Seconds between two looks."""

NOT_EMPTY = 1
"""Exit code when the deadline passed and flows are left."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it: 128 and the number of SIGINT."""


class AtDeadline(StrEnum):
    KEEP = "keep"
    CUT = "cut"


def drain(
    pool: PoolName,
    name: BackendName,
    wait: Annotated[
        bool, typer.Option("--wait", help="Show how far it is, and end when no flow is left.")
    ] = False,
    deadline: Annotated[
        str | None,
        typer.Option(
            "--deadline", metavar="TIME", show_default=False, help="With --wait: for so long, such as 10m."
        ),
    ] = None,
    at_deadline: Annotated[
        AtDeadline,
        typer.Option("--at-deadline", help="keep: let the flows that are left go on. cut: break them."),
    ] = AtDeadline.KEEP,
    output: Output = Format.TABLE,
    socket: Socket = DEFAULT_SOCKET,
) -> None:
    """Give a backend no new flows. Those that it has go on.

    With --wait, until none is left. Ctrl-C ends the waiting, not the drain; `undrain` calls the drain off. A
    deadline is this command's, in addition to the pool's drain_deadline; when it passes with flows left, they
    are kept (exit code 1), or cut by disabling the backend.
    """
    seconds = _seconds(deadline)
    if seconds is not None and not wait:
        raise typer.BadParameter("--deadline needs --wait: the daemon has the pool's drain_deadline")
    with session(socket) as daemon:
        change = daemon.patch("pools", pool, "backends", name, body={"state": State.DRAIN})
        report(change, f"{pool}/{name} drains", output)
        if wait:
            Waiting(daemon, pool, name, output).until_empty(seconds, at_deadline)


def undrain(
    pool: PoolName, name: BackendName, output: Output = Format.TABLE, socket: Socket = DEFAULT_SOCKET
) -> None:
    """Call a drain off: the backend gets new flows again.

    The buckets that have not settled go back to it first, so that nothing has changed for their flows.
    """
    with session(socket) as daemon:
        view = daemon.get(PoolView, "pools", pool)
        state = next((one.state for one in view.backends if one.name == name), None)
        if state == "removing":
            line(f"sluice: {pool}/{name} is being removed: add it again to keep it", error=True)
            raise typer.Exit(1)
        if state == State.DISABLED:
            line(f"sluice: {pool}/{name} is disabled, and does not drain: `backend enable`", error=True)
            raise typer.Exit(1)
        change = daemon.patch("pools", pool, "backends", name, body={"state": State.ACTIVE})
        report(change, f"{pool}/{name} drains no longer", output)


class Waiting:
    """Looks at a drain until it is over, and says how far it is."""

    def __init__(self, daemon: Client, pool: str, name: str, form: Format) -> None:
        self._daemon, self._pool, self._backend, self._form = daemon, pool, name, form
        self._seen: list[DrainReport] = []

    def until_empty(self, seconds: float | None, at_deadline: AtDeadline) -> None:
        """Exits with NOT_EMPTY or INTERRUPTED when it ends otherwise."""
        began = monotonic()
        try:
            with self._telling() as tell:
                found = self._look()
                while not found.drained:
                    tell(found)
                    if found.state == State.ACTIVE:
                        line(f"{self._name} drains no longer: somebody has called it off", error=True)
                        raise typer.Exit(NOT_EMPTY)
                    if seconds is not None and monotonic() - began >= seconds:
                        break
                    sleep(INTERVAL)
                    found = self._look()
        except KeyboardInterrupt:
            line(
                f"{self._name} goes on draining. `sluice backend drain {self._pool} {self._backend} --wait` "
                f"looks again, `sluice backend undrain {self._pool} {self._backend}` calls it off.",
                error=True,
            )
            raise typer.Exit(INTERRUPTED) from None
        if found.drained:
            if self._form is not Format.TABLE:
                print_data(found, self._form, one_of_many=True)
            took = format_duration(round(monotonic() - began))
            self._say(f"{self._name} is empty after {took}: no bucket needs it, no flow is left")
        else:
            self._at_deadline(found, at_deadline)

    @property
    def _name(self) -> str:
        return f"{self._pool}/{self._backend}"

    def _look(self) -> DrainReport:
        found = self._daemon.get(DrainReport, "pools", self._pool, "backends", self._backend, "drain")
        self._seen.append(found)
        return found

    def _at_deadline(self, found: DrainReport, at_deadline: AtDeadline) -> None:
        if at_deadline is AtDeadline.CUT:
            self._daemon.patch("pools", self._pool, "backends", self._backend, body={"state": State.DISABLED})
            self._say(f"{self._name} is disabled at the deadline, which cut {left(found)}")
            return
        line(
            f"The deadline has passed: {self._name} still has {left(found)}. "
            "They go on, and so does the drain."
        )
        raise typer.Exit(NOT_EMPTY)

    @contextmanager
    def _telling(self) -> Iterator[Callable[[DrainReport], None]]:
        """A line that is rewritten on a terminal; a line for each change elsewhere."""
        if self._form is not Format.TABLE:
            yield lambda found: print_data(found, self._form, one_of_many=True)
            return
        if not sys.stdout.isatty():
            yield self._print_changes()
            return
        from rich.live import Live
        from rich.text import Text

        with Live(console=console(), auto_refresh=False, transient=True) as live:
            yield lambda found: live.update(Text(f"{self._name}: {progress(self._seen)}"), refresh=True)

    def _print_changes(self) -> Callable[[DrainReport], None]:
        told = ""

        def tell(found: DrainReport) -> None:
            nonlocal told
            if (text := progress(self._seen[-1:])) != told:
                self._say(f"{self._name}: {text}")
                sys.stdout.flush()
                told = text

        return tell

    def _say(self, text: str) -> None:
        if self._form is Format.TABLE:
            line(text)


def left(found: DrainReport) -> str:
    """How many flows: `about 12 flows`, `at least 256 flows`, `no flow that was heard`."""
    recorded = found.recorded or 0
    if found.flows is None:
        return f"at least {found.at_least} flows"
    if found.flows:
        return f"about {found.flows + recorded} flows"
    if recorded:
        return f"{recorded} flow{'' if recorded == 1 else 's'}"
    return "no flow that was heard" if found.unheard else "no flow"


def progress(seen: list[DrainReport]) -> str:
    """Where the latest of some reports is, and how fast it goes."""
    found = seen[-1]
    if found.new_flow_buckets:
        return f"announced to the switch: {found.new_flow_buckets} buckets move in a few seconds"
    parts = [left(found)]
    if found.buckets:
        parts.append(
            f"{found.buckets} of {found.buckets_at_first} buckets "
            f"({found.busy} heard, {found.unheard} silent so far)"
        )
    if found.recorded:
        parts.append(f"{found.recorded} recorded")
    if (rate := _packets_per_second(seen)) is not None:
        parts.append(f"{rate:.0f} packets/s")
    if found.ends is not None:
        parts.append(f"at most {_roughly(found.ends - time())} more")
    return "; ".join(parts)


def _packets_per_second(seen: list[DrainReport]) -> float | None:
    """Over the last few looks at the counters."""
    last = seen[-1]
    before = next((one for one in reversed(seen[-10:]) if last.counted - one.counted >= 1), None)
    return (last.packets - before.packets) / (last.counted - before.counted) if before else None


def _roughly(seconds: float) -> str:
    """In whole minutes, or in tens of seconds when it is soon."""
    step = 60 if seconds >= 120 else 10
    return format_duration(max(step, round(seconds / step) * step))


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} {error}") from None


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: sluice backend drain web b5 --wait --deadline 10m --at-deadline cut")(drain)
    app.command(epilog="Example: sluice backend undrain web b5")(undrain)
