"""Reads: from a request's filters to entities (specification, "Wildcard Reads" and "Table Wildcard Reads").

Tables and groups are copied when a reader is called, so that a request sees one state between two writes.
The copies are encoded, and cells of counters, registers and meters read, only as the entities are taken:
cells are volatile anyway, and a slow client must not hold up writes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from finsy.proto import p4d, p4r

from switch.entries import Entry, Rates
from switch.errors import NoSuchEntry
from switch.p4info import CounterInfo, CounterUnit, MeterInfo, RegisterInfo, TableInfo
from switch.server.native_reads import Told
from switch.server.pipeline import Annotations, EntryKey, Pipeline, TableState, show
from switch.server.profiles import selected
from switch.server.status import invalid, not_found, unimplemented
from switch.server.values import encode
from switch.server.write import (
    NO_COLOR_COUNTERS,
    NO_DIRECT_OF_DEFAULT,
    checked_index,
    metered_table,
    table_state,
)
from switch.table import Snapshot

NANOSECONDS = 1000
"""In a microsecond."""

Entities = Iterable[p4r.Entity | bytes]
"""Octets: of a ReadResponse with the usual table entries, which C has encoded."""


def entities(pipeline: Pipeline, wanted: p4r.Entity) -> Iterator[p4r.Entity]:
    """As `select`, without octets."""
    return _decoded(select(pipeline, wanted))


def _decoded(found: Entities) -> Iterator[p4r.Entity]:
    for one in found:
        if isinstance(one, bytes):
            yield from p4r.ReadResponse.FromString(one).entities
        else:
            yield one


def select(pipeline: Pipeline, wanted: p4r.Entity) -> Entities:
    """What a filter selects. Raises RequestError or EngineError when it is no valid filter."""
    kind = wanted.WhichOneof("entity")
    if kind is None:
        raise invalid("the request has an empty entity: say what kind of entity to read")
    reader = _READERS.get(kind)
    if reader is None:
        return _absent(kind, getattr(wanted, kind))
    return reader(pipeline, getattr(wanted, kind))


def _absent(kind: str, wanted: Any) -> Entities:
    """Kinds that no program in this switch has: all of them are none."""
    if wanted.ByteSize():
        raise unimplemented(f"this switch has no {kind}")
    return []


# ---- Tables ----


def _table_entries(pipeline: Pipeline, wanted: p4r.TableEntry) -> Entities:
    if wanted.table_id == 0:
        return _all_tables(pipeline, wanted)
    state = table_state(pipeline, wanted.table_id)
    info = state.codec.info
    if wanted.HasField("counter_data") and info.direct_counter is None:
        raise invalid(f"{info.name} has no direct counter")
    if not info.direct_meter and (wanted.HasField("meter_config") or wanted.HasField("meter_counter_data")):
        raise invalid(f"{info.name} has no direct meter")
    if wanted.HasField("meter_counter_data"):
        raise unimplemented(f"{info.name}: {NO_COLOR_COUNTERS}")
    if wanted.HasField("time_since_last_hit") and not info.idle_timeouts:
        raise invalid(f"{info.name} does not support idle timeouts")
    return _one_table(pipeline, state, wanted)


def _all_tables(pipeline: Pipeline, wanted: p4r.TableEntry) -> Entities:
    _check_unfiltered(wanted)
    tables = [_one_table(pipeline, state, wanted) for state in pipeline.tables.values()]
    return (entity for table in tables for entity in table)


def _check_unfiltered(wanted: p4r.TableEntry) -> None:
    """Of all tables: raises RequestError when there is a filter besides."""
    annotations = wanted.metadata or wanted.controller_metadata
    if wanted.match or wanted.priority or wanted.HasField("action") or annotations:
        raise invalid("entries can only be filtered within a table: table_id is missing")


def _one_table(pipeline: Pipeline, state: TableState, wanted: p4r.TableEntry) -> Entities:
    if wanted.is_default_action:
        return _default_entry(pipeline, state, wanted)
    entries = _selected(pipeline, state, wanted)
    if state.in_c is not None and isinstance(entries, Snapshot) and not state.annotations:
        return pipeline.reads.responses(state, entries, _told(state.codec.info, wanted))
    annotations = dict(state.annotations)
    return _encoded(pipeline, state, entries, annotations, wanted)


def _told(info: TableInfo, wanted: p4r.TableEntry) -> Told:
    told = Told.ACTION
    if info.direct_counter is not None and wanted.HasField("counter_data"):
        told |= Told.COUNTER
    if info.direct_meter and wanted.HasField("meter_config"):
        told |= Told.RATES
    if info.idle_timeouts and wanted.HasField("time_since_last_hit"):
        told |= Told.LAST_HIT
    return told


def _selected(pipeline: Pipeline, state: TableState, wanted: p4r.TableEntry) -> list[Entry] | Snapshot:
    codec = state.codec
    by_action = wanted.HasField("action")
    action = codec.action_name(wanted.action.action.action_id) if by_action else ""
    exact_key = wanted.match and (wanted.priority or not codec.needs_priority)
    if exact_key:
        match, priority = codec.key(wanted)
        try:
            entries = [pipeline.engine.entry(codec.name, match, priority)]
        except NoSuchEntry:
            return []
    else:
        entries = pipeline.engine.snapshot(codec.name)
        if wanted.match:
            match = codec.match(wanted.match)
            entries = [entry for entry in entries if entry.match == match]
        if wanted.priority:
            entries = [entry for entry in entries if entry.priority == wanted.priority]
    if by_action:
        entries = [entry for entry in entries if entry.action == action]
    if wanted.metadata or wanted.controller_metadata:
        entries = [entry for entry in entries if _has_annotations(state, entry, wanted)]
    return entries


def _has_annotations(state: TableState, entry: Entry, wanted: p4r.TableEntry) -> bool:
    found = state.annotations.get((entry.match, entry.priority), Annotations(b"", 0))
    return wanted.metadata in (b"", found.metadata) and wanted.controller_metadata in (
        0,
        found.controller_metadata,
    )


def table_entry(pipeline: Pipeline, wanted: p4r.TableEntry) -> p4r.TableEntry:
    """The one entry with this match and priority, with what `wanted` asks for besides.

    Raises RequestError, or NoSuchEntry.
    """
    state = table_state(pipeline, wanted.table_id)
    match, priority = state.codec.key(wanted)
    entry = pipeline.engine.entry(state.codec.name, match, priority)
    return table_entry_message(pipeline, state, entry, state.annotations, wanted)


def _encoded(
    pipeline: Pipeline,
    state: TableState,
    entries: Iterable[Entry],
    annotations: Mapping[EntryKey | None, Annotations],
    wanted: p4r.TableEntry,
) -> Iterator[p4r.Entity]:
    for entry in entries:
        try:
            message = table_entry_message(pipeline, state, entry, annotations, wanted)
        except NoSuchEntry:
            continue  # deleted since it was listed
        yield p4r.Entity(table_entry=message)


def table_entry_message(
    pipeline: Pipeline,
    state: TableState,
    entry: Entry,
    annotations: Mapping[EntryKey | None, Annotations],
    wanted: p4r.TableEntry,
) -> p4r.TableEntry:
    """An entry; with its counter, meter and time since the last hit if those fields are set in `wanted`.

    Raises NoSuchEntry when one of those is asked for, and the entry is gone.
    """
    codec, engine = state.codec, pipeline.engine
    key = (codec.name, entry.match, entry.priority)
    message = codec.encode_entry(entry)
    message.is_const = engine.tables[codec.name].immutable and not codec.info.initial_entries
    show(annotations.get((entry.match, entry.priority)), message)
    unit = codec.info.direct_counter
    if unit is not None and wanted.HasField("counter_data"):
        message.counter_data.CopyFrom(_counter_data(unit, *engine.direct_counter_read(*key)))
    if codec.info.direct_meter and wanted.HasField("meter_config"):
        rates = engine.direct_meter_read(*key)
        if rates is not None:
            message.meter_config.CopyFrom(_meter_config(rates))
    if codec.info.idle_timeouts and wanted.HasField("time_since_last_hit"):
        message.time_since_last_hit.elapsed_ns = engine.time_since_hit(*key) * NANOSECONDS
    return message


def _default_entry(pipeline: Pipeline, state: TableState, wanted: p4r.TableEntry) -> list[p4r.Entity]:
    codec = state.codec
    if wanted.match or wanted.priority:
        raise invalid(f"{codec.name}: the default entry has neither match nor priority")
    if wanted.idle_timeout_ns or wanted.HasField("time_since_last_hit"):
        raise invalid(f"{codec.name}: the default entry has no idle timeout")
    default = pipeline.engine.default(codec.name)
    if default is None:
        return []
    action, data = default
    if wanted.HasField("action") and codec.action_name(wanted.action.action.action_id) != action:
        return []
    message = p4r.TableEntry(
        table_id=codec.info.id,
        is_default_action=True,
        action=codec.encode_action(action, data),
        is_const=codec.info.const_default,
    )
    show(state.annotations.get(None), message)
    return [p4r.Entity(table_entry=message)]


# ---- Counters, registers and meters ----


def _counter_data(unit: CounterUnit, packets: int, octets: int) -> p4r.CounterData:
    return p4r.CounterData(
        packet_count=packets if unit.packets else 0, byte_count=octets if unit.octets else 0
    )


def _indices(
    info: CounterInfo | RegisterInfo | MeterInfo,
    wanted: p4r.CounterEntry | p4r.RegisterEntry | p4r.MeterEntry,
) -> range:
    if not wanted.HasField("index"):
        return range(info.size)
    index = checked_index(info.name, info.size, wanted.index.index)
    return range(index, index + 1)


def _counter_entries(pipeline: Pipeline, wanted: p4r.CounterEntry) -> Entities:
    if wanted.counter_id == 0:
        counters = list(pipeline.schema.counters.values())
    elif wanted.counter_id in pipeline.schema.counters:
        counters = [pipeline.schema.counters[wanted.counter_id]]
    else:
        raise invalid(f"there is no indirect counter with id {wanted.counter_id}")
    cells = [(info, _indices(info, wanted)) for info in counters]
    return (
        p4r.Entity(
            counter_entry=p4r.CounterEntry(
                counter_id=info.id,
                index=p4r.Index(index=index),
                data=_counter_data(info.unit, *pipeline.engine.counters[info.name].read(index)),
            )
        )
        for info, indices in cells
        for index in indices
    )


def _direct_counter_entries(pipeline: Pipeline, wanted: p4r.DirectCounterEntry) -> Entities:
    key = wanted.table_entry
    if key.table_id == 0:
        _check_unfiltered(key)
        states = [s for s in pipeline.tables.values() if s.codec.info.direct_counter is not None]
    else:
        states = [table_state(pipeline, key.table_id)]
        if states[0].codec.info.direct_counter is None:
            raise invalid(f"{states[0].codec.name} has no direct counter")
    if key.is_default_action:
        raise unimplemented(NO_DIRECT_OF_DEFAULT)
    found = [(state, _selected(pipeline, state, key)) for state in states]
    if key.match and not any(entries for _, entries in found):
        raise not_found(f"{states[0].codec.name} has no such entry")
    return (entity for state, entries in found for entity in _direct_counters(pipeline, state, entries))


def _direct_counters(
    pipeline: Pipeline, state: TableState, entries: list[Entry] | Snapshot
) -> Iterator[p4r.Entity | bytes]:
    if state.in_c is not None and isinstance(entries, Snapshot):
        yield from pipeline.reads.responses(state, entries, Told.COUNTER)
        return
    codec = state.codec
    unit = codec.info.direct_counter
    assert unit is not None
    for entry in entries:
        try:
            counts = pipeline.engine.direct_counter_read(codec.name, entry.match, entry.priority)
        except NoSuchEntry:
            continue  # deleted since it was listed
        yield p4r.Entity(
            direct_counter_entry=p4r.DirectCounterEntry(
                table_entry=codec.encode_key(entry.match, entry.priority), data=_counter_data(unit, *counts)
            )
        )


def _register_entries(pipeline: Pipeline, wanted: p4r.RegisterEntry) -> Entities:
    if wanted.register_id == 0:
        registers = list(pipeline.schema.registers.values())
    elif wanted.register_id in pipeline.schema.registers:
        registers = [pipeline.schema.registers[wanted.register_id]]
    else:
        raise invalid(f"there is no register with id {wanted.register_id}")
    for info in registers:
        if info.bits is None:
            raise unimplemented(f"{info.name}: this switch can read registers of bit<W> only")
    cells = [(info, _indices(info, wanted)) for info in registers]
    return (
        p4r.Entity(
            register_entry=p4r.RegisterEntry(
                register_id=info.id,
                index=p4r.Index(index=index),
                data=p4d.P4Data(bitstring=encode(pipeline.engine.registers[info.name].read(index))),
            )
        )
        for info, indices in cells
        for index in indices
    )


def _meter_entries(pipeline: Pipeline, wanted: p4r.MeterEntry) -> Entities:
    if wanted.meter_id == 0:
        meters = list(pipeline.schema.meters.values())
    elif wanted.meter_id in pipeline.schema.meters:
        meters = [pipeline.schema.meters[wanted.meter_id]]
    else:
        raise invalid(f"there is no indirect meter with id {wanted.meter_id}")
    if wanted.HasField("counter_data"):
        raise unimplemented(NO_COLOR_COUNTERS)
    cells = [(info, _indices(info, wanted)) for info in meters]
    return (_meter_entry(pipeline, info, index) for info, indices in cells for index in indices)


def _meter_entry(pipeline: Pipeline, info: MeterInfo, index: int) -> p4r.Entity:
    entry = p4r.MeterEntry(meter_id=info.id, index=p4r.Index(index=index))
    rates = pipeline.engine.meters[info.name].read(index)
    if rates is not None:
        entry.config.CopyFrom(_meter_config(rates))
    return p4r.Entity(meter_entry=entry)


def _meter_config(rates: Rates) -> p4r.MeterConfig:
    return p4r.MeterConfig(cir=rates.cir, cburst=rates.cburst, pir=rates.pir, pburst=rates.pburst)


def _direct_meter_entries(pipeline: Pipeline, wanted: p4r.DirectMeterEntry) -> Entities:
    key = wanted.table_entry
    if wanted.HasField("counter_data"):
        raise unimplemented(NO_COLOR_COUNTERS)
    if key.table_id == 0:
        _check_unfiltered(key)
        states = [state for state in pipeline.tables.values() if state.codec.info.direct_meter]
    else:
        metered_table(pipeline, key)
        states = [table_state(pipeline, key.table_id)]
    found = [(state, _selected(pipeline, state, key)) for state in states]
    if key.match and not any(entries for _, entries in found):
        raise not_found(f"{states[0].codec.name} has no such entry")
    return (entity for state, entries in found for entity in _direct_meters(pipeline, state, entries))


def _direct_meters(pipeline: Pipeline, state: TableState, entries: Iterable[Entry]) -> Iterator[p4r.Entity]:
    codec = state.codec
    for entry in entries:
        try:
            rates = pipeline.engine.direct_meter_read(codec.name, entry.match, entry.priority)
        except NoSuchEntry:
            continue  # deleted since it was listed
        key = codec.encode_key(entry.match, entry.priority)
        config = None if rates is None else _meter_config(rates)
        yield p4r.Entity(direct_meter_entry=p4r.DirectMeterEntry(table_entry=key, config=config))


# ---- Action profiles and value sets ----


def _members(pipeline: Pipeline, wanted: p4r.ActionProfileMember) -> list[p4r.Entity]:
    profiles = selected(pipeline.profiles, wanted.action_profile_id)
    if wanted.member_id and not wanted.action_profile_id:
        raise invalid("members are numbered within an action profile: action_profile_id is missing")
    return [
        p4r.Entity(action_profile_member=member)
        for profile in profiles
        for member in profile.members(wanted.member_id)
    ]


def _groups(pipeline: Pipeline, wanted: p4r.ActionProfileGroup) -> list[p4r.Entity]:
    profiles = selected(pipeline.profiles, wanted.action_profile_id)
    if wanted.group_id and not wanted.action_profile_id:
        raise invalid("groups are numbered within an action profile: action_profile_id is missing")
    return [
        p4r.Entity(action_profile_group=group)
        for profile in profiles
        for group in profile.groups(wanted.group_id)
    ]


def _value_set_entries(pipeline: Pipeline, wanted: p4r.ValueSetEntry) -> list[p4r.Entity]:
    if wanted.value_set_id == 0:
        codecs = list(pipeline.value_sets.values())
    elif wanted.value_set_id in pipeline.value_sets:
        codecs = [pipeline.value_sets[wanted.value_set_id]]
    else:
        raise invalid(f"there is no value set with id {wanted.value_set_id}")
    return [p4r.Entity(value_set_entry=codec.read()) for codec in codecs]


# ---- Packet replication and digests ----


def _replication_entries(pipeline: Pipeline, wanted: p4r.PacketReplicationEngineEntry) -> list[p4r.Entity]:
    return [p4r.Entity(packet_replication_engine_entry=entry) for entry in pipeline.replication.read(wanted)]


def _digest_entries(pipeline: Pipeline, wanted: p4r.DigestEntry) -> list[p4r.Entity]:
    return [p4r.Entity(digest_entry=entry) for entry in pipeline.digests.entries(wanted.digest_id)]


_READERS: dict[str, Callable[[Pipeline, Any], Entities]] = {
    "table_entry": _table_entries,
    "counter_entry": _counter_entries,
    "direct_counter_entry": _direct_counter_entries,
    "register_entry": _register_entries,
    "meter_entry": _meter_entries,
    "direct_meter_entry": _direct_meter_entries,
    "action_profile_member": _members,
    "action_profile_group": _groups,
    "value_set_entry": _value_set_entries,
    "packet_replication_engine_entry": _replication_entries,
    "digest_entry": _digest_entries,
}
