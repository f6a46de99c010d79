"""BMv2 JSON to the program model.

Whatever the JSON holds and the switch cannot do is refused here or by the generators, by name. Objects that
are only declared but never used (a value set, say) do no harm and are let through.
"""

from typing import Any

from switch.compiler.jsonin import (
    anything,
    count,
    member,
    members,
    number,
    objects,
    pair,
    parse,
    placed,
    refuse,
    source,
)
from switch.compiler.model import (
    MAX_BITS,
    Action,
    ActionProfile,
    Bits,
    Calculation,
    CalculationInput,
    Checksum,
    Counter,
    Deparser,
    FieldList,
    HeaderRef,
    LearnList,
    Meter,
    Parameter,
    Payload,
    Pipeline,
    Primitive,
    Program,
    Register,
    ValueSet,
)
from switch.compiler.read_expressions import Names, read_argument, read_expression
from switch.compiler.read_headers import read_headers
from switch.compiler.read_parser import read_parser
from switch.compiler.read_pipeline import DEFAULT_SIZE, read_pipeline
from switch.errors import LoadError

FORMAT_MAJOR = 2
"""Major version of the JSON format that this reader understands."""

BITS_PER_BYTE = 8

MAX_CELLS = 1 << 32
"""Of an array of counters, meters or registers."""

MAX_CHECKSUM_BITS = 64
"""What an algorithm gives at the most."""

METER_RATES = 2
"""Committed and peak: v1model has no other meters."""

METER_UNITS = {"packets": False, "bytes": True}
"""Whether a meter of that type counts bytes."""


def read_program(config: bytes) -> Program:
    """Raises LoadError when the JSON is broken, or needs what the switch cannot do."""
    document = parse(config)
    _check_version(document)
    names = Names()
    _read_refused(names, document)
    read_headers(names, document)
    _read_state(names, document)
    _read_calculations(names, document)
    _read_value_sets(names, document)
    _read_profiles(names, document)
    actions = {action.id: action for action in _actions(names, document)}
    pipelines = _pipelines(names, actions, document)
    whole = Program(
        name=str(document.get("program") or "program"),
        headers=names.headers,
        stacks=names.stacks,
        unions=names.unions,
        union_stacks=names.union_stacks,
        aliases=names.aliases,
        errors=dict(_error(e) for e in anything(document, "errors", "the program")),
        parser=read_parser(names, document),
        deparser=_deparser(names, document),
        ingress=pipelines["ingress"],
        egress=pipelines["egress"],
        actions=tuple(actions.values()),
        counters=names.counters,
        registers=names.registers,
        meters=names.meters,
        calculations=names.calculations,
        profiles=names.profiles,
        value_sets=names.value_sets,
        checksums=_checksums(names, document),
        field_lists=_field_lists(names, document),
        learn_lists=_learn_lists(names, document),
    )
    for array in (*whole.counters.values(), *whole.meters.values()):
        if array.table and array.table not in whole.tables:
            raise refuse(f"'{array.name}'", f"is of the table '{array.table}', which is not there")
    return whole


def _check_version(document: dict[str, Any]) -> None:
    if "__meta__" not in document:
        raise LoadError("the program is not a BMv2 JSON: '__meta__' is missing")
    version = member(document["__meta__"], "version", list, "__meta__")
    if not version or version[0] != FORMAT_MAJOR:
        raise LoadError(f"the JSON has format version {version}; this switch reads {FORMAT_MAJOR}.x")


def _read_refused(names: Names, document: dict[str, Any]) -> None:
    """Notes what cannot be done, so that the error names the use of it."""
    kinds = {
        "extern_instances": "the extern",
    }
    for key, kind in kinds.items():
        for what, obj in members(document, key, kind):
            names.refused[member(obj, "name", str, what)] = kind


def _read_state(names: Names, document: dict[str, Any]) -> None:
    for what, obj in members(document, "counter_arrays", "counter"):
        name = member(obj, "name", str, what)
        bound = obj.get("is_direct") and obj.get("binding")
        table = member(obj, "binding", str, what) if bound else None
        size = 0 if table else count(obj, "size", what, MAX_CELLS, least=0)
        names.counters[name] = Counter(name, size, table, source(obj))
    for what, obj in members(document, "register_arrays", "register"):
        name = member(obj, "name", str, what)
        bits = count(obj, "bitwidth", what, MAX_BITS)
        size = count(obj, "size", what, MAX_CELLS, least=0)
        names.registers[name] = Register(name, size, bits, source(obj))
    for what, obj in members(document, "meter_arrays", "meter"):
        _read_meter(names, what, obj)


def _read_meter(names: Names, what: str, obj: dict[str, Any]) -> None:
    name = member(obj, "name", str, what)
    rates = member(obj, "rate_count", int, what)
    if rates != METER_RATES:
        raise refuse(what, f"has {rates} rates; this switch does {METER_RATES}")
    unit = member(obj, "type", str, what)
    if unit not in METER_UNITS:
        raise refuse(what, f"measures '{unit}', not one of {', '.join(METER_UNITS)}")
    if obj.get("is_direct"):
        table = member(obj, "binding", str, what)
        target = names.plain_field(obj.get("result_target"), what)
        names.meters[name] = Meter(name, 0, METER_UNITS[unit], source(obj), table, target)
        return
    size = count(obj, "size", what, MAX_CELLS, least=0)
    names.meters[name] = Meter(name, size, METER_UNITS[unit], source(obj))


def _read_value_sets(names: Names, document: dict[str, Any]) -> None:
    for what, obj in members(document, "parse_vsets", "value set"):
        name = member(obj, "name", str, what)
        bits = count(obj, "compressed_bitwidth", what, MAX_BITS)
        size = member(obj, "max_size", int, what) if "max_size" in obj else DEFAULT_SIZE
        names.value_sets[name] = ValueSet(name, size, bits, source(obj))


def _read_profiles(names: Names, document: dict[str, Any]) -> None:
    for _, pipeline in members(document, "pipelines", "pipeline"):
        for what, obj in members(pipeline, "action_profiles", "action profile"):
            name = member(obj, "name", str, what)
            selector = obj.get("selector")
            calculation = None
            if selector is not None:
                inputs = tuple(
                    _calculation_input(names, i, what) for i in member(selector, "input", list, what)
                )
                algorithm = member(selector, "algo", str, what)
                calculation = Calculation(f"{name}_selector", algorithm, inputs, source(obj))
            size = member(obj, "max_size", int, what) if "max_size" in obj else 0
            names.profiles[name] = ActionProfile(name, size, calculation, source(obj))


def _read_calculations(names: Names, document: dict[str, Any]) -> None:
    for what, obj in members(document, "calculations", "calculation"):
        inputs = tuple(_calculation_input(names, i, what) for i in member(obj, "input", list, what))
        name = member(obj, "name", str, what)
        names.calculations[name] = Calculation(name, member(obj, "algo", str, what), inputs, source(obj))


def _calculation_input(names: Names, obj: dict[str, Any], what: str) -> CalculationInput:
    kind = member(obj, "type", str, what)
    match kind:
        case "field":
            return names.plain_field(obj.get("value"), what)
        case "hexstr":
            return Bits(number(obj.get("value"), what), member(obj, "bitwidth", int, what))
        case "header":
            return HeaderRef(names.header(obj.get("value"), what))
        case "payload":
            return Payload()
    raise refuse(what, f"this switch cannot compute over a '{kind}'")


def _actions(names: Names, document: dict[str, Any]) -> list[Action]:
    found = []
    for what, obj in members(document, "actions", "action"):
        parameters = tuple(
            Parameter(
                member(p, "name", str, what),
                count(p, "bitwidth", f"{what}, parameter '{p.get('name')}'", MAX_BITS),
            )
            for p in objects(obj, "runtime_data", what)
        )
        action_id = member(obj, "id", int, what)
        primitives = _primitives(names, what, obj)
        found.append(Action(action_id, member(obj, "name", str, what), parameters, primitives))
    return found


def _primitives(names: Names, what: str, obj: dict[str, Any]) -> tuple[Primitive, ...]:
    found = []
    for primitive in objects(obj, "primitives", what):
        op = member(primitive, "op", str, what)
        where = source(primitive)
        within = placed(f"{what}, {op}", where)
        parameters = member(primitive, "parameters", list, within)
        found.append(Primitive(op, tuple(read_argument(names, p, within) for p in parameters), where))
    return tuple(found)


def _pipelines(names: Names, actions: dict[int, Action], document: dict[str, Any]) -> dict[str, Pipeline]:
    found = {}
    for _, obj in members(document, "pipelines", "pipeline"):
        pipeline = read_pipeline(names, actions, obj)
        found[pipeline.name] = pipeline
    if set(found) != {"ingress", "egress"}:
        raise LoadError(
            f"the program needs the pipelines ingress and egress, and has {', '.join(found) or 'none'}"
        )
    return found


def _deparser(names: Names, document: dict[str, Any]) -> Deparser:
    found = list(members(document, "deparsers", "deparser"))
    if len(found) != 1:
        raise LoadError(f"the program has {len(found)} deparsers instead of one")
    what, obj = found[0]
    order = tuple(names.header(name, what) for name in member(obj, "order", list, what))
    return Deparser(_primitives(names, what, obj), order)


def _checksums(names: Names, document: dict[str, Any]) -> tuple[Checksum, ...]:
    found = []
    for what, obj in members(document, "checksums", "checksum"):
        if obj.get("type", "generic") != "generic":
            raise refuse(what, f"this switch cannot do checksums of type '{obj['type']}'")
        target = names.plain_field(obj.get("target"), what)
        if target.field.bits > MAX_CHECKSUM_BITS:
            raise refuse(what, f"its target has {target.field.bits} bits")
        condition = obj.get("if_cond")
        found.append(
            Checksum(
                name=member(obj, "name", str, what),
                target=target,
                calculation=names.find(names.calculations, obj.get("calculation"), "calculation", what),
                verify=bool(obj.get("verify", True)),
                update=bool(obj.get("update", True)),
                condition=read_expression(names, condition, what) if condition is not None else None,
                source=source(obj),
            )
        )
    return tuple(found)


def _field_lists(names: Names, document: dict[str, Any]) -> dict[int, FieldList]:
    found = {}
    for what, obj in members(document, "field_lists", "field list"):
        fields = []
        for element in objects(obj, "elements", what):
            reference = names.plain_field(element.get("value"), what)
            if not reference.header.metadata:
                raise refuse(
                    what, f"holds '{reference.header.name}.{reference.field.name}', which is not metadata"
                )
            fields.append(reference)
        list_id = member(obj, "id", int, what)
        found[list_id] = FieldList(list_id, member(obj, "name", str, what), tuple(fields))
    return found


def _learn_lists(names: Names, document: dict[str, Any]) -> dict[int, LearnList]:
    found = {}
    for what, obj in members(document, "learn_lists", "learn list"):
        elements = tuple(names.plain_field(e.get("value"), what) for e in objects(obj, "elements", what))
        list_id = member(obj, "id", int, what)
        found[list_id] = LearnList(list_id, member(obj, "name", str, what), elements)
    return found


def _error(item: Any) -> tuple[str, int]:
    name, value = pair(item, "errors")
    if not isinstance(value, int):
        raise refuse(f"error '{name}'", f"has the value {value!r}")
    return str(name), value
