"""Compile the test programs: *.p4 -> *.json and *.p4info.txtpb beside them, which are checked in.

    python tests/switch/programs/compile.py

Needs p4c-bm2-ss. provenance.json keeps the compiler's version and a digest of each source.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
COMPILER = "p4c-bm2-ss"
PROVENANCE = FOLDER / "provenance.json"


def digest(source: Path) -> str:
    return hashlib.sha256(source.read_bytes()).hexdigest()


def compiler_version() -> str:
    said = subprocess.run([COMPILER, "--version"], check=True, capture_output=True, text=True)
    words = (said.stdout + said.stderr).split()
    return words[words.index("Version") + 1]


def compile_to(source: Path, folder: Path) -> None:
    """Relative names, so that the output names no machine's paths. Raises CalledProcessError."""
    command = [COMPILER, "--std", "p4-16", "-o", str(folder / f"{source.stem}.json")]
    command += ["--p4runtime-files", str(folder / f"{source.stem}.p4info.txtpb"), source.name]
    subprocess.run(command, check=True, cwd=source.parent)


def main() -> int:
    sources = sorted(FOLDER.glob("*.p4"))
    for source in sources:
        compile_to(source, FOLDER)
    provenance = {"compiler": compiler_version(), "sha256": {s.name: digest(s) for s in sources}}
    PROVENANCE.write_text(json.dumps(provenance, indent=2) + "\n")
    print(f"compiled {len(sources)} programs with {COMPILER} {provenance['compiler']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
