"""`sluice daemon`: a controller, its health checks and its API in one process.

    sys.exit(run(Options(config, socket, store, log_level, checks)))

In order: the configuration is checked (exit code 2 if it is refused), the places are taken (one daemon to a
socket and to a store), the controller starts, and when the API answers a line beginning with READY goes to
standard output. SIGTERM and SIGINT end it; the switch goes on forwarding. Logs go to standard error.
"""

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from controller import config as documents
from controller.api.app import create_app
from controller.controller import Controller
from controller.difference import differences
from controller.errors import InvalidConfig, SluiceError
from controller.events import Kind, Severity
from controller.health.monitor import Monitor
from controller.health.process import CheckProcess
from controller.model import Config
from controller.peer import ApiPeer
from controller.store import SqliteStore, Store
from controller.wire import SwitchTarget

READY = "sluice daemon: ready"

DONE, FAILED, BAD_CONFIG = 0, 1, 2

COMPILED = Path(__file__).resolve().parent.parent / "p4src" / "compiled"
P4INFO, PIPELINE = COMPILED / "sluice.p4info.txtpb", COMPILED / "sluice.json"

ONLY_OWNER = 0o700
NOT_FOR_OTHERS = 0o177
"""A umask."""

LAST_REQUESTS = 2
"""Seconds that requests under way get at the end."""


class StartError(Exception):
    """The daemon cannot start; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    config: Path
    socket: Path
    store: Path
    log_level: str
    checks: Path
    """The folder of the programs that health checks may run."""
    peer: Path | None = None
    """The socket of the API of the controller that we form a pair with."""


def run(options: Options) -> int:
    """Runs the daemon until a signal ends it; returns the exit code."""
    log_to_stderr(options.log_level)
    try:
        config = documents.load(options.config)
    except InvalidConfig as error:
        print(error, file=sys.stderr)
        return BAD_CONFIG
    try:
        with taken(options.socket, "--socket"), taken(options.store, "--store"):
            allow_many_files()
            with contextlib.closing(SqliteStore(options.store)) as store:
                asyncio.run(_start(options, config, store))
    except (StartError, SluiceError) as error:
        print(f"sluice: {error}", file=sys.stderr)
        return FAILED
    return DONE


async def _start(options: Options, config: Config, store: Store) -> None:
    switch = config.switch
    controller = Controller(
        config,
        store,
        target=SwitchTarget(switch.address, switch.device_id),
        p4info=P4INFO,
        pipeline=PIPELINE,
        peer=ApiPeer(options.peer) if options.peer else None,
    )
    _compare_with_file(controller, config, options.config)
    await serve(controller, options.socket, options.checks, f"store {options.store}, switch {switch.address}")


def _compare_with_file(controller: Controller, config: Config, file: Path) -> None:
    found = differences(config, controller.config)
    if found:
        first, *others = found
        more = f" and {len(others)} more" if others else ""
        controller.events.record(
            Kind.DAEMON,
            "daemon",
            f"goes on with revision {controller.revision.number} of the store, which is not what {file} "
            f"says; `sluice apply -f {file}` goes back to the file",
            f"commands changed {first.path}{more}",
            Severity.WARNING,
        )


async def serve(controller: Controller, path: Path, checks: Path, about: str) -> None:
    """Runs `controller` with health checks and the API at `path`, until SIGTERM or SIGINT.

    `checks` is the folder of the programs that health checks may run.
    """
    monitor = Monitor(
        controller.set_health,
        controller.events,
        CheckProcess(checks),
        way_is_clear=lambda: controller.way_is_clear,
    )
    monitor.update(controller.config)
    controller.on_config(monitor.update)
    controller.on_suspicion(monitor.hurry)
    server = _Server(
        uvicorn.Config(
            create_app(controller),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=LAST_REQUESTS,
        )
    )
    with _listening(path) as listener, _ending_signals() as ended:
        async with asyncio.TaskGroup() as tasks:
            lasting = [tasks.create_task(controller.run()), tasks.create_task(monitor.run())]
            serving = tasks.create_task(server.serve(sockets=[listener]))
            await server.ready.wait()
            print(f"{READY}: process {os.getpid()}, socket {path}, {about}", flush=True)
            controller.events.record(Kind.DAEMON, "daemon", "ready", about)

            controller.events.record(Kind.DAEMON, "daemon", "ends", (await ended).name)
            controller.events.close()
            server.should_exit = True
            await serving
            for task in lasting:
                task.cancel()


class _Server(uvicorn.Server):
    """uvicorn inside of a program that has its own idea of signals, and wants to know when it serves."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@contextlib.contextmanager
def taken(path: Path, option: str) -> Iterator[None]:
    """Holds the lock beside `path`, which the kernel gives back however this process ends.

    Raises StartError when another process has it or it cannot be made.
    """
    try:
        path.parent.mkdir(mode=ONLY_OWNER, parents=True, exist_ok=True)
        lock = path.with_name(path.name + ".lock").open("a+")
    except OSError as error:
        raise StartError(
            f"cannot write to {path.parent}: {_words(error)}; "
            f"run as root, or name another place with {option}"
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise StartError(
                f"another daemon (process {lock.read().strip() or 'unknown'}) uses {path}; "
                f"end that one, or name another place with {option}"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


@contextlib.contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    """A unix socket that only this user may use.

    One that a daemon left behind is removed: we hold the lock, so nobody listens there.
    """
    if path.is_socket():
        path.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        before = os.umask(NOT_FOR_OTHERS)
        try:
            sock.bind(str(path))
        except OSError as error:
            hint = "it is no socket, remove it or " if error.errno == errno.EADDRINUSE else ""
            raise StartError(
                f"cannot listen at {path}: {_words(error)}; {hint}name another with --socket"
            ) from None
        finally:
            os.umask(before)
        try:
            yield sock
        finally:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _ending_signals() -> Iterator[asyncio.Future[signal.Signals]]:
    """The first signal that asks for the end."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[signal.Signals] = loop.create_future()

    def end(number: signal.Signals) -> None:
        if not ended.done():
            ended.set_result(number)

    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, end, number)
    try:
        yield ended
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def allow_many_files() -> None:
    """Raises the soft limit of open files to the hard one: each health check under way needs some."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def log_to_stderr(level: str) -> None:
    """One line for each record: time (UTC), level, logger, message."""
    formatter = logging.Formatter(
        "%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
