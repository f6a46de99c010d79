"""Pipelines with their tables, entries and conditions: JSON to model."""

from collections.abc import Mapping
from typing import Any

from switch.compiler.jsonin import (
    anything,
    integers,
    member,
    members,
    number,
    objects,
    optional_name,
    placed,
    refuse,
    source,
)
from switch.compiler.model import (
    Action,
    ActionProfile,
    Conditional,
    ConstEntry,
    Counter,
    DefaultEntry,
    MatchField,
    Meter,
    Node,
    Pipeline,
    TableKey,
    TableNode,
)
from switch.compiler.read_expressions import VALID_FIELD, Names, read_expression, width_of
from switch.entries import MatchKind

TABLE_TYPES = ("simple", "indirect", "indirect_ws")
"""With actions of their own; with an action profile; with one that has groups too ("with selector")."""

DEFAULT_SIZE = 1024
"""Room of a table whose size nobody gave."""


def read_pipeline(names: Names, actions: Mapping[int, Action], obj: dict[str, Any]) -> Pipeline:
    name = member(obj, "name", str, "pipeline")
    if obj.get("action_calls"):
        raise refuse(f"pipeline '{name}'", "this switch cannot do 'action_calls'")
    nodes: dict[str, Node] = {}
    for what, table in members(obj, "tables", "table"):
        nodes[member(table, "name", str, what)] = _table(names, actions, what, table)
    for what, condition in members(obj, "conditionals", "condition"):
        nodes[str(condition.get("name"))] = Conditional(
            name=member(condition, "name", str, what),
            condition=read_expression(names, member(condition, "expression", dict, what), what),
            on_true=optional_name(condition, "true_next", what),
            on_false=optional_name(condition, "false_next", what),
            source=source(condition),
        )
    pipeline = Pipeline(name, optional_name(obj, "init_table", f"pipeline '{name}'"), nodes)
    for target in (pipeline.start, *(t for node in nodes.values() for t in successors(node))):
        if target is not None and target not in nodes:
            raise refuse(f"pipeline '{name}'", f"there is no table or condition '{target}'")
    return pipeline


def successors(node: Node) -> tuple[str | None, ...]:
    """The nodes that may come next; None is the end of the pipeline."""
    if isinstance(node, Conditional):
        return (node.on_true, node.on_false)
    if node.by_hit:
        return (node.on_hit, node.on_miss)
    return (*node.next.values(), node.default_next)


def _table(names: Names, actions: Mapping[int, Action], what: str, obj: dict[str, Any]) -> TableNode:
    where = source(obj)
    keys = tuple(_key(names, what, key) for key in objects(obj, "key", what))
    lpm = [key.name for key in keys if key.kind is MatchKind.LPM]
    kind = _table_kind(keys)
    if kind is MatchKind.LPM and len(lpm) > 1:
        raise refuse(what, f"has {len(lpm)} lpm keys ({', '.join(lpm)}); one is possible")
    own = _table_actions(names, actions, what, obj)
    profile = _profile(names, what, obj)
    entries = _entries(actions, keys, kind, what, obj) if obj.get("entries") is not None else None
    if profile is not None and (entries or obj.get("default_entry") is not None):
        raise refuse(what, "has both actions of its own and an action profile")
    size = member(obj, "max_size", int, what) if "max_size" in obj else DEFAULT_SIZE
    next_tables = member(obj, "next_tables", dict, what)
    by_hit = "__HIT__" in next_tables or "__MISS__" in next_tables
    return TableNode(
        name=member(obj, "name", str, what),
        kind=kind,
        keys=keys,
        size=max(size, len(entries)) if entries is not None else size,
        actions=own,
        counter=_direct_counter(names, member(obj, "name", str, what), obj),
        meter=_direct_meter(names, member(obj, "name", str, what), what, obj),
        profile=profile,
        ageing=bool(obj.get("support_timeout")),
        default=_default(actions, what, obj),
        entries=entries,
        by_hit=by_hit,
        on_hit=optional_name(next_tables, "__HIT__", what),
        on_miss=optional_name(next_tables, "__MISS__", what),
        next={} if by_hit else {action.id: optional_name(next_tables, action.name, what) for action in own},
        default_next=optional_name(obj, "base_default_next", what),
        source=where,
    )


def _table_kind(keys: tuple[TableKey, ...]) -> MatchKind:
    kinds = {key.kind for key in keys}
    if kinds & {MatchKind.TERNARY, MatchKind.RANGE}:
        return MatchKind.TERNARY
    return MatchKind.LPM if MatchKind.LPM in kinds else MatchKind.EXACT


def _key(names: Names, what: str, obj: dict[str, Any]) -> TableKey:
    kind = member(obj, "match_type", str, what)
    target: Any = obj.get("target")
    if kind == "valid":
        kind, target = MatchKind.EXACT, [target, VALID_FIELD]
    if kind not in set(MatchKind):
        raise refuse(what, f"this switch cannot match by '{kind}'")
    # A field by its name, or what is no field of its own: an element of a stack by a run-time index.
    element = isinstance(target, dict)
    value = read_expression(names, target if element else {"type": "field", "value": target}, what)
    bits = width_of(value)
    if bits is None:
        raise refuse(what, f"this switch cannot match on {target!r}")
    mask = obj.get("mask")
    name = obj.get("name") or ("" if element else ".".join(str(part) for part in target))
    return TableKey(name, MatchKind(kind), value, bits, None if mask is None else number(mask, what))


def _table_actions(
    names: Names, actions: Mapping[int, Action], what: str, obj: dict[str, Any]
) -> tuple[Action, ...]:
    if "action_ids" in obj:
        return tuple(_action(actions, action_id, what) for action_id in integers(obj, "action_ids", what))
    by_name = {action.name: action for action in actions.values()}
    return tuple(names.find(by_name, name, "action", what) for name in member(obj, "actions", list, what))


def _action(actions: Mapping[int, Action], action_id: Any, what: str) -> Action:
    if action_id not in actions:
        raise refuse(what, f"there is no action number {action_id}")
    return actions[action_id]


def _direct_counter(names: Names, table: str, obj: dict[str, Any]) -> Counter | None:
    """The counter bound to the table; unnamed ones exist where only `with_counters` says so."""
    for counter in names.counters.values():
        if counter.table == table:
            return counter
    return Counter(f"{table}.counter", 0, table, source(obj)) if obj.get("with_counters") else None


def _direct_meter(names: Names, table: str, what: str, obj: dict[str, Any]) -> Meter | None:
    if obj.get("direct_meters") is None:
        return None
    meter = names.find(names.meters, obj["direct_meters"], "meter", what)
    if meter.table != table:
        raise refuse(what, f"uses the meter '{meter.name}', which is not its own")
    return meter


def _profile(names: Names, what: str, obj: dict[str, Any]) -> ActionProfile | None:
    kind = obj.get("type", "simple")
    if kind not in TABLE_TYPES:
        raise refuse(what, f"this switch cannot do tables of type '{kind}'")
    if kind == "simple":
        return None
    profile = names.find(names.profiles, obj.get("action_profile"), "action profile", what)
    if (kind == "indirect_ws") != (profile.selector is not None):
        raise refuse(what, f"is of type '{kind}', which the action profile '{profile.name}' is not")
    return profile


def _default(actions: Mapping[int, Action], what: str, obj: dict[str, Any]) -> DefaultEntry | None:
    entry = obj.get("default_entry")
    if entry is None:
        return None
    action = _action(actions, member(entry, "action_id", int, what), what)
    data = _action_data(action, anything(entry, "action_data", what), what)
    const = bool(entry.get("action_const")) or bool(entry.get("action_entry_const"))
    return DefaultEntry(action, data, const)


def _action_data(action: Action, values: list[Any], what: str) -> tuple[int, ...]:
    if len(values) != len(action.parameters):
        raise refuse(
            what, f"action '{action.name}' takes {len(action.parameters)} parameters, not {len(values)}"
        )
    return tuple(
        number(v, what) & ((1 << p.bits) - 1) for v, p in zip(values, action.parameters, strict=True)
    )


def _entries(
    actions: Mapping[int, Action], keys: tuple[TableKey, ...], kind: MatchKind, what: str, obj: dict[str, Any]
) -> tuple[ConstEntry, ...]:
    found = []
    for place, entry in enumerate(objects(obj, "entries", what), start=1):
        within = placed(f"{what}, entry {place}", source(entry))
        fields = objects(entry, "match_key", within)
        if len(fields) != len(keys):
            raise refuse(within, f"has {len(fields)} of {len(keys)} key fields")
        match = tuple(_match_field(key, field, within) for key, field in zip(keys, fields, strict=True))
        call = member(entry, "action_entry", dict, within)
        action = _action(actions, member(call, "action_id", int, within), within)
        priority = entry.get("priority", place) if kind is MatchKind.TERNARY else 0
        found.append(
            ConstEntry(
                match, priority, action, _action_data(action, anything(call, "action_data", within), within)
            )
        )
    return tuple(found)


def _match_field(key: TableKey, obj: dict[str, Any], what: str) -> MatchField:
    def at(name: str) -> int:
        return number(obj.get(name), f"{what}, '{name}'")

    match key.kind:
        case MatchKind.EXACT:
            value = obj.get("key")
            return MatchField(key.kind, int(value) if isinstance(value, bool) else at("key"), 0)
        case MatchKind.LPM:
            length = member(obj, "prefix_length", int, what)
            mask = ((1 << length) - 1) << (key.bits - length)
            return MatchField(key.kind, at("key") & mask, length)
        case MatchKind.TERNARY:
            return MatchField(key.kind, at("key") & at("mask"), at("mask"))
        case MatchKind.RANGE:
            return MatchField(key.kind, at("start"), at("end"))
