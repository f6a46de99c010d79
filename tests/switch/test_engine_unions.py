"""Stacks of header unions: extracting, moving, comparing, copying. Layouts are p4c's."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from switch.engine import Engine
from switch.errors import LoadError
from tests.switch.json_programs import Json, assign, const, encoded, field, operator, program

SIZE = 3
"""Elements. In a packet the first byte tells the member: `one` has another byte behind its 01, `two` has two
behind its 02; a byte alone is `h`, which ends it.
"""


def union_stack(name: str, first_id: int) -> tuple[list[Json], list[Json]]:
    """(headers, unions) of a stack."""
    headers, unions = [], []
    for index in range(SIZE):
        ids = []
        for place, part in enumerate(("one", "two")):
            ids.append(first_id + 2 * index + place)
            headers.append(
                {
                    "name": f"{name}[{index}].{part}",
                    "id": ids[-1],
                    "header_type": f"{part}_t",
                    "metadata": False,
                }
            )
        unions.append(
            {"name": f"{name}[{index}]", "id": first_id + index, "union_type": "u_t", "header_ids": ids}
        )
    return headers, unions


def config(*primitives: Json) -> Json:
    """Extracts into the union stack `us` and then `h`; runs the primitives; emits us, vs, h."""
    made = program({"h_t": [["tag", 8, False]], "m_t": [["flag", 8, False]]}, list(primitives))
    made["header_types"] += [
        {"name": "one_t", "id": 90, "fields": [["tag", 8, False], ["a", 8, False]]},
        {"name": "two_t", "id": 91, "fields": [["tag", 8, False], ["b", 16, False]]},
    ]
    us, us_unions = union_stack("us", 100)
    vs, vs_unions = union_stack("vs", 200)
    made["headers"] += us + vs
    made["header_union_types"] = [{"name": "u_t", "id": 0, "headers": [["one", "one_t"], ["two", "two_t"]]}]
    made["header_unions"] = us_unions + vs_unions
    made["header_union_stacks"] = [
        {
            "name": name,
            "id": number,
            "union_type": "u_t",
            "size": SIZE,
            "header_union_ids": [union["id"] for union in unions],
        }
        for number, (name, unions) in enumerate((("us", us_unions), ("vs", vs_unions)))
    ]

    def state(name: str, extract: Json | None, transitions: dict[str, str]) -> Json:
        return {
            "name": name,
            "id": 0,
            "parser_ops": [{"op": "extract", "parameters": [extract]}] if extract else [],
            "transition_key": [{"type": "lookahead", "value": [0, 8]}] if len(transitions) > 1 else [],
            "transitions": [
                {"type": "default", "value": None, "mask": None, "next_state": target}
                if value == "default"
                else {"type": "hexstr", "value": value, "mask": None, "next_state": target}
                for value, target in transitions.items()
            ],
        }

    made["parsers"][0]["parse_states"] = [
        state("start", None, {"0x01": "one", "0x02": "two", "default": "end"}),
        state("one", {"type": "union_stack", "value": ["us", "one"]}, {"default": "start"}),
        state("two", {"type": "union_stack", "value": ["us", "two"]}, {"default": "start"}),
        state("end", {"type": "regular", "value": "h"}, {"default": None}),  # type: ignore[dict-item]
    ]
    order = [header["name"] for header in (*us, *vs)]
    made["deparsers"][0]["order"] = [*order, "h"]
    return made


@contextmanager
def running(*primitives: Json) -> Iterator[Engine]:
    engine = Engine.load(encoded(config(*primitives)))
    yield engine
    engine.close()


def after(packet: str, *primitives: Json) -> str:
    """What leaves, in hexadecimal."""
    with running(*primitives) as engine:
        ((_, sent),) = engine.process(0, bytes.fromhex(packet))
        return sent.hex()


STACK = {"type": "header_union_stack", "value": "us"}
OTHER_STACK = {"type": "header_union_stack", "value": "vs"}
ONE_TWO = "01aa 02bbcc 00".replace(" ", "")


def call(op: str, *parameters: Json) -> Json:
    return {"op": op, "parameters": list(parameters)}


def element(index: int) -> Json:
    return {"type": "header_union", "value": f"us[{index}]"}


def set_tag_if(condition: Json) -> Json:
    """h.tag becomes 1 or 2."""
    return assign(field("h", "tag"), operator("?", const(1), const(2), condition))


def test_what_was_extracted_is_emitted() -> None:
    assert after(ONE_TWO) == ONE_TWO


def test_a_full_stack_is_a_parser_error() -> None:
    with running() as engine:
        packet = bytes.fromhex("01aa" * (SIZE + 1) + "00")
        assert engine.process(0, packet) == [(0, packet)]
        assert "ERROR_StackOutOfBounds; goto done" in engine.path.with_suffix(".c").read_text()


@pytest.mark.parametrize("name", ["three", ["one"]])
def test_a_member_that_is_not_there(name: Any) -> None:
    made = config()
    made["parsers"][0]["parse_states"][1]["parser_ops"][0]["parameters"][0]["value"][1] = name
    with pytest.raises(LoadError, match="the header unions of 'us' have no member"):
        Engine.load(encoded(made))


@pytest.mark.parametrize(
    ("op", "by", "wanted"),
    [
        ("pop", 1, "02bbcc" + "00"),
        ("pop", 2, "00"),
        ("pop", 7, "00"),
        ("push", 1, ONE_TWO),
        ("push", 2, "01aa" + "00"),
    ],
)
def test_all_members_move_together(op: str, by: int, wanted: str) -> None:
    assert after(ONE_TWO, call(op, STACK, const(by))) == wanted


def test_a_member_that_becomes_valid_makes_the_others_invalid() -> None:
    assert after(ONE_TWO, call("add_header", {"type": "header", "value": "us[0].two"})) == "00000002bbcc00"


def test_the_same_by_a_run_time_index() -> None:
    at = operator("dereference_union_stack", STACK, field("m", "flag"))
    header: Json = {"type": "expression", "value": {"op": "access_union_header", "left": at, "right": 1}}
    assert after(ONE_TWO, call("add_header", header)) == "00000002bbcc00"


def test_an_index_out_of_range_has_no_effect_and_is_counted() -> None:
    at = operator("dereference_union_stack", STACK, field("m", "flag"))
    header: Json = {"type": "expression", "value": {"op": "access_union_header", "left": at, "right": 1}}
    far = assign(field("m", "flag"), const(SIZE))
    with running(far, call("add_header", header)) as engine:
        packet = bytes.fromhex(ONE_TWO)
        assert engine.process(0, packet) == [(0, packet)]
        assert engine.drops["index out of range"] == 1


def test_assigning_a_stack() -> None:
    copied = call("assign_union_stack", OTHER_STACK, STACK)
    assert after(ONE_TWO, copied) == ONE_TWO[:-2] + ONE_TWO


def test_assigning_a_union() -> None:
    copied = call("assign_union", element(0), element(1))
    assert after(ONE_TWO, copied) == "02bbcc02bbcc00"


def test_a_union_is_valid_when_a_member_is() -> None:
    assert after(ONE_TWO, set_tag_if(operator("valid_union", None, element(1)))) == ONE_TWO[:-2] + "01"
    assert after(ONE_TWO, set_tag_if(operator("valid_union", None, element(2)))) == ONE_TWO[:-2] + "02"


@pytest.mark.parametrize(
    ("packet", "equal"),
    [("01aa01aa", True), ("01aa01ab", False), ("01aa02aa00", False), ("02aabb02aabb", True), ("", False)],
)
def test_unions_are_equal_when_the_same_member_is_valid_and_equal(packet: str, equal: bool) -> None:
    """Two unions without a valid header are not, as in simple_switch."""
    condition = operator("==u", element(0), element(1))
    assert after(packet + "00", set_tag_if(condition))[-2:] == ("01" if equal else "02")


def test_the_last_element() -> None:
    last: Json = {"type": "union_stack_field", "value": ["us", "two", "b"]}
    assert after(ONE_TWO, assign(field("h", "tag"), operator("&", last, const(0xFF)))) == ONE_TWO[:-2] + "cc"
