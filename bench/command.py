"""What the commands of the benchmarks have in common."""

import argparse
import sys

from tests.packets.wires import can_make_namespaces

NOT_MEASURED = 2
"""Exit status: it could not be measured here."""


def parser(name: str, doc: str | None, example: str | None = None) -> argparse.ArgumentParser:
    """For `python -m bench.NAME`; `example`: options to show behind it."""
    program = f"python -m bench.{name}"
    return argparse.ArgumentParser(
        prog=program,
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=example and f"example: {program} {example}",
    )


def add_rounds(options: argparse.ArgumentParser) -> None:
    options.add_argument(
        "--rounds", type=int, default=3, metavar="N", help="turns of each switch (default: %(default)s)"
    )


def add_window(options: argparse.ArgumentParser, seconds: float, what: str) -> None:
    options.add_argument(
        "--window",
        type=float,
        default=seconds,
        metavar="SECONDS",
        help=f"how long {what} (default: %(default)s)",
    )


def lacks_root(name: str, makes: str = "network namespaces") -> bool:
    """Says so if it does."""
    if can_make_namespaces():
        return False
    print(f"bench.{name} needs root: it makes {makes}. Nothing was measured.", file=sys.stderr)
    return True
