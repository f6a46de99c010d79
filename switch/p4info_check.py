"""Whether a P4Info is that of the program in the engine."""

from collections.abc import Mapping
from typing import Protocol, TypeVar

from switch.arrays import Array
from switch.entries import MatchKind, Table
from switch.p4info import CounterInfo, MeterInfo, P4InfoError, RegisterInfo, Schema, TableInfo
from switch.profiles import ActionProfile
from switch.value_sets import ValueSet

T = TypeVar("T")


class Program(Protocol):
    """What is compared of an engine."""

    @property
    def tables(self) -> Mapping[str, Table]: ...
    @property
    def counters(self) -> Mapping[str, Array]: ...
    @property
    def registers(self) -> Mapping[str, Array]: ...
    @property
    def meters(self) -> Mapping[str, Array]: ...
    @property
    def action_profiles(self) -> Mapping[str, ActionProfile]: ...
    @property
    def value_sets(self) -> Mapping[str, ValueSet]: ...


def check_schema(schema: Schema, program: Program) -> None:
    """Raises P4InfoError when this P4Info is not that of the program."""
    for table in schema.tables.values():
        _check_table(schema, table, _named(program.tables, table.name, "table"))
    for counter in schema.counters.values():
        _check_size(counter, _named(program.counters, counter.name, "counter"))
    for meter in schema.meters.values():
        _check_size(meter, _named(program.meters, meter.name, "meter"))
    for register in schema.registers.values():
        array = _named(program.registers, register.name, "register")
        _check_size(register, array)
        if register.bits not in (None, array.bits):
            raise P4InfoError(
                f"register {register.name} has {register.bits} bits in the P4Info, "
                f"{array.bits} in the program"
            )
    for profile in schema.profiles.values():
        if (
            profile.with_selector
            != _named(program.action_profiles, profile.name, "action profile").has_groups
        ):
            raise P4InfoError(
                f"action profile {profile.name}: only one of P4Info and program makes it a selector"
            )
    for value_set in schema.value_sets.values():
        bits = sum(field.bits for field in value_set.fields)
        found = _named(program.value_sets, value_set.name, "value set")
        if bits != found.bits:
            raise P4InfoError(
                f"value set {value_set.name} has {bits} bits in the P4Info, {found.bits} in the program"
            )


def _named(objects: Mapping[str, T], name: str, kind: str) -> T:
    try:
        return objects[name]
    except KeyError:
        raise P4InfoError(
            f"the P4Info has a {kind} {name}, the program has none: are they of the same program?"
        ) from None


def _check_table(schema: Schema, info: TableInfo, table: Table) -> None:
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
    if info.direct_meter and table.direct_meter is None:
        raise P4InfoError(f"table {info.name}: the P4Info gives it a direct meter, the program does not")
    if info.idle_timeouts and not table.idle_timeout:
        raise P4InfoError(f"table {info.name}: the P4Info gives it idle timeouts, the program does not")
    profile = schema.profiles[info.action_profile].name if info.action_profile else None
    if profile != table.action_profile:
        raise P4InfoError(
            f"table {info.name}: its action profile is {profile} in the P4Info, "
            f"{table.action_profile} in the program"
        )
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
