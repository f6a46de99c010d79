"""What the commands of the benchmarks have in common."""

import argparse
import sys
from collections.abc import Iterable

from bench.elsewhere import Elsewhere
from tests.packets.wires import can_make_namespaces

NOT_MEASURED = 2
"""Exit status: it could not be measured here."""

MOST_ELSEWHERE = 0.05
"""Of all processors: when others take more, what was measured says little about what should be."""


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
        "--rounds", type=int, default=5, metavar="N", help="turns of each switch (default: %(default)s)"
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


def is_busy(elsewhere: Elsewhere) -> bool:
    """Whether others took so much that no goal can be judged."""
    return elsewhere.share > MOST_ELSEWHERE


def status(elsewhere: Elsewhere, held: Iterable[bool]) -> int:
    """The exit status, for the goals that were measured. Says so when they are not judged."""
    if is_busy(elsewhere):
        print(
            f"Others took {elsewhere.share:.0%} of this machine's processors meanwhile (at most "
            f"{MOST_ELSEWHERE:.0%} is fine). Nothing is judged: measure again when it is quiet."
        )
        return NOT_MEASURED
    return 0 if all(held) else 1
