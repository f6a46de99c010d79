"""p4src/compiled/ fits its sources, and the program keeps the rules of hardware that can be read from it.

The rules (docs/data-plane.md): a packet reads and writes each register array at most once, in ingress; every
index is masked to its array; nothing is divided by a value of run time; every drop has a reason of its own.
"""

import functools
import json
import re
import shutil
from collections.abc import Iterator
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


# ---- compiled/ and the sources


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


# ---- reading the JSON


def pipeline(program: Json, name: str) -> Json:
    return next(pipeline for pipeline in program["pipelines"] if pipeline["name"] == name)


def primitives(program: Json, op: str) -> Iterator[Json]:
    for action in program["actions"]:
        yield from (primitive for primitive in action["primitives"] if primitive["op"] == op)


def operations(node: Json) -> Iterator[Json]:
    """Every operation in every expression."""
    if isinstance(node, dict):
        if "op" in node and {"left", "right"} <= node.keys():
            yield node
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from operations(child)


REGISTER_ARRAY = {"register_read": 1, "register_write": 0}  # which parameter names it
INDEX = {"register_read": 2, "register_write": 1, "count": 1}  # which parameter is the index


def accesses(actions: list[Json], array: str) -> dict[str, int]:
    """How often the actions read and write a register array."""
    return {
        op: sum(
            primitive["op"] == op and primitive["parameters"][position]["value"] == array
            for action in actions
            for primitive in action["primitives"]
        )
        for op, position in REGISTER_ARRAY.items()
    }


def most_on_a_path(program: Json, stage: Json, array: str, op: str) -> int:
    """The most accesses on any way from the pipeline's first node to an end."""
    nodes = {node["name"]: node for node in (*stage["tables"], *stage["conditionals"])}
    actions = {action["id"]: action for action in program["actions"]}

    @functools.cache
    def most_from(name: str | None) -> int:
        if name is None:
            return 0
        node = nodes[name]
        if "expression" in node:
            return max(most_from(node["true_next"]), most_from(node["false_next"]))
        here = max(accesses([actions[id]], array)[op] for id in node["action_ids"])
        return here + max(
            most_from(following) for following in (*node["next_tables"].values(), node["base_default_next"])
        )

    return most_from(stage["init_table"])


class Bounds:
    """How large a value can be, from the masks on its way."""

    def __init__(self, program: Json) -> None:
        self._widths = {
            (header["name"], field[0]): field[1]
            for header in program["headers"]
            for kind in program["header_types"]
            if kind["name"] == header["header_type"]
            for field in kind["fields"]
        }
        self._bounds: dict[tuple[str, str], int] = {}
        self._assigned: dict[tuple[str, str], list[Json]] = {}
        for action in program["actions"]:
            for primitive in action["primitives"]:
                for target, source in written_by(primitive):
                    self._assigned.setdefault(target, []).append(source)

    def of(self, value: Json) -> int:
        kind, content = value["type"], value["value"]
        if kind == "hexstr":
            return int(content, 16)
        if kind == "field":
            return self._of_field(tuple(content))
        if kind == "expression" and "op" not in content:
            return self.of(content)
        if kind == "expression" and content["op"] == "&":
            return min(self.of(content["left"]), self.of(content["right"]))
        return UNBOUNDED

    def _of_field(self, field: tuple[str, str]) -> int:
        if field not in self._bounds:
            widest = (1 << self._widths[field]) - 1
            self._bounds[field] = widest  # for a field that is assigned something made of itself
            sources = self._assigned.get(field)
            if sources:
                self._bounds[field] = min(widest, max(map(self.of, sources)))
        return self._bounds[field]


UNBOUNDED = 1 << 128


def written_by(primitive: Json) -> Iterator[tuple[tuple[str, str], Json]]:
    """The fields that a primitive writes, and with what; a register's content may be anything."""
    if primitive["op"] == "assign":
        target, source = primitive["parameters"]
        if target["type"] == "field":
            yield tuple(target["value"]), source
    elif primitive["op"] in ("register_read", "modify_field_with_hash_based_offset"):
        yield tuple(primitive["parameters"][0]["value"]), {"type": "anything", "value": None}


# ---- the rules


def test_each_register_array_has_one_place_that_reads_and_one_that_writes(program: Json) -> None:
    arrays = [array["name"] for array in program["register_arrays"]]
    assert arrays, "the program has exceptions, and they are in registers"
    for array in arrays:
        assert accesses(program["actions"], array) == {"register_read": 1, "register_write": 1}, array


def test_no_packet_touches_a_register_array_twice(program: Json) -> None:
    ingress = pipeline(program, "ingress")
    for array in program["register_arrays"]:
        for op in REGISTER_ARRAY:
            assert most_on_a_path(program, ingress, array["name"], op) == 1, (array["name"], op)


def test_egress_touches_no_register(program: Json) -> None:
    egress = pipeline(program, "egress")
    for array in program["register_arrays"]:
        for op in REGISTER_ARRAY:
            assert most_on_a_path(program, egress, array["name"], op) == 0, (array["name"], op)


def test_every_index_is_masked_to_its_array(program: Json) -> None:
    counters = [counter for counter in program["counter_arrays"] if not counter["is_direct"]]
    sizes = {array["name"]: array["size"] for array in (*program["register_arrays"], *counters)}
    bounds = Bounds(program)
    seen = set()
    for op, position in INDEX.items():
        for primitive in primitives(program, op):
            array = primitive["parameters"][REGISTER_ARRAY.get(op, 0)]["value"]
            seen.add(array)
            index = primitive["parameters"][position]
            assert bounds.of(index) < sizes[array], primitive["source_info"]
    assert seen == sizes.keys()


def test_nothing_is_divided(program: Json) -> None:
    assert [operation for operation in operations(program) if operation["op"] in ("/", "%")] == []
    for primitive in primitives(program, "modify_field_with_hash_based_offset"):
        modulus = primitive["parameters"][3]
        assert modulus["type"] == "hexstr"
        assert int(modulus["value"], 16).bit_count() == 1, "a hash keeps whole bits"


def test_no_checksum_covers_a_payload(program: Json) -> None:
    for calculation in program["calculations"]:
        assert "payload" not in [part["type"] for part in calculation["input"]], calculation["name"]


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

    ingress = pipeline(program, "ingress")
    actions = {action["id"]: action["name"].rsplit(".", 1)[-1] for action in program["actions"]}
    (entries,) = (node["entries"] for node in ingress["tables"] if node["name"].endswith(f".{table}"))
    installed = {
        int(entry["match_key"][0]["key"], 16): actions[entry["action_entry"]["action_id"]]
        for entry in entries
    }
    assert installed == reasons


def test_every_drop_has_a_reason(program: Json) -> None:
    """mark_to_drop stands behind the table of reasons; in egress, a probe to nobody was no packet yet."""
    places = [primitive["source_info"]["filename"] for primitive in primitives(program, "mark_to_drop")]
    assert sorted(places) == ["fates.p4", "probes.p4"]
