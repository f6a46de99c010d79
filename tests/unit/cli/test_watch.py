"""`--watch` and `-o yaml`."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from controller.events import Kind
from tests.fakes.cli import SECONDS, Cli, read_until
from tests.fakes.controller import FakeController


@pytest.mark.parametrize(
    "command", ["status", "pool list", "pool show web", "vip list", "vip show dns", "drops", "history"]
)
def test_yaml_says_what_json_says(cli: Cli, command: str) -> None:
    assert (
        yaml.safe_load(cli(*command.split(), "-o", "yaml").out) == cli(*command.split(), "-o", "json").json()
    )


def test_changes_too_can_be_yaml(cli: Cli) -> None:
    assert yaml.safe_load(cli("backend", "weight", "web", "b1", "4", "-o", "yaml").out)["revision"] == 2


def test_each_event_is_a_yaml_document(cli: Cli, controller: FakeController) -> None:
    controller.events.record(Kind.BUCKETS, "web", "moved: 3")
    controller.events.record(Kind.BUCKETS, "web", "settled")
    assert [one["number"] for one in yaml.safe_load_all(cli("events", "-o", "yaml").out)] == [1, 2]


@contextmanager
def watching(*command: str, stdout: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-m", "sluice.main", *command, "--watch"], stdout=stdout)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 0, "Ctrl-C is the way to end it"


def test_a_pipe_gets_a_document_for_each_change(cli: Cli, socket_path: Path) -> None:
    with watching("history", "-o", "json", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert read_until(process.stdout.fileno(), b"\n").count(b'"number"') == 1
        cli("backend", "weight", "web", "b1", "4")
        documents = read_until(process.stdout.fileno(), b"\n")
        assert documents.count(b"\n") == 1 and documents.count(b'"number"') == 2


def test_a_terminal_is_redrawn_and_keeps_what_was_seen_last(cli: Cli, socket_path: Path) -> None:
    here, there = pty.openpty()
    try:
        with watching("history", stdout=there):
            assert b"\x1b[?1049h" in read_until(here, b"sluice.yaml"), "on the alternate screen"
            cli("backend", "weight", "web", "b1", "4")
            read_until(here, b"weight 4")
        left = read_until(here, b"\x1b[?1049l").partition(b"\x1b[?1049l")[2]
        assert b"weight 4" in left or read_until(here, b"weight 4")
    finally:
        os.close(here)
        os.close(there)
