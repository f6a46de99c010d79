"""The commands in a document, run one after the other against a controller and a switch of its own.

    python -m tests.integration.walk        writes into docs/cli.md what the commands print

A fenced block whose lines begin with `$ sluice` or `$ curl` is run; what stands behind a command is what it
printed. `<!-- walk: ... -->` before a block is something that happens first, one of EVENTS; `<!-- shown, not
run: ... -->` says why a block is left alone.
"""

import asyncio
import contextlib
import io
import os
import re
import shlex
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self
from unittest import mock

import uvicorn
from scapy.layers.l2 import ARP, Ether

from controller.api.app import create_app
from controller.cli.main import main
from controller.config import parse
from controller.controller import Controller
from controller.model import ONLY
from controller.neighbors import State
from controller.store import SqliteStore
from controller.wire import SwitchTarget
from tests.integration.rig import P4INFO, PATIENCE, PIPELINE
from tests.integration.switches import EMBEDDED, running

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "cli.md"

DOCUMENT = """
switch: {address: "%s", mac: "02:00:00:00:00:01"}
interfaces:
  - {name: clients, ports: [1, 2], addresses: [10.0.0.1/24]}
  - {name: servers, ports: [3, 4, 5, 6, 7], addresses: [10.0.1.1/24]}
pools:
  - name: web
    announcement: 500ms
    health: {type: http, path: /healthz, interval: 300ms, fall: 2}
    probe: none
    backends:
      - {name: b1, address: 10.0.1.11, port: 8080}
      - {name: b2, address: 10.0.1.12, port: 8080}
      - {name: b3, address: 10.0.1.13, port: 8080}
      - {name: b4, address: 10.0.1.14, port: 8080}
  - {name: spare, health: {type: none}, backends: [{name: s1, address: 10.0.1.16}]}
vips:
  - {name: web, address: 10.0.0.100, port: 80, pool: web}
"""

PASSED, REFUSED = "2 of 2 checks passed: status 200", "2 of 2 checks failed: connection refused"

COMMAND = re.compile(r"^\$ (.*)$")
HAPPENS = re.compile(r"^<!-- walk: (.*) -->$")
NOT_RUN = "<!-- shown, not run:"


class World:
    """A controller and its API on a switch without ports; the checks of its backends are told, not made."""

    def __init__(self) -> None:
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            switch = starting.enter_context(running(EMBEDDED))
            self.folder = Path(starting.enter_context(tempfile.TemporaryDirectory(prefix="sluice-walk-")))
            self.socket = self.folder / "sluice.sock"
            self.config = parse(DOCUMENT % switch.address)
            started = threading.Event()
            thread = threading.Thread(target=lambda: asyncio.run(self._serve(switch.address, started)))
            thread.start()
            starting.callback(thread.join)
            starting.callback(lambda: self._loop.call_soon_threadsafe(self._ended.set))
            environment = {
                "SLUICE_SOCKET": str(self.socket),
                "COLUMNS": "120",
                "TZ": "UTC",
                "LOGNAME": "alice",
                "USER": "alice",
            }
            starting.enter_context(mock.patch.dict(os.environ, environment))
            starting.callback(time.tzset)
            time.tzset()
            before = Path.cwd()
            os.chdir(self.folder)
            starting.callback(os.chdir, before)
            assert started.wait(PATIENCE)
            self.settled()
            self._closing = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    async def _serve(self, address: str, started: threading.Event) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        store = SqliteStore(self.folder / "sluice.db")
        target = SwitchTarget(address)
        self.controller = Controller(self.config, store, target=target, p4info=P4INFO, pipeline=PIPELINE)
        config = uvicorn.Config(create_app(self.controller), log_config=None, lifespan="off", ws="none")
        server = uvicorn.Server(config)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.socket))
            listener.listen()
            lasting = [asyncio.create_task(self.controller.run()), asyncio.create_task(self._answer())]
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            for backend in self.config.pool("web").backends:
                self.controller.set_health("web", backend.name, True, PASSED)
            started.set()
            await self._ended.wait()
            server.should_exit = True
            await serving
            for task in lasting:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        store.close()

    async def _answer(self) -> None:
        """Every neighbor that is asked for answers."""
        neighbors = self.controller._shared.switches[ONLY].neighbors
        while True:
            for one in neighbors.report():
                if one.state not in (State.REACHABLE, State.STATIC):
                    port = next(i.ports[0] for i in self.config.interfaces if i.name == one.interface)
                    mac = f"02:00:00:00:01:{int(one.address.rpartition('.')[2]):02x}"
                    reply = ARP(op="is-at", hwsrc=mac, psrc=one.address)
                    neighbors.answered(port, bytes(Ether(src=mac, dst="02:00:00:00:00:01") / reply))
            await asyncio.sleep(0.02)

    def health(self, backend: str, healthy: bool, reason: str) -> None:
        """A verdict, and all that follows from it."""
        self._loop.call_soon_threadsafe(self.controller.set_health, "web", backend, healthy, reason)
        time.sleep(0.05)
        self.settled()

    def settled(self) -> None:
        """The switch has all that it should, and no move is announced."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            report, shared = self.controller.report(), self.controller._shared
            known = all(one.state == State.REACHABLE for one in report.neighbors)
            if report.switch.synchronized and known and not shared.desired.announced:
                return
            time.sleep(0.02)
        raise AssertionError(f"the switch is not in step: {self.controller.report().switch}")

    def count(self) -> None:
        """The switch's counters have been read since."""
        now, end = time.time(), time.monotonic() + PATIENCE
        while self.controller.report().counted <= now + 0.2:
            assert time.monotonic() < end
            time.sleep(0.05)

    def run(self, command: str) -> tuple[int, str]:
        """The exit code of a command, and all that it prints."""
        if not command.startswith("sluice "):
            command = command.replace("/run/sluice/sluice.sock", str(self.socket))
            done = subprocess.run(command, shell=True, capture_output=True, text=True)
            self.settled()
            return done.returncode, done.stdout + done.stderr
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            code = main(shlex.split(command, comments=True)[1:])
        self.settled()
        return code, out.getvalue()


def _edit(name: str, *replaced: tuple[str, str]) -> Callable[[World], None]:
    """What `get` prints, with other text in some places, as a file."""

    def event(world: World) -> None:
        _, document = world.run("sluice get")
        for before, after in replaced:
            assert before in document, before
            document = document.replace(before, after)
        (world.folder / name).write_text(document)

    return event


B4 = "  - {name: b4, address: 10.0.1.14, port: 8080, weight: 1, state: active}\n"
B3 = "{name: b3, address: 10.0.1.13, port: 8080, weight: 1"

EVENTS: dict[str, Callable[[World], None]] = {
    "b5 passes its checks": lambda world: world.health("b5", True, PASSED),
    "the counters are read": lambda world: world.count(),
    "b2 dies": lambda world: world.health("b2", False, REFUSED),
    "b2 is back": lambda world: world.health("b2", True, PASSED),
    "sluice.yaml: b3 with weight 3, and without b4": _edit("sluice.yaml", (B3, B3[:-1] + "3"), (B4, "")),
    "sluice.yaml: b3 with weight 3000": _edit("sluice.yaml", (B3[:-1] + "3", B3[:-1] + "3000")),
    "mine.yaml is made, and bob changes a weight": lambda world: _bob(world),
}


def _bob(world: World) -> None:
    _edit("mine.yaml", (B3[:-1] + "3", B3[:-1] + "2"))(world)
    with mock.patch.dict(os.environ, {"LOGNAME": "bob"}):
        world.run("sluice backend weight web b3 5")


def walked(page: str, world: World) -> Iterator[str]:
    """The lines of `page`, with what its commands print now."""
    lines = iter(page.splitlines())
    run = True
    for line in lines:
        yield line
        if happens := HAPPENS.match(line):
            EVENTS[happens[1]](world)
        elif line.startswith(NOT_RUN):
            run = False
        elif line.startswith("```"):
            block = []
            for inner in lines:
                if inner == "```":
                    break
                block.append(inner)
            yield from _block(block, world) if run else block
            yield "```"
            run = True


def _block(block: list[str], world: World) -> Iterator[str]:
    commands = [match[1] for line in block if (match := COMMAND.match(line))]
    if not commands:
        yield from block
    for number, command in enumerate(commands):
        if number:
            yield ""
        yield f"$ {command}"
        _, printed = world.run(command)
        yield from printed.rstrip("\n").splitlines()


# What is another one in each run
VARYING = [
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME"),
    (r"\b\d\d-\d\d \d\d:\d\d:\d\d", "TIME"),
    (r"\"time\": ?[\d.]+", '"time": TIME'),
    (r"\"number\": ?\d+", '"number": N'),
    (r"\"detail\":\"announced[^\"]*\"", '"detail":""'),
    (r"announced to the switch: the buckets move in a few seconds\n", ""),  # if they have not moved yet
    (r"(\d+ buckets?) to move\b", r"\1 moved"),
    (r"127\.0\.0\.1:\d+", "SWITCH"),
]


def normal(text: str) -> str:
    for pattern, name in VARYING:
        text = re.sub(pattern, name, text)
    return text


if __name__ == "__main__":
    with World() as present:
        text = "\n".join(walked(PAGE.read_text(), present)) + "\n"
    PAGE.write_text(re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:9559", text))
