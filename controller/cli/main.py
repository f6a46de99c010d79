"""Puts the command `sluice` together, and turns what goes wrong into messages and exit codes.

0: done; 1: refused or failed; 2: the command line or a file is not right; 3: no daemon answers; 130: a wait
was interrupted.
"""

import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from controller.api.client import Absent, ClientError, Refused, Unreachable
from controller.api.schemas import Mistake, Refusal
from controller.cli import (
    api,
    backends,
    configuration,
    daemon,
    doctor,
    events,
    explain,
    pools,
    status,
    top,
    vips,
)
from controller.cli.output import line
from controller.cli.place import (
    AUTHORITY_VARIABLE,
    SERVER_VARIABLE,
    SOCKET_VARIABLE,
    TOKEN_VARIABLE,
    use_socket,
)

REFUSED, NOT_REACHABLE = 1, 3

EXAMPLES = """\
\b
Examples:
  sluice daemon -c sluice.yaml                 start the controller
  sluice status                                see how everything is
  sluice pool show web                         backends, health, shares
  sluice backend add web b5 10.0.1.15:8080     one more server
  sluice backend drain web b1                  no new connections for b1
  sluice apply -f sluice.yaml --dry-run        what would this file change?
  sluice rollback 7                            as it was at revision 7
  sluice explain 10.0.0.11:4711 10.0.0.100:80  where does this packet go, and why?
  sluice events --follow                       watch what happens
  sluice switch --help                         the embedded switch
"""

app = typer.Typer(
    name="sluice",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog=EXAMPLES,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        line(f"sluice {version('sluice')}")
        raise typer.Exit


@app.callback()
def sluice(
    socket: Annotated[
        Path | None,
        typer.Option("--socket", show_default=False, help="The daemon's socket, for every command."),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(
            "--server",
            envvar=SERVER_VARIABLE,
            metavar="URL",
            show_default=False,
            help="A daemon elsewhere, such as https://lb1.example:9443.",
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            envvar=TOKEN_VARIABLE,
            show_default=False,
            help="For --server: the file that holds your token.",
        ),
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(
            "--ca-file",
            envvar=AUTHORITY_VARIABLE,
            show_default=False,
            help="For --server: who signed its certificate (PEM), if the system does not know them.",
        ),
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print it, and end.")
    ] = False,
) -> None:
    """A layer-4 load balancer: clients keep one address while servers come and go.

    Exit codes: 0 done, 1 refused or failed, 2 usage, 3 no daemon answers.
    """
    # Where the command itself looks:
    named = {SERVER_VARIABLE: server, TOKEN_VARIABLE: token_file, AUTHORITY_VARIABLE: ca_file}
    os.environ |= {variable: str(value) for variable, value in named.items() if value}
    if socket:
        use_socket(socket)


def switch() -> None:
    """Run the embedded switch, or look into one."""
    raise typer.BadParameter("`switch` has options of its own, and comes first: `sluice switch --help`")


daemon.register(app)
status.register(app)
configuration.register(app)
events.register(app)
explain.register(app)
doctor.register(app)
top.register(app)
app.command(epilog="Example: sluice switch --help")(switch)
app.add_typer(api.app, name="api")
app.add_typer(vips.app, name="vip")
app.add_typer(pools.app, name="pool")
app.add_typer(backends.app, name="backend")


def main(arguments: Sequence[str]) -> int:
    """Runs one command; returns the exit code."""
    try:
        app(arguments, prog_name="sluice")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except Refused as error:
        _complain(error.refusal)
        return REFUSED
    except Unreachable as error:
        line(f"sluice: {error}", error=True)
        if isinstance(error, Absent) and SERVER_VARIABLE not in os.environ:
            line(
                "Start it with `sluice daemon -c FILE`, "
                f"or name its socket with --socket or {SOCKET_VARIABLE}.",
                error=True,
            )
        return NOT_REACHABLE
    except ClientError as error:
        line(f"sluice: {error}", error=True)
        return REFUSED
    return 0


def _complain(refusal: Refusal) -> None:
    if len(refusal.mistakes) == 1:
        line(f"sluice: {_sentence(refusal.mistakes[0])}", error=True)
    else:
        where = f"{refusal.where}: " if refusal.where else ""
        line(f"sluice: {where}{refusal.error}", error=True)
        for mistake in refusal.mistakes:
            line(f"  {_sentence(mistake)}", error=True)
    if refusal.hint:
        line(f"{refusal.hint[0].upper()}{refusal.hint[1:]}", error=True)


def _sentence(mistake: Mistake) -> str:
    place = f"line {mistake.line}" if mistake.line else ""
    return ": ".join(filter(None, (place, mistake.path, mistake.message)))
