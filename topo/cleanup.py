"""Removes what the project made on this machine, and nothing else: labs that run or were left behind, virtual
environments, caches and build output. Debian packages stay.
"""

import os
import shutil
from pathlib import Path

from topo.lab import PROJECT, Lab

MADE = (
    ".venv",
    ".venv-p4sh",
    "build",
    "bench/out",
    ".pytest_cache",
    ".ruff_cache",
    ".hypothesis",
    "sluice.egg-info",
)


def clean() -> None:
    """End and remove everything; says what was ended."""
    for lab in Lab.all():
        print(f"ending {lab.name}")
        lab.down()
    for name in MADE:
        shutil.rmtree(PROJECT / name, ignore_errors=True)
    for cache in list(PROJECT.rglob("__pycache__")):
        shutil.rmtree(cache, ignore_errors=True)
    shutil.rmtree(_user_cache(), ignore_errors=True)


def _user_cache() -> Path:
    """Where the switch keeps compiled programs when it was started without our environment."""
    return Path(os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))) / "sluice"
