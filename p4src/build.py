"""Compile the P4 program: p4src/*.p4 -> p4src/compiled/.

    python p4src/build.py            compile with p4c
    python p4src/build.py --check    exit 1 if compiled/ is older than the sources (needs no compiler)

compiled/ is checked in, because p4c is in no package registry: sluice.json is BMv2 JSON, sluice.p4info.txtpb
is the P4Info, provenance.json names the compiler's version and the digest of the sources they were made from.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCES = Path(__file__).resolve().parent
COMPILED = SOURCES / "compiled"
COMPILER = "p4c-bm2-ss"
PROGRAM = "sluice.json"
P4INFO = "sluice.p4info.txtpb"
PROVENANCE = "provenance.json"

HOW_TO_GET_P4C = f"""\
{COMPILER} is not on PATH, so the P4 program cannot be compiled here. Nothing was changed: the output in
p4src/compiled/ is checked in, and only a change of p4src/*.p4 needs the compiler.
To get it, build https://github.com/p4lang/p4c (its README has the steps; the bmv2 backend is enough) or
install a distribution's package, and put {COMPILER} on PATH."""


def sources_digest() -> str:
    """SHA-256 over the names and contents of the P4 sources, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(SOURCES.glob("*.p4")):
        text = path.read_bytes()
        digest.update(f"{path.name}\0{len(text)}\0".encode())
        digest.update(text)
    return digest.hexdigest()


def compiler_version(compiler: str) -> str:
    """The compiler's version without the commit and the build type, for example 1.2.5.16."""
    said = subprocess.run(
        [compiler, "--version"], check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    words = said.stdout.split()
    return words[words.index("Version") + 1] if "Version" in words else " ".join(words)


def compile_to(folder: Path, compiler: str, defines: tuple[str, ...] = ()) -> None:
    """Compile into folder. `defines` are NAME=VALUE build constants (constants.p4).

    Raises subprocess.CalledProcessError, after the compiler's own words went to stderr."""
    command = [compiler, "--p4v", "16", *(f"-D{define}" for define in defines), "-o", str(folder / PROGRAM)]
    command += ["--p4runtime-files", str(folder / P4INFO), "sluice.p4"]
    subprocess.run(
        command, check=True, cwd=SOURCES
    )  # relative names, so that the output names no machine's paths
    provenance = {"compiler": compiler_version(compiler), "sources_sha256": sources_digest()}
    (folder / PROVENANCE).write_text(json.dumps(provenance, indent=2) + "\n")


def is_stale() -> bool:
    """Whether compiled/ was made from other sources than those that are here."""
    provenance = COMPILED / PROVENANCE
    return not provenance.exists() or json.loads(provenance.read_text())["sources_sha256"] != sources_digest()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="only say whether compiled/ fits the sources")
    arguments = parser.parse_args()
    if arguments.check:
        if is_stale():
            print(
                "p4src/compiled/ is stale: the P4 sources changed. Run `make p4` and commit its output.",
                file=sys.stderr,
            )
            return 1
        print("p4src/compiled/ fits the sources")
        return 0

    compiler = shutil.which(COMPILER)
    if compiler is None:
        print(HOW_TO_GET_P4C, file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as scratch:  # a failed compilation leaves the checked-in output alone
        try:
            compile_to(Path(scratch), compiler)
        except subprocess.CalledProcessError as error:
            print(f"{COMPILER} refused the program (exit status {error.returncode})", file=sys.stderr)
            return 1
        COMPILED.mkdir(exist_ok=True)
        for name in (PROGRAM, P4INFO, PROVENANCE):
            shutil.copyfile(Path(scratch) / name, COMPILED / name)
    print(f"compiled with {COMPILER} {compiler_version(compiler)} into p4src/compiled/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
