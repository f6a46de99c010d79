"""From one pipeline into another: what RECONCILE_AND_COMMIT keeps.

What a controller wrote is kept whole, by P4Runtime's ids, or the new config is refused: table entries,
default actions, members and groups, meters' rates, value sets, replication, digests. What packets wrote,
counts and registers, is kept as far as the new program has the same array. Buckets of meters begin full, as
after any write.
"""

from collections.abc import Iterator

from finsy.proto import p4r

from switch.errors import EngineError
from switch.server import read, write
from switch.server.pipeline import Pipeline
from switch.server.status import RequestError, invalid, refusal

INSERT, MODIFY = p4r.Update.INSERT, p4r.Update.MODIFY


def carry_written(old: Pipeline, new: Pipeline) -> None:
    """What controllers wrote. Raises RequestError (INVALID_ARGUMENT) when it does not fit.

    Entries that the new program begins with give way to what became of those of the old one.
    """
    for id, state in new.tables.items():
        if state.codec.info.initial_entries and id in old.tables:
            name = state.codec.name
            for entry in new.engine.entries(name):
                new.engine.delete(name, entry.match, entry.priority)
    for update in _written(old):
        try:
            write.apply(new, update)
        except (RequestError, EngineError) as error:
            reason = error if isinstance(error, RequestError) else refusal(error)
            raise invalid(f"the state of the running config does not fit into this one: {reason}") from error


def _written(old: Pipeline) -> Iterator[p4r.Update]:
    """In an order in which nothing refers to what comes later."""
    yield from _updates(old, INSERT, p4r.Entity(action_profile_member=p4r.ActionProfileMember()))
    yield from _updates(old, INSERT, p4r.Entity(action_profile_group=p4r.ActionProfileGroup()))
    for state in old.tables.values():
        table = p4r.TableEntry(table_id=state.codec.info.id)
        if state.codec.info.direct_meter:
            table.meter_config.SetInParent()
        if not state.codec.info.const_entries:
            yield from _updates(old, INSERT, p4r.Entity(table_entry=table))
        if state.default_written:
            table = p4r.TableEntry(table_id=state.codec.info.id, is_default_action=True)
            yield from _updates(old, MODIFY, p4r.Entity(table_entry=table))
    for update in _updates(old, MODIFY, p4r.Entity(meter_entry=p4r.MeterEntry())):
        if update.entity.meter_entry.HasField("config"):
            yield update
    for update in _updates(old, MODIFY, p4r.Entity(value_set_entry=p4r.ValueSetEntry())):
        if update.entity.value_set_entry.members:
            yield update
    replication = (
        p4r.PacketReplicationEngineEntry(multicast_group_entry=p4r.MulticastGroupEntry()),
        p4r.PacketReplicationEngineEntry(clone_session_entry=p4r.CloneSessionEntry()),
    )
    for every in replication:
        yield from _updates(old, INSERT, p4r.Entity(packet_replication_engine_entry=every))
    yield from _updates(old, INSERT, p4r.Entity(digest_entry=p4r.DigestEntry()))


def _updates(old: Pipeline, kind: "p4r.Update.Type.ValueType", wanted: p4r.Entity) -> Iterator[p4r.Update]:
    for entity in read.entities(old, wanted):
        yield p4r.Update(type=kind, entity=entity)


def carry_counts(old: Pipeline, new: Pipeline) -> None:
    """What packets wrote. To be called while no packet is processed, after `carry_written`."""
    _carry_direct_counters(old, new)
    _carry_counters(old, new)
    _carry_registers(old, new)


def _carry_direct_counters(old: Pipeline, new: Pipeline) -> None:
    for id, state in old.tables.items():
        counts = new.tables.get(id)
        if counts is None or not (state.codec.info.direct_counter and counts.codec.info.direct_counter):
            continue
        for entry in old.engine.entries(state.codec.name):
            packets, octets = old.engine.direct_counter_read(state.codec.name, entry.match, entry.priority)
            if packets:
                new.engine.direct_counter_write(
                    counts.codec.name, entry.match, entry.priority, packets, octets
                )


def _carry_counters(old: Pipeline, new: Pipeline) -> None:
    for id, info in old.schema.counters.items():
        kept = new.schema.counters.get(id)
        if kept is None or kept.name != info.name:
            continue
        for index in range(min(info.size, kept.size)):
            packets, octets = old.engine.counters[info.name].read(index)
            if packets or octets:
                new.engine.counters[info.name].write(index, packets, octets)


def _carry_registers(old: Pipeline, new: Pipeline) -> None:
    for id, info in old.schema.registers.items():
        kept = new.schema.registers.get(id)
        if kept is None or (kept.name, kept.bits) != (info.name, info.bits):
            continue
        for index in range(min(info.size, kept.size)):
            value = old.engine.registers[info.name].read(index)
            if value:
                new.engine.registers[info.name].write(index, value)
