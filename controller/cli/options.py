"""Arguments and options that several commands share, and the session with the daemon."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer

from controller.api.client import Client
from controller.cli import completion
from controller.cli.place import SOCKET_VARIABLE, remote, use_socket


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def _socket(context: typer.Context, parameter: typer.CallbackParam, socket: Path) -> Path:
    """One that stands behind the command counts more than a server in the environment."""
    if not context.resilient_parsing and completion.is_on_the_line(context, parameter.name):
        use_socket(socket)
    return socket


Socket = Annotated[
    Path,
    typer.Option("--socket", envvar=SOCKET_VARIABLE, callback=_socket, help="The daemon's socket."),
]
Output = Annotated[Format, typer.Option("--output", "-o", help="For people, or for programs.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Again each second until Ctrl-C.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would change, and change nothing.")]
PoolName = Annotated[
    str,
    typer.Argument(
        metavar="POOL", help="The pool's name.", show_default=False, autocompletion=completion.pools
    ),
]
BackendName = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="The backend's name.", show_default=False, autocompletion=completion.backends
    ),
]
NewName = Annotated[str, typer.Argument(metavar="NAME", help="A name of its own.", show_default=False)]
VipName = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="The VIP's name.", show_default=False, autocompletion=completion.vips
    ),
]


@contextmanager
def session(socket: Path) -> Iterator[Client]:
    """The daemon, for one command: at its socket, or by TCP where a server is named."""
    with Client(remote() or socket) as daemon:
        yield daemon


def group(text: str) -> typer.Typer:
    """A group of commands about one noun."""
    return typer.Typer(help=text, no_args_is_help=True, rich_markup_mode=None)


def address_and_port(text: str) -> tuple[str, int | None]:
    """`10.0.1.11:8080`, `[fd00::11]:8080`, or an address alone.

    Raises BadParameter when it is neither.
    """
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        colon, port = rest[:1], rest[1:]
    elif text.count(":") > 1:
        host, colon, port = text, "", ""
    else:
        host, colon, port = text.partition(":")
    try:
        ip_address(host)
    except ValueError:
        host = ""
    if not host or colon not in ("", ":") or (colon and not (port.isdecimal() and 0 < int(port) < 65536)):
        raise typer.BadParameter(
            f"{text!r} is not an address with a port such as 10.0.1.11:8080 or [fd00::11]:8080"
        )
    return host, int(port) if colon else None
