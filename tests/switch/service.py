"""The program programs/service.p4 as P4Runtime messages: entities by name."""

from finsy.proto import p4i, p4r

from tests.switch.client import pipeline_config

CONFIG = pipeline_config("service")
P4INFO = CONFIG.p4info

CPU_PORT = 255
TYPE_LEARN, TYPE_COUNT, TYPE_CLONE = 0x1111, 0x2222, 0x3333

ETHERNET_BYTES = 14


def id_of(alias: str) -> int:
    """The id of a table, action, counter, register or digest."""
    kinds = (
        P4INFO.tables,
        P4INFO.actions,
        P4INFO.counters,
        P4INFO.direct_counters,
        P4INFO.registers,
        P4INFO.digests,
    )
    return next(thing.preamble.id for kind in kinds for thing in kind if thing.preamble.alias == alias)


def octets(value: int) -> bytes:
    """A canonical byte string."""
    return value.to_bytes((value.bit_length() + 7) // 8 or 1, "big")


def action(name: str, *values: int) -> p4r.TableAction:
    params = [p4r.Action.Param(param_id=i, value=octets(value)) for i, value in enumerate(values, start=1)]
    return p4r.TableAction(action=p4r.Action(action_id=id_of(name), params=params))


def exact(field: int, value: int | bytes) -> p4r.FieldMatch:
    raw = value if isinstance(value, bytes) else octets(value)
    return p4r.FieldMatch(field_id=field, exact=p4r.FieldMatch.Exact(value=raw))


def lpm(field: int, value: int, length: int) -> p4r.FieldMatch:
    return p4r.FieldMatch(field_id=field, lpm=p4r.FieldMatch.LPM(value=octets(value), prefix_len=length))


def ternary(field: int, value: int, mask: int) -> p4r.FieldMatch:
    return p4r.FieldMatch(
        field_id=field, ternary=p4r.FieldMatch.Ternary(value=octets(value), mask=octets(mask))
    )


def optional(field: int, value: int) -> p4r.FieldMatch:
    return p4r.FieldMatch(field_id=field, optional=p4r.FieldMatch.Optional(value=octets(value)))


def between(field: int, low: int, high: int) -> p4r.FieldMatch:
    return p4r.FieldMatch(field_id=field, range=p4r.FieldMatch.Range(low=octets(low), high=octets(high)))


def table_entry(
    table: str, *match: p4r.FieldMatch, do: p4r.TableAction | None = None, **fields: object
) -> p4r.Entity:
    """fields: of TableEntry."""
    entry = p4r.TableEntry(table_id=id_of(table), match=match, action=do, **fields)  # type: ignore[arg-type]
    return p4r.Entity(table_entry=entry)


def default(table: str, do: p4r.TableAction | None = None, **fields: object) -> p4r.Entity:
    return table_entry(table, do=do, is_default_action=True, **fields)


def bridge(destination: int, do: p4r.TableAction | None = None, **fields: object) -> p4r.Entity:
    """An entry of the table `bridge`."""
    return table_entry("bridge", exact(1, destination), do=do, **fields)


def counter(name: str, index: int | None = None, data: p4r.CounterData | None = None) -> p4r.Entity:
    entry = p4r.CounterEntry(counter_id=id_of(name) if name else 0, data=data)
    if index is not None:
        entry.index.index = index
    return p4r.Entity(counter_entry=entry)


def counts(packets: int, octets: int) -> p4r.CounterData:
    return p4r.CounterData(packet_count=packets, byte_count=octets)


def direct_counter(entry: p4r.Entity, data: p4r.CounterData | None = None) -> p4r.Entity:
    """That of a table entry."""
    return p4r.Entity(direct_counter_entry=p4r.DirectCounterEntry(table_entry=entry.table_entry, data=data))


def register(name: str, index: int | None = None, value: int | bytes | None = None) -> p4r.Entity:
    entry = p4r.RegisterEntry(register_id=id_of(name) if name else 0)
    if index is not None:
        entry.index.index = index
    if value is not None:
        entry.data.bitstring = value if isinstance(value, bytes) else octets(value)
    return p4r.Entity(register_entry=entry)


def replica(port: int, instance: int = 0) -> p4r.Replica:
    return p4r.Replica(port=octets(port), instance=instance)


def group(number: int, *replicas: p4r.Replica, metadata: bytes = b"") -> p4r.Entity:
    entry = p4r.MulticastGroupEntry(multicast_group_id=number, replicas=replicas, metadata=metadata)
    return p4r.Entity(
        packet_replication_engine_entry=p4r.PacketReplicationEngineEntry(multicast_group_entry=entry)
    )


def session(number: int, *replicas: p4r.Replica, class_of_service: int = 0, length: int = 0) -> p4r.Entity:
    entry = p4r.CloneSessionEntry(
        session_id=number, replicas=replicas, class_of_service=class_of_service, packet_length_bytes=length
    )
    return p4r.Entity(
        packet_replication_engine_entry=p4r.PacketReplicationEngineEntry(clone_session_entry=entry)
    )


def digest(max_timeout_ns: int = 0, max_list_size: int = 1, ack_timeout_ns: int = 0) -> p4r.Entity:
    config = p4r.DigestEntry.Config(
        max_timeout_ns=max_timeout_ns, max_list_size=max_list_size, ack_timeout_ns=ack_timeout_ns
    )
    return p4r.Entity(digest_entry=p4r.DigestEntry(digest_id=id_of("learned_t"), config=config))


def frame(
    destination: int, source: int = 0x02_00_00_00_00_01, kind: int = 0x88B5, payload: bytes = bytes(46)
) -> bytes:
    return destination.to_bytes(6, "big") + source.to_bytes(6, "big") + kind.to_bytes(2, "big") + payload


def field_id(header: str, name: str) -> int:
    """The id of a field of `packet_in` or `packet_out`."""
    return next(
        field.id
        for metadata in P4INFO.controller_packet_metadata
        if metadata.preamble.alias == header
        for field in metadata.metadata
        if field.name == name
    )


def table_info(alias: str) -> p4i.Table:
    return next(table for table in P4INFO.tables if table.preamble.alias == alias)


def packet_out(port: int | None, payload: bytes, **more: int) -> p4r.StreamMessageRequest:
    """port None: its metadata is left out. more: other metadata, by name."""
    values = {"unused": 0, "egress_port": port, **more}
    metadata = [
        p4r.PacketMetadata(metadata_id=field_id("packet_out", name), value=octets(value))
        for name, value in values.items()
        if value is not None
    ]
    return p4r.StreamMessageRequest(packet=p4r.PacketOut(payload=payload, metadata=metadata))
