"""p4src/compiled/ fits its sources: the digest, the bytes when compiled again, an entry for each reason."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from controller.program import TRACED
from p4src import build

PROGRAM = build.COMPILED / build.PROGRAM
Json = Any


@pytest.fixture(scope="module")
def program() -> Json:
    return json.loads(PROGRAM.read_text())


def test_compiled_output_fits_the_sources() -> None:
    assert not build.is_stale(), "run `make p4` and commit p4src/compiled/"


@pytest.mark.p4c
def test_compiling_again_gives_the_same_bytes(tmp_path: Path) -> None:
    compiler = shutil.which(build.COMPILER)
    assert compiler is not None
    recorded = json.loads((build.COMPILED / build.PROVENANCE).read_text())["compiler"]
    present = build.compiler_version(compiler)
    if present != recorded:
        pytest.skip(f"compiled/ is of {build.COMPILER} {recorded}; here is {present}")
    build.compile_to(tmp_path, compiler)
    for name in (build.PROGRAM, build.P4INFO, build.PROVENANCE):
        assert (tmp_path / name).read_bytes() == (build.COMPILED / name).read_bytes(), name


@pytest.mark.parametrize(("enum", "table"), [("drop_t", "drops"), ("punt_t", "punts")])
def test_every_reason_has_its_entry(program: Json, enum: str, table: str) -> None:
    """Reason REASON = n of the sources is the entry n: reason() of the table, and every entry is a reason."""
    text = (build.SOURCES / "fates.p4").read_text()
    members = re.search(rf"enum bit<8> {enum} {{(.*?)}}", text, re.DOTALL)
    assert members is not None
    reasons = {
        int(number): name.lower() for name, number in re.findall(r"^\s*(\w+)\s*=\s*(\d+)", members[1], re.M)
    }
    assert reasons.pop(0) == "none"
    if enum == "punt_t":
        assert reasons.pop(TRACED) == "trace"  # an answer, which nothing counts

    (ingress,) = (pipeline for pipeline in program["pipelines"] if pipeline["name"] == "ingress")
    actions = {action["id"]: action["name"].rsplit(".", 1)[-1] for action in program["actions"]}
    (entries,) = (node["entries"] for node in ingress["tables"] if node["name"].endswith(f".{table}"))
    installed = {
        int(entry["match_key"][0]["key"], 16): actions[entry["action_entry"]["action_id"]]
        for entry in entries
    }
    assert installed == reasons
