"""`sluice daemon` as a process, with its own folder, for tests that start and end it."""

import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from controller.api.client import Client
from controller.api.schemas import PoolView, Status
from controller.events import Event
from controller.report import BackendReport
from tests.fakes.cli import Printed, in_process

PATIENCE = 60.0
"""Seconds. On a busy machine the embedded switch takes some to compile its program for the first time."""

DOCUMENT = """\
switch: {{address: "{switch}", device_id: 1, mac: "02:00:00:00:00:01"}}
interfaces:
  - {{name: clients, ports: [1, 2], addresses: [10.0.0.1/24]}}
  - {{name: servers, ports: [3, 4, 5, 6], addresses: [10.0.1.1/24]}}
pools:
  - name: web
    buckets: 64
    announcement: 0s
    health: {{type: none}}
    backends:
      - {{name: b1, address: 10.0.1.11, port: 8080}}
      - {{name: b2, address: 10.0.1.12, port: 8080}}
vips:
  - {{name: web, address: 10.0.0.100, port: 80, pool: web}}
"""


def sluice(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "sluice.main", *arguments]


def read_line(stream: IO[str], process: subprocess.Popen[str]) -> str:
    """The next line, "" if there is none before the process ends."""
    if not select.select([stream], [], [], PATIENCE)[0]:
        process.kill()
        pytest.fail("the process says nothing")
    return stream.readline()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.05)


class Daemon:
    """One configuration, socket and store, on which a daemon is started and ended."""

    def __init__(self, folder: Path, document: str) -> None:
        self.folder = folder
        self.config = folder / "sluice.yaml"
        self.config.write_text(document)
        self.socket = folder / "run" / "sluice.sock"
        self.store = folder / "lib" / "sluice.db"
        self.log = folder / "daemon.log"
        self.processes: list[subprocess.Popen[str]] = []
        self.ready = ""
        """The line that says so."""

    def spawn(self, log: Path, *more: str) -> subprocess.Popen[str]:
        arguments = ["-c", str(self.config), "--socket", str(self.socket), "--store", str(self.store), *more]
        with log.open("a") as errors:
            process = subprocess.Popen(
                sluice("daemon", *arguments), stdout=subprocess.PIPE, stderr=errors, text=True
            )
        self.processes.append(process)
        return process

    def start(self, *more: str) -> subprocess.Popen[str]:
        """Starts it and waits until it is ready."""
        process = self.spawn(self.log, *more)
        assert process.stdout
        line = read_line(process.stdout, process)
        assert line.startswith(f"sluice daemon: ready: process {process.pid}, "), self.log.read_text()
        assert f" socket {self.socket}, " in line and f" store {self.store}, " in line
        self.ready = line
        return process

    def refused(self, *more: str) -> tuple[int, str]:
        """Starts it where it must not start; returns exit code and message."""
        log = self.folder / "refused.log"
        log.write_text("")
        process = self.spawn(log, *more)
        assert process.stdout
        assert read_line(process.stdout, process) == ""
        return process.wait(PATIENCE), log.read_text()

    def run(self, *arguments: str) -> Printed:
        return in_process(self.socket, *arguments)

    def events(self) -> list[Event]:
        with Client(self.socket) as api:
            return api.get(list[Event], "events")

    def status(self) -> Status:
        with Client(self.socket) as api:
            return api.get(Status, "status")

    def backends(self) -> dict[str, BackendReport]:
        with Client(self.socket) as api:
            backends = api.get(PoolView, "pools", "web").backends
        return {backend.name: backend for backend in backends if backend.state != "removing"}

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@contextmanager
def embedded_switch(*more: str) -> Iterator[str]:
    """The embedded switch without ports; its P4Runtime address. `more` are flags of BMv2's target."""
    command = sluice(
        "switch", "--no-p4", "--device-id", "1", "--", "--grpc-server-addr", "127.0.0.1:0", *more
    )
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        line = read_line(process.stdout, process)
        yield line.partition("P4Runtime on ")[2].partition(",")[0]
    finally:
        process.terminate()
        process.wait(PATIENCE)
