"""The P4Info of a program, as the server uses it: objects by id, with the names that the engine uses.

`Schema.parse` refuses what no server could serve (two objects with one id, a field without a width).
Whether a P4Info describes the program in the engine is p4info_check.py's to say.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from finsy.proto import p4i, p4t

from switch.entries import MatchKind


class P4InfoError(Exception):
    """The P4Info is broken, or is not that of the program. The message names the object."""


@dataclass(frozen=True, slots=True)
class Field:
    """A number with an id: an action's parameter, or a field of a controller header."""

    id: int
    name: str
    bits: int


@dataclass(frozen=True, slots=True)
class MatchField:
    """A field of a table's key. `optional` (P4Runtime's name) is what the engine calls TERNARY.

    bits: 0 for a type that P4Runtime gives no width (`error`): only the program knows it then.
    """

    id: int
    name: str
    kind: MatchKind
    bits: int
    optional: bool


@dataclass(frozen=True, slots=True)
class Action:
    id: int
    name: str
    params: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class ActionChoice:
    """An action that a table may use, and where."""

    action: Action
    for_entries: bool
    for_default: bool


@dataclass(frozen=True, slots=True)
class CounterUnit:
    """What a counter is declared to count; the other number is not reported."""

    packets: bool
    octets: bool


@dataclass(frozen=True, slots=True)
class TableInfo:
    """initial_entries: whether it begins with entries that may be changed.
    action_profile: the id of that which its entries refer to; None: they have actions of their own.
    """

    id: int
    name: str
    fields: tuple[MatchField, ...]
    actions: Mapping[int, ActionChoice]
    const_default: bool
    const_entries: bool
    initial_entries: bool
    idle_timeouts: bool
    direct_counter: CounterUnit | None
    direct_meter: bool
    action_profile: int | None

    @property
    def needs_priority(self) -> bool:
        """Whether a priority is mandatory in entries (else it is forbidden)."""
        return any(field.kind in (MatchKind.TERNARY, MatchKind.RANGE) for field in self.fields)


@dataclass(frozen=True, slots=True)
class CounterInfo:
    id: int
    name: str
    size: int
    unit: CounterUnit


@dataclass(frozen=True, slots=True)
class RegisterInfo:
    """bits: None when a cell is not a plain bit<W>."""

    id: int
    name: str
    size: int
    bits: int | None


@dataclass(frozen=True, slots=True)
class MeterInfo:
    id: int
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class ProfileInfo:
    """An action profile; a selector if it has groups.

    max_group_size: 0 if there is no bound; of the sum of weights, or with `counts_members` of their number,
    each of a weight of at most max_member_weight (0: any).
    """

    id: int
    name: str
    with_selector: bool
    max_group_size: int
    counts_members: bool
    max_member_weight: int
    weights_disallowed: bool


@dataclass(frozen=True, slots=True)
class ValueSetInfo:
    id: int
    name: str
    size: int
    fields: tuple[MatchField, ...]


class DigestType(Enum):
    """Of a digest's value."""

    BIT = "bit<W>"
    INT = "int<W>"
    BOOL = "bool"


@dataclass(frozen=True, slots=True)
class DigestField:
    """A value of a digest; bits: 1 for a boolean."""

    name: str
    type: DigestType
    bits: int


@dataclass(frozen=True, slots=True)
class DigestInfo:
    """struct: whether the values are the members of a struct, rather than a single number."""

    id: int
    name: str
    struct: bool
    fields: tuple[DigestField, ...]


@dataclass(frozen=True, slots=True)
class ControllerHeader:
    """The header in front of a packet to or from the controller, most significant bits first."""

    name: str
    fields: tuple[Field, ...]

    @property
    def octets(self) -> int:
        return sum(field.bits for field in self.fields) // 8


@dataclass(frozen=True)
class Schema:
    """What a P4Info describes; all mappings are by id."""

    tables: Mapping[int, TableInfo]
    counters: Mapping[int, CounterInfo]
    registers: Mapping[int, RegisterInfo]
    meters: Mapping[int, MeterInfo]
    profiles: Mapping[int, ProfileInfo]
    value_sets: Mapping[int, ValueSetInfo]
    digests: Mapping[int, DigestInfo]
    packet_in: ControllerHeader
    packet_out: ControllerHeader

    @classmethod
    def parse(cls, p4info: p4i.P4Info) -> "Schema":
        """Raises P4InfoError."""
        _refuse_shared_ids(p4info)
        types = p4info.type_info
        actions = {action.preamble.id: _action(action, types) for action in p4info.actions}
        direct = {counter.direct_table_id: _unit(counter.spec) for counter in p4info.direct_counters}
        metered = {_direct_meter(meter) for meter in p4info.direct_meters}
        profiles = {profile.preamble.id: _profile(profile) for profile in p4info.action_profiles}
        return cls(
            tables={
                t.preamble.id: _table(t, actions, direct.get(t.preamble.id), metered, profiles, types)
                for t in p4info.tables
            },
            counters={
                c.preamble.id: CounterInfo(c.preamble.id, c.preamble.name, c.size, _unit(c.spec))
                for c in p4info.counters
            },
            registers={
                r.preamble.id: RegisterInfo(
                    r.preamble.id, r.preamble.name, r.size, _unsigned_bits(r.type_spec, types)
                )
                for r in p4info.registers
            },
            meters={m.preamble.id: _meter(m) for m in p4info.meters},
            profiles=profiles,
            value_sets={v.preamble.id: _value_set(v, types) for v in p4info.value_sets},
            digests={d.preamble.id: _digest(d, types) for d in p4info.digests},
            packet_in=_controller_header("packet_in", p4info),
            packet_out=_controller_header("packet_out", p4info),
        )


def _refuse_shared_ids(p4info: p4i.P4Info) -> None:
    seen: dict[int, str] = {}
    kinds: tuple[Iterable[object], ...] = (
        p4info.tables,
        p4info.actions,
        p4info.action_profiles,
        p4info.counters,
        p4info.direct_counters,
        p4info.meters,
        p4info.direct_meters,
        p4info.controller_packet_metadata,
        p4info.value_sets,
        p4info.registers,
        p4info.digests,
    )
    for kind in kinds:
        for thing in kind:
            preamble: p4i.Preamble = thing.preamble  # type: ignore[attr-defined]
            if preamble.id == 0:
                raise P4InfoError(f"{preamble.name} has id 0, which P4Runtime reserves for 'any'")
            if preamble.id in seen:
                raise P4InfoError(f"{preamble.name} and {seen[preamble.id]} have the same id {preamble.id}")
            seen[preamble.id] = preamble.name


def _new_type(name: str, types: p4t.P4TypeInfo) -> p4t.P4NewTypeSpec:
    if name not in types.new_types:  # [] would add it
        raise P4InfoError(f"the P4Info uses a type {name} that it does not describe")
    return types.new_types[name]


def _translates_to_string(named: p4t.P4NamedType, types: p4t.P4TypeInfo) -> bool:
    return named.name != "" and _new_type(named.name, types).translated_type.HasField("sdn_string")


def _width(
    owner: str, name: str, bits: int, named: p4t.P4NamedType, types: p4t.P4TypeInfo, *, at_least: int = 1
) -> int:
    if _translates_to_string(named, types):
        raise P4InfoError(f"{owner}: {name} is translated to a string, which this switch cannot do")
    if bits < at_least:
        raise P4InfoError(f"{owner}: {name} has no bit width")
    return bits


def _action(action: p4i.Action, types: p4t.P4TypeInfo) -> Action:
    name = action.preamble.name
    params = tuple(
        Field(p.id, p.name, _width(f"action {name}", p.name, p.bitwidth, p.type_name, types))
        for p in action.params
    )
    return Action(action.preamble.id, name, params)


_MATCH_KINDS = {
    p4i.MatchField.EXACT: MatchKind.EXACT,
    p4i.MatchField.LPM: MatchKind.LPM,
    p4i.MatchField.TERNARY: MatchKind.TERNARY,
    p4i.MatchField.RANGE: MatchKind.RANGE,
    p4i.MatchField.OPTIONAL: MatchKind.TERNARY,
}


def _match_field(owner: str, field: p4i.MatchField, types: p4t.P4TypeInfo) -> MatchField:
    kind = _MATCH_KINDS.get(field.match_type)
    if kind is None:
        what = field.other_match_type or "none"
        raise P4InfoError(f"{owner}: this switch does not know the match type of {field.name}: {what}")
    return MatchField(
        field.id,
        field.name,
        kind,
        _width(owner, field.name, field.bitwidth, field.type_name, types, at_least=0),
        optional=field.match_type == p4i.MatchField.OPTIONAL,
    )


def _table(
    table: p4i.Table,
    actions: Mapping[int, Action],
    direct_counter: CounterUnit | None,
    metered: set[int],
    profiles: Mapping[int, ProfileInfo],
    types: p4t.P4TypeInfo,
) -> TableInfo:
    name = table.preamble.name
    choices: dict[int, ActionChoice] = {}
    for reference in table.action_refs:
        if reference.id not in actions:
            raise P4InfoError(f"table {name}: there is no action with id {reference.id}")
        choices[reference.id] = ActionChoice(
            actions[reference.id],
            for_entries=reference.scope != p4i.ActionRef.DEFAULT_ONLY,
            for_default=reference.scope != p4i.ActionRef.TABLE_ONLY,
        )
    profile = table.implementation_id or None
    if profile is not None and profile not in profiles:
        raise P4InfoError(f"table {name}: there is no action profile with id {profile}")
    return TableInfo(
        id=table.preamble.id,
        name=name,
        fields=tuple(_match_field(f"table {name}", field, types) for field in table.match_fields),
        actions=choices,
        const_default=table.const_default_action_id != 0,
        const_entries=table.is_const_table,
        initial_entries=table.has_initial_entries and not table.is_const_table,
        idle_timeouts=table.idle_timeout_behavior == p4i.Table.NOTIFY_CONTROL,
        direct_counter=direct_counter,
        direct_meter=table.preamble.id in metered,
        action_profile=profile,
    )


def _unit(spec: p4i.CounterSpec) -> CounterUnit:
    return CounterUnit(
        packets=spec.unit != p4i.CounterSpec.BYTES,
        octets=spec.unit != p4i.CounterSpec.PACKETS,
    )


def _check_two_rates(meter: p4i.Meter | p4i.DirectMeter) -> None:
    if meter.spec.type != p4i.MeterSpec.TWO_RATE_THREE_COLOR:
        raise P4InfoError(f"meter {meter.preamble.name}: this switch has meters of two rates only")


def _meter(meter: p4i.Meter) -> MeterInfo:
    _check_two_rates(meter)
    return MeterInfo(meter.preamble.id, meter.preamble.name, meter.size)


def _direct_meter(meter: p4i.DirectMeter) -> int:
    """Its table."""
    _check_two_rates(meter)
    return meter.direct_table_id


def _profile(profile: p4i.ActionProfile) -> ProfileInfo:
    return ProfileInfo(
        id=profile.preamble.id,
        name=profile.preamble.name,
        with_selector=profile.with_selector,
        max_group_size=profile.max_group_size,
        counts_members=profile.HasField("sum_of_members"),
        max_member_weight=profile.sum_of_members.max_member_weight,
        weights_disallowed=profile.weights_disallowed,
    )


def _value_set(value_set: p4i.ValueSet, types: p4t.P4TypeInfo) -> ValueSetInfo:
    name = value_set.preamble.name
    fields = tuple(_match_field(f"value set {name}", field, types) for field in value_set.match)
    for field in fields:
        if field.kind is MatchKind.RANGE:
            raise P4InfoError(f"value set {name}: {field.name} is a range, which this switch cannot do there")
        if not field.bits:
            raise P4InfoError(f"value set {name}: {field.name} has no bit width")
    return ValueSetInfo(value_set.preamble.id, name, value_set.size, fields)


def _unsigned_bits(spec: p4t.P4DataTypeSpec, types: p4t.P4TypeInfo) -> int | None:
    """The width of a type that is a bit<W> under whatever names it has; None for any other type."""
    kind = spec.WhichOneof("type_spec")
    if kind == "bitstring" and spec.bitstring.WhichOneof("type_spec") == "bit":
        return spec.bitstring.bit.bitwidth
    if kind == "new_type":
        return _unsigned_bits(_new_type(spec.new_type.name, types).original_type, types)
    return None


def _digest(digest: p4i.Digest, types: p4t.P4TypeInfo) -> DigestInfo:
    name = digest.preamble.name
    spec = digest.type_spec
    struct = spec.WhichOneof("type_spec") == "struct"
    if struct and spec.struct.name not in types.structs:
        raise P4InfoError(f"digest {name}: the P4Info does not describe its type {spec.struct.name}")
    members = (
        [(member.name, member.type_spec) for member in types.structs[spec.struct.name].members]
        if struct
        else [(name, spec)]
    )
    fields = tuple(
        _digest_field(f"digest {name}: {member}", member, type_, types) for member, type_ in members
    )
    return DigestInfo(digest.preamble.id, name, struct, fields)


def _digest_field(what: str, name: str, spec: p4t.P4DataTypeSpec, types: p4t.P4TypeInfo) -> DigestField:
    kind = spec.WhichOneof("type_spec")
    bitstring = spec.bitstring.WhichOneof("type_spec")
    match kind, bitstring:
        case "new_type", _:
            return _digest_field(what, name, _new_type(spec.new_type.name, types).original_type, types)
        case "bool", _:
            return DigestField(name, DigestType.BOOL, 1)
        case "bitstring", "bit":
            return DigestField(name, DigestType.BIT, spec.bitstring.bit.bitwidth)
        case "bitstring", "int":
            return DigestField(name, DigestType.INT, spec.bitstring.int.bitwidth)
    sent = ", ".join(type_.value for type_ in DigestType)
    raise P4InfoError(f"{what} is a {bitstring or kind}; this switch sends {sent}")


def _controller_header(name: str, p4info: p4i.P4Info) -> ControllerHeader:
    for header in p4info.controller_packet_metadata:
        if header.preamble.name == name:
            fields = tuple(
                Field(m.id, m.name, _width(name, m.name, m.bitwidth, m.type_name, p4info.type_info))
                for m in header.metadata
            )
            bits = sum(field.bits for field in fields)
            if bits % 8:
                raise P4InfoError(f"the {name} header has {bits} bits, which is not a whole number of bytes")
            return ControllerHeader(name, fields)
    return ControllerHeader(name, ())
