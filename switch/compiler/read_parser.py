"""The parser: JSON to model."""

from typing import Any

from switch.compiler.jsonin import (
    member,
    members,
    number,
    objects,
    optional_name,
    pair,
    placed,
    refuse,
    source,
)
from switch.compiler.model import (
    Advance,
    Case,
    Const,
    Extract,
    Header,
    KeyPart,
    Parser,
    ParserOp,
    ParserState,
    Primitive,
    Set,
    Stack,
    Verify,
)
from switch.compiler.read_expressions import Names, read_argument, read_expression, width_of

BITS_PER_BYTE = 8


def read_parser(names: Names, document: dict[str, Any]) -> Parser:
    found = list(members(document, "parsers", "parser"))
    if len(found) != 1:
        raise refuse("the program", f"it has {len(found)} parsers instead of one")
    what, obj = found[0]
    states = [
        _state(names, f"parser state '{state.get('name')}'", state)
        for _, state in members(obj, "parse_states", "parser state")
    ]
    by_name = {state.name: state for state in states}
    start = optional_name(obj, "init_state", what)
    for state in states:
        for target in (state.default, *(case.next for case in state.cases)):
            if target is not None and target not in by_name:
                raise refuse(f"parser state '{state.name}'", f"there is no state '{target}'")
    if start is not None and start not in by_name:
        raise refuse(what, f"there is no state '{start}'")
    return Parser(start, by_name)


def _state(names: Names, what: str, obj: dict[str, Any]) -> ParserState:
    ops = tuple(_op(names, what, op) for op in objects(obj, "parser_ops", what))
    key = tuple(_key_part(names, what, part) for part in objects(obj, "transition_key", what))
    cases: list[Case] = []
    default = None
    for transition in objects(obj, "transitions", what):
        next_state = optional_name(transition, "next_state", what)
        match transition.get("type", "default" if transition.get("value") == "default" else "hexstr"):
            case "default":
                default = next_state
            case "hexstr":
                cases.append(_case(what, transition, key, next_state))
            case "parse_vset":
                cases.append(_value_set_case(names, what, transition, key, next_state))
            case kind:
                raise refuse(
                    what, f"this switch cannot do transitions of type '{kind}' ('{transition.get('value')}')"
                )
    return ParserState(member(obj, "name", str, what), ops, key, tuple(cases), default)


def _case(what: str, transition: dict[str, Any], key: tuple[KeyPart, ...], target: str | None) -> Case:
    """Splits the value and mask, in which each part of the key is padded to whole bytes."""
    value = number(transition.get("value"), what)
    widths = [(part.bits + BITS_PER_BYTE - 1) // BITS_PER_BYTE * BITS_PER_BYTE for part in key]
    mask = transition.get("mask")
    mask_number = (1 << sum(widths)) - 1 if mask is None else number(mask, what)
    values, masks = [], []
    for width in reversed(widths):
        low = (1 << width) - 1
        values.append(value & mask_number & low)
        masks.append(mask_number & low)
        value >>= width
        mask_number >>= width
    if value:
        raise refuse(what, f"the transition value {transition.get('value')} is wider than the select key")
    return Case(tuple(reversed(values)), tuple(reversed(masks)), target)


def _value_set_case(
    names: Names, what: str, transition: dict[str, Any], key: tuple[KeyPart, ...], target: str | None
) -> Case:
    found = names.find(names.value_sets, transition.get("value"), "value set", what)
    bits = sum(part.bits for part in key)
    if found.bits != bits:
        raise refuse(what, f"selects on {bits} bits by the value set '{found.name}', which has {found.bits}")
    if transition.get("mask") is not None:
        raise refuse(what, f"this switch cannot put a mask on the value set '{found.name}'")
    return Case((), (), target, found)


def _key_part(names: Names, what: str, obj: dict[str, Any]) -> KeyPart:
    value = read_expression(names, obj, what)
    bits = width_of(value)
    if bits is None:
        raise refuse(what, f"this switch cannot select on a value of type '{obj.get('type')}'")
    return KeyPart(value, bits)


def _op(names: Names, what: str, obj: dict[str, Any]) -> ParserOp:
    kind = member(obj, "op", str, what)
    what = placed(f"{what}, {kind}", source(obj))
    parameters = member(obj, "parameters", list, what)
    counts = {"extract": 1, "extract_VL": 2, "set": 2, "verify": 2, "shift": 1, "advance": 1, "primitive": 1}
    if kind not in counts:
        raise refuse(what, f"this switch cannot do the parser operation '{kind}'")
    if len(parameters) != counts[kind]:
        raise refuse(what, f"'{kind}' takes {counts[kind]} parameters, not {len(parameters)}")
    match kind:
        case "extract":
            return Extract(_extract_target(names, what, parameters[0]))
        case "extract_VL":
            return Extract(
                _extract_target(names, what, parameters[0]), read_expression(names, parameters[1], what)
            )
        case "set":
            target = names.plain_field(member(parameters[0], "value", list, what), what)
            return Set(target, read_expression(names, parameters[1], what))
        case "verify":
            return Verify(
                read_expression(names, parameters[0], what), read_expression(names, parameters[1], what)
            )
        case "shift":
            return Advance(Const(number(parameters[0], what) * BITS_PER_BYTE))
        case "advance":
            return Advance(read_expression(names, parameters[0], what))
    call = parameters[0]
    arguments = [read_argument(names, argument, what) for argument in member(call, "parameters", list, what)]
    return Primitive(member(call, "op", str, what), tuple(arguments), source(obj))


def _extract_target(names: Names, what: str, obj: dict[str, Any]) -> Header | Stack:
    kind = member(obj, "type", str, what)
    match kind:
        case "regular":
            return names.header(obj.get("value"), what)
        case "stack":
            return names.stack(obj.get("value"), what)
        case "union_stack":
            return names.member_stack(*pair(obj.get("value"), what), what)
    raise refuse(what, f"this switch cannot extract into a '{kind}'")
