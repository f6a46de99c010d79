"""`sluice switch counters` and `sluice switch trace`: seeing inside a switch that runs."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any

import grpc

from switch.live_trace import packet_text
from switch.options import DEFAULT_ADDRESS
from switch.server.inspection import SERVICE
from switch.trace_filter import GRAMMAR, FilterError, TraceFilter

CONNECT_TIMEOUT = 5.0  # seconds


class ExitCode(IntEnum):
    """Wrong usage is 2, argparse's."""

    OK = 0
    REFUSED = 1
    NO_ANSWER = 3


def main(arguments: Sequence[str]) -> int:
    """arguments: the command and what comes behind it. Returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        channel = _channel(options)
    except OSError as error:
        print(f"sluice switch: {error.filename} cannot be read: {error.strerror}", file=sys.stderr)
        return ExitCode.REFUSED
    try:
        grpc.channel_ready_future(channel).result(CONNECT_TIMEOUT)
        options.run(channel, options)
    except grpc.FutureTimeoutError:
        text = f"no switch answers at {options.address}; --address names another place"
        print(f"sluice switch: {text}", file=sys.stderr)
        return ExitCode.NO_ANSWER
    except grpc.RpcError as error:
        assert isinstance(error, grpc.Call)
        text = error.details()
        if error.code() == grpc.StatusCode.UNIMPLEMENTED:
            text = f"the switch at {options.address} is not the embedded one, and does not tell this"
        print(f"sluice switch: {text}", file=sys.stderr)
        return ExitCode.NO_ANSWER if error.code() == grpc.StatusCode.UNAVAILABLE else ExitCode.REFUSED
    except KeyboardInterrupt:
        pass
    finally:
        channel.close()
    return ExitCode.OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sluice switch", description=__doc__)
    commands = parser.add_subparsers(required=True)

    counters = commands.add_parser(
        "counters",
        help="packets that ended inside, by reason, and what each port counts",
        description="What the switch counts since it began; `drops` since its program was set.",
        epilog="example:\n  sluice switch counters -o json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    counters.set_defaults(run=_counters)

    trace = commands.add_parser(
        "trace",
        help="what packets do on their way through the program, as they come",
        description="Parser states, tables with keys and entries, actions, drops, of each packet that the "
        f"filter chooses.\nWithout a filter: of every one.\n\n{GRAMMAR}",
        epilog="example:\n  sluice switch trace dst=10.0.0.100 proto=tcp dport=80 --count 5",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    trace.add_argument("filter", nargs="*", metavar="NAME=VALUE", type=_filter_word)
    trace.add_argument("-n", "--count", type=int, metavar="N", help="end after so many packets")
    trace.set_defaults(run=_trace)

    for command in (counters, trace):
        add = command.add_argument
        add("-o", "--output", choices=("text", "json"), default="text", help="json: one document a line")
        add(
            "--address",
            default=DEFAULT_ADDRESS,
            metavar="HOST:PORT",
            help="where the switch serves P4Runtime (default: %(default)s)",
        )
        add("--cacert", type=Path, metavar="PEM", help="what signed the switch's certificate: speak TLS")
        add("--cert", type=Path, metavar="PEM", help="this client's certificate")
        add("--key", type=Path, metavar="PEM", help="its key")
    return parser


def _filter_word(word: str) -> str:
    try:
        TraceFilter.parse(word)
    except FilterError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return word


def _channel(options: argparse.Namespace) -> grpc.Channel:
    if options.cacert is None:
        return grpc.insecure_channel(options.address)
    credentials = grpc.ssl_channel_credentials(
        options.cacert.read_bytes(),
        options.key.read_bytes() if options.key else None,
        options.cert.read_bytes() if options.cert else None,
    )
    return grpc.secure_channel(options.address, credentials)


# ---- counters ----


def _counters(channel: grpc.Channel, options: argparse.Namespace) -> None:
    answer = channel.unary_unary(f"/{SERVICE}/Counters")(b"{}")
    if options.output == "json":
        print(answer.decode())
        return
    counted: Mapping[str, Any] = json.loads(answer)
    _print_counts("dropped by the program", counted["drops"])
    _print_counts("lost by the switch", counted["losses"])
    for number, counts in counted["ports"].items():
        _print_counts(f"port {number}", counts)


def _print_counts(title: str, counts: Mapping[str, int]) -> None:
    print(title)
    for name, number in counts.items():
        print(f"  {number:>12}  {name.replace('_', ' ')}")


# ---- trace ----


def _trace(channel: grpc.Channel, options: argparse.Namespace) -> None:
    request = json.dumps({"filter": " ".join(options.filter)}).encode()
    seen = 0
    for line in channel.unary_stream(f"/{SERVICE}/Trace")(request):
        told: Mapping[str, Any] = json.loads(line)
        if "note" in told:
            print(f"sluice switch: {told['note']}", file=sys.stderr, flush=True)
            continue
        print(line.decode() if options.output == "json" else packet_text(told), flush=True)
        seen += 1
        if seen == options.count:
            return
