"""The program keeps the rules of hardware that can be read from its JSON (docs/data-plane.md).

A packet reads and writes each register array at most once, in ingress; every index is masked to its array;
nothing is divided by a value of run time; no payload is summed; no field is wider than an address; every drop
has a reason. Each rule is a function that lists what breaks it, and must find what is planted in the JSON.
"""

import copy
import functools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from p4src import build

Json = Any
Rule = Callable[[Json], list[str]]

WIDEST = 128  # bits: an IPv6 address

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
INDEX = {
    "register_read": 2,
    "register_write": 1,
    "count": 1,
    "execute_meter": 1,
}  # which parameter is the index


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


def each_array_has_one_place_that_reads_and_one_that_writes(program: Json) -> list[str]:
    return [
        array["name"]
        for array in program["register_arrays"]
        if accesses(program["actions"], array["name"]) != {"register_read": 1, "register_write": 1}
    ]


def no_packet_touches_an_array_twice(program: Json) -> list[str]:
    ingress = pipeline(program, "ingress")
    return [
        f"{op} of {array['name']}"
        for array in program["register_arrays"]
        for op in REGISTER_ARRAY
        if most_on_a_path(program, ingress, array["name"], op) != 1
    ]


def egress_keeps_no_state(program: Json) -> list[str]:
    """No registers, no meters, no indirect counters."""
    actions = {action["id"]: action for action in program["actions"]}
    return [
        f"{primitive['op']} in {actions[id]['name']}"
        for table in pipeline(program, "egress")["tables"]
        for id in table["action_ids"]
        for primitive in actions[id]["primitives"]
        if primitive["op"] in INDEX
    ]


def every_index_is_masked_to_its_array(program: Json) -> list[str]:
    """Of meters, those that are indirect."""
    arrays = (*program["register_arrays"], *program["counter_arrays"], *program["meter_arrays"])
    sizes = {array["name"]: array["size"] for array in arrays if not array.get("is_direct")}
    bounds = Bounds(program)
    wrong, seen = [], set[str]()
    for op, position in INDEX.items():
        for primitive in primitives(program, op):
            array = primitive["parameters"][REGISTER_ARRAY.get(op, 0)]["value"]
            seen.add(array)
            if bounds.of(primitive["parameters"][position]) >= sizes[array]:
                wrong.append(f"{op} of {array}: {primitive['source_info']}")
    return wrong + [f"nobody uses {array}" for array in sorted(sizes.keys() - seen)]


def nothing_is_divided(program: Json) -> list[str]:
    """A hash keeps whole bits."""
    divisions = [operation["op"] for operation in operations(program) if operation["op"] in ("/", "%")]
    moduli = [
        primitive["parameters"][3] for primitive in primitives(program, "modify_field_with_hash_based_offset")
    ]
    return divisions + [
        f"hash modulo {modulus['value']}"
        for modulus in moduli
        if modulus["type"] != "hexstr" or int(modulus["value"], 16).bit_count() != 1
    ]


def no_checksum_covers_a_payload(program: Json) -> list[str]:
    return [
        calculation["name"]
        for calculation in program["calculations"]
        if "payload" in [part["type"] for part in calculation["input"]]
    ]


def no_field_is_wider_than_an_address(program: Json) -> list[str]:
    """A varbit holds IP options or an extension header, which nobody computes with."""
    return [
        f"{kind['name']}.{field[0]}"
        for kind in program["header_types"]
        for field in kind["fields"]
        if field[1] != "*" and field[1] > WIDEST
    ]


def every_drop_has_a_reason(program: Json) -> list[str]:
    """mark_to_drop stands behind the table of reasons; in egress, a probe to nobody was no packet yet."""
    places = sorted(primitive["source_info"]["filename"] for primitive in primitives(program, "mark_to_drop"))
    return [] if places == ["fates.p4", "probes.p4"] else places


RULES: tuple[Rule, ...] = (
    each_array_has_one_place_that_reads_and_one_that_writes,
    no_packet_touches_an_array_twice,
    egress_keeps_no_state,
    every_index_is_masked_to_its_array,
    nothing_is_divided,
    no_checksum_covers_a_payload,
    no_field_is_wider_than_an_address,
    every_drop_has_a_reason,
)


# ---- violations


def actions_of(program: Json, stage: str) -> list[Json]:
    used = {id for table in pipeline(program, stage)["tables"] for id in table["action_ids"]}
    return [action for action in program["actions"] if action["id"] in used]


def user_of(program: Json, op: str) -> tuple[Json, Json]:
    """The first action with such a primitive, and the primitive."""
    return next(
        (action, primitive)
        for action in program["actions"]
        for primitive in action["primitives"]
        if primitive["op"] == op
    )


def a_register_is_read_again_on_the_way(program: Json) -> None:
    """In the first table that every packet meets."""
    ingress = pipeline(program, "ingress")
    first = next(table for table in ingress["tables"] if table["name"].endswith(".drops"))
    _, read = user_of(program, "register_read")
    for action in program["actions"]:
        if action["id"] in first["action_ids"]:
            action["primitives"].append(read)


def a_register_is_written_twice_in_one_action(program: Json) -> None:
    action, write = user_of(program, "register_write")
    action["primitives"].append(write)


def in_egress(op: str) -> Callable[[Json], None]:
    def plant(program: Json) -> None:
        actions_of(program, "egress")[0]["primitives"].append(user_of(program, op)[1])

    plant.__name__ = f"egress_does_{op}"
    return plant


def without_a_mask(op: str) -> Callable[[Json], None]:
    def plant(program: Json) -> None:
        _, primitive = user_of(program, op)
        primitive["parameters"][INDEX[op]] = {"type": "field", "value": ["ipv4", "source"]}

    plant.__name__ = f"{op}_without_a_mask"
    return plant


def a_division(program: Json) -> None:
    field = {"type": "field", "value": ["ipv4", "source"]}
    quotient = {"type": "expression", "value": {"op": "/", "left": field, "right": field}}
    program["actions"][0]["primitives"].append({"op": "assign", "parameters": [field, quotient]})


def a_hash_by_a_number_that_is_no_power_of_two(program: Json) -> None:
    _, primitive = user_of(program, "modify_field_with_hash_based_offset")
    primitive["parameters"][3]["value"] = "0x10001"


def a_payload_that_is_summed(program: Json) -> None:
    program["calculations"][0]["input"].append({"type": "payload"})


def a_wide_field(program: Json) -> None:
    program["header_types"][0]["fields"].append(["wide", WIDEST + 1, False])


def a_drop_elsewhere(program: Json) -> None:
    drop = {"op": "mark_to_drop", "parameters": [], "source_info": {"filename": "routing.p4"}}
    program["actions"][0]["primitives"].append(drop)


VIOLATIONS: list[tuple[Rule, Callable[[Json], None]]] = [
    (each_array_has_one_place_that_reads_and_one_that_writes, a_register_is_written_twice_in_one_action),
    (no_packet_touches_an_array_twice, a_register_is_written_twice_in_one_action),
    (no_packet_touches_an_array_twice, a_register_is_read_again_on_the_way),
    *((egress_keeps_no_state, in_egress(op)) for op in INDEX),
    *((every_index_is_masked_to_its_array, without_a_mask(op)) for op in INDEX),
    (nothing_is_divided, a_division),
    (nothing_is_divided, a_hash_by_a_number_that_is_no_power_of_two),
    (no_checksum_covers_a_payload, a_payload_that_is_summed),
    (no_field_is_wider_than_an_address, a_wide_field),
    (every_drop_has_a_reason, a_drop_elsewhere),
]


@pytest.fixture(scope="module")
def program() -> Json:
    return json.loads((build.COMPILED / build.PROGRAM).read_text())


@pytest.mark.parametrize("rule", RULES)
def test_the_program_keeps_the_rule(program: Json, rule: Rule) -> None:
    assert program["register_arrays"], "the program has exceptions, and they are in registers"
    assert rule(program) == []


@pytest.mark.parametrize(("rule", "plant"), VIOLATIONS)
def test_the_rule_finds_a_violation(program: Json, rule: Rule, plant: Callable[[Json], None]) -> None:
    worse = copy.deepcopy(program)
    plant(worse)
    assert rule(worse) != []
