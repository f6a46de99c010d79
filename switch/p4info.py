"""The P4Info of a program, as the server uses it: objects by id, with the names that the engine uses.

    schema = Schema.parse(p4info)
    schema.check(engine)

`parse` refuses what no server could serve (two objects with one id, a field without a width); `check` refuses
a P4Info that does not describe the program in the engine.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from finsy.proto import p4i, p4t

from switch.entries import Array, MatchKind, Table

T = TypeVar("T")


class P4InfoError(Exception):
    """The P4Info is broken, or is not that of the program. The message names the object."""


@dataclass(frozen=True, slots=True)
class Field:
    """A number with an id: an action's parameter, or a field of a controller header or digest."""

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
    id: int
    name: str
    fields: tuple[MatchField, ...]
    actions: Mapping[int, ActionChoice]
    const_default: bool
    const_entries: bool
    idle_timeouts: bool
    direct_counter: CounterUnit | None

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
class DigestInfo:
    """struct: whether the values are the members of a struct, rather than a single number."""

    id: int
    name: str
    struct: bool
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class ControllerHeader:
    """The header in front of a packet to or from the controller, most significant bits first."""

    name: str
    fields: tuple[Field, ...]

    @property
    def octets(self) -> int:
        return sum(field.bits for field in self.fields) // 8


class Program(Protocol):
    """What `Schema.check` needs to know of an engine."""

    @property
    def tables(self) -> Mapping[str, Table]: ...
    @property
    def counters(self) -> Mapping[str, Array]: ...
    @property
    def registers(self) -> Mapping[str, Array]: ...
    @property
    def meters(self) -> Mapping[str, Array]: ...


@dataclass(frozen=True)
class Schema:
    """What a P4Info describes; all mappings are by id."""

    tables: Mapping[int, TableInfo]
    counters: Mapping[int, CounterInfo]
    registers: Mapping[int, RegisterInfo]
    meters: Mapping[int, MeterInfo]
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
        return cls(
            tables={
                t.preamble.id: _table(t, actions, direct.get(t.preamble.id), types) for t in p4info.tables
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
            digests={d.preamble.id: _digest(d, types) for d in p4info.digests},
            packet_in=_controller_header("packet_in", p4info),
            packet_out=_controller_header("packet_out", p4info),
        )

    def check(self, program: Program) -> None:
        """Raises P4InfoError when this P4Info is not that of the program."""
        for table in self.tables.values():
            _check_table(table, _named(program.tables, table.name, "table"))
        for counter in self.counters.values():
            _check_size(counter, _named(program.counters, counter.name, "counter"))
        for meter in self.meters.values():
            _check_size(meter, _named(program.meters, meter.name, "meter"))
        for register in self.registers.values():
            array = _named(program.registers, register.name, "register")
            _check_size(register, array)
            if register.bits not in (None, array.bits):
                raise P4InfoError(
                    f"register {register.name} has {register.bits} bits in the P4Info, "
                    f"{array.bits} in the program"
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


def _match_field(table: str, field: p4i.MatchField, types: p4t.P4TypeInfo) -> MatchField:
    kind = _MATCH_KINDS.get(field.match_type)
    if kind is None:
        what = field.other_match_type or "none"
        raise P4InfoError(f"table {table}: this switch does not know the match type of {field.name}: {what}")
    return MatchField(
        field.id,
        field.name,
        kind,
        _width(f"table {table}", field.name, field.bitwidth, field.type_name, types, at_least=0),
        optional=field.match_type == p4i.MatchField.OPTIONAL,
    )


def _table(
    table: p4i.Table, actions: Mapping[int, Action], direct_counter: CounterUnit | None, types: p4t.P4TypeInfo
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
    return TableInfo(
        id=table.preamble.id,
        name=name,
        fields=tuple(_match_field(name, field, types) for field in table.match_fields),
        actions=choices,
        const_default=table.const_default_action_id != 0,
        const_entries=table.is_const_table,
        idle_timeouts=table.idle_timeout_behavior == p4i.Table.NOTIFY_CONTROL,
        direct_counter=direct_counter,
    )


def _unit(spec: p4i.CounterSpec) -> CounterUnit:
    return CounterUnit(
        packets=spec.unit != p4i.CounterSpec.BYTES,
        octets=spec.unit != p4i.CounterSpec.PACKETS,
    )


def _meter(meter: p4i.Meter) -> MeterInfo:
    if meter.spec.type != p4i.MeterSpec.TWO_RATE_THREE_COLOR:
        raise P4InfoError(f"meter {meter.preamble.name}: this switch has meters of two rates only")
    return MeterInfo(meter.preamble.id, meter.preamble.name, meter.size)


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
    fields = []
    for number, (member, member_type) in enumerate(members, start=1):
        bits = _unsigned_bits(member_type, types)
        if bits is None:
            raise P4InfoError(f"digest {name}: {member} is not a bit<W>; this switch sends no other type")
        fields.append(Field(number, member, bits))
    return DigestInfo(digest.preamble.id, name, struct, tuple(fields))


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


def _named(objects: Mapping[str, T], name: str, kind: str) -> T:
    try:
        return objects[name]
    except KeyError:
        raise P4InfoError(
            f"the P4Info has a {kind} {name}, the program has none: are they of the same program?"
        ) from None


def _check_table(info: TableInfo, table: Table) -> None:
    described = [(field.kind, field.bits) for field in info.fields]
    actual = [(key.kind, key.bits) for key in table.keys]
    agree = len(described) == len(actual) and all(
        kind == key.kind and bits in (0, key.bits)
        for (kind, bits), key in zip(described, table.keys, strict=True)
    )
    if not agree:
        raise P4InfoError(
            f"table {info.name}: its key is {_key(described)} in the P4Info, {_key(actual)} in the program"
        )
    if info.direct_counter is not None and table.direct_counter is None:
        raise P4InfoError(f"table {info.name}: the P4Info gives it a direct counter, the program does not")
    for choice in info.actions.values():
        action = choice.action
        params = table.actions.get(action.name)
        if params is None:
            raise P4InfoError(f"table {info.name}: the program has no action {action.name} in it")
        if [param.bits for param in action.params] != [param.bits for param in params]:
            raise P4InfoError(f"action {action.name}: the P4Info and the program disagree on its parameters")


def _key(fields: list[tuple[MatchKind, int]]) -> str:
    return "(" + ", ".join(f"{kind} {bits}" for kind, bits in fields) + ")"


def _check_size(info: CounterInfo | RegisterInfo | MeterInfo, array: Array) -> None:
    if info.size != array.size:
        raise P4InfoError(f"{info.name}: the P4Info says {info.size} cells, the program has {array.size}")
