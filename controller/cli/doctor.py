"""`sluice doctor`: what is wrong with this installation, and what puts it right."""

import typer
from rich.text import Text

from controller.api.client import Absent, Client, ClientError, Unreachable
from controller.cli import machine
from controller.cli.options import Format, Output, Socket, session
from controller.cli.output import line, print_data, print_table
from controller.cli.place import DEFAULT_SOCKET
from controller.diagnosis import Finding, State

SOMETHING_IS_WRONG = 1

STYLES = {State.OK: "green", State.NOTE: "dim", State.WARNING: "yellow", State.WRONG: "bold red"}


def doctor(output: Output = Format.TABLE, socket: Socket = DEFAULT_SOCKET) -> None:
    """Look for what is wrong with this installation.

    This machine, the daemon, its store and clock, the switch with its program and ports, neighbors, backends.
    Exits with 1 when something is wrong; warnings and notes are none.
    """
    findings = [*machine.findings()]
    with session(socket) as daemon:
        findings += _of_daemon(daemon) if (barred := machine.barred(socket)) is None else [barred]
    if output is Format.TABLE:
        _print(findings)
    else:
        print_data(findings, output)
    if any(finding.state is State.WRONG for finding in findings):
        raise typer.Exit(SOMETHING_IS_WRONG)


START = "start it: `sluice daemon -c FILE`, or name its socket: --socket"
BUSY = "see what it does: its log, `systemctl status sluice`; one that hangs systemd starts again"


def _of_daemon(daemon: Client) -> list[Finding]:
    try:
        found = daemon.get(list[Finding], "diagnosis")
    except ClientError as error:
        remedy = BUSY if isinstance(error, Unreachable) and not isinstance(error, Absent) else START
        return [Finding(subject="daemon", state=State.WRONG, text=str(error), remedy=remedy)]
    return [Finding(subject="daemon", state=State.OK, text="answers"), *found]


def _print(findings: list[Finding]) -> None:
    rows: list[tuple[Text, str, Text]] = []
    for one in findings:
        text = Text(one.text)
        if one.remedy:
            text.append(f"\n{one.remedy}", "cyan")
        rows.append((Text(one.state, STYLES[one.state]), one.subject, text))
    print_table(("", "", ""), rows, header=False)
    counts = {state: sum(one.state is state for one in findings) for state in (State.WRONG, State.WARNING)}
    line("")
    line(f"{counts[State.WRONG]} wrong, {counts[State.WARNING]} to look at", "bold")


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: sluice doctor")(doctor)
