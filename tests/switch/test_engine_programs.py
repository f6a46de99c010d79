"""The checked-in compiled test programs are those of the sources."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.switch.engines import PROGRAMS
from tests.switch.programs import compile as programs

NAMES = sorted(path.stem for path in PROGRAMS.glob("*.p4"))


@pytest.mark.parametrize("name", NAMES)
def test_compiled_after_the_last_change(name: str) -> None:
    provenance = json.loads(programs.PROVENANCE.read_text())
    now = programs.digest(PROGRAMS / f"{name}.p4")
    assert provenance["sha256"].get(f"{name}.p4") == now, f"run python {programs.__file__}"


@pytest.mark.skipif(shutil.which(programs.COMPILER) is None, reason=f"{programs.COMPILER} is not on PATH")
@pytest.mark.parametrize("name", NAMES)
def test_compiles_to_what_is_checked_in(name: str, tmp_path: Path) -> None:
    checked_in = json.loads(programs.PROVENANCE.read_text())["compiler"]
    if programs.compiler_version() != checked_in:
        pytest.skip(
            f"{programs.COMPILER} is {programs.compiler_version()}; checked in is the output of {checked_in}"
        )
    try:
        programs.compile_to(PROGRAMS / f"{name}.p4", tmp_path)
    except subprocess.CalledProcessError as error:
        pytest.fail(f"{error}")
    for suffix in (".json", ".p4info.txtpb"):
        assert (tmp_path / f"{name}{suffix}").read_text() == (PROGRAMS / f"{name}{suffix}").read_text()
