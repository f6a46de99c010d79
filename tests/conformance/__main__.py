"""p4c's end-to-end programs for v1model on the embedded engine, with a table of what does not pass.

    python -m tests.conformance P4C_SOURCE P4C [--only NAME] [--jobs N]

P4C_SOURCE: a folder with p4c's source (its testdata); P4C: the p4c-bm2-ss to compile with. A program with an
.stf script beside it has to pass the script, one without has to load. Ends with 1 when one does not and KNOWN
does not explain it.
"""

import argparse
import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from rich.console import Console
from rich.table import Table

from switch.engine import Engine
from tests.conformance.runner import run
from tests.conformance.stf import parse
from tests.conformance.suite import Case, NotCompiled, cases, compiles

KNOWN = {
    "extern-funcs-bmv2": "its extern is in a C++ module that p4c's own test loads into the switch. Without it"
    " simple_switch_grpc refuses the program too: Unknown primitive action: extern_func",
    "extract_for_header_union": "p4c writes headers of a type that it does not write. simple_switch_grpc"
    " refuses it too: Invalid reference to object of type 'header type' with name 'addr_t1'",
}
"""Programs that do not pass, and why that is right."""


class Outcome(Enum):
    PASSED = "pass their script"
    LOADED = "have no script and load"
    REFUSED_BY_P4C = "have no script and are refused by p4c itself"
    FAILED = "fail"


@dataclass(frozen=True, slots=True)
class Result:
    """packets: how many were compared."""

    name: str
    outcome: Outcome
    packets: int = 0
    problem: str = ""


def check(case: Case, compiler: Path) -> Result:
    with tempfile.TemporaryDirectory() as folder:
        try:
            config = case.compile(compiler, Path(folder))
        except NotCompiled as error:
            outcome = Outcome.FAILED if case.script else Outcome.REFUSED_BY_P4C
            return Result(case.name, outcome, problem=f"p4c: {error}")
        try:
            engine = Engine.load(config, cache=Path(folder))
            packets = run(engine, parse(case.script.read_text())) if case.script else 0
            engine.close()
        except Exception as error:  # whatever it is, the others are to be heard of
            return Result(case.name, Outcome.FAILED, problem=f"{type(error).__name__}: {error}")
    return Result(case.name, Outcome.PASSED if case.script else Outcome.LOADED, packets)


def chosen(source: Path, compiler: Path, only: str) -> list[Case]:
    """Prints what is left out, and why."""
    found = [case for case in cases(source) if only in case.name]
    with tempfile.TemporaryDirectory() as folder:
        for language in sorted({case.language for case in found}):
            if not compiles(compiler, language, Path(folder)):
                without = [case for case in found if case.language == language]
                found = [case for case in found if case.language != language]
                print(f"{len(without)} programs are left out: {compiler} was built without {language}")
    programs = len({case.program for case in found})
    scripts = len({case.script for case in found if case.script})
    print(f"{programs} programs for v1model, {scripts} of them with a script, compiled in {len(found)} ways")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path, help="a folder with p4c's source")
    parser.add_argument("compiler", type=Path, help="p4c-bm2-ss")
    parser.add_argument("--only", default="", help="programs whose name contains this")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    found = chosen(arguments.source, arguments.compiler, arguments.only)
    if not found:
        print(f"There are no programs for v1model in {arguments.source}", file=sys.stderr)
        return 2
    with ProcessPoolExecutor(arguments.jobs) as pool:
        return report(list(pool.map(check, found, [arguments.compiler] * len(found))))


def report(results: list[Result]) -> int:
    failed = [result for result in results if result.outcome is Outcome.FAILED]
    table = Table("program", "what", "why that is right", title="not passed", show_lines=True)
    for result in failed:
        table.add_row(result.name, result.problem, KNOWN.get(result.name, "[bold red]not explained[/]"))
    if failed:
        Console(width=160).print(table)
    packets = sum(result.packets for result in results)
    counts = Counter(result.outcome for result in results)
    for outcome in Outcome:
        more = f" ({packets} packets as expected)" if outcome is Outcome.PASSED else ""
        print(f"{counts[outcome]} of {len(results)} {outcome.value}{more}")
    return 1 if any(result.name not in KNOWN for result in failed) else 0


if __name__ == "__main__":
    sys.exit(main())
