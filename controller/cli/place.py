"""Where the daemon is, unless the command line says otherwise."""

from pathlib import Path

DEFAULT_SOCKET = Path("/run/sluice/sluice.sock")
SOCKET_VARIABLE = "SLUICE_SOCKET"
