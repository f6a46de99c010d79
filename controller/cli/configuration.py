"""`sluice apply` and `sluice get`: the configuration as one document."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from controller.cli import changes
from controller.cli.options import DEFAULT_SOCKET, Format, Output, Socket, session
from controller.cli.output import line, print_json

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
    if output is Format.TABLE:
        changes.print_differences(change.differences)
    if not dry_run:
        changes.report(change, f"{source} applied", output)
    elif output is Format.JSON:
        print_json(change)
    elif change.differences:
        would = changes.moved(change.moved_buckets).replace(" moved", " would move")
        line(f"dry run, nothing was changed; {would}")
    else:
        line("dry run: nothing would change")


def get(
    output: Annotated[
        DocumentFormat, typer.Option("--output", "-o", help="How to print it.")
    ] = DocumentFormat.YAML,
    socket: Socket = DEFAULT_SOCKET,
) -> None:
    """Print the configuration, as `apply` takes it."""
    with session(socket) as daemon:
        if output is DocumentFormat.YAML:
            print(daemon.text("config", format="yaml"), end="")
        else:
            print_json(json.loads(daemon.text("config")))


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
