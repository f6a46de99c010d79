"""`sluice daemon`"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from controller.cli.options import Socket
from controller.cli.place import DEFAULT_SOCKET

DEFAULT_STORE = Path("/var/lib/sluice/sluice.db")
DEFAULT_CHECKS = Path("/etc/sluice/checks")


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def daemon(
    config: Annotated[
        Path, typer.Option("--config", "-c", show_default=False, help="The configuration, YAML.")
    ],
    socket: Socket = DEFAULT_SOCKET,
    store: Annotated[
        Path, typer.Option("--store", help="Where revisions, identities and buckets are kept.")
    ] = DEFAULT_STORE,
    peer: Annotated[
        Path | None,
        typer.Option(
            "--peer",
            show_default=False,
            help="The API socket of a second controller of the same switch: one of the two stands by.",
        ),
    ] = None,
    log_level: Annotated[LogLevel, typer.Option("--log-level", help="What to log.")] = LogLevel.INFO,
    checks: Annotated[
        Path, typer.Option("--checks", help="The folder of the programs that exec checks may run.")
    ] = DEFAULT_CHECKS,
) -> None:
    """Run the controller until SIGTERM or Ctrl-C.

    The file is what the first start begins with. Changes made since, by commands, are in the store and stay
    in force at the next start, unless the file itself has changed: then the file is applied. Ending the
    daemon does not disturb the switch, which goes on forwarding.
    """
    from controller import daemon  # brings the server and P4Runtime, which no other command needs

    raise typer.Exit(daemon.run(daemon.Options(config, socket, store, log_level, checks, peer)))


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: sluice daemon -c sluice.yaml --socket /run/sluice/sluice.sock")(daemon)
