"""BMv2 JSONs made by hand: the least that a program needs, for what no P4 source brings about."""

import json
from typing import Any

Json = dict[str, Any]

STANDARD_METADATA = [
    ["ingress_port", 9, False],
    ["egress_spec", 9, False],
    ["egress_port", 9, False],
    ["instance_type", 32, False],
    ["packet_length", 32, False],
    ["mcast_grp", 16, False],
]


def field(header: str, name: str) -> Json:
    return {"type": "field", "value": [header, name]}


def const(value: int) -> Json:
    return {"type": "hexstr", "value": hex(value)}


def operator(op: str, left: Json | None, right: Json | None, cond: Json | None = None) -> Json:
    value = {"op": op, "left": left, "right": right}
    if cond is not None:
        value["cond"] = cond
    return {"type": "expression", "value": value}


def assign(target: Json, value: Json) -> Json:
    return {"op": "assign", "parameters": [target, {"type": "expression", "value": value}]}


def source(line: int, fragment: str) -> Json:
    return {"filename": "made.p4", "line": line, "column": 1, "source_fragment": fragment}


def keyless(name: str, action: int) -> Json:
    """p4c's wrapper of statements."""
    return {
        "name": name,
        "id": action,
        "key": [],
        "match_type": "exact",
        "type": "simple",
        "max_size": 1024,
        "with_counters": False,
        "support_timeout": False,
        "direct_meters": None,
        "action_ids": [action],
        "actions": [name],
        "base_default_next": None,
        "next_tables": {name: None},
        "default_entry": {
            "action_id": action,
            "action_const": True,
            "action_data": [],
            "action_entry_const": True,
        },
    }


def program(types: dict[str, list[list[Any]]], primitives: list[Json]) -> Json:
    """Extracts the header `h` of the type `h_t`, runs the primitives, and sends the packet to port 0.

    types: fields of header types; each `x_t` has an instance `x`, `m_t` one that is metadata.
    """
    all_types = {"standard_metadata": STANDARD_METADATA, **types}
    headers = [
        {
            "name": name.removesuffix("_t"),
            "id": number,
            "header_type": name,
            "metadata": name in ("standard_metadata", "m_t"),
        }
        for number, name in enumerate(all_types)
    ]
    start = {
        "name": "start",
        "id": 0,
        "parser_ops": [{"op": "extract", "parameters": [{"type": "regular", "value": "h"}]}],
        "transitions": [{"type": "default", "value": None, "mask": None, "next_state": None}],
        "transition_key": [],
    }
    run = {"name": "run", "id": 0, "runtime_data": [], "primitives": primitives}
    return {
        "header_types": [
            {"name": name, "id": number, "fields": fields}
            for number, (name, fields) in enumerate(all_types.items())
        ],
        "headers": headers,
        "header_stacks": [],
        "errors": [["NoError", 0]],
        "parsers": [{"name": "parser", "id": 0, "init_state": "start", "parse_states": [start]}],
        "deparsers": [
            {"name": "deparser", "id": 0, "order": [h["name"] for h in headers if not h["metadata"]]}
        ],
        "counter_arrays": [],
        "register_arrays": [],
        "calculations": [],
        "actions": [run],
        "pipelines": [
            {
                "name": "ingress",
                "id": 0,
                "init_table": "run",
                "tables": [keyless("run", 0)],
                "conditionals": [],
            },
            {"name": "egress", "id": 1, "init_table": None, "tables": [], "conditionals": []},
        ],
        "checksums": [],
        "__meta__": {"version": [2, 23]},
    }


def encoded(config: Json) -> bytes:
    return json.dumps(config).encode()


def with_table(config: Json, **changes: Any) -> Json:
    """The program with the table `t` in ingress instead: exact key h.a, action `set_b(value)` for h.b.

    changes: of the table.
    """
    config["actions"] = [
        {
            "name": "set_b",
            "id": 0,
            "runtime_data": [{"name": "value", "bitwidth": 16}],
            "primitives": [assign(field("h", "b"), {"type": "local", "value": 0})],
        }
    ]
    table = keyless("t", 0) | {
        "key": [{"match_type": "exact", "name": "h.a", "target": ["h", "a"], "mask": None}],
        "actions": ["set_b"],
        "next_tables": {"set_b": None},
        **changes,
    }
    del table["default_entry"]
    config["pipelines"][0] |= {"init_table": "t", "tables": [table]}
    return config
