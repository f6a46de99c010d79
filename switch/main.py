"""`sluice switch`: the embedded switch as a process. Flags: switch/options.py."""

import errno
import logging
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from enum import IntEnum
from pathlib import Path
from types import FrameType

from sluice import notify
from switch import inspection
from switch.errors import BuildError, LoadError
from switch.options import PROGRAM, Options, TlsFiles, parse
from switch.ports import Port
from switch.recorder import Recorder
from switch.server.device import DataPlane, Device
from switch.server.inspection import follow
from switch.server.listening import AddressError, Tls
from switch.server.packet_service import PacketServer
from switch.server.server import Server
from switch.trace_filter import TraceFilter
from switch.watch import PortWatch
from switch.worker import PortError, Worker

LOG = logging.getLogger(__name__)

CHECK_INTERVAL = 1.0  # seconds


class ExitCode(IntEnum):
    """What went wrong; wrong usage is 2, argparse's."""

    OK = 0
    NO_PERMISSION = 3
    BAD_INTERFACE = 4
    BAD_ADDRESS = 5
    BAD_PROGRAM = 6
    NO_COMPILER = 7
    BAD_CERTIFICATE = 8


class StartError(Exception):
    """The switch cannot start."""

    def __init__(self, code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def main(arguments: Sequence[str]) -> int:
    """Run the switch until SIGTERM or SIGINT, or look into one that runs; returns the exit code."""
    if arguments[:1] in (["counters"], ["trace"]):
        return inspection.main(arguments)
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
        by_grpc = options.packets_address is not None
        plane, places = running.enter_context(_packet_server(options) if by_grpc else _worker(options))
        device = Device(options.device_id, plane)
        running.callback(device.close)
        _load_program(options, device)
        try:
            server = Server(device, options.address, _tls(options.tls) if options.tls else None)
        except AddressError as error:
            raise StartError(ExitCode.BAD_ADDRESS, str(error)) from error
        server.start()
        running.callback(server.stop)
        if options.trace is not None:
            running.callback(_log_trace(device, options.trace).set)
        print(_ready_line(options, [f"P4Runtime on {server.address}", *places]), flush=True)
        notify.tell(notify.READY)
        if options.ignored:
            LOG.info("these flags do nothing here: %s", ", ".join(options.ignored))
        watched = notify.watchdog_interval() is not None
        while not stopping.wait(CHECK_INTERVAL):
            if server.failure is not None:
                raise server.failure
            if watched:
                notify.tell(notify.ALIVE)
        notify.tell(notify.STOPPING)


def _log_trace(device: Device, chosen: TraceFilter) -> threading.Event:
    """Until the event that is returned is set."""
    enough = threading.Event()

    def log() -> None:
        for told in follow(device, chosen, lambda: not enough.is_set()):
            LOG.info("%s", told)

    threading.Thread(target=log, name="trace", daemon=True).start()
    return enough


def _ready_line(options: Options, places: Sequence[str]) -> str:
    ports = [f"{number}@{name}" for number, name in options.interfaces.items()]
    parts = [f"device {options.device_id}", *places, f"ports {' '.join(ports) or 'none'}"]
    if options.cpu_port is not None:
        parts.append(f"CPU port {options.cpu_port}")
    return f"{PROGRAM}: ready: {', '.join(parts)}"


@contextmanager
def _worker(options: Options) -> Iterator[tuple[DataPlane, list[str]]]:
    """Packets come and go by interfaces."""
    with ExitStack() as running:
        try:
            worker = Worker(options.cpu_port)
        except BuildError as error:
            raise StartError(ExitCode.NO_COMPILER, str(error)) from error
        running.callback(worker.close)
        try:
            for number, name in options.interfaces.items():
                worker.attach(number, name)
        except PortError as error:
            raise _port_problem(error) from error
        if options.pcap:
            running.enter_context(_recording(options.pcap, options.interfaces.values()))
        worker.start()
        watch = PortWatch(worker)
        watch.start()
        running.callback(watch.stop)
        yield worker, []
        watch.sum_up()


@contextmanager
def _packet_server(options: Options) -> Iterator[tuple[DataPlane, list[str]]]:
    """Packets come and go by gRPC; interfaces give their names to ports, as in the reference switch."""
    assert options.packets_address is not None
    try:
        packets = PacketServer(options.device_id, options.cpu_port, options.packets_address)
    except AddressError as error:
        raise StartError(ExitCode.BAD_ADDRESS, str(error)) from error
    for number, name in options.interfaces.items():
        packets.plane.ports.add(Port(number, name))
    packets.start()
    try:
        yield packets.plane, [f"packets on {packets.address}"]
    finally:
        packets.stop()


def _recording(folder: Path, interfaces: Iterable[str]) -> AbstractContextManager[object]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return Recorder(folder, interfaces)
    except OSError as error:
        raise StartError(ExitCode.BAD_INTERFACE, f"cannot record packets in {folder}: {error}") from error


def _tls(files: TlsFiles) -> Tls:
    """Also tries the files, because gRPC only fails to listen when they are wrong."""
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.certificate, files.key)
        if files.client_authority is not None:
            context.load_verify_locations(files.client_authority)
        return Tls(
            files.certificate.read_bytes(),
            files.key.read_bytes(),
            files.client_authority.read_bytes() if files.client_authority else None,
            files.with_client_auth,
        )
    except OSError as error:  # ssl.SSLError too
        named = ", ".join(
            str(file) for file in (files.certificate, files.key, files.client_authority) if file
        )
        raise StartError(ExitCode.BAD_CERTIFICATE, f"cannot use {named}: {error}") from error


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
    wanted = options.log_console or options.log_file is not None or options.trace is not None
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
