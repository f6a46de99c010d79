"""`sluice backend drain` and `undrain`: no new flows for a backend, and how far that is."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from time import monotonic, sleep, time
from typing import Annotated, Any

import typer

from controller.api.client import Client
from controller.api.schemas import PoolView
from controller.cli.changes import report
from controller.cli.options import BackendName, Format, Output, PoolName, Socket, session
from controller.cli.output import console, line, print_data, roughly
from controller.cli.place import DEFAULT_SOCKET
from controller.cli.pools import THEN
from controller.model import AtDeadline, State
from controller.report import ANNOUNCED, DrainReport, flows_left, waiting_for
from controller.values import format_duration, format_moment, parse_duration, parse_moment

INTERVAL = 1.0
"""Seconds between two looks."""

NOT_EMPTY = 1
"""Exit code when the deadline passed and flows are left."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it: 128 and the number of SIGINT."""


def drain(
    pool: PoolName,
    name: BackendName,
    wait: Annotated[
        bool, typer.Option("--wait", help="Show how far it is, and end when no flow is left.")
    ] = False,
    deadline: Annotated[
        str | None,
        typer.Option(
            "--deadline",
            metavar="WHEN",
            show_default=False,
            help="It is to be over by then: 10m from now, or 2026-11-23T07:10. none: at no time.",
        ),
    ] = None,
    at_deadline: Annotated[
        AtDeadline | None,
        typer.Option(
            "--at-deadline",
            show_default="keep",
            help="keep: let the flows that are left go on. cut: break them.",
        ),
    ] = None,
    output: Output = Format.TABLE,
    socket: Socket = DEFAULT_SOCKET,
) -> None:
    """Give a backend no new flows. Those that it has go on.

    While others are to serve and none of them is up, it goes on getting new ones: `pool show` says so.

    The daemon keeps the deadline, whether somebody waits or not: when it passes, the flows that are left are
    kept, which an event tells, or cut by disabling the backend. A drain that goes on already keeps the one
    that it has.

    With --wait, the command shows how far the drain is until no flow is left (or flows are kept at the
    deadline: exit code 1). Ctrl-C ends the waiting, not the drain; `undrain` calls the drain off.
    """
    body: dict[str, Any] = {"state": State.DRAIN}
    note = ""
    if deadline is not None:
        body["deadline"] = wanted = _deadline(deadline, at_deadline)
        note = f" with deadline {deadline}, then {wanted['then']}" if wanted else " without a deadline"
    elif at_deadline:
        raise typer.BadParameter("--at-deadline needs --deadline")
    with session(socket) as daemon:
        change = daemon.patch("pools", pool, "backends", name, body=body)
        report(change, f"{pool}/{name} drains{note}", output)
        if wait:
            Waiting(daemon, pool, name, output).until_empty()


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

    def until_empty(self) -> None:
        """Exits with NOT_EMPTY or INTERRUPTED when it ends otherwise."""
        began = monotonic()
        try:
            with self._telling() as tell:
                found = self._look()
                while not found.drained and found.state != State.DISABLED:
                    tell(found)
                    if found.state == State.ACTIVE:
                        line(f"{self._name} drains no longer: somebody has called it off", error=True)
                        raise typer.Exit(NOT_EMPTY)
                    if found.overdue and found.at_deadline is AtDeadline.KEEP:
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
        if found.state == State.DISABLED:
            self._say(self._disabled())
        elif found.drained:
            if self._form is not Format.TABLE:
                print_data(found, self._form, one_of_many=True)
            took = format_duration(round(monotonic() - began))
            self._say(f"{self._name} is empty after {took}: no bucket needs it, no flow is left")
        else:
            line(
                f"The deadline has passed: {self._name} still has {flows_left(found)}. "
                "They go on, and so does the drain."
            )
            raise typer.Exit(NOT_EMPTY)

    @property
    def _name(self) -> str:
        return f"{self._pool}/{self._backend}"

    def _look(self) -> DrainReport:
        found = self._daemon.get(DrainReport, "pools", self._pool, "backends", self._backend, "drain")
        self._seen.append(found)
        return found

    def _disabled(self) -> str:
        """It was cut meanwhile: at its deadline, or by somebody."""
        if len(self._seen) == 1:
            return f"{self._name} is disabled: it has no flows"
        before = self._seen[-2]
        why = "at its deadline" if before.deadline is not None else "by somebody"
        return f"{self._name} was disabled {why}, which cut {flows_left(before)}"

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


def progress(seen: list[DrainReport]) -> str:
    """Where the latest of some reports is, and how fast it goes."""
    found = seen[-1]
    if found.awaited:
        return f"goes on getting new flows: {waiting_for(found.awaited)}"
    if found.new_flow_buckets:
        return f"{ANNOUNCED}: {found.new_flow_buckets} buckets move in a few seconds"
    parts = [flows_left(found)]
    if found.buckets:
        parts.append(
            f"{found.buckets} of {found.buckets_at_first} buckets "
            f"({found.busy} heard, {found.unheard} silent so far)"
        )
    if found.recorded:
        parts.append(f"{found.recorded} recorded")
    if (rate := _packets_per_second(seen)) is not None:
        parts.append(f"{rate:.0f} packets/s")
    if found.deadline is not None:
        then = THEN[found.at_deadline]
        parts.append(f"{then} in {roughly(found.deadline - time())}" if not found.overdue else f"{then} now")
    if found.ends is not None:
        parts.append(f"at most {roughly(found.ends - time())} more")
    return "; ".join(parts)


def _packets_per_second(seen: list[DrainReport]) -> float | None:
    """Over the last few looks at the counters."""
    last = seen[-1]
    before = next((one for one in reversed(seen[-10:]) if last.counted - one.counted >= 1), None)
    return (last.packets - before.packets) / (last.counted - before.counted) if before else None


def _deadline(text: str, then: AtDeadline | None) -> dict[str, Any] | None:
    """As the API has it; a time without a zone is in the reader's."""
    if text == "none":
        if then:
            raise typer.BadParameter("--at-deadline needs a deadline, and --deadline none takes it away")
        return None
    at_deadline = {"then": then or AtDeadline.KEEP}
    try:
        return at_deadline | {"after": format_duration(parse_duration(text))}
    except ValueError:
        pass
    try:
        return at_deadline | {"at": format_moment(parse_moment(datetime.fromisoformat(text).astimezone()))}
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is neither a duration such as 10m, nor a time such as 2026-11-23T07:10, nor none"
        ) from None


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: sluice backend drain web b5 --deadline 10m --at-deadline cut --wait")(drain)
    app.command(epilog="Example: sluice backend undrain web b5")(undrain)
