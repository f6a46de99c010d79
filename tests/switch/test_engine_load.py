"""What cannot be loaded is refused, with the object's name and the P4 line."""

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from switch.build import RUNTIME
from switch.compiler.program import write_program
from switch.compiler.read import read_program
from switch.engine import Engine, LoadError
from tests.switch.engines import config_of
from tests.switch.json_programs import (
    Json,
    assign,
    const,
    encoded,
    field,
    operator,
    program,
    source,
)

Change = Callable[[Json], Any]


def least() -> Json:
    """A good program: h.a := h.b."""
    types: dict[str, list[list[Any]]] = {
        "h_t": [["a", 32, False], ["b", 32, False]],
        "m_t": [["x", 8, False]],
    }
    return program(types, [assign(field("h", "a"), field("h", "b"))])


def test_a_header_type_may_have_the_name_of_a_struct_of_the_runtime() -> None:
    headers = [path.read_text() for path in RUNTIME.glob("*.h") if "interface" not in path.name]
    names = {name for text in headers for name in re.findall(r"\bstruct (\w+) \{", text)}
    assert names >= {"entry", "meter", "state"}
    types: dict[str, list[list[Any]]] = {
        "h_t": [["a", 32, False], ["b", 32, False]],
        "m_t": [["x", 8, False]],
    }
    types |= {name: [["a", 8, False]] for name in names}
    Engine.load(encoded(program(types, [assign(field("h", "a"), field("h", "b"))]))).close()


def message_for(config: bytes) -> str:
    with pytest.raises(LoadError) as caught:
        write_program(read_program(config))
    return str(caught.value)


def direct_counter() -> tuple[Json, Json]:
    """A program, and a table of it with a direct counter."""
    whole = json.loads(config_of("tables"))
    bound = next(array["binding"] for array in whole["counter_arrays"] if array.get("is_direct"))
    tables = [table for pipeline in whole["pipelines"] for table in pipeline["tables"]]
    return whole, next(table for table in tables if table["name"] == bound)


def test_a_table_without_a_key_may_count() -> None:
    """Its counter is there, though no entry can be."""
    whole, table = direct_counter()
    table["key"] = []
    table["default_entry"]["action_const"] = table["default_entry"]["action_entry_const"] = True
    engine = Engine.load(encoded(whole))
    assert table["name"] in engine.tables
    assert table["name"] in {counter.table for counter in engine.counters.values()}
    engine.close()


def test_a_counter_of_a_table_that_is_not_there() -> None:
    whole, table = direct_counter()
    counter = next(array for array in whole["counter_arrays"] if array.get("binding") == table["name"])
    counter["binding"] = "ingress.nowhere"
    assert message_for(encoded(whole)) == (
        f"'{counter['name']}': is of the table 'ingress.nowhere', which is not there"
    )


def test_the_least_program_runs() -> None:
    engine = Engine.load(encoded(least()))
    assert engine.process(0, bytes.fromhex("00000001 00000002 03")) == [
        (0, bytes.fromhex("00000002 00000002 03"))
    ]
    engine.close()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "not a BMv2 JSON"),
        (b"{}", "not a BMv2 JSON: '__meta__' is missing"),
        (b'{"__meta__": {"version": [3, 0]}}', r"format version [3, 0]; this switch reads 2.x"),
    ],
)
def test_not_a_program(config: bytes, message: str) -> None:
    assert message in message_for(config)


def primitive(op: str, *parameters: Json, line: int = 0) -> Json:
    made: Json = {"op": op, "parameters": list(parameters)}
    if line:
        made["source_info"] = source(line, f"{op}()")
    return made


def with_primitive(made: Json) -> Change:
    return lambda config: config["actions"][0]["primitives"].append(made)


def header_stack(name: str, *ids: int) -> Json:
    return {"name": name, "id": 0, "header_type": "h_t", "size": len(ids), "header_ids": list(ids)}


def with_table(**changes: Any) -> Change:
    """The program's table with a key and whatever is changed."""

    def change(config: Json) -> None:
        table = config["pipelines"][0]["tables"][0]
        table["key"] = [{"match_type": "exact", "name": "h.a", "target": ["h", "a"], "mask": None}]
        table["source_info"] = source(12, "run")
        table.update(changes)

    return change


def key(kind: str, target: list[str] | None = None) -> Json:
    return {"match_type": kind, "name": "k", "target": target or ["h", "a"], "mask": None}


def entry(*match_key: Json, action: int = 0) -> Json:
    return {
        "match_key": list(match_key),
        "action_entry": {"action_id": action, "action_data": []},
        "priority": 1,
    }


H_A, H_B = field("h", "a"), field("h", "b")

VALUE_SET = {"name": "known_ports", "id": 0, "compressed_bitwidth": 16, "max_size": 4}
VALUE_SET_CASE = {"type": "parse_vset", "value": "known_ports", "mask": None, "next_state": None}
METER = {"name": "speed", "id": 0, "is_direct": False, "size": 1, "rate_count": 2, "type": "packets"}

BROKEN: dict[str, tuple[Change, str]] = {
    "unknown primitive": (
        with_primitive(primitive("teleport", line=7)),
        "action 'run', teleport at made.p4:7: this switch cannot do that primitive",
    ),
    "too few parameters": (
        with_primitive(primitive("assign", H_A, line=8)),
        "action 'run', assign at made.p4:8: has unsuitable parameters",
    ),
    "unknown header": (
        with_primitive(assign(field("nobody", "a"), H_A)),
        "action 'run', assign: there is no header 'nobody'",
    ),
    "unknown field": (
        with_primitive(assign(field("h", "z"), H_A)),
        "action 'run', assign: header type 'h_t' has no field 'z'",
    ),
    "unknown operator": (
        with_primitive(assign(H_A, operator("!?", H_A, H_B))),
        "this switch cannot do the operator '!?'",
    ),
    "unknown value": (
        with_primitive(assign(H_A, {"type": "dream", "value": 1})),
        "this switch cannot do values of type 'dream'",
    ),
    "a result of more than 4096 bits": (
        with_primitive(assign(H_A, operator(">>", operator("<<", H_A, const(4090)), const(1)))),
        "the result of '<<' needs more than 4096 bits",
    ),
    "a parameter that the action does not have": (
        with_primitive(assign(H_A, {"type": "local", "value": 3})),
        "there is no action parameter number 3",
    ),
    "an extern": (
        with_primitive(primitive("_magic_wave", {"type": "extern", "value": "wand"})),
        "this switch has no extern 'wand'",
    ),
    "a direct meter in an action": (
        lambda config: (
            config.update(
                meter_arrays=[METER | {"is_direct": True, "binding": "run", "result_target": ["h", "a"]}]
            ),
            config["pipelines"][0]["tables"][0].update(direct_meters="speed"),
            config["actions"][0]["primitives"].append(
                primitive("execute_meter", {"type": "meter_array", "value": "speed"}, const(0), H_A)
            ),
        ),
        "execute_meter: has unsuitable parameters",
    ),
    "a meter of three rates": (
        lambda config: config.update(meter_arrays=[METER | {"rate_count": 3}]),
        "meter 'speed': has 3 rates; this switch does 2",
    ),
    "a meter of unknown unit": (
        lambda config: config.update(meter_arrays=[METER | {"type": "flows"}]),
        "meter 'speed': measures 'flows', not one of packets, bytes",
    ),
    "a meter in another's place": (
        with_primitive(primitive("execute_meter", const(0), const(0), H_A)),
        "execute_meter: has unsuitable parameters",
    ),
    "an unknown digest": (
        with_primitive(primitive("generate_digest", const(0), const(9))),
        "there is no learn list number 9",
    ),
    "an unknown field list": (
        with_primitive(primitive("resubmit", const(9))),
        "there is no field list number 9",
    ),
    "an unknown hash": (
        lambda config: config["calculations"].append(
            {"name": "calc", "id": 0, "algo": "md5", "input": [H_A], "source_info": source(3, "hash(...)")}
        ),
        "calculation 'calc' at made.p4:3: unknown algorithm 'md5'",
    ),
    "a field that is too wide": (
        lambda config: config["header_types"][1]["fields"].append(["huge", 2056, False]),
        "header type 'h_t': field 'huge' has 2056 bits; this switch does 2048",
    ),
    "a header that is no whole bytes": (
        lambda config: config["header_types"][1]["fields"].append(["odd", 3, False]),
        "header 'h': its 67 bits are no whole bytes",
    ),
    "a header in two stacks": (
        lambda config: config.update(header_stacks=[header_stack("one", 1), header_stack("two", 1)]),
        "header stack 'two': header 'h' is in a stack already",
    ),
    "an empty stack": (
        lambda config: config.update(header_stacks=[header_stack("none")]),
        "header stack 'none': has 0 headers; this switch does 1 to 255",
    ),
    "a header of another type than its stack": (
        lambda config: config.update(header_stacks=[header_stack("one", 2)]),
        "header 'm': is of another type than its stack",
    ),
    "a size that is no number": (
        with_table(max_size={}),
        "table 'run' at made.p4:12: 'max_size' should be of type int, not {}",
    ),
    "a register that is too wide": (
        lambda config: config["register_arrays"].append({"name": "r", "id": 0, "size": 1, "bitwidth": 2049}),
        "register 'r': 'bitwidth' is 2049; this switch does 1 to 2048",
    ),
    "a table of unknown type": (
        with_table(type="magic"),
        "table 'run' at made.p4:12: this switch cannot do tables of type 'magic'",
    ),
    "an action profile that is not there": (
        with_table(type="indirect", action_profile="shared"),
        "table 'run' at made.p4:12: there is no action profile 'shared'",
    ),
    "an action profile beside actions of the table's own": (
        lambda config: (
            config["pipelines"][0].update(action_profiles=[{"name": "shared", "id": 0, "max_size": 4}]),
            with_table(type="indirect", action_profile="shared")(config),
        ),
        "table 'run' at made.p4:12: has both actions of its own and an action profile",
    ),
    "groups without a selector": (
        lambda config: (
            config["pipelines"][0].update(action_profiles=[{"name": "shared", "id": 0, "max_size": 4}]),
            with_table(type="indirect_ws", action_profile="shared")(config),
        ),
        "table 'run' at made.p4:12: is of type 'indirect_ws', which the action profile 'shared' is not",
    ),
    "a direct meter that is not there": (
        with_table(direct_meters="speed"),
        "table 'run' at made.p4:12: there is no meter 'speed'",
    ),
    "another table's direct meter": (
        lambda config: (
            config.update(
                meter_arrays=[METER | {"is_direct": True, "binding": "walk", "result_target": ["h", "a"]}]
            ),
            with_table(direct_meters="speed")(config),
        ),
        "table 'run' at made.p4:12: uses the meter 'speed', which is not its own",
    ),
    "an unknown match kind": (
        with_table(key=[key("fuzzy")]),
        "table 'run' at made.p4:12: this switch cannot match by 'fuzzy'",
    ),
    "two lpm keys": (
        with_table(key=[key("lpm"), key("lpm", ["h", "b"])]),
        "table 'run' at made.p4:12: has 2 lpm keys (k, k); one is possible",
    ),
    "an entry with too few fields": (
        with_table(entries=[entry()]),
        "table 'run' at made.p4:12, entry 1: has 0 of 1 key fields",
    ),
    "an entry with an unknown action": (
        with_table(entries=[entry({"match_type": "exact", "key": "0x1"}, action=5)]),
        "table 'run' at made.p4:12, entry 1: there is no action number 5",
    ),
    "a table that leads nowhere": (
        with_table(next_tables={"run": "limbo"}),
        "pipeline 'ingress': there is no table or condition 'limbo'",
    ),
    "a pipeline in a circle": (
        with_table(next_tables={"run": "run"}),
        "pipeline 'ingress': 'run' leads back to itself",
    ),
    "a missing pipeline": (
        lambda config: config["pipelines"].pop(),
        "the program needs the pipelines ingress and egress, and has ingress",
    ),
    "no deparser": (lambda config: config["deparsers"].pop(), "the program has 0 deparsers instead of one"),
    "no parser": (lambda config: config["parsers"].pop(), "it has 0 parsers instead of one"),
    "a parser that leads nowhere": (
        lambda config: config["parsers"][0]["parse_states"][0]["transitions"][0].update(next_state="limbo"),
        "parser state 'start': there is no state 'limbo'",
    ),
    "an unknown parser operation": (
        lambda config: config["parsers"][0]["parse_states"][0]["parser_ops"].append(
            {"op": "guess", "parameters": [], "source_info": source(4, "guess()")}
        ),
        "parser state 'start', guess at made.p4:4: this switch cannot do the parser operation 'guess'",
    ),
    "an unknown kind of transition": (
        lambda config: config["parsers"][0]["parse_states"][0]["transitions"].append(
            {"type": "guess", "value": "0x1", "mask": None, "next_state": None}
        ),
        "this switch cannot do transitions of type 'guess' ('0x1')",
    ),
    "a value set that is not there": (
        lambda config: config["parsers"][0]["parse_states"][0]["transitions"].append(VALUE_SET_CASE),
        "parser state 'start': there is no value set 'known_ports'",
    ),
    "a value set of another width": (
        lambda config: (
            config.update(parse_vsets=[VALUE_SET]),
            config["parsers"][0]["parse_states"][0]["transitions"].append(VALUE_SET_CASE),
        ),
        "parser state 'start': selects on 0 bits by the value set 'known_ports', which has 16",
    ),
    "a part that is missing": (
        lambda config: config["actions"][0].pop("id"),
        "action 'run': 'id' is missing",
    ),
    "a part of the wrong type": (
        lambda config: config["actions"][0].update(id="one"),
        "action 'run': 'id' should be of type int, not 'one'",
    ),
    "a parameter without bits": (
        lambda config: config["actions"][0].update(runtime_data=[{"name": "p", "bitwidth": 0}]),
        "action 'run', parameter 'p': 'bitwidth' is 0; this switch does 1 to 2048",
    ),
    "a header of a stack without a name": (
        lambda config: (
            config.update(
                header_stacks=[{"name": "hs", "id": 0, "header_type": "h_t", "header_ids": [1], "size": 1}]
            ),
            config["headers"][1].pop("name"),
        ),
        "header stack 'hs': 'name' is missing",
    ),
    "a cast to an impossible width": (
        with_primitive(assign(H_A, operator("two_comp_mod", H_A, const(1 << 60)))),
        "the width of 'two_comp_mod' must be a constant from 1 to 4096",
    ),
    "a shift by a negative amount": (
        with_primitive(assign(H_A, operator("<<", H_A, {"type": "hexstr", "value": "-0x1"}))),
        "cannot shift by -1",
    ),
    "a look beyond every packet": (
        with_primitive(assign(H_A, {"type": "lookahead", "value": [0, 4096]})),
        "cannot look 4096 bits ahead, from bit 0 on",
    ),
    "a counter whose table is no name": (
        lambda config: config.update(
            counter_arrays=[{"name": "seen", "id": 0, "is_direct": True, "binding": ["run"]}]
        ),
        "counter 'seen': 'binding' should be of type str, not ['run']",
    ),
    "an action whose name is none": (
        lambda config: (
            config["pipelines"][0]["tables"][0].pop("action_ids"),
            config["pipelines"][0]["tables"][0].update(actions=[["run"]]),
        ),
        "table 'run': there is no action '['run']'",
    ),
    "a number that is none": (
        with_primitive(assign(H_A, {"type": "hexstr", "value": "many"})),
        "'many' is not a hexadecimal number",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_refused(name: str) -> None:
    change, message = BROKEN[name]
    config = least()
    change(config)
    assert message in message_for(encoded(config))


def test_const_entries_that_contradict_each_other() -> None:
    config = least()
    with_table(entries=[entry({"match_type": "exact", "key": "0x1"})] * 2)(config)
    config["pipelines"][0]["tables"][0]["default_entry"]["action_const"] = False
    with pytest.raises(LoadError, match="table 'run': run already holds an entry"):
        Engine.load(encoded(config))


def test_what_is_declared_and_not_used_does_no_harm() -> None:
    config = least() | {
        "meter_arrays": [METER],
        "parse_vsets": [VALUE_SET],
        "extern_instances": [{"name": "wand", "id": 0}],
    }
    write_program(read_program(encoded(config)))


def test_any_part_that_is_missing_is_refused_or_not_needed() -> None:
    """Whatever is taken out of a real program, nothing but LoadError comes of it."""
    whole = json.loads(config_of("tables"))

    def places(value: Any, path: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        if isinstance(value, dict):
            return [p for k, v in value.items() for p in ((*path, k), *places(v, (*path, k)))]
        if isinstance(value, list):
            return [p for i, v in list(enumerate(value))[:2] for p in places(v, (*path, i))]
        return []

    for path in places(whole, ()):
        damaged = copy.deepcopy(whole)
        at = damaged
        for step in path[:-1]:
            at = at[step]
        for damage in (at.pop, lambda step, at=at: at.__setitem__(step, "nonsense")):
            damage(path[-1])
            try:
                write_program(read_program(encoded(damaged)))
            except LoadError as error:
                assert str(error)
            except Exception as error:
                pytest.fail(f"{'.'.join(map(str, path))}: {error!r}")


def test_names_that_c_would_not_take() -> None:
    """Keywords, the struct's own members, and names that only differ where C has no letters for it."""
    names = ["int", "valid", "a.b", "a_b", "a-b", "core", "9lives"]
    types: dict[str, list[list[Any]]] = {"h_t": [[name, 8, False] for name in names]}
    swapped = [assign(field("h", names[0]), field("h", names[-1]))]
    engine = Engine.load(encoded(program(types, swapped)))
    assert engine.process(0, bytes(range(1, 8))) == [(0, bytes([7, 2, 3, 4, 5, 6, 7]))]
    engine.close()
