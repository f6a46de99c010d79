"""`sluice switch`: the embedded switch as a process. Flags: switch/options.py."""

import errno
import logging
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from enum import IntEnum
from types import FrameType

from switch.errors import BuildError, LoadError
from switch.options import PROGRAM, Options, parse
from switch.server.device import Device
from switch.server.server import AddressError, Server
from switch.watch import PortWatch
from switch.worker import PortError, Worker

LOG = logging.getLogger(__name__)

WATCH_INTERVAL = 1.0  # seconds


class ExitCode(IntEnum):
    """What went wrong; wrong usage is 2, argparse's."""

    OK = 0
    NO_PERMISSION = 3
    BAD_INTERFACE = 4
    BAD_ADDRESS = 5
    BAD_PROGRAM = 6
    NO_COMPILER = 7


class StartError(Exception):
    """The switch cannot start."""

    def __init__(self, code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def main(arguments: Sequence[str]) -> int:
    """Run the switch until SIGTERM or SIGINT; returns the exit code."""
    options = parse(arguments)
    _set_up_logging(options)
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        LOG.info("stopping: %s", signal.Signals(number).name)
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        run(options, stopping)
    except StartError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return error.code
    return ExitCode.OK


def run(options: Options, stopping: threading.Event) -> None:
    """Start everything, say so in one line, and end it again when `stopping` is set. Raises StartError."""
    with ExitStack() as running:
        worker = _worker(options)
        running.callback(worker.close)
        device = Device(options.device_id, worker)
        running.callback(device.close)
        _load_program(options, device)
        try:
            server = Server(device, options.address)
        except AddressError as error:
            raise StartError(ExitCode.BAD_ADDRESS, str(error)) from error
        worker.start()
        server.start()
        running.callback(server.stop)
        print(_ready_line(options, server.address), flush=True)
        if options.ignored:
            LOG.info("these flags do nothing here: %s", ", ".join(options.ignored))
        watch = PortWatch(worker)
        while not stopping.wait(WATCH_INTERVAL):
            watch.look()
            if server.failure is not None:
                raise server.failure
        watch.sum_up()


def _ready_line(options: Options, address: str) -> str:
    ports = [f"{number}@{name}" for number, name in options.interfaces.items()]
    parts = [f"device {options.device_id}", f"P4Runtime on {address}", f"ports {' '.join(ports) or 'none'}"]
    if options.cpu_port is not None:
        parts.append(f"CPU port {options.cpu_port}")
    return f"{PROGRAM}: ready: {', '.join(parts)}"


def _worker(options: Options) -> Worker:
    try:
        worker = Worker(options.cpu_port)
    except BuildError as error:
        raise StartError(ExitCode.NO_COMPILER, str(error)) from error
    try:
        for number, name in options.interfaces.items():
            worker.attach(number, name)
    except PortError as error:
        worker.close()
        raise _port_problem(error) from error
    return worker


def _port_problem(error: PortError) -> StartError:
    if error.errno in (errno.EPERM, errno.EACCES):
        return StartError(
            ExitCode.NO_PERMISSION,
            f"{error}. Run it as root, or give it CAP_NET_RAW and CAP_NET_ADMIN",
        )
    if error.errno == errno.ENODEV:
        present = " ".join(name for _, name in socket.if_nameindex())
        return StartError(ExitCode.BAD_INTERFACE, f"{error}. There are: {present}")
    return StartError(ExitCode.BAD_INTERFACE, str(error))


def _load_program(options: Options, device: Device) -> None:
    if options.program is None:
        return
    try:
        device.run_program(options.program.read_bytes())
    except OSError as error:
        raise StartError(ExitCode.BAD_PROGRAM, f"cannot read {options.program}: {error.strerror}") from error
    except LoadError as error:
        raise StartError(ExitCode.BAD_PROGRAM, f"{options.program}: {error}") from error
    except BuildError as error:
        raise StartError(ExitCode.NO_COMPILER, str(error)) from error


# simple_switch_grpc's levels as Python's.
_LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "off": logging.CRITICAL + 1,
}


def _set_up_logging(options: Options) -> None:
    """Warnings go to standard error even when no log was asked for."""
    wanted = options.log_console or options.log_file is not None
    handlers: list[logging.Handler] = []
    if options.log_file is not None:
        handlers.append(logging.FileHandler(options.log_file))
    if options.log_console or not handlers:
        handlers.append(logging.StreamHandler())
    logging.basicConfig(
        level=_LEVELS[options.log_level] if wanted else logging.WARNING,
        format="%(asctime)s %(levelname)s %(message)s",
        handlers=handlers,
    )
