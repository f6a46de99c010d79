"""A process that has imported all that a daemon needs, and forks one in a moment.

It reads one order a line from standard input, and answers each with one line: a dictionary of Options' fields
(and, perhaps, the name of a fault to plant) is answered with the process id of the daemon, a process id with
the end of that process.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

from controller import daemon, wire
from controller.api.app import describe
from controller.api.client import Remote
from controller.api.listening import TcpOptions
from controller.events import EventLog
from controller.health.checks import name_of
from controller.health.monitor import Report
from controller.health.process import CheckProcess
from controller.model import Config
from tests.crash import faults

LOOK_EVERY = 0.02


class Told:
    """Health checks that read from a file which backends are down, once there is a way to them."""

    file = Path()

    def __init__(
        self, report: Report, events: EventLog, checks: CheckProcess, *, way_is_clear: Callable[[], bool]
    ) -> None:
        self._report, self._way_is_clear = report, way_is_clear

    def update(self, config: Config) -> None:
        self._config = config

    def hurry(self, pool: str, backend: str) -> None:
        """They never wait for long."""

    async def run(self) -> None:
        while True:
            down = self.file.read_text().split()
            for pool in self._config.pools if self._way_is_clear() else ():
                for backend in pool.backends:
                    up = name_of(backend.name) not in down
                    self._report(pool.name, backend.name, up, "as the test says")
            await asyncio.sleep(LOOK_EVERY)


def _run(order: dict[str, str]) -> None:
    """In the child: becomes a daemon, whose words go to a log."""
    log = os.open(order.pop("log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    Told.file = Path(order.pop("down"))
    daemon.Monitor = Told  # type: ignore[misc, assignment]
    if fault := order.pop("fault", None):
        faults.FAULTS[fault]()
    level = order.pop("log_level")
    config, socket, store, checks = (Path(order[name]) for name in ("config", "socket", "store", "checks"))
    options = daemon.Options(config, socket, store, level, checks, tcp=_tcp(order), peer=_peer(order))
    code = daemon.run(options)
    os._exit(code)


def _tcp(order: dict[str, str]) -> TcpOptions | None:
    if "listen" not in order:
        return None
    certificate, key, tokens = (Path(order[name]) for name in ("certificate", "key", "tokens"))
    return TcpOptions(order["listen"], certificate, key, tokens)


def _peer(order: dict[str, str]) -> Path | Remote | None:
    if "peer_token_file" in order:
        return Remote(order["peer"], Path(order["peer_token_file"]), Path(order["peer_ca_file"]))
    return Path(order["peer"]) if "peer" in order else None


def _prepare() -> None:
    """Does what every daemon would do again, and takes most of its start."""
    wire.parse_p4info = cache(wire.parse_p4info)
    wire.Pipeline.load(daemon.P4INFO, daemon.PIPELINE)
    describe()


def main() -> None:
    _prepare()
    for line in sys.stdin:
        order = json.loads(line)
        if isinstance(order, int):
            print(os.waitpid(order, 0)[1], flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            try:
                _run(order)
            finally:
                os._exit(1)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
