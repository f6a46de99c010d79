"""The command line of the switch: simple_switch_grpc's flags, so that one can stand in the other's place."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from switch.trace_filter import FilterError, TraceFilter

USAGE_ERROR = 2

DROP_PORT = 511  # v1model's
DEFAULT_DEVICE_ID = 1
DEFAULT_ADDRESS = (
    "127.0.0.1:9559"  # simple_switch_grpc serves every address of the machine, without any password
)

LOG_LEVELS = ("trace", "debug", "info", "warn", "error", "off")

PROGRAM = "sluice switch"

DESCRIPTION = """\
A P4Runtime switch for BMv2 JSON: compiles the program to machine code, and takes packets from network
interfaces through it. Has the flags of simple_switch_grpc.
"""

EXAMPLE = """\
example:
  sluice switch --no-p4 -i 1@veth1 -i 2@veth3 -- --grpc-server-addr 127.0.0.1:9559 --cpu-port 255

of a switch that runs (see their --help):
  sluice switch counters        packets that ended inside, by reason, and what each port counts
  sluice switch trace           what packets do on their way through the program, as they come

exit codes:
  2 wrong usage   3 no permission   4 an interface cannot be used   5 the address cannot be listened on
  6 the program cannot be loaded    7 the C compiler is missing or failed   8 a certificate cannot be used
"""

TARGET_EXAMPLE = "these come behind --, as with simple_switch_grpc"


@dataclass(frozen=True)
class TlsFiles:
    """PEM files. client_authority: what signed the clients' certificates."""

    certificate: Path
    key: Path
    client_authority: Path | None
    with_client_auth: bool


@dataclass(frozen=True)
class Options:
    """What the command line says.

    packets_address: where packets come and go by gRPC, instead of by interfaces. pcap: the folder to record
    packets in. trace: the packets whose way is logged. ignored: flags that are taken for compatibility and do
    nothing here.
    """

    program: Path | None
    interfaces: dict[int, str]
    device_id: int
    address: str
    tls: TlsFiles | None
    packets_address: str | None
    pcap: Path | None
    cpu_port: int | None
    log_console: bool
    log_file: Path | None
    log_level: str
    trace: TraceFilter | None
    ignored: tuple[str, ...]


def parse(arguments: Sequence[str]) -> Options:
    """Ends the process with USAGE_ERROR and a message when the arguments make no sense."""
    split = arguments.index("--") if "--" in arguments else len(arguments)
    parser, target_parser = _parser(), _target_parser()
    # As with the reference switch, --pcap's folder comes behind "=" only: the next word is the program.
    words = [_ALONE.get(word, word) for word in arguments[:split]]
    general = parser.parse_args(words)
    target = target_parser.parse_args(arguments[split + 1 :])
    if general.program is None and not general.no_p4:
        parser.error("give a BMv2 JSON, or --no-p4 to begin without a program")
    if general.program is not None and general.no_p4:
        parser.error("--no-p4 and a BMv2 JSON contradict each other")
    interfaces = _interfaces(parser, general.interface)
    _check_cpu_port(parser, target.cpu_port, interfaces)
    if target.drop_port != DROP_PORT:
        parser.error(
            f"--drop-port {target.drop_port}: the drop port of this switch is always {DROP_PORT}, v1model's"
        )
    ignored = [name for name in _IGNORED if getattr(general, _attribute(name)) is not None]
    if general.pcap and target.dp_grpc_server_addr:
        ignored.append("--pcap")  # there are no interfaces
    ignored += [name for name in _IGNORED_BY_TARGET if getattr(target, _attribute(name)) is not None]
    return Options(
        program=general.program,
        interfaces=interfaces,
        device_id=general.device_id,
        address=target.grpc_server_addr,
        tls=_tls(parser, target),
        packets_address=target.dp_grpc_server_addr,
        pcap=general.pcap,
        cpu_port=target.cpu_port,
        log_console=general.log_console,
        log_file=general.log_file,
        log_level=general.log_level,
        trace=_trace(parser, general.trace),
        ignored=tuple(ignored),
    )


_ALONE = {"--pcap": "--pcap=.", "--trace": "--trace="}
"""What a flag means whose value is optional, and not there."""

_IGNORED = ("--nanolog", "--thrift-port", "--notifications-addr")
_IGNORED_BY_TARGET = ("--priority-queues", "--max-mc-groups", "--max-l1-entries", "--max-l2-entries")


def _attribute(flag: str) -> str:
    """Where argparse puts a flag's value."""
    return flag.removeprefix("--").replace("-", "_")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(USAGE_ERROR, f"{PROGRAM}: {message}\nTry: {PROGRAM} --help\n")


def _parser() -> _Parser:
    parser = _Parser(
        prog=PROGRAM,
        description=DESCRIPTION,
        epilog=f"{_target_parser().format_help()}\n{EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("program", nargs="?", type=Path, metavar="JSON", help="the program, as p4c-bm2-ss writes it")
    add("--no-p4", action="store_true", help="begin without a program; a controller will bring one")
    add(
        "-i",
        "--interface",
        action="append",
        default=[],
        metavar="PORT@INTERFACE",
        help="make an interface a port of the switch; may be repeated",
    )
    add(
        "--device-id",
        type=int,
        default=DEFAULT_DEVICE_ID,
        metavar="N",
        help="P4Runtime's (default: %(default)s)",
    )
    add("--log-console", action="store_true", help="log to standard error")
    add("--log-file", type=Path, metavar="FILE", help="log to a file")
    add("-L", "--log-level", choices=LOG_LEVELS, default="info", help="what to log (default: %(default)s)")
    add(
        "--pcap",
        type=Path,
        metavar="FOLDER",
        help="record the packets of each interface there, as INTERFACE_in.pcap and INTERFACE_out.pcap "
        "(behind =, as --pcap=FOLDER; --pcap alone: the current folder)",
    )
    add(
        "--trace",
        metavar="FILTER",
        help="log what packets do on their way through the program, as `sluice switch trace` tells it "
        "(behind =, as --trace='dst=10.0.0.100 dport=80'; --trace alone: every packet)",
    )
    for name in _IGNORED:
        add(name, metavar="X", help="taken for compatibility; does nothing")
    return parser


def _target_parser() -> _Parser:
    parser = _Parser(
        prog=f"{PROGRAM} ... --",
        usage=argparse.SUPPRESS,
        add_help=False,
        allow_abbrev=False,
    )
    add = parser.add_argument_group("target options", TARGET_EXAMPLE).add_argument
    add(
        "--grpc-server-addr",
        default=DEFAULT_ADDRESS,
        metavar="HOST:PORT",
        help="where to serve P4Runtime; port 0: any free one (default: %(default)s)",
    )
    add("--grpc-server-ssl", action="store_true", help="serve P4Runtime by TLS only")
    add("--grpc-server-cert", type=Path, metavar="PEM", help="the switch's certificate")
    add("--grpc-server-key", type=Path, metavar="PEM", help="its key")
    add("--grpc-server-cacert", type=Path, metavar="PEM", help="what signed the clients' certificates")
    add("--grpc-server-with-client-auth", action="store_true", help="serve clients with a certificate only")
    add(
        "--dp-grpc-server-addr",
        metavar="HOST:PORT",
        help="packets come and go here by gRPC (p4.bm.DataplaneInterface), and not by interfaces",
    )
    add("--cpu-port", type=int, metavar="N", help="the port number of packets from and to the controller")
    add("--drop-port", type=int, default=DROP_PORT, metavar="N", help="only %(default)s is possible")
    for name in _IGNORED_BY_TARGET:
        add(name, metavar="N", help="taken for compatibility; does nothing")
    return parser


def _trace(parser: _Parser, text: str | None) -> TraceFilter | None:
    try:
        return None if text is None else TraceFilter.parse(text)
    except FilterError as error:
        parser.error(f"--trace: {error}")


def _tls(parser: _Parser, target: argparse.Namespace) -> TlsFiles | None:
    """Without --grpc-server-ssl the others are refused: who gives them does not mean to serve everybody."""
    others = (
        "--grpc-server-cert",
        "--grpc-server-key",
        "--grpc-server-cacert",
        "--grpc-server-with-client-auth",
    )
    given = {name for name in others if getattr(target, _attribute(name))}
    if not target.grpc_server_ssl:
        for name in sorted(given):
            parser.error(f"{name} means nothing without --grpc-server-ssl")
        return None
    needed = {"--grpc-server-cert", "--grpc-server-key"}
    if target.grpc_server_with_client_auth:
        needed.add("--grpc-server-cacert")
    for name in sorted(needed - given):
        parser.error(f"{name} is missing")
    return TlsFiles(
        certificate=target.grpc_server_cert,
        key=target.grpc_server_key,
        client_authority=target.grpc_server_cacert,
        with_client_auth=target.grpc_server_with_client_auth,
    )


def _interfaces(parser: _Parser, words: Sequence[str]) -> dict[int, str]:
    interfaces: dict[int, str] = {}
    for word in words:
        number, at, name = word.partition("@")
        if not (at and name and number.isdecimal()):
            parser.error(f"-i {word}: should be PORT@INTERFACE, for example 1@veth1")
        port = int(number)
        if port >= DROP_PORT:
            parser.error(f"-i {word}: port numbers are 0 to {DROP_PORT - 1}")
        if port in interfaces:
            parser.error(f"-i {word}: port {port} is {interfaces[port]} already")
        if name in interfaces.values():
            parser.error(f"-i {word}: {name} is another port already")
        interfaces[port] = name
    return interfaces


def _check_cpu_port(parser: _Parser, cpu_port: int | None, interfaces: dict[int, str]) -> None:
    if cpu_port is None:
        return
    if not 0 < cpu_port < DROP_PORT:
        parser.error(f"--cpu-port {cpu_port}: should be 1 to {DROP_PORT - 1}")
    if cpu_port in interfaces:
        parser.error(f"--cpu-port {cpu_port}: that is the port of {interfaces[cpu_port]}")
