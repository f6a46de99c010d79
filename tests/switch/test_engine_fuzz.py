"""Hostile input: packets through sanitized programs, and damaged JSON for the reader.

SLUICE_FUZZ=seconds (make fuzz) makes it long; without it the packets get a moment and the JSON some damages.
"""

import copy
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from switch.compiler.program import write_program
from switch.compiler.read import read_program
from switch.errors import LoadError
from tests.switch.engines import PROGRAMS

ROOT = Path(__file__).resolve().parents[2]
SECONDS = float(os.environ.get("SLUICE_FUZZ", "0"))
MOMENT = 2.0
SEED = int(os.environ.get("SLUICE_FUZZ_SEED", "1"))
DAMAGES = 60
CONFIGS = sorted([*PROGRAMS.glob("*.json"), *(ROOT / "p4src" / "compiled").glob("*.json")])
CONFIGS = [path for path in CONFIGS if path.name != "provenance.json"]
SANITIZERS = "-fsanitize=address,undefined -fno-sanitize-recover=all"
QUICK = ("parsing",)
"""Programs that go through the sanitizers in every run; the others when there is time."""

NONSENSE: tuple[Any, ...] = (None, True, -1, 1 << 70, "", "0x", "nobody", [], {}, [[]], 3.5, "$valid$")


def library(name: str) -> str:
    said = subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    return said.stdout.strip()


def sanitized() -> dict[str, str]:
    return os.environ | {
        "CC": f"gcc -g {SANITIZERS}",
        "LD_PRELOAD": f"{library('libasan.so')} {library('libubsan.so')}",
        "ASAN_OPTIONS": "detect_leaks=0",
        "PYTHONMALLOC": "malloc",
    }


def has_sanitizers() -> bool:
    return shutil.which("gcc") is not None and Path(library("libasan.so")).is_absolute()


@pytest.mark.skipif(not has_sanitizers(), reason="gcc with its sanitizers is not there")
@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_packets(config: Path) -> None:
    if not SECONDS and config.stem not in QUICK:
        pytest.skip("only with SLUICE_FUZZ=seconds: a sanitized build takes a while")
    seconds = str(SECONDS / len(CONFIGS) or MOMENT)
    command = [sys.executable, "-m", "tests.switch.fuzz_packets", str(config), seconds, str(SEED)]
    done = subprocess.run(command, cwd=ROOT, env=sanitized(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "packets," in done.stdout
    print(done.stdout)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    return [p for key, child in children for p in ((*path, key), *places(child, (*path, key)))]


def damaged(choose: random.Random, whole: Any, spots: list[tuple[Any, ...]]) -> tuple[Any, str]:
    """A copy with one thing removed, replaced by nonsense, or by another part of the same program."""
    made = copy.deepcopy(whole)
    *way, last = choose.choice(spots)
    at = made
    for step in way:
        at = at[step]
    kind = choose.choice(("remove", "nonsense", "other"))
    if kind == "remove":
        del at[last]
    elif kind == "nonsense":
        at[last] = choose.choice(NONSENSE)
    else:
        other = whole
        for step in choose.choice(spots):
            other = other[step]
        at[last] = copy.deepcopy(other)
    return made, f"{kind} {'.'.join(map(str, (*way, last)))}"


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_damaged_json_is_refused_or_does_no_harm(config: Path) -> None:
    """Nothing but LoadError, which says something, comes of it."""
    choose = random.Random(SEED)
    whole = json.loads(config.read_bytes())
    spots = places(whole)
    # Large programs take longer to read: fewer damages.
    for _ in range(int(DAMAGES * max(1, SECONDS)) // (1 + len(spots) // 3000)):
        broken, what = damaged(choose, whole, spots)
        try:
            write_program(read_program(json.dumps(broken).encode()))
        except LoadError as error:
            assert str(error)
        except Exception as error:
            pytest.fail(f"{what}: {error!r}")
