"""p4c's end-to-end programs for v1model on the embedded engine, with a table of what passes.

    python -m tests.conformance P4C_SOURCE P4C [--only NAME] [--jobs N]

P4C_SOURCE: a folder with p4c's source (its testdata); P4C: the p4c-bm2-ss to compile with. The programs are
those of testdata/p4_16_samples that are written for v1model and have an .stf script beside them; those of
parser-inline are compiled both with p4c's inlining of subparsers and without. Ends with 1 when one fails that
KNOWN does not explain.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from switch.engine import Engine, EngineError
from tests.conformance.runner import Mismatch, run
from tests.conformance.stf import StfError, parse

SAMPLES = "testdata/p4_16_samples"
INLINED = "parser-inline"
VARIANTS: dict[str, tuple[tuple[str, ...], ...]] = {"": ((),), INLINED: ((), ("--parser-inline-opt",))}
"""Folders of programs, and the compiler's options for each variant."""

COMPILE_TIMEOUT = 120
"""Seconds."""

KNOWN: dict[str, str] = {}
"""Programs that do not pass, and why that is right."""


@dataclass(frozen=True, slots=True)
class Case:
    """A program and how to compile it."""

    program: Path
    options: tuple[str, ...]

    @property
    def name(self) -> str:
        return " ".join((self.program.stem, *self.options))


@dataclass(frozen=True, slots=True)
class Result:
    """problem: None when it passed. packets: how many were compared."""

    name: str
    packets: int
    problem: str | None


def cases(source: Path) -> Iterator[Case]:
    for folder, variants in VARIANTS.items():
        for script in sorted((source / SAMPLES / folder).glob("*.stf")):
            program = script.with_suffix(".p4")
            if program.exists() and "v1model.p4" in program.read_text(errors="replace"):
                yield from (Case(program, options) for options in variants)


def check(case: Case, compiler: Path) -> Result:
    program = case.program
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "program.json"
        command = [str(compiler), "--std", "p4-16", *case.options, "-o", str(config)]
        done = subprocess.run(
            [*command, program.name],
            cwd=program.parent,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMPILE_TIMEOUT,
        )
        if done.returncode != 0 or not config.exists():
            return Result(case.name, 0, f"p4c: {' '.join(done.stderr.split())[:200]}")
        try:
            engine = Engine.load(config.read_bytes(), cache=Path(folder))
            packets = run(engine, parse(program.with_suffix(".stf").read_text()))
            engine.close()
        except (EngineError, Mismatch, StfError) as error:
            return Result(case.name, 0, f"{type(error).__name__}: {error}")
    return Result(case.name, packets, None)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("source", type=Path, help="a folder with p4c's source")
    parser.add_argument("compiler", type=Path, help="p4c-bm2-ss")
    parser.add_argument("--only", default="", help="programs whose name contains this")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    chosen = [case for case in cases(arguments.source) if arguments.only in case.name]
    if not chosen:
        print(f"There are no programs with scripts in {arguments.source / SAMPLES}", file=sys.stderr)
        return 2
    with ProcessPoolExecutor(arguments.jobs) as pool:
        results = list(pool.map(check, chosen, [arguments.compiler] * len(chosen)))
    return report(results)


def report(results: list[Result]) -> int:
    failed = [result for result in results if result.problem is not None]
    table = Table("program", "what", "why that is right", title="not passed")
    for result in failed:
        table.add_row(result.name, result.problem, KNOWN.get(result.name, "[bold red]not explained[/]"))
    if failed:
        Console(width=160).print(table)
    packets = sum(result.packets for result in results)
    print(f"{len(results) - len(failed)} of {len(results)} programs pass ({packets} packets as expected)")
    unexplained = [result.name for result in failed if result.name not in KNOWN]
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
