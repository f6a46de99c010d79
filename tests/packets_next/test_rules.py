"""The rules of a hardware-style program, from the compiled JSON: no packet touches a register array twice."""

import json
from collections import Counter
from functools import cache

import pytest
from bmv2 import COMPILED

PROGRAM = json.loads((COMPILED / "sluice.json").read_text())
ACTIONS = {action["id"]: action for action in PROGRAM["actions"]}
PIPELINES = {pipeline["name"]: pipeline for pipeline in PROGRAM["pipelines"]}


def accesses(action: int, operation: str) -> Counter[str]:
    """Register arrays that an action reads or writes, and how often."""
    position = {"register_read": 1, "register_write": 0}[operation]
    primitives = ACTIONS[action]["primitives"]
    return Counter(p["parameters"][position]["value"] for p in primitives if p["op"] == operation)


def worst_path(operation: str) -> Counter[str]:
    """For each array, the most accesses on any way through ingress."""
    ingress = PIPELINES["ingress"]
    nodes = {node["name"]: node for node in ingress["tables"] + ingress["conditionals"]}

    @cache
    def worst(name: str | None) -> Counter[str]:
        if name is None:
            return Counter()
        node = nodes[name]
        if "true_next" in node:
            return worst(node["true_next"]) | worst(node["false_next"])
        found: Counter[str] = Counter()
        after = node["next_tables"]
        for identity, action in zip(node["action_ids"], node["actions"], strict=True):
            nexts = {after[action]} if action in after else set(after.values())
            for following in nexts | {node["base_default_next"]} if action not in after else nexts:
                found |= accesses(identity, operation) + worst(following)
        return found

    return worst(ingress["init_table"])


@pytest.mark.parametrize("operation", ("register_read", "register_write"))
def test_one_access_to_each_register_array(operation: str) -> None:
    arrays = {array["name"] for array in PROGRAM["register_arrays"]}
    assert worst_path(operation) == Counter(dict.fromkeys(arrays, 1))


def test_registers_meters_and_indirect_counters_are_in_ingress() -> None:
    stateful = {"register_read", "register_write", "execute_meter", "count"}
    egress = {i for table in PIPELINES["egress"]["tables"] for i in table["action_ids"]}
    assert not {p["op"] for i in egress for p in ACTIONS[i]["primitives"]} & stateful


def test_no_payload_is_summed() -> None:
    inputs = {item["type"] for calculation in PROGRAM["calculations"] for item in calculation["input"]}
    assert "payload" not in inputs


def test_no_field_is_wider_than_an_address() -> None:
    """128 bits is what a switch has to handle; varbits are IP options and extension headers."""
    widths = {field[1] for header in PROGRAM["header_types"] for field in header["fields"]}
    assert max(width for width in widths if width != "*") <= 128
