"""Variants of the compiled program: a tiny exception table, and faults that a packet can ask for.

A fault is an expression of the BMv2 JSON that is replaced by one which is wrong for packets that ask for
it. A packet asks for fault number n by the last byte of its source MAC, at which the program looks nowhere
else. So one compilation holds all faults, and packets that ask for none do not notice them.
"""

import copy
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from controller.values import BACKEND_BITS
from p4src import build

Json = dict[str, Any]

WAYS = 3
SOURCE_FILE = "exceptions.p4"
MAC_BYTE = 0xFF


def compiled() -> Json:
    return json.loads((build.COMPILED / build.PROGRAM).read_text())


def to_bytes(program: Json) -> bytes:
    return json.dumps(program).encode()


def with_slots(program: Json, slots: int) -> Json:
    """The same program with another EXCEPTION_SLOTS: the arrays' sizes, and the masks of the places in
    them."""
    program = copy.deepcopy(program)
    arrays = [a for a in program["register_arrays"] if re.search(r"find_owner\.way\d\.slots$", a["name"])]
    assert len(arrays) == WAYS
    mask = arrays[0]["size"] - 1
    for array in arrays:
        array["size"] = slots
    places = [
        node for node in _expressions(program) if re.fullmatch(r"\(find_owner_place\d & \w+\)", _text(node))
    ]
    assert len(places) == 2 * WAYS, "each way's array is read and written at one place"
    for place in places:
        right = place["value"]["right"]
        assert int(right["value"], 16) == mask
        right["value"] = f"0x{slots - 1:08x}"
    return program


# expressions


def _op(op: str, left: Json | None, right: Json, **more: Json) -> Json:
    return {"type": "expression", "value": {"op": op, "left": left, "right": right, **more}}


def _number(value: int, bits: int) -> Json:
    return {"type": "hexstr", "value": f"0x{value:0{-(-bits // 4)}x}"}


def _asked(fault: int) -> Json:
    mac = {"type": "field", "value": ["ethernet", "source"]}
    return _op("==", _op("&", mac, _number(MAC_BYTE, 48)), _number(fault, 48))


def _expressions(program: Json) -> Iterator[Json]:
    """All operations in exceptions.p4, the inner ones first."""
    for pipeline in program["pipelines"]:
        for conditional in pipeline["conditionals"]:
            if conditional.get("source_info", {}).get("filename") == SOURCE_FILE:
                yield from _within(conditional["expression"])
    for action in program["actions"]:
        for primitive in action["primitives"]:
            if primitive.get("source_info", {}).get("filename") == SOURCE_FILE:
                for parameter in primitive["parameters"]:
                    yield from _within(parameter)


def _within(node: Json | None) -> Iterator[Json]:
    if node is None or node["type"] != "expression":
        return
    value = node["value"]
    if "op" in value:
        yield from _within(value["left"])
        yield from _within(value["right"])
        yield node
    else:  # p4c wraps some twice
        yield from _within(value)


def _text(node: Json | None) -> str:
    """An expression in one line; fields of metadata by their names, without the numbers that p4c gives
    them."""
    if node is None:
        return ""
    value = node["value"]
    if node["type"] == "field":
        return re.sub(r"^metadata_t\._(.*?)\d*$", r"\1", value[1])
    if node["type"] != "expression":
        return str(value)
    if "op" not in value:
        return _text(value)
    left = f"{_text(value['left'])} " if value["left"] else ""
    return f"({left}{value['op']} {_text(value['right'])})"


def _field(program: Json, name: str) -> Json:
    """A field of metadata by its name."""
    fields = (field[0] for kind in program["header_types"] for field in kind["fields"])
    (found,) = {field for field in fields if re.fullmatch(rf"metadata_t\._{name}\d+", field)}
    return {"type": "field", "value": ["scalars", found]}


# faults


class Fault(Enum):
    """What may be wrong with the program."""

    VOID_IS_HONOURED = 1
    CLOSING_IS_IGNORED = 2
    GONE_IS_NOT_ERASED = 3
    OVERFLOW_GOES_TO_CURRENT = 4
    ANNOUNCED_IS_IGNORED = 5
    FIRST_WAY_WINS = 6
    NOT_CONFIRMED = 7
    STANDBY_IS_NOT_RECORDED = 8


Wrong = Callable[[Json, Json, Json], Json]
"""From the program, an expression in it, and whether a packet asks for the fault, to what stands there
instead."""


def _false(program: Json, right: Json, asked: Json) -> Json:
    return _op("and", right, _op("not", None, asked))


def _zero(program: Json, right: Json, asked: Json) -> Json:
    return _op("?", _number(0, 1), right, cond=asked)


def _standby_is_no_pick(program: Json, right: Json, asked: Json) -> Json:
    moving = _op("!=", _field(program, "service_current"), _field(program, "service_previous"))
    return _op("and", right, _op("or", _op("not", None, asked), moving))


def _owner_stays(program: Json, right: Json, asked: Json) -> Json:
    """Who was found first."""
    found = _field(program, "exception_owner")
    return _op("?", found, right, cond=_op("and", asked, _op("!=", found, _number(0, BACKEND_BITS))))


def _current_without_room(program: Json, right: Json, asked: Json) -> Json:
    record = _op("==", _field(program, "exception_record"), _number(1, 1))
    return _op("?", _field(program, "service_current"), right, cond=_op("and", asked, record))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a fault is: expressions of this text or, given `target`, the value of assignments to that
    field."""

    text: str
    wrong: Wrong
    target: str = ""


_SLOT = r"find_owner_way\d_slot"
PLACES = {
    Fault.VOID_IS_HONOURED: Place(rf"\(\(\(now - \({_SLOT} & 0x3fff\)\) & 0x3fff\) > .*\)", _false),
    Fault.CLOSING_IS_IGNORED: Place(rf"\(\(\(\({_SLOT} >> 0xf\) & 0xf+\) & 0x01\) == 0x01\)", _false),
    Fault.GONE_IS_NOT_ERASED: Place(r"\(gone == 0x01\)", _false),
    Fault.OVERFLOW_GOES_TO_CURRENT: Place("service_previous", _current_without_room, target="owner"),
    Fault.ANNOUNCED_IS_IGNORED: Place(r"\(service_announced == 0x01\)", _false),
    Fault.FIRST_WAY_WINS: Place(".*", _owner_stays, target="exception_owner"),
    Fault.NOT_CONFIRMED: Place(r"\(\(~ flow_syn\) & 0x01\)", _zero),
    Fault.STANDBY_IS_NOT_RECORDED: Place(r"\(find_owner_pick != service_previous\)", _standby_is_no_pick),
}


def with_faults(program: Json) -> Json:
    """The program with all faults, of which each packet asks for one or none."""
    program = copy.deepcopy(program)
    for fault, place in PLACES.items():
        found = [*_assigned(program, place.target)] if place.target else [*_expressions(program)]
        found = [node for node in found if re.fullmatch(place.text, _text(node))]
        assert found, f"{fault.name} finds no place in the program"
        for node in found:
            wrong = place.wrong(program, copy.deepcopy(node), _asked(fault.value))
            # p4c writes an expression in an expression where an operation is a parameter
            node.update({"type": "expression", "value": wrong} if place.target else wrong)
    return program


def _assigned(program: Json, target: str) -> Iterator[Json]:
    """The values that are assigned to a field."""
    for action in program["actions"]:
        for primitive in action["primitives"]:
            in_file = primitive.get("source_info", {}).get("filename") == SOURCE_FILE
            if in_file and primitive["op"] == "assign" and _text(primitive["parameters"][0]) == target:
                yield primitive["parameters"][1]


def asking_for(fault: Fault, mac: int) -> int:
    """The source MAC of packets that ask for it."""
    return mac & ~MAC_BYTE | fault.value
