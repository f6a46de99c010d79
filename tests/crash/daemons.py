"""Daemons that start in a moment, on a disk that can lose its power."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from tests.crash import disk


class Zygote:
    """Forks them. What they keep below `disk` is lost with the power unless it was synced."""

    def __init__(self, folder: Path) -> None:
        self.disk = folder / "disk"
        self.disk.mkdir()
        self._library = disk.build(folder)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.zygote"],
            env=disk.environment(self._library, self.disk),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()

    def ask(self, order: dict[str, str] | int) -> int:
        """Gives an order as `zygote` describes them; returns its answer."""
        process: Any = self._process
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        return int(process.stdout.readline())
