"""A disk that loses, with the power, what was not synced."""

import os
import random
import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("disk.c")


def build(folder: Path) -> Path:
    """The library that a process is started with, as LD_PRELOAD."""
    library = folder / "disk.so"
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
    return library


def environment(library: Path, folder: Path) -> dict[str, str]:
    """For a process whose files in `folder` are on such a disk."""
    return {**os.environ, "LD_PRELOAD": str(library), "SLUICE_DISK": str(folder)}


def die_at(folder: Path, instant: int) -> None:
    """Whoever writes there is killed: the instants before and after each sync count, from 1 to 9."""
    (folder / "dies").write_text(str(instant))


def live_on(folder: Path) -> None:
    """Nobody is killed there any more."""
    (folder / "dies").unlink(missing_ok=True)


def lose_power(folder: Path, rng: random.Random) -> None:
    """Whoever had the files open is gone. What was not synced may have reached the disk all the same."""
    for path in [*folder.glob("*.db"), *folder.glob("*.db-wal")]:
        if rng.random() < 0.3:
            continue
        synced = path.with_name(path.name + ".disk")
        if synced.exists():
            shutil.copyfile(synced, path)
        else:
            path.unlink()
