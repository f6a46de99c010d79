"""What a command line has printed, in this process or on a terminal of its own."""

import json
import os
import select
import subprocess
import time
from collections.abc import Callable
from typing import Any

SECONDS = 20.0
"""That a busy machine gets for anything."""

Cli = Callable[..., "Printed"]
"""Runs one command."""


class Printed:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def json(self) -> Any:
        return json.loads(self.out)


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
