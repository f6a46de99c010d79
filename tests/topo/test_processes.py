"""A process is known by its pid and its start, so nobody else's is ever ended."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from topo import processes
from topo.processes import TOKEN_VARIABLE, Process, ProcessFiles, tail, wait_until, with_token

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, 1); print(flush=True); time.sleep(60)",
]


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(SLEEP)
    yield child
    child.kill()
    child.wait()


def test_remembered_and_found(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    files = ProcessFiles(tmp_path)
    files.remember("one", sleeper.pid)
    assert files.find("one") == Process.of(sleeper.pid)
    assert files.all() == {"one": Process.of(sleeper.pid)}
    sleeper.kill()
    assert wait_until(lambda: files.find("one") is None, 5.0), "a zombie counts as ended"
    assert files.all() == {}


def test_another_process_with_the_same_pid_is_left_alone(sleeper: subprocess.Popen[bytes]) -> None:
    real = Process.of(sleeper.pid)
    earlier = Process(real.pid, real.started - 1)
    assert not earlier.alive()
    earlier.end(grace=0.1)
    assert real.alive()


def test_end_is_gentle_first_then_not() -> None:
    child = subprocess.Popen(STUBBORN, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    Process.of(child.pid).end(grace=0.2)
    assert child.wait(5.0) == -9
    child.stdout.close()


def test_a_half_written_record_is_no_process(tmp_path: Path) -> None:
    (tmp_path / "half.json").write_text('{"pid": 1')
    assert ProcessFiles(tmp_path).all() == {}


def test_children_of_children_are_found_by_the_token() -> None:
    token = f"test-{os.getpid()}"
    nested = f"import subprocess, sys; subprocess.run({SLEEP!r})"
    child = subprocess.Popen([sys.executable, "-c", nested], env={**os.environ, TOKEN_VARIABLE: token})
    try:
        assert wait_until(lambda: len(list(with_token(token))) == 2, 10.0)
        assert child.pid in {process.pid for process in with_token(token)}
    finally:
        for process in with_token(token):
            process.end(grace=0.5)
        child.wait()
    assert list(with_token(token)) == []


def test_tail_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("".join(f"line {n}\n" for n in range(20)))
    assert tail(log, 2) == "    line 18\n    line 19"
    assert "no log" in tail(tmp_path / "absent.log")


@pytest.mark.parametrize(("look", "pause"), [(0.0, 0.02), (0.01, 0.04), (0.3, 0.2)])
def test_what_takes_long_to_look_at_is_looked_at_less_often(
    monkeypatch: pytest.MonkeyPatch, look: float, pause: float
) -> None:
    now, pauses = [0.0], []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    def condition() -> bool:
        now[0] += look
        return len(pauses) == 3

    monkeypatch.setattr(processes, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    assert wait_until(condition, 10.0)
    assert pauses == pytest.approx([pause] * 3)


def test_there_is_an_end_to_waiting() -> None:
    assert not wait_until(lambda: False, 0.05)
