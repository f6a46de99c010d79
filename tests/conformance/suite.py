"""The programs of p4c's test data that are written for v1model, and how they are compiled."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

P4_16 = "testdata/p4_16_samples"
P4_14 = "testdata/p4_14_samples"

INLINED = "parser-inline"
"""The folder whose programs are compiled both with p4c's inlining of subparsers and without."""

TIMEOUT = 600
"""Seconds that the compiler may take; for the largest programs it takes minutes."""


class NotCompiled(Exception):
    """What the compiler says of a program that it refuses."""


@dataclass(frozen=True, slots=True)
class Case:
    """A program and how to compile it. language: as p4c's --std names it."""

    program: Path
    language: str
    options: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return " ".join((self.program.stem, *self.options))

    @property
    def script(self) -> Path | None:
        """The STF script beside the program."""
        script = self.program.with_suffix(".stf")
        return script if script.exists() else None

    def compile(self, compiler: Path, folder: Path) -> bytes:
        """The BMv2 JSON. Raises NotCompiled."""
        config = folder / "program.json"
        command = [str(compiler), "--std", self.language, *self.options, "-o", str(config)]
        try:
            done = subprocess.run(
                [*command, self.program.name],
                cwd=self.program.parent,
                capture_output=True,
                text=True,
                check=False,
                timeout=TIMEOUT,
            )
        except subprocess.TimeoutExpired:
            raise NotCompiled(f"takes more than {TIMEOUT} seconds") from None
        if done.returncode != 0 or not config.exists():
            raise NotCompiled(" ".join(done.stderr.split())[:200])
        return config.read_bytes()


def cases(source: Path) -> Iterator[Case]:
    """All of a folder with p4c's source; the P4-14 programs need no `include`, all of them are v1model's."""
    for program in sorted((source / P4_16).rglob("*.p4")):
        if not program.is_file() or "v1model.p4" not in program.read_text(errors="replace"):
            continue  # for another architecture, or a link to what is not there
        yield Case(program, "p4-16")
        if program.parent.name == INLINED:
            yield Case(program, "p4-16", ("--parser-inline-opt",))
    yield from (Case(program, "p4-14") for program in sorted((source / P4_14).glob("*.p4")))


def compiles(compiler: Path, language: str, folder: Path) -> bool:
    """Whether this p4c knows the language: its P4-14 may be left out when it is built."""
    empty = folder / "empty.p4"
    empty.write_text("")
    command = [str(compiler), "--std", language, "-o", str(folder / "empty.json"), str(empty)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    return "Illegal language version" not in done.stderr
