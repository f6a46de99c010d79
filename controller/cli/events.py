"""`sluice events`: what happened, in order, with causes."""

import contextlib
import re
import sys
import time
from datetime import datetime
from typing import Annotated

import typer
from rich.text import Text

from controller.cli import completion
from controller.cli.options import Format, Output, Socket, session
from controller.cli.output import moment, print_data, print_table
from controller.cli.place import DEFAULT_SOCKET
from controller.events import Event, Severity
from controller.values import parse_duration

SUBJECT_WIDTH = 14
STYLES = {Severity.INFO: "", Severity.WARNING: "yellow", Severity.ERROR: "red"}


def events(
    about: Annotated[
        str | None,
        typer.Argument(
            metavar="[POOL[/BACKEND]]",
            show_default=False,
            help="Only what concerns it.",
            autocompletion=completion.subjects,
        ),
    ] = None,
    last: Annotated[int, typer.Option("--last", "-n", min=0, help="How many past events to show.")] = 20,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="WHEN", show_default=False, help="All since then: 10m, or 2026-11-23T07:10."
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new ones until Ctrl-C.")] = False,
    output: Output = Format.TABLE,
    socket: Socket = DEFAULT_SOCKET,
) -> None:
    """Show what happened, in order, with causes.

    Changes, verdicts of health checks, moved buckets, the switch coming and going. As JSON each event is an
    object on a line of its own.
    """
    begin = _moment(since) if since else None
    with session(socket) as daemon, contextlib.suppress(*([KeyboardInterrupt] if follow else [])):
        past = daemon.get(list[Event], "events")
        known = past[-1].number if past else 0
        past = [event for event in past if concerns(event, about)]
        if begin is not None:
            past = [event for event in past if event.time >= begin]
        else:
            past = past[-last:] if last else []
        for event in past:
            _print(event, output)
        sys.stdout.flush()  # a pipe would keep it until there is more
        for event in daemon.follow(known) if follow else ():
            if concerns(event, about):
                _print(event, output)
                sys.stdout.flush()


def concerns(event: Event, about: str | None) -> bool:
    """Whether an event is about a pool (then about its backends, too), a backend, or whatever has that name.

    A change is about what it names: `revision 4`, `backend web/b1: weight 3`.
    """
    if about is None or event.subject == about or event.subject.startswith(f"{about}/"):
        return True
    named = re.match(r"(?:backend|VIP) ([\w./-]+?)(?=[:\s]|$)", event.text)
    return bool(named) and (named[1] == about or named[1].startswith(f"{about}/"))


def _moment(text: str) -> float:
    """`10m` is so long ago; otherwise an ISO 8601 time, in the reader's time zone if it names none."""
    try:
        return time.time() - parse_duration(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither a duration such as 10m nor a time such as 2026-11-23T07:10"
        ) from None


def _print(event: Event, form: Format) -> None:
    if form is not Format.TABLE:
        print_data(event, form, one_of_many=True)
        return
    text = Text(event.text, STYLES[event.severity])
    if event.cause:
        text.append(f" ({event.cause})", "default")
    subject = Text(f"{event.subject:<{SUBJECT_WIDTH}}", "bold")
    print_table(("", "", ""), [(Text(moment(event.time, short=True), "dim"), subject, text)], header=False)


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: sluice events web/b1 --since 10m --follow")(events)
