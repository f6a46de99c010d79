"""`sluice events`: what happened, in order, with causes."""

import sys
from typing import Annotated

import typer
from rich.text import Text

from controller.cli.options import DEFAULT_SOCKET, Format, Output, Socket, session
from controller.cli.output import moment, print_json, print_table
from controller.events import Event, Severity

SUBJECT_WIDTH = 14
STYLES = {Severity.INFO: "", Severity.WARNING: "yellow", Severity.ERROR: "red"}


def events(
    last: Annotated[int, typer.Option("--last", "-n", min=0, help="How many past events to show.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with new ones until Ctrl-C.")] = False,
    output: Output = Format.TABLE,
    socket: Socket = DEFAULT_SOCKET,
) -> None:
    """Show what happened, in order, with causes.

    Changes, verdicts of health checks, moved buckets, the switch coming and going. As JSON each event is an
    object on a line of its own.
    """
    with session(socket) as daemon:
        past = daemon.get(list[Event], "events")
        for event in past[-last:] if last else ():
            _print(event, output)
        if not follow:
            return
        try:
            sys.stdout.flush()
            for event in daemon.follow(past[-1].number if past else 0):
                _print(event, output)
                sys.stdout.flush()  # a pipe would keep it until there is more
        except KeyboardInterrupt:
            return


def _print(event: Event, form: Format) -> None:
    if form is Format.JSON:
        print_json(event, indent=None)
        return
    text = Text(event.text, STYLES[event.severity])
    if event.cause:
        text.append(f": {event.cause}", "default")
    subject = Text(f"{event.subject:<{SUBJECT_WIDTH}}", "bold")
    print_table(("", "", ""), [(Text(moment(event.time, short=True), "dim"), subject, text)], header=False)


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: sluice events --follow")(events)
