"""Switches as processes, without ports: P4Runtime on a loopback address, which needs no rights."""

import contextlib
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

EMBEDDED, BMV2 = "embedded", "bmv2"
CPU_PORT = "255"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class SwitchProcess:
    """A switch that can be killed and started again under the same address. It begins without a program."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.address = f"127.0.0.1:{free_port()}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert self._process is None
        log = self._folder / f"{self.kind}.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(self._command(), stdout=output, stderr=subprocess.STDOUT)

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _command(self) -> list[str]:
        if self.kind == BMV2:
            notifications = f"ipc://{self._folder}/notifications.ipc"
            program = ["simple_switch_grpc", "--notifications-addr", notifications]
        else:
            program = [sys.executable, "-m", "sluice.main", "switch"]
        behind = ["--", "--grpc-server-addr", self.address, "--cpu-port", CPU_PORT]
        return [*program, "--no-p4", "--device-id", "1", *behind]


@contextlib.contextmanager
def running(kind: str) -> Iterator[SwitchProcess]:
    with tempfile.TemporaryDirectory(prefix="sluice-switch-") as folder:
        switch = SwitchProcess(kind, Path(folder))
        switch.start()
        try:
            yield switch
        finally:
            switch.kill()
