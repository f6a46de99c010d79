"""`sluice apply` and `get`; `history`, `diff`, `rollback`: the configuration as a whole, now and before."""

import json
import re
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from controller.api.client import Client, Conflict
from controller.api.schemas import ConfigView, Status
from controller.cli import changes
from controller.cli.options import DryRun, Format, Output, Socket, Watch, session
from controller.cli.output import line, moment, print_data, print_table
from controller.cli.place import DEFAULT_SOCKET
from controller.cli.watch import present
from controller.config import dump
from controller.difference import Difference
from controller.revision import Revision

STDIN = Path("-")

MADE_FOR = "# revision {}: `sluice apply` refuses this document if somebody has changed something since"
MADE_FOR_REVISION = re.compile(rb"# revision (\d+)\b")
"""How a document that `get` printed begins."""

MERGE = "Get the document anew and edit that, or let yours win with --overwrite."

CONFLICT = 1
"""Exit code for a change that was refused because somebody else was faster."""

Expect = Annotated[
    int | None,
    typer.Option("--expect", metavar="N", show_default=False, help="Only if revision N is in force."),
]


class DocumentFormat(StrEnum):
    YAML = "yaml"
    JSON = "json"


def apply(
    file: Annotated[
        Path,
        typer.Option("--file", "-f", show_default=False, help="The document, YAML; - for standard input."),
    ],
    dry_run: DryRun = False,
    expect: Expect = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Also over what others have changed since `get`.")
    ] = False,
    output: Output = Format.TABLE,
    socket: Socket = DEFAULT_SOCKET,
) -> None:
    """Make the configuration what a file says.

    Shows what that changes. Backends that the file no longer has are drained before they go, and get new
    connections until one is up of those that are to get them. A document that
    `get` printed names its revision: it is refused when somebody has changed the configuration since.
    """
    document, source = _read(file)
    if expect is None and not overwrite:
        expect = _made_for(document)
    expected: dict[str, Any] = {} if expect is None else {"expected_revision": expect}
    with session(socket) as daemon:
        try:
            change = daemon.put("config", document=document, source=source, dry_run=dry_run, **expected)
        except Conflict:
            raise _told(daemon, source, expect or 0, MERGE) from None
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
    """Print the configuration, as `apply` takes it.

    The first line names the revision, by which `apply` notices that somebody else has changed it meanwhile.
    """
    with session(socket) as daemon:
        if revision is not None:
            print(daemon.text("revisions", str(revision)), end="")
        elif output is DocumentFormat.YAML:
            view = daemon.get(ConfigView, "config")
            print(MADE_FOR.format(view.revision.number))
            print(dump(view.config), end="")
        else:
            print_data(json.loads(daemon.text("config")), Format.JSON)


def history(
    last: Annotated[int, typer.Option("--last", "-n", min=1, help="How many changes to show.")] = 20,
    output: Output = Format.TABLE,
    watch: Watch = False,
    socket: Socket = DEFAULT_SOCKET,
) -> None:
    """Show the changes of the configuration: when, by whom, and what."""
    with session(socket) as daemon:
        present(lambda: daemon.get(list[Revision], "revisions")[-last:], output, _print_history, watch)


def diff(
    before: Annotated[
        int | None, typer.Argument(metavar="[FROM]", show_default=False, help="A revision.")
    ] = None,
    after: Annotated[
        int | None, typer.Argument(metavar="[TO]", show_default=False, help="A later one.")
    ] = None,
    output: Output = Format.TABLE,
    watch: Watch = False,
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
        path = "revisions", str(before), "differences"
        present(lambda: daemon.get(list[Difference], *path, **until), output, _print_diff, watch)


def rollback(
    revision: Annotated[int, typer.Argument(metavar="REVISION", help="The revision.", show_default=False)],
    dry_run: DryRun = False,
    expect: Expect = None,
    output: Output = Format.TABLE,
    socket: Socket = DEFAULT_SOCKET,
) -> None:
    """Make the configuration what it was at a revision.

    That is a change like any other, and gets a revision of its own. Backends that there were not yet are
    drained before they go.
    """
    expected: dict[str, Any] = {} if expect is None else {"expected_revision": expect}
    with session(socket) as daemon:
        try:
            change = daemon.post("revisions", str(revision), "restore", dry_run=dry_run, **expected)
        except Conflict:
            raise _told(daemon, "the way back", expect or 0, "") from None
    changes.report_replacement(change, f"back to revision {revision}", output, dry_run=dry_run)


def _print_history(revisions: Sequence[Revision]) -> None:
    print_table(
        (">REVISION", "WHEN", "WHO", "WHAT"),
        [(str(one.number), moment(one.time), one.who, one.what) for one in revisions],
    )


def _print_diff(found: Sequence[Difference]) -> None:
    if not found:
        line("no difference")
    changes.print_differences(found)


def _made_for(document: bytes) -> int | None:
    """The revision that a document from `get` was made for."""
    named = MADE_FOR_REVISION.match(document)
    return int(named[1]) if named else None


def _told(daemon: Client, what: str, expected: int, way_out: str) -> typer.Exit:
    """Says who changed what since the revision that was expected."""
    line(f"sluice: {what} was made for revision {expected}; since then", error=True)
    for one in daemon.get(list[Revision], "revisions"):
        if one.number > expected:
            line(f"  revision {one.number}, {moment(one.time)}, by {one.who}: {one.what}", error=True)
    line(f"Nothing was changed. `sluice diff {expected}` shows what that did. {way_out}", error=True)
    return typer.Exit(CONFLICT)


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
