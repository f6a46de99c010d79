"""Where the daemon is, unless the command line says otherwise."""

import os
from pathlib import Path

import typer

from controller.api.client import Remote

DEFAULT_SOCKET = Path("/run/sluice/sluice.sock")
SOCKET_VARIABLE = "SLUICE_SOCKET"
SERVER_VARIABLE = "SLUICE_SERVER"
TOKEN_VARIABLE = "SLUICE_TOKEN_FILE"
AUTHORITY_VARIABLE = "SLUICE_CA_FILE"


def use_socket(socket: Path) -> None:
    """The command line names it, so the environment does not count."""
    os.environ[SOCKET_VARIABLE] = str(socket)
    os.environ.pop(SERVER_VARIABLE, None)


def remote() -> Remote | None:
    """The server that the environment names, if it does. Raises BadParameter without a token for it."""
    variables = (SERVER_VARIABLE, TOKEN_VARIABLE, AUTHORITY_VARIABLE)
    server, token, authority = map(os.environ.get, variables)
    return remote_of(server, token, authority) if server else None


def remote_of(server: str, token: Path | str | None, authority: Path | str | None) -> Remote:
    """Raises BadParameter without a token."""
    if not token:
        text = f"{server} needs a token: name its file with --token-file or {TOKEN_VARIABLE}"
        raise typer.BadParameter(text)
    return Remote(server, Path(token), Path(authority) if authority else None)
