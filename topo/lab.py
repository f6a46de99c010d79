"""A lab: one namespace with its Mininet network, switch, controller and servers, and how to work with it.

Everything is on the file system under the run directory, so a lab can be used and ended from any process:

    /run/<name>/lab.json         which project made it, its token, the namespace's inode
    /run/<name>/network.json     the hosts' pids and the switch's command line (written by the keeper)
    /run/<name>/processes/       pid and start time of what runs
    /run/<name>/sluice.sock      the controller's API      /run/<name>/sluice.db  its store
    <project>/build/logs/<name>/ logs; they stay when the lab has ended
"""

import json
import os
import re
import secrets
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from topo import namespace, plan, processes
from topo.errors import CommandFailed, LabBusy, LabError, NoLab, StartFailed
from topo.plan import SwitchPlan
from topo.processes import Process, ProcessFiles
from topo.spread import ROUTER, spread_script
from topo.targets import SLUICE, resolve_target

PROJECT = Path(__file__).resolve().parent.parent
RUN = Path("/run")
LAB_FILE = "lab.json"
NETWORK_FILE = "network.json"
READY = "ready"
"""What a child of ours prints on a line of its own when it is."""
DEFAULT_NAME = "sluice"
NAME_PATTERN = re.compile(r"[a-z][a-z0-9-]{0,29}")

KEEPER = "keeper"
DAEMON = "daemon"
KEEPER_READY_SECONDS = 60.0
DAEMON_READY_SECONDS = 60.0
SERVER_READY_SECONDS = 20.0
CLI_SECONDS = 30.0


@dataclass(frozen=True)
class LabRecord:
    """What `lab.json` holds: enough to end a lab exactly, also one whose maker was killed."""

    project: str
    name: str
    token: str
    starter: Process
    namespace_inode: int = 0
    config: str = str(plan.CONFIG)


class Lab:
    """A lab that runs, or ran until something was killed."""

    def __init__(self, run_dir: Path, record: LabRecord) -> None:
        self.run_dir = run_dir
        self.record = record
        self.files = ProcessFiles(run_dir / "processes")
        self._children: list[subprocess.Popen[str]] = []

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def socket(self) -> Path:
        return self.run_dir / "sluice.sock"

    @property
    def logs(self) -> Path:
        return PROJECT / "build" / "logs" / self.name

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs in its environment to speak to this lab's daemon."""
        cache = os.environ.get("SLUICE_CACHE", str(PROJECT / "build" / "cache"))
        return {"SLUICE_SOCKET": str(self.socket), "SLUICE_CACHE": cache}

    @property
    def child_environment(self) -> dict[str, str]:
        """The same for what belongs to the lab and ends with it."""
        return {**self.environment, processes.TOKEN_VARIABLE: self.record.token}

    @staticmethod
    def python(module: str, *arguments: str) -> list[str]:
        """The command line that runs a module of ours."""
        return [sys.executable, "-m", module, *arguments]

    # Making, finding and ending a lab

    @classmethod
    def start(
        cls,
        name: str = DEFAULT_NAME,
        *,
        target: str = "auto",
        config: Path = plan.CONFIG,
        servers: Sequence[str] = (),
        server_port: int = plan.SERVICE_PORT,
    ) -> "Lab":
        """Build the network, start the switch, the servers named, and the controller with `config`.

        Returns when the controller has put the switch into the state that `config` asks for. When anything
        fails, everything is taken down again and StartFailed (or LabBusy) says what it was.
        """
        resolve_target(target)
        lab = cls._claim(name, config)
        try:
            lab._start_network(target)
            lab._start_decapsulators()
            lab.start_servers(servers, server_port)
            lab.start_daemon()
        except BaseException:
            lab.down()
            raise
        return lab

    @classmethod
    def find(cls, name: str = DEFAULT_NAME) -> "Lab":
        """The lab called `name`. Raises NoLab when there is none of this project's."""
        run_dir = RUN / name
        try:
            saved = json.loads((run_dir / LAB_FILE).read_text())
            record = LabRecord(**{**saved, "starter": Process(**saved["starter"])})
        except FileNotFoundError:
            raise NoLab(f"nothing runs under the name {name!r}; `make up` starts it") from None
        if record.project != str(PROJECT):
            raise LabBusy(
                f"{run_dir} belongs to the checkout in {record.project}.\n"
                "End it there (make down), or choose another name here: make ... NAME=other"
            )
        return cls(run_dir, record)

    @classmethod
    def all(cls) -> list["Lab"]:
        """Every lab of this project, also what a killed one left behind."""
        found = []
        for path in sorted(RUN.glob(f"*/{LAB_FILE}")):
            try:
                found.append(cls.find(path.parent.name))
            except (LabBusy, NoLab):  # another checkout's, or ended this moment
                continue
        return found

    @classmethod
    def _claim(cls, name: str, config: Path) -> "Lab":
        """Take the name. Making the run directory is the atomic step that decides between two who want it."""
        if not NAME_PATTERN.fullmatch(name):
            raise StartFailed(
                f"{name!r} is no name for a lab: use a-z, 0-9 and -, at most 30, a letter first"
            )
        run_dir = RUN / name
        try:
            run_dir.mkdir()
        except FileExistsError:
            cls._clear_stale(name)
            run_dir.mkdir()
        except PermissionError:
            raise StartFailed(f"cannot make {run_dir}: this needs root") from None
        record = LabRecord(str(PROJECT), name, secrets.token_hex(8), Process.of(os.getpid()), 0, str(config))
        lab = cls(run_dir, record)
        lab._save()
        shutil.rmtree(lab.logs, ignore_errors=True)
        lab.logs.mkdir(parents=True)
        return lab

    @classmethod
    def _clear_stale(cls, name: str) -> None:
        """Remove what a lab that did not end properly left. Raises LabBusy when it is alive or not ours."""
        run_dir = RUN / name
        if not (run_dir / LAB_FILE).exists():
            raise LabBusy(
                f"{run_dir} exists and is not a lab of this project (a daemon may keep its socket there).\n"
                "Choose another name: make ... NAME=other"
            )
        old = cls.find(name)
        if old.files.find(KEEPER) is not None or old.record.starter.alive():
            raise LabBusy(
                f"{name!r} is running already; `make down` ends it, `make up NAME=other` starts another"
            )
        old.down()

    def _save(self) -> None:
        (self.run_dir / LAB_FILE).write_text(json.dumps(asdict(self.record), indent=2))

    def down(self) -> None:
        """End every process of the lab and remove its namespace and run directory. Safe to repeat."""
        with processes.uninterrupted():
            self._down()

    def _down(self) -> None:
        running = self.files.all()
        the_keeper = running.pop(KEEPER, None)
        for process in running.values():
            process.send(signal.SIGTERM)
        for process in running.values():
            process.end()
        if the_keeper is not None:
            the_keeper.end(grace=15.0)
        for process in processes.with_token(self.record.token):
            process.send(signal.SIGKILL)
        for child in self._children:
            child.wait()
        if self.record.namespace_inode:
            namespace.delete(self.name, self.record.namespace_inode)
        shutil.rmtree(self.run_dir, ignore_errors=True)

    # Its parts

    def _start_network(self, target: str) -> None:
        inode = namespace.create(self.name)
        self.record = LabRecord(**{**vars(self.record), "namespace_inode": inode})
        self._save()
        command = self.python("topo.keeper", "--run-dir", str(self.run_dir), "--target", target)
        command += ["--logs", str(self.logs), "--token", self.record.token]
        command += ["--config", self.record.config]
        log = self.logs / "keeper.log"
        child = self._launch(KEEPER, namespace.inside(self.name, command), log=log, pipe_output=True)
        self._await_line(child, READY, KEEPER_READY_SECONDS, "the network", log)

    def _start_decapsulators(self) -> None:
        """Start `topo.decapsulate` on every backend host, if there are pools that need it."""
        modes = self.network["decapsulated"]
        hosts = [backend.name for backend in plan.Plan().backends] if modes else []
        command = self.python("topo.decapsulate", *modes)
        started = {host: self.start_on(host, f"decapsulate-{host}", command) for host in hosts}
        for host, child in started.items():
            log = self.logs / f"decapsulate-{host}.log"
            self._await_line(child, READY, SERVER_READY_SECONDS, f"the decapsulator on {host}", log)

    def start_daemon(self, *, wait: bool = True) -> None:
        """Start the controller and, unless told otherwise, wait until the switch has what it wants."""
        log = self.logs / "daemon.log"
        command = [str(SLUICE), "daemon", "-c", self.record.config]
        command += ["--socket", str(self.socket), "--store", str(self.run_dir / "sluice.db")]
        child = self._launch(DAEMON, namespace.inside(self.name, command), log=log)
        if not wait:
            return
        deadline = time.monotonic() + DAEMON_READY_SECONDS
        while not self._daemon_ready():
            if child.poll() is not None:
                raise StartFailed(
                    f"the controller ended with exit code {child.returncode}:\n{processes.tail(log)}"
                )
            if time.monotonic() > deadline:
                raise StartFailed(
                    f"the controller was not ready in {DAEMON_READY_SECONDS:.0f} s:\n{processes.tail(log)}"
                )
            time.sleep(0.1)

    def _daemon_ready(self) -> bool:
        from controller.api.client import Client, ClientError  # `down` runs where nothing is installed
        from controller.api.schemas import Status

        try:
            with Client(self.socket) as daemon:
                return daemon.get(Status, "status").switch.synchronized
        except ClientError:
            return False

    def kill_daemon(self) -> None:
        """SIGKILL, as a crash would."""
        self._kill(DAEMON)

    def start_server(self, host: str, port: int = plan.SERVICE_PORT) -> None:
        """Start the HTTP server of a backend and wait until it listens."""
        self.start_servers([host], port)

    def start_servers(self, hosts: Sequence[str], port: int = plan.SERVICE_PORT) -> None:
        """Start those of several at once, and wait until all listen."""
        started: dict[str, subprocess.Popen[str]] = {}
        for host in hosts:
            command = self.python("topo.server", "--name", host, "--port", str(port))
            inside = self.inside_host(host, command)
            started[host] = self._launch(host, inside, log=self.logs / f"{host}.log", pipe_output=True)
        for host, child in started.items():
            log = self.logs / f"{host}.log"
            self._await_line(child, READY, SERVER_READY_SECONDS, f"the server on {host}", log)

    def kill_server(self, host: str) -> float:
        """SIGKILL the server of a backend. Returns the monotonic time just before."""
        moment = time.monotonic()
        self._kill(host)
        return moment

    def restart_switch(self, name: str = plan.SWITCH_NAME) -> None:
        """SIGKILL a switch and start it anew, empty, with the same command."""
        self.kill_switch(name)
        self.start_switch(name)

    def kill_switch(self, name: str) -> None:
        self._kill(self._switch(name))

    def start_switch(self, name: str) -> None:
        """Start a switch that was killed, empty, with the same command. Doesn't wait until it serves."""
        command = [str(word) for word in self.network["switches"][self._switch(name)]]
        self._launch(name, namespace.inside(self.name, command), log=self.logs / f"{name}.log")

    def spread_over(self, *names: str) -> None:
        """Let the router send flows, and what servers answer, over these switches and no others.

        Which flows go where depends on the order: the other way round, each of two switches gets those of the
        other. Raises LabError when there is but one switch.
        """
        if len(self.network["switches"]) == 1:
            raise LabError("this lab has one switch and no router; `up --switches 2` starts one that has")
        switches = [SwitchPlan.called(self._switch(name)) for name in names]
        command = ["sh", "-ec", "\n".join(spread_script(switches))]
        subprocess.run(self.inside_host(ROUTER, command), check=True)

    def _switch(self, name: str) -> str:
        switches = self.network["switches"]
        if name not in switches:
            raise LabError(f"there is no switch {name!r}; there are {', '.join(switches)}")
        return name

    def running(self, name: str) -> bool:
        return self.files.find(name) is not None

    @property
    def network(self) -> dict[str, Any]:
        """What the keeper wrote down: `hosts` (name to pid), `switches` (name to command line),
        `target`, and the modes that are `decapsulated` by a process of ours."""
        return json.loads((self.run_dir / NETWORK_FILE).read_text())

    def inside_host(self, host: str, command: Sequence[str]) -> list[str]:
        """`command` as it has to be started to run on `host`. Raises KeyError naming the hosts there are."""
        pids = self.network["hosts"]
        if host not in pids:
            raise KeyError(f"there is no host {host!r}; there are {', '.join(pids)}")
        return namespace.inside_host(pids[host], command)

    def start_on(self, host: str, name: str, command: Sequence[str]) -> subprocess.Popen[str]:
        """Start `command` on a host, remembered as `name`; its output is a pipe, its messages go to a log."""
        return self._launch(
            name, self.inside_host(host, command), log=self.logs / f"{name}.log", pipe_output=True
        )

    # Speaking to the controller

    def start_cli(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a CLI command without waiting for it."""
        return self._launch("cli", [str(SLUICE), *arguments], log=self.logs / "cli.log")

    def sluice(self, *arguments: str) -> str:
        """Run the CLI and return what it prints.

        Raises CommandFailed with its words when it refuses, LabError when it hangs.
        """
        said = f"sluice {' '.join(arguments)}"
        try:
            result = subprocess.run(
                [str(SLUICE), *arguments],
                env={**os.environ, **self.environment},
                capture_output=True,
                text=True,
                timeout=CLI_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise LabError(f"`{said}` has not ended for {CLI_SECONDS:.0f} s. Logs: {self.logs}") from None
        if result.returncode != 0:
            raise CommandFailed(said, result.returncode, result.stderr or result.stdout)
        return result.stdout

    # Inner helpers

    def _launch(
        self, name: str, command: Sequence[str], *, log: Path, pipe_output: bool = False
    ) -> subprocess.Popen[str]:
        child = processes.start(command, log=log, environment=self.child_environment, pipe_output=pipe_output)
        self._children.append(child)
        self.files.remember(name, child.pid)
        return child

    def _kill(self, name: str) -> None:
        process = self.files.find(name)
        if process is None:
            raise NoLab(f"{name} does not run")
        process.send(signal.SIGKILL)
        processes.wait_until(lambda: not process.alive(), 5.0)
        self.files.forget(name)

    def _await_line(
        self, child: subprocess.Popen[str], line: str, seconds: float, what: str, log: Path
    ) -> None:
        assert child.stdout is not None
        output = child.stdout.fileno()
        deadline = time.monotonic() + seconds
        said = b""
        while line.encode() not in said.splitlines():
            if select.select([output], [], [], processes.POLL_SECONDS)[0]:
                said += os.read(output, 4096)
            if child.poll() is not None:
                raise StartFailed(
                    f"{what} did not start (exit code {child.returncode}):\n{processes.tail(log)}"
                )
            if time.monotonic() > deadline:
                raise StartFailed(f"{what} was not ready in {seconds:.0f} s:\n{processes.tail(log)}")
