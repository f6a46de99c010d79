"""`sluice daemon`: a controller, its health checks and its API in one process.

    sys.exit(run(Options(config, socket, store, ...)))

In order: the configuration is checked (exit code 2 if it is refused), the places are taken (one daemon to a
socket and to a store), the controller starts, and when the API answers a line beginning with READY goes to
standard output, and word to systemd. SIGHUP has files read again (see `reload`). SIGTERM and SIGINT end it;
the switch goes on forwarding. Logs go to standard error.
"""

import asyncio
import contextlib
import gc
import os
import resource
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from controller import config as documents
from controller import logs
from controller.api import listening
from controller.api.app import Served, create_app
from controller.api.client import Remote
from controller.api.listening import Tcp, TcpOptions
from controller.api.serving import Server
from controller.claims import make_folder_for, taken
from controller.controller import Controller
from controller.credentials import SwitchTls
from controller.deadlines import Deadlines
from controller.difference import differences
from controller.errors import InvalidConfig, SluiceError, StartError
from controller.events import Kind, Severity
from controller.health.monitor import Monitor
from controller.health.process import CheckProcess
from controller.model import Config
from controller.peer import ApiPeer
from controller.reload import Reload
from controller.store import SqliteStore, Store
from controller.wire import SwitchTarget
from sluice import notify

READY = "sluice daemon: ready"

DONE, FAILED, BAD_CONFIG = 0, 1, 2

COLLECT_AFTER = 50_000, 20, 50
"""Objects more than before, until Python collects the youngest; and such times, until the older ones, too."""

COMPILED = Path(__file__).resolve().parent.parent / "p4src" / "compiled"
P4INFO, PIPELINE = COMPILED / "sluice.p4info.txtpb", COMPILED / "sluice.json"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    config: Path
    socket: Path
    store: Path
    log_level: str
    checks: Path
    """The folder of the programs that health checks may run."""
    log_format: str = "human"
    group: str | None = None
    """Who may use the socket, beside its owner."""
    tcp: TcpOptions | None = None
    switch_tls: SwitchTls | None = None
    peer: Path | Remote | None = None
    """The API of the controller that we form a pair with."""


def run(options: Options) -> int:
    """Runs the daemon until a signal ends it; returns the exit code."""
    logs.to_stderr(options.log_level, options.log_format)
    try:
        config, tcp = _checked(options)
    except (InvalidConfig, StartError) as error:
        _complain(error)
        return BAD_CONFIG
    try:
        if options.group:
            make_folder_for(options.socket, options.group)
        with taken(options.socket, "--socket"), taken(options.store, "--store"):
            allow_many_files()
            collect_seldom()
            with contextlib.closing(SqliteStore(options.store)) as store:
                asyncio.run(_start(options, config, tcp, store))
    except SluiceError as error:
        _complain(error)
        return FAILED
    return DONE


def check(options: Options) -> int:
    """Whether a daemon would start with these options; says what is wrong. Nothing is touched."""
    logs.to_stderr(options.log_level, options.log_format)
    try:
        config, _ = _checked(options)
        with contextlib.closing(SqliteStore(":memory:")) as store:
            _controller(options, config, store)
    except SluiceError as error:
        _complain(error)
        return BAD_CONFIG
    print(f"{options.config} is right: {len(config.vips)} VIPs, {len(config.pools)} pools")
    return DONE


def _complain(error: SluiceError) -> None:
    """Mistakes in a file begin with its name and line, as compilers have it."""
    print(error if isinstance(error, InvalidConfig) and error.source else f"sluice: {error}", file=sys.stderr)


def _checked(options: Options) -> tuple[Config, Tcp | None]:
    """Everything that can be known before anything is touched. Raises InvalidConfig, StartError."""
    config = documents.load(options.config)
    if options.switch_tls:
        options.switch_tls.check()
    if options.peer:
        ApiPeer(options.peer).check()
    return config, Tcp(options.tcp) if options.tcp else None


def _controller(options: Options, config: Config, store: Store) -> Controller:
    switch = config.switch
    return Controller(
        config,
        store,
        target=SwitchTarget(switch.address, switch.device_id, tls=options.switch_tls),
        p4info=P4INFO,
        pipeline=PIPELINE,
        peer=ApiPeer(options.peer) if options.peer else None,
    )


async def _start(options: Options, config: Config, tcp: Tcp | None, store: Store) -> None:
    controller = _controller(options, config, store)
    _compare_with_file(controller, config, options.config)
    await serve(controller, options, tcp)


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


async def serve(controller: Controller, options: Options, tcp: Tcp | None) -> None:
    """Runs `controller` with health checks and the API, until SIGTERM or SIGINT."""
    monitor = Monitor(
        controller.set_health,
        controller.events,
        CheckProcess(options.checks),
        way_is_clear=lambda: controller.way_is_clear,
    )
    controller.on_checked(monitor.update)
    controller.on_suspicion(monitor.hurry)
    served = Served(controller)
    reload = Reload(controller, options.config, tcp)
    with contextlib.ExitStack() as open_places, _signals(reload) as ended:
        local = open_places.enter_context(listening.unix_socket(options.socket, options.group))
        places = [(Server(create_app(served), connections=served.connections), local)]
        about = [f"socket {options.socket}"]
        if tcp:
            port = open_places.enter_context(tcp.listening())
            places.append((Server(create_app(served, tcp.access), tcp.tls, served.connections), port))
            about.append(listening.name_of(port))
        about += [f"store {options.store}", _places(controller.config)]
        async with asyncio.TaskGroup() as tasks:
            lasting = [
                tasks.create_task(work)
                for work in (
                    controller.run(),
                    monitor.run(),
                    Deadlines(controller).run(),
                    reload.run(),
                    say_alive(),
                )
            ]
            serving = [tasks.create_task(server.serve(sockets=[place])) for server, place in places]
            for server, _ in places:
                await server.ready.wait()
            print(f"{READY}: process {os.getpid()}, {', '.join(about)}", flush=True)
            controller.events.record(Kind.DAEMON, "daemon", "ready", ", ".join(about))
            notify.tell(notify.READY)

            controller.events.record(Kind.DAEMON, "daemon", "ends", (await ended).name)
            notify.tell(notify.STOPPING)
            controller.events.close()
            for server, _ in places:
                server.should_exit = True
            await asyncio.gather(*serving)
            for task in lasting:
                task.cancel()


def _places(config: Config) -> str:
    """Of the switches."""
    names = config.switch_names
    places = ", ".join(config.for_switch(name).switch.address for name in names)
    return f"switch{'es' if len(names) > 1 else ''} {places}"


async def say_alive() -> None:
    """Tells systemd's watchdog that the event loop turns."""
    while interval := notify.watchdog_interval():
        notify.tell(notify.ALIVE)
        await asyncio.sleep(interval)


@contextlib.contextmanager
def _signals(reload: Reload) -> Iterator[asyncio.Future[signal.Signals]]:
    """The first signal that asks for the end; SIGHUP asks for `reload`."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[signal.Signals] = loop.create_future()

    def end(number: signal.Signals) -> None:
        if not ended.done():
            ended.set_result(number)

    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, end, number)
    loop.add_signal_handler(signal.SIGHUP, reload.ask)
    try:
        yield ended
    finally:
        for number in (*numbers, signal.SIGHUP):
            loop.remove_signal_handler(number)


def collect_seldom() -> None:
    """Has Python look for unreachable cycles less often.

    What the controller makes is mostly there to stay, or goes with its last reference; a large configuration
    spends a fifth of its loading on looking through it again and again.
    """
    gc.set_threshold(*COLLECT_AFTER)


def allow_many_files() -> None:
    """Raises the soft limit of open files to the hard one: each health check under way needs some."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
