"""Checks in a process of their own."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from controller.events import EventLog
from controller.health.guard import children_of
from controller.health.monitor import Monitor
from controller.health.process import CheckProcess
from controller.model import Config
from tests.integration.checking import PATIENT, program, runs


class Watched:
    """A monitor whose checks are made by a process of their own."""

    def __init__(self, folder: Path) -> None:
        self.verdicts: list[tuple[str, str, bool, str]] = []
        self.events = EventLog()
        self.checks = CheckProcess(folder)
        self.monitor = Monitor(lambda *verdict: self.verdicts.append(verdict), self.events, self.checks)

    async def until_verdicts(self, count: int) -> None:
        async with asyncio.timeout(3 * PATIENT):
            while len(self.verdicts) < count:
                await asyncio.sleep(0.01)


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    watched = Watched(tmp_path)
    task = asyncio.create_task(watched.monitor.run())
    yield watched
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def config(check: str, *backends: str) -> Config:
    health = {"type": "exec", "command": [check], "interval": 0.02, "rise": 1, "fall": 1, "timeout": PATIENT}
    pool = {
        "name": "web",
        "health": health,
        "backends": [{"name": name, "address": f"10.0.1.{n}"} for n, name in enumerate(backends, 11)],
    }
    interface = {"name": "all", "ports": [1], "addresses": ["10.0.1.1/24"]}
    return Config.model_validate(
        {"switch": {"mac": "02:00:00:00:00:01"}, "interfaces": [interface], "pools": [pool]}
    )


async def test_checks_in_a_process_of_their_own(watched: Watched, tmp_path: Path) -> None:
    before = {*children_of(os.getpid())}
    program(tmp_path, f"test -e {tmp_path}/$SLUICE_BACKEND")
    (tmp_path / "b1").touch()
    watched.monitor.update(config("check", "b1", "b2"))
    await watched.until_verdicts(2)
    assert {*watched.verdicts} == {
        ("web", "b1", True, "1 of 1 checks passed: check ended with status 0"),
        ("web", "b2", False, "1 of 1 checks failed: check ended with status 1"),
    }
    (tmp_path / "b2").touch()
    await watched.until_verdicts(3)
    watched.monitor.update(config("check", "b1"))
    (tmp_path / "b1").unlink()
    await watched.until_verdicts(4)
    assert [verdict[:3] for verdict in watched.verdicts[2:]] == [("web", "b2", True), ("web", "b1", False)]

    (guard,) = {*children_of(os.getpid())} - before
    (child,) = children_of(guard)
    os.kill(child, 9)
    (tmp_path / "b1").touch()
    await watched.until_verdicts(5)
    assert watched.verdicts[4][:3] == ("web", "b1", True), "another child goes on"
    (event,) = watched.events.since()
    assert event.text == "the process that makes the checks has ended; starting another"
    assert event.cause == "exit status -9"


async def test_the_folder_of_the_programs_may_be_said_as_seen_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "true")
    monkeypatch.chdir(tmp_path.parent)
    watched = Watched(Path(tmp_path.name))
    watched.monitor.update(config("check", "b1"))
    running = asyncio.create_task(watched.monitor.run())
    await watched.until_verdicts(1)
    assert watched.verdicts[0][:3] == ("web", "b1", True)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


DAEMON = """
import asyncio, sys
from pathlib import Path
from tests.integration.test_health_process import Watched, config

async def main():
    watched = Watched(Path(sys.argv[1]))
    watched.monitor.update(config("check", "b1"))
    await watched.monitor.run()

asyncio.run(main())
"""


# Who is killed: the daemon, the process of the checks and its guard are given
VICTIMS: dict[str, Callable[[int, int, int], list[int]]] = {
    "daemon": lambda daemon, checks, guard: [daemon],
    "checks": lambda daemon, checks, guard: [checks],
    "daemon and checks": lambda daemon, checks, guard: [daemon, checks],
    "guard": lambda daemon, checks, guard: [guard],
}
PROGRAM = """
sleep 60 & one=$!
ALONE sleep 60 & other=$!
echo $PPID $$ $one $other > FILE.new; mv FILE.new FILE
wait
"""


@pytest.mark.parametrize("who", VICTIMS)
async def test_whoever_is_killed_nothing_is_left_of_a_check(who: str, tmp_path: Path) -> None:
    started = tmp_path / "started"
    # Without the guard, what has left the program's process group is out of reach.
    alone = "" if who == "guard" else "setsid"
    program(tmp_path, PROGRAM.replace("FILE", str(started)).replace("ALONE", alone))
    daemon = subprocess.Popen([sys.executable, "-c", DAEMON, str(tmp_path)])
    try:
        async with asyncio.timeout(6 * PATIENT):
            while not started.exists():
                await asyncio.sleep(0.02)
            checks, *programs = map(int, started.read_text().split())
            (guard,) = children_of(daemon.pid)
            assert [*children_of(guard)] == [checks] and all(map(runs, programs))
            for victim in VICTIMS[who](daemon.pid, checks, guard):
                os.kill(victim, 9)
            for number in (checks, guard, *programs):
                while runs(number):
                    await asyncio.sleep(0.02)
    finally:
        daemon.kill()
        daemon.wait()


async def test_what_a_check_has_left_behind_is_not_left_in_the_table_of_processes(tmp_path: Path) -> None:
    left = tmp_path / "left"
    program(tmp_path, f"sleep 0.1 & echo $PPID $! > {left}.new; mv {left}.new {left}")
    daemon = subprocess.Popen([sys.executable, "-c", DAEMON, str(tmp_path)])
    try:
        async with asyncio.timeout(6 * PATIENT):
            while not left.exists():
                await asyncio.sleep(0.02)
            number = left.read_text().split()[1]
            while Path(f"/proc/{number}").exists():
                await asyncio.sleep(0.02)
    finally:
        daemon.kill()
        daemon.wait()
