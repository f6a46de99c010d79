"""Figures that fit into columns, and colours on a terminal only."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from controller.cli.output import count, size
from tests.fakes.cli import Cli, on_terminal
from tests.fakes.controller import FakeController


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (99_999, "99999"), (100_000, "100k"), (1_234_567, "1.2M")]
)
def test_counts(number: int, text: str) -> None:
    assert count(number) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_999, "1.0 MB"), (123_456_789_012, "123 GB")],
)
def test_sizes(number: int, text: str) -> None:
    assert size(number) == text


def test_who_has_seen_enough_may_stop_reading() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        command = [sys.executable, "-m", "sluice.main", "--version"]
        done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "")


def test_colours_on_a_terminal_only(
    cli: Cli, controller: FakeController, socket_path: Path, tmp_path: Path
) -> None:
    """A real terminal gets colours, 80 columns and complete lines; NO_COLOR and pipes get none."""
    command = [sys.executable, "-m", "sluice.main", "pool", "show", "web"]
    assert "\x1b[" in on_terminal(command, {})
    assert "\x1b[31m" not in on_terminal(command, {"NO_COLOR": "1"})
    piped = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "\x1b[" not in piped
