"""What a command line has printed, in this process or on a terminal of its own."""

import io
import json
import os
import select
import subprocess
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

from controller.cli.main import main

SECONDS = 20.0
"""That a busy machine gets for anything."""

Cli = Callable[..., "Printed"]
"""Runs one command."""


class Printed:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def json(self) -> Any:
        return json.loads(self.out)


def in_process(socket: Path, *arguments: str) -> Printed:
    """Runs one command for the daemon at `socket`; a process of its own takes longer to start than to end."""
    out, err = io.StringIO(), io.StringIO()
    with mock.patch.dict(os.environ), redirect_stdout(out), redirect_stderr(err):
        code = main(["--socket", str(socket), *arguments])
    return Printed(code, out.getvalue(), err.getvalue())


def on_terminal(command: list[str], environment: dict[str, str]) -> str:
    """What a command prints on a pseudo terminal."""
    here, there = os.openpty()
    process = subprocess.Popen(
        command, stdout=there, stderr=there, env={**os.environ, "TERM": "xterm", **environment}
    )
    os.close(there)
    printed = b""
    try:
        while select.select([here], [], [], 20.0)[0]:
            piece = os.read(here, 4096)
            if not piece:
                break
            printed += piece
    except OSError:  # EIO: the other side is closed
        pass
    finally:
        os.close(here)
        assert process.wait(20) == 0
    return printed.decode()


def read_until(there: int, mark: bytes) -> bytes:
    """What comes from a descriptor until `mark` has come."""
    seen, end = b"", time.monotonic() + SECONDS
    while mark not in seen:
        assert select.select([there], [], [], max(0, end - time.monotonic()))[0], f"no {mark!r} in {seen!r}"
        seen += os.read(there, 65536)
    return seen
