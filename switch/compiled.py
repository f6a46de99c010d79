"""A P4 program as a shared object: generated C, compiled together with the runtime."""

from functools import cache as cached
from pathlib import Path

from switch.build import RUNTIME, build
from switch.compiler.layout import USUAL_KEY_WORDS, longest_key
from switch.compiler.model import Program
from switch.compiler.program import write_program

SOURCES = tuple(
    RUNTIME / name
    for name in (
        "core.c",
        "tables.c",
        "reclaim.c",
        "blocks.c",
        "hashes.c",
        "meters.c",
        "profiles.c",
        "messages.c",
        "writes.c",
        "reads.c",
    )
)
"""What is compiled together with a program."""


@cached
def _compiler_sources() -> tuple[bytes, ...]:
    """The compiler itself, of which generated C is a function."""
    return tuple(path.read_bytes() for path in sorted((Path(__file__).parent / "compiler").rglob("*.py")))


def compiled(config: bytes, program: Program, *, traced: bool, cache: Path | None) -> Path:
    """The shared object. program: what was read of the BMv2 JSON; traced: whether it notes what packets do.

    cache: as for build.build. Raises LoadError or BuildError.
    """
    words = longest_key(program)
    defines = [f"MAX_KEY_WORDS={words}"] if words > USUAL_KEY_WORDS else []
    return build(
        "traced" if traced else "program",
        (*SOURCES, RUNTIME / "tracer.c") if traced else SOURCES,
        generate=lambda: write_program(program),
        inputs=(config, *_compiler_sources()),
        cache=cache,
        defines=["TRACE", *defines] if traced else defines,
    )
