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


def remote() -> Remote | None:
    """The server that the environment names, if it does. Raises BadParameter without a token for it."""
    server = os.environ.get(SERVER_VARIABLE)
    if not server:
        return None
    token, authority = os.environ.get(TOKEN_VARIABLE), os.environ.get(AUTHORITY_VARIABLE)
    if not token:
        text = f"{server} needs a token: name its file with --token-file or {TOKEN_VARIABLE}"
        raise typer.BadParameter(text)
    return Remote(server, Path(token), Path(authority) if authority else None)
