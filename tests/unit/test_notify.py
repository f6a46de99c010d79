"""What is told to systemd, at a socket of ours in its place."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sluice import notify


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        yield sock


def test_assignments_are_lines_of_one_message(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", listener.getsockname())
    notify.tell(notify.READY, "STATUS=here")
    assert listener.recv(100) == b"READY=1\nSTATUS=here"


def test_an_abstract_address(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"sluice-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        notify.tell(notify.STOPPING)
        assert sock.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize("place", ["", "/nobody/listens/here"])
def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", place)
    notify.tell(notify.READY)


def test_a_reload_has_the_time_that_it_began(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", listener.getsockname())
    notify.tell(*notify.reloading())
    first, second = listener.recv(100).decode().split("\n")
    assert first == "RELOADING=1"
    assert int(second.removeprefix("MONOTONIC_USEC=")) > 0


@pytest.mark.parametrize(
    ("microseconds", "process", "seconds"),
    [
        ("20000000", None, 10.0),
        ("20000000", "ours", 10.0),
        ("20000000", "1", None),
        ("0", None, None),
        ("soon", None, None),
        (None, None, None),
    ],
)
def test_how_often_the_watchdog_wants_to_hear(
    monkeypatch: pytest.MonkeyPatch, microseconds: str | None, process: str | None, seconds: float | None
) -> None:
    for name, value in (("WATCHDOG_USEC", microseconds), ("WATCHDOG_PID", process)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, str(os.getpid()) if value == "ours" else value)
    assert notify.watchdog_interval() == seconds
