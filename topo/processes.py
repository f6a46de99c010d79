"""Processes that can be found again and ended exactly, by whoever comes later.

Each is remembered in a file of its own as pid and start time, so that a pid that the kernel has given to
somebody else meanwhile is never signalled. Everything a lab starts also carries the lab's token in its
environment, so that what such a process started in turn can be found when its parent is gone.
"""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

TOKEN_VARIABLE = "SLUICE_LAB"
POLL_SECONDS = 0.02
PAUSE_PER_LOOK = 4.0
LONGEST_PAUSE = 0.2  # seconds
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Process:
    """A process by pid and start time (clock ticks since boot, field 22 of /proc/PID/stat)."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> "Process":
        """The process that has `pid` now. Raises ProcessLookupError when there is none."""
        _, started = _state_and_start(pid)
        return cls(pid, started)

    def alive(self) -> bool:
        """Whether this very process still runs; a zombie does not."""
        try:
            state, started = _state_and_start(self.pid)
        except ProcessLookupError:
            return False
        return started == self.started and state != "Z"

    def send(self, signal_number: int) -> None:
        """Signal it, unless it has ended."""
        if self.alive():
            try:
                os.kill(self.pid, signal_number)
            except ProcessLookupError:
                return

    def end(self, grace: float = 5.0) -> None:
        """SIGTERM, and SIGKILL after `grace` seconds. Returns when it has ended."""
        self.send(signal.SIGTERM)
        if not wait_until(lambda: not self.alive(), grace):
            self.send(signal.SIGKILL)
            wait_until(lambda: not self.alive(), grace)


class ProcessFiles:
    """Named processes, each remembered in `<folder>/<name>.json`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def remember(self, name: str, pid: int) -> Process:
        process = Process.of(pid)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{name}.json").write_text(json.dumps(asdict(process)))
        return process

    def find(self, name: str) -> Process | None:
        """The process remembered as `name`, if it still runs."""
        process = self._read(self.folder / f"{name}.json")
        return process if process is not None and process.alive() else None

    def forget(self, name: str) -> None:
        (self.folder / f"{name}.json").unlink(missing_ok=True)

    def all(self) -> dict[str, Process]:
        """Every remembered process that still runs, by name."""
        found = {path.stem: self._read(path) for path in sorted(self.folder.glob("*.json"))}
        return {name: process for name, process in found.items() if process is not None and process.alive()}

    @staticmethod
    def _read(path: Path) -> Process | None:
        try:
            return Process(**json.loads(path.read_text()))
        except (
            FileNotFoundError,
            ValueError,
            TypeError,
        ):  # never written, or half written by a killed writer
            return None


def with_token(token: str) -> Iterator[Process]:
    """Every process that inherited this lab's token, whoever started it."""
    wanted = f"{TOKEN_VARIABLE}={token}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                yield Process.of(int(entry.name))
        except OSError:  # it ended while we looked, or it is not ours to look at
            continue


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll `condition` until it holds; False when `seconds` passed first.

    One that takes long to look at, such as a question to the daemon, is looked at less often, so that waiting
    does not take the processor from what is waited for.
    """
    deadline = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        if condition():
            return True
        now = time.monotonic()
        if now >= deadline:
            return False
        time.sleep(min(max(POLL_SECONDS, PAUSE_PER_LOOK * (now - began)), LONGEST_PAUSE))


def start(
    command: Sequence[str], *, log: Path, environment: Mapping[str, str], pipe_output: bool = False
) -> subprocess.Popen[str]:
    """Start `command` in a session of its own (so that Ctrl-C at a terminal is not for it), with its messages
    appended to `log` and, if asked, its output in a pipe."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as messages:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if pipe_output else messages,
            stderr=messages,
            env={**os.environ, **environment},
            start_new_session=True,
            text=True,
        )


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let a cleanup finish: Ctrl-C and the polite signals are ignored while the block lasts.

    Only the main thread may set signals; in another one nothing changes, since signals don't reach it either.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ENDING_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def tail(log: Path, lines: int = 12) -> str:
    """The last lines of a log, indented, for an error message."""
    try:
        text = log.read_text(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        return "    (no log)"
    return "\n".join(f"    {line}" for line in text) or "    (empty log)"


def _state_and_start(pid: int) -> tuple[str, int]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(f"there is no process {pid}") from None
    fields = text.rpartition(")")[2].split()  # the name before it may hold spaces and parentheses
    return fields[0], int(fields[19])
