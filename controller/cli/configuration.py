"""`sluice apply` and `get`; `history`, `diff`, `rollback`: the configuration as a whole, now and before."""

import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from controller.api.schemas import Status
from controller.cli import changes
from controller.cli.options import DEFAULT_SOCKET, Format, Output, Socket, session
from controller.cli.output import line, moment, print_json, print_table, show
from controller.difference import Difference
from controller.revision import Revision

STDIN = Path("-")


class DocumentFormat(StrEnum):
    YAML = "yaml"
    JSON = "json"


def apply(
    file: Annotated[
        Path,
        typer.Option("--file", "-f", show_default=False, help="The document, YAML; - for standard input."),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would change, and change nothing.")
    ] = False,
    output: Output = Format.TABLE,
    socket: Socket = DEFAULT_SOCKET,
) -> None:
    """Make the configuration what a file says.

    Shows what that changes. Backends that the file no longer has are drained before they go.
    """
    document, source = _read(file)
    with session(socket) as daemon:
        change = daemon.put("config", document=document, source=source, dry_run=dry_run)
    changes.report_replacement(change, f"{source} applied", output, dry_run=dry_run)


def get(
    output: Annotated[
        DocumentFormat, typer.Option("--output", "-o", help="How to print it.")
    ] = DocumentFormat.YAML,
    revision: Annotated[
        int | None, typer.Option("--revision", show_default=False, help="As it was then; only as YAML.")
    ] = None,
    socket: Socket = DEFAULT_SOCKET,
) -> None:
    """Print the configuration, as `apply` takes it."""
    with session(socket) as daemon:
        if revision is not None:
            print(daemon.text("revisions", str(revision)), end="")
        elif output is DocumentFormat.YAML:
            print(daemon.text("config", format="yaml"), end="")
        else:
            print_json(json.loads(daemon.text("config")))


def history(
    last: Annotated[int, typer.Option("--last", "-n", min=1, help="How many changes to show.")] = 20,
    output: Output = Format.TABLE,
    socket: Socket = DEFAULT_SOCKET,
) -> None:
    """Show the changes of the configuration: when, by whom, and what."""
    with session(socket) as daemon:
        show(daemon.get(list[Revision], "revisions")[-last:], output, _print_history)


def diff(
    before: Annotated[
        int | None, typer.Argument(metavar="[FROM]", show_default=False, help="A revision.")
    ] = None,
    after: Annotated[
        int | None, typer.Argument(metavar="[TO]", show_default=False, help="A later one.")
    ] = None,
    output: Output = Format.TABLE,
    socket: Socket = DEFAULT_SOCKET,
) -> None:
    """Show what has changed between two revisions.

    Without TO, until now; without FROM, by the latest change.
    """
    with session(socket) as daemon:
        if before is None:
            number = daemon.get(Status, "status").revision
            before = max(1, number - 1)
        until = {} if after is None else {"until": after}
        found = daemon.get(list[Difference], "revisions", str(before), "differences", **until)
        show(tuple(found), output, _print_diff)


def rollback(
    revision: Annotated[int, typer.Argument(metavar="REVISION", help="The revision.", show_default=False)],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would change, and change nothing.")
    ] = False,
    output: Output = Format.TABLE,
    socket: Socket = DEFAULT_SOCKET,
) -> None:
    """Make the configuration what it was at a revision.

    That is a change like any other, and gets a revision of its own. Backends that there were not yet are
    drained before they go.
    """
    with session(socket) as daemon:
        change = daemon.post("revisions", str(revision), "restore", dry_run=dry_run)
    changes.report_replacement(change, f"back to revision {revision}", output, dry_run=dry_run)


def _print_history(revisions: Sequence[Revision]) -> None:
    print_table(
        (">REVISION", "WHEN", "WHO", "WHAT"),
        [(str(one.number), moment(one.time), one.who, one.what) for one in revisions],
    )


def _print_diff(found: tuple[Difference, ...]) -> None:
    if not found:
        line("no difference")
    changes.print_differences(found)


def _read(file: Path) -> tuple[bytes, str]:
    """The document and what to call it. Raises BadParameter when it cannot be read."""
    if file == STDIN:
        return sys.stdin.buffer.read(), "standard input"
    try:
        return file.read_bytes(), str(file)
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}") from None


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: sluice apply -f sluice.yaml --dry-run")(apply)
    app.command(epilog="Example: sluice get > sluice.yaml")(get)
    app.command(epilog="Example: sluice history -n 5")(history)
    app.command(epilog="Example: sluice diff 7 9")(diff)
    app.command(epilog="Example: sluice rollback 7 --dry-run")(rollback)
