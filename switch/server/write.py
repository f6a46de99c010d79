"""Updates, one by one: what each kind of entity means for the engine (specification, "P4 Entity Messages").

`apply` raises RequestError or EngineError, and has changed nothing then.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from finsy.proto import p4r

from switch.entries import Entry, Rates
from switch.server.pipeline import Annotations, Pipeline, TableState
from switch.server.profiles import profile_of
from switch.server.status import denied, invalid, out_of_range, unimplemented
from switch.server.tables import TableCodec
from switch.server.values import decode

NO_COLOR_COUNTERS = "this switch does not count a meter's packets by colour"
NO_DIRECT_OF_DEFAULT = "v1model has no direct counter or meter of the default action"

INSERT, MODIFY, DELETE = p4r.Update.INSERT, p4r.Update.MODIFY, p4r.Update.DELETE


def apply(pipeline: Pipeline, update: p4r.Update) -> None:
    """Carry out one update."""
    kind = update.entity.WhichOneof("entity")
    if kind is None:
        raise invalid("the update has no entity")
    handler = _HANDLERS.get(kind)
    if handler is None:
        raise unimplemented(f"this switch has no {kind}")
    if update.type not in (INSERT, MODIFY, DELETE):  # enumerations are open: it may be any number
        raise invalid("the update's type is none of INSERT, MODIFY and DELETE")
    handler(pipeline, update.type, getattr(update.entity, kind))


def table_state(pipeline: Pipeline, table_id: int) -> TableState:
    """Raises RequestError when the P4Info has no such table."""
    try:
        return pipeline.tables[table_id]
    except KeyError:
        raise invalid(f"there is no table with id {table_id}") from None


# ---- Tables ----


def _table_entry(pipeline: Pipeline, kind: int, entry: p4r.TableEntry) -> None:
    state = table_state(pipeline, entry.table_id)
    if kind != DELETE:
        _check_extras(state, entry)
    if entry.is_default_action:
        _default_entry(pipeline, state, kind, entry)
    elif kind == INSERT:
        _insert(pipeline, state, entry)
    elif kind == MODIFY:
        _modify(pipeline, state, entry)
    else:
        _delete(pipeline, state, entry)


def _check_extras(state: TableState, entry: p4r.TableEntry) -> None:
    name = state.codec.name
    if entry.is_const:
        raise invalid(f"{name}: is_const is the switch's to set")
    if entry.HasField("time_since_last_hit"):
        raise invalid(f"{name}: time_since_last_hit is the switch's to set")
    if not state.codec.info.direct_meter:
        if entry.HasField("meter_config") or entry.HasField("meter_counter_data"):
            raise invalid(f"{name} has no direct meter")
    elif entry.HasField("meter_config"):
        _rates(name, entry.meter_config)
    if entry.HasField("meter_counter_data"):
        raise unimplemented(f"{name}: {NO_COLOR_COUNTERS}")
    if entry.HasField("counter_data"):
        if state.codec.info.direct_counter is None:
            raise invalid(f"{name} has no direct counter")
        _counts(entry.counter_data)


def _insert(pipeline: Pipeline, state: TableState, message: p4r.TableEntry) -> None:
    codec = state.codec
    if codec.info.const_entries:
        raise denied(f"{codec.name} is a constant table")
    if not codec.info.fields:
        raise invalid(f"{codec.name} has no key: only its default action can be set")
    if not message.HasField("action"):
        raise invalid(f"{codec.name}: an entry needs an action")
    entry = codec.entry(message)
    pipeline.engine.insert(codec.name, entry)
    if codec.profile is not None:
        codec.profile.exchanged(None, entry.target)
    _write_direct(pipeline, codec, entry, message)
    state.annotate((entry.match, entry.priority), Annotations.of(message))


def _write_direct(pipeline: Pipeline, codec: TableCodec, entry: Entry, message: p4r.TableEntry) -> None:
    """The entry's own counter and meter. An unset meter is the default one, an unset counter stays."""
    if message.HasField("counter_data"):
        counts = _counts(message.counter_data)
        pipeline.engine.direct_counter_write(codec.name, entry.match, entry.priority, *counts)
    if codec.info.direct_meter:
        rates = _rates(codec.name, message.meter_config) if message.HasField("meter_config") else None
        pipeline.engine.direct_meter_write(codec.name, entry.match, entry.priority, rates)


def _modify(pipeline: Pipeline, state: TableState, message: p4r.TableEntry) -> None:
    codec = state.codec
    if message.HasField("action"):
        if codec.info.const_entries:
            raise denied(f"{codec.name} is a constant table: an entry's action cannot be changed")
        entry = codec.entry(message)
        if codec.profile is not None:
            before = pipeline.engine.entry(codec.name, entry.match, entry.priority)
            pipeline.engine.modify(codec.name, entry)
            codec.profile.exchanged(before.target, entry.target)
        else:
            pipeline.engine.modify(codec.name, entry)
    else:
        entry = pipeline.engine.entry(codec.name, *codec.key(message))
        timeout = codec.idle_timeout(message)
        if timeout != entry.idle_timeout_ns:
            entry = replace(entry, idle_timeout_ns=timeout)
            pipeline.engine.modify(codec.name, entry)
    _write_direct(pipeline, codec, entry, message)
    state.annotate((entry.match, entry.priority), Annotations.of(message))


def _delete(pipeline: Pipeline, state: TableState, message: p4r.TableEntry) -> None:
    codec = state.codec
    if codec.info.const_entries:
        raise denied(f"{codec.name} is a constant table")
    match, priority = codec.key(message)
    if codec.profile is not None:
        before = pipeline.engine.entry(codec.name, match, priority)
        pipeline.engine.delete(codec.name, match, priority)
        codec.profile.exchanged(before.target, None)
    else:
        pipeline.engine.delete(codec.name, match, priority)
    state.annotate((match, priority), None)


def _default_entry(pipeline: Pipeline, state: TableState, kind: int, message: p4r.TableEntry) -> None:
    codec = state.codec
    if kind != MODIFY:
        raise invalid(f"{codec.name}: the default entry always exists; it can only be modified")
    if message.match or message.priority:
        raise invalid(f"{codec.name}: the default entry has neither match nor priority")
    if codec.info.const_default:
        raise denied(f"{codec.name}: the default action is constant")
    if message.HasField("counter_data") or message.HasField("meter_config"):
        raise unimplemented(f"{codec.name}: {NO_DIRECT_OF_DEFAULT}")
    if message.idle_timeout_ns:
        raise invalid(f"{codec.name}: the default entry has no idle timeout")
    if message.HasField("action"):
        action, data = codec.action(message.action, default=True)
        pipeline.engine.set_default(codec.name, action, data)
        state.annotate(None, Annotations.of(message))
        state.default_written = True
    else:
        pipeline.engine.reset_default(codec.name)
        state.annotate(None, None)
        state.default_written = False


# ---- Counters, registers and meters ----


def checked_index(name: str, size: int, index: int) -> int:
    """Raises RequestError when the array has no such cell."""
    if index < 0:
        raise invalid(f"{name}: index {index} is negative")
    if index >= size:
        raise out_of_range(f"{name} has {size} cells; there is none with index {index}")
    return index


def _counts(data: p4r.CounterData) -> tuple[int, int]:
    """(packets, bytes). Raises RequestError when one is negative."""
    if data.packet_count < 0 or data.byte_count < 0:
        raise invalid("a counter cannot be negative")
    return data.packet_count, data.byte_count


def _only_modify(kind: int, what: str) -> None:
    if kind != MODIFY:
        raise invalid(f"a {what} always exists; it can only be modified")


def _counter_entry(pipeline: Pipeline, kind: int, entry: p4r.CounterEntry) -> None:
    _only_modify(kind, "counter")
    info = pipeline.schema.counters.get(entry.counter_id)
    if info is None:
        raise invalid(f"there is no indirect counter with id {entry.counter_id}")
    indices = range(info.size)
    if entry.HasField("index"):
        index = checked_index(info.name, info.size, entry.index.index)
        indices = range(index, index + 1)
    if entry.HasField("data"):
        counts = _counts(entry.data)
        for index in indices:
            pipeline.engine.counters[info.name].write(index, *counts)


def _direct_counter_entry(pipeline: Pipeline, kind: int, entry: p4r.DirectCounterEntry) -> None:
    _only_modify(kind, "direct counter")
    codec = table_state(pipeline, entry.table_entry.table_id).codec
    if codec.info.direct_counter is None:
        raise invalid(f"{codec.name} has no direct counter")
    if entry.table_entry.is_default_action:
        raise unimplemented(f"{codec.name}: {NO_DIRECT_OF_DEFAULT}")
    match, priority = codec.key(entry.table_entry)
    if entry.HasField("data"):
        pipeline.engine.direct_counter_write(codec.name, match, priority, *_counts(entry.data))
    else:
        pipeline.engine.entry(codec.name, match, priority)  # it must exist


def _register_entry(pipeline: Pipeline, kind: int, entry: p4r.RegisterEntry) -> None:
    _only_modify(kind, "register")
    info = pipeline.schema.registers.get(entry.register_id)
    if info is None:
        raise invalid(f"there is no register with id {entry.register_id}")
    if info.bits is None:
        raise unimplemented(f"{info.name}: this switch can write registers of bit<W> only")
    indices = range(info.size)
    if entry.HasField("index"):
        index = checked_index(info.name, info.size, entry.index.index)
        indices = range(index, index + 1)
    if entry.data.WhichOneof("data") != "bitstring":
        raise invalid(f"{info.name} holds bit<{info.bits}>: data must be a bitstring")
    value = decode(entry.data.bitstring, info.bits, info.name)
    for index in indices:
        pipeline.engine.registers[info.name].write(index, value)


def _meter_entry(pipeline: Pipeline, kind: int, entry: p4r.MeterEntry) -> None:
    """Without a config: back to none, with which every packet is green."""
    _only_modify(kind, "meter")
    info = pipeline.schema.meters.get(entry.meter_id)
    if info is None:
        raise invalid(f"there is no indirect meter with id {entry.meter_id}")
    if entry.HasField("counter_data"):
        raise unimplemented(f"{info.name}: {NO_COLOR_COUNTERS}")
    indices = range(info.size)
    if entry.HasField("index"):
        index = checked_index(info.name, info.size, entry.index.index)
        indices = range(index, index + 1)
    rates = _rates(info.name, entry.config) if entry.HasField("config") else None
    for index in indices:
        if rates is not None:
            pipeline.engine.meters[info.name].write(index, rates)
        else:
            pipeline.engine.meters[info.name].reset(index)


def _rates(name: str, config: p4r.MeterConfig) -> Rates:
    """Raises RequestError."""
    if config.eburst:
        raise invalid(f"{name}: eburst is for meters of a single rate")
    if min(config.cir, config.cburst, config.pir, config.pburst) < 0:
        raise invalid(f"{name}: rates and bursts cannot be negative")
    if config.cir > config.pir:
        raise invalid(f"{name}: the committed rate {config.cir} is above the peak rate {config.pir}")
    return Rates(cir=config.cir, cburst=config.cburst, pir=config.pir, pburst=config.pburst)


def _direct_meter_entry(pipeline: Pipeline, kind: int, entry: p4r.DirectMeterEntry) -> None:
    """As `_meter_entry`."""
    _only_modify(kind, "direct meter")
    codec = metered_table(pipeline, entry.table_entry)
    if entry.HasField("counter_data"):
        raise unimplemented(f"{codec.name}: {NO_COLOR_COUNTERS}")
    rates = _rates(codec.name, entry.config) if entry.HasField("config") else None
    match, priority = codec.key(entry.table_entry)
    pipeline.engine.direct_meter_write(codec.name, match, priority, rates)


def metered_table(pipeline: Pipeline, entry: p4r.TableEntry) -> TableCodec:
    """Raises RequestError when the entry can have no direct meter."""
    codec = table_state(pipeline, entry.table_id).codec
    if not codec.info.direct_meter:
        raise invalid(f"{codec.name} has no direct meter")
    if entry.is_default_action:
        raise unimplemented(f"{codec.name}: {NO_DIRECT_OF_DEFAULT}")
    return codec


# ---- Action profiles and value sets ----


def _member(pipeline: Pipeline, kind: int, member: p4r.ActionProfileMember) -> None:
    profile_of(pipeline.profiles, member.action_profile_id).write_member(kind, member)


def _group(pipeline: Pipeline, kind: int, group: p4r.ActionProfileGroup) -> None:
    profile_of(pipeline.profiles, group.action_profile_id).write_group(kind, group)


def _value_set_entry(pipeline: Pipeline, kind: int, entry: p4r.ValueSetEntry) -> None:
    _only_modify(kind, "value set")
    if entry.value_set_id not in pipeline.value_sets:
        raise invalid(f"there is no value set with id {entry.value_set_id}")
    pipeline.value_sets[entry.value_set_id].write(entry)


# ---- Packet replication and digests ----


def _replication_entry(pipeline: Pipeline, kind: int, entry: p4r.PacketReplicationEngineEntry) -> None:
    pipeline.replication.write(kind, entry)


def _digest_entry(pipeline: Pipeline, kind: int, entry: p4r.DigestEntry) -> None:
    if kind == INSERT:
        pipeline.digests.insert(entry)
    elif kind == MODIFY:
        pipeline.digests.modify(entry)
    else:
        pipeline.digests.delete(entry)


_HANDLERS: dict[str, Callable[[Pipeline, int, Any], None]] = {
    "table_entry": _table_entry,
    "counter_entry": _counter_entry,
    "direct_counter_entry": _direct_counter_entry,
    "register_entry": _register_entry,
    "meter_entry": _meter_entry,
    "direct_meter_entry": _direct_meter_entry,
    "action_profile_member": _member,
    "action_profile_group": _group,
    "value_set_entry": _value_set_entry,
    "packet_replication_engine_entry": _replication_entry,
    "digest_entry": _digest_entry,
}
