"""`sluice top`: what it draws, in which width, and how it ends."""

import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from controller.api.schemas import Status
from controller.cli import top
from controller.cli.output import console
from controller.cli.screen import Look, Rates, draw
from controller.report import Recorded, Report
from tests.fakes.cli import Cli, read_until
from tests.fakes.controller import NOW, FakeController

RECORDED = Recorded(time=NOW, used=12, room=49152, exact=True, by_backend={})


def status(seconds: int = 0, **parts: object) -> Status:
    """Counters after so many seconds, each of which adds 60 packets for each backend, and 3 connections."""
    controller = FakeController()
    report = controller.report()
    pools = [
        pool.model_copy(
            update={
                "backends": tuple(
                    one.model_copy(
                        update={"packets": one.packets + 60 * seconds, "syns": one.syns + 3 * seconds}
                    )
                    for one in pool.backends
                )
            }
        )
        for pool in report.pools
    ]
    changed = {"pools": tuple(pools), "counted": NOW + seconds, **parts}
    fields = {name: getattr(report, name) for name in Report.model_fields} | changed
    return Status(**fields, changed=controller.revision)


def drawn(looks: list[Look], pool: str | None = None, width: int = 100) -> str:
    printer = console()
    printer.width = width
    with printer.capture() as printed:
        printer.print(draw(looks, pool, width))
    return "\n".join(line.rstrip() for line in printed.get().splitlines())


def test_rates_are_over_the_time_between_the_counters() -> None:
    assert drawn([Look(status(), RECORDED), Look(status(2), RECORDED)], "web").endswith(
        """\
moving 24 buckets  suspect 1  dropped 0/s  recorded flows 12 of 49152

VIP  SERVICE            HEALTHY  MOVING  PACKETS/s  BYTES/s
web  10.0.0.100:80/tcp  2 of 3       12          0      0 B

BACKEND  STATE   HEALTH            SHARE  OLD  CONNS/s  PACKETS/s  BYTES/s
web/b2   active  down              66.7%    0      3.0         60      0 B
web/b3   drain   healthy, suspect   0.0%   12      3.0         60      0 B
web/b1   active  healthy           33.3%    0      3.0         60      0 B"""
    )


def test_a_narrow_terminal_gets_what_is_asked_first() -> None:
    text = drawn([Look(status(), None), Look(status(1), None)], width=50)
    assert max(map(len, text.splitlines())) <= 50
    assert "recorded flows not told" in text and "SERVICE" not in text and "BACKEND  HEALTH" in text


def test_an_ipv6_address_is_shown_with_its_brackets() -> None:
    assert "[fd00::100]:53/udp" in drawn([Look(status(), None)], "dns")


def test_what_cannot_be_said_is_left_out() -> None:
    assert Rates(0.0).of(1, 2) == "", "one look alone"
    assert Rates(1.0).of(5, 2) == Rates(1.0).of(None, 2) == "", "counting has begun anew"
    assert Rates(1.0).of_bytes(5, 2) == Rates(1.0).of_bytes(None, 2) == ""
    assert (Rates(2.0).of(0, 5), Rates(1.0).of(0, 50), Rates(1.0).of(7, 7)) == ("2.5", "50", "0")


def test_a_pipe_gets_it_once(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top, "INTERVAL", 0.0)
    result = cli("top")
    assert (result.code, result.out.count("BACKEND")) == (0, 1)
    assert "\x1b" not in result.out


def test_q_ends_it_and_the_terminal_is_as_before(cli: Cli, socket_path: Path) -> None:
    here, there = pty.openpty()
    before = termios.tcgetattr(there)
    command = [sys.executable, "-m", "sluice.main", "top"]
    process = subprocess.Popen(command, stdin=there, stdout=there, stderr=there)
    try:
        read_until(here, b"web/b3")
        os.write(here, b"x")
        os.write(here, b"q")
        read_until(here, b"\x1b[?1049l")
        assert process.wait(20) == 0
        assert termios.tcgetattr(there) == before
    finally:
        process.kill()
        os.close(here)
        os.close(there)
