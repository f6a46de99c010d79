"""Rows of tables to P4Runtime messages and back, by the numbers that the P4Info gives to the names."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from finsy.proto import p4i, p4r
from google.protobuf import text_format

from controller import encoding, program
from controller.encoding import SHORT, ExactEntries
from controller.errors import PipelineRefused
from controller.program import Change, Do, Field, Form, Key, Kind, Match, Order, Table
from controller.values import LAST_PORT

EXACT, LPM, TERNARY, RANGE = Match.EXACT, Match.LPM, Match.TERNARY, Match.RANGE

TERNARY_PRIORITY = 1
"""Entries of our ternary table do not overlap in what they do; P4Runtime asks for a priority above 0."""


def parse_p4info(text: str) -> p4i.P4Info:
    """Raises ValueError."""
    try:
        return text_format.Parse(text, p4i.P4Info())
    except text_format.ParseError as error:
        raise ValueError(f"not a P4Info: {error}") from None


@cache
def _encode_short(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8 or 1, "big")


def encode(value: int) -> bytes:
    """The canonical byte string of a value (P4Runtime 8.4): as short as possible, not empty."""
    return _encode_short(value) if value < SHORT else value.to_bytes((value.bit_length() + 7) // 8, "big")


def decode(data: bytes) -> int:
    return int.from_bytes(data, "big")


@dataclass(frozen=True, slots=True)
class _Ids:
    """A table's numbers: its own, those of its key's fields, and of its actions with their parameters."""

    table: int
    fields: tuple[int, ...]
    actions: dict[str, tuple[int, tuple[int, ...]]]
    names: dict[int, str]


class Codec:
    """The messages for one P4Info. Raises PipelineRefused when it lacks a name that we use."""

    def __init__(self, p4info: p4i.P4Info) -> None:
        actions = {action.preamble.id: action for action in p4info.actions}
        tables = {table.preamble.alias: table for table in p4info.tables}
        meters = {meter.preamble.alias: meter for meter in p4info.meters}
        sized = tables | meters
        self.sizes = {table: sized[table.name].size for table in program.TABLES if table.name in sized}
        """How many entries each table has room for."""
        self._ids: dict[Table, _Ids] = {}
        self._exact: dict[Table, ExactEntries] = {}
        self._tables: dict[int, Table] = {}
        for table in (*program.TABLES, *program.CONST_TABLES):
            if table.form is Form.GROUP:
                continue
            if table.form is Form.METER:
                ids = _Ids(_named(meters, table.name, "meter").preamble.id, (), {}, {})
            else:
                ids = _ids_of(table, _named(tables, table.name, "table"), actions)
            self._ids[table] = ids
            self._tables[ids.table] = table
            if table.form is Form.ENTRIES and all(field.match is EXACT for field in table.key):
                self._exact[table] = ExactEntries(ids.table, ids.fields, ids.actions, encode)
        counters = {counter.preamble.alias: counter.preamble.id for counter in p4info.counters}
        self.counters = {name: _named(counters, name, "counter") for name in program.COUNTERS}
        registers = {register.preamble.alias: register.preamble.id for register in p4info.registers}
        self.registers = {name: _named(registers, name, "register") for name in program.REGISTERS}
        headers = {header.preamble.alias: header for header in p4info.controller_packet_metadata}
        self._packet_in = _by_id(_named(headers, "packet_in", "controller header"), program.PACKET_IN)
        self._packet_out = _by_id(_named(headers, "packet_out", "controller header"), program.PACKET_OUT)

    # entries

    def update(self, change: Change) -> bytes:
        """The field of a WriteRequest that makes `change`."""
        kind, table, key, do = change
        always_there = table.form in (Form.DEFAULT, Form.METER)
        return encoding.update(Kind.MODIFY if always_there else kind, self.encoded(table, key, do))

    def encoded(self, table: Table, key: Key, do: Do | None) -> bytes:
        """A row as a serialised Entity; without `do` only its key, as a deletion needs it."""
        if (exact := self._exact.get(table)) is not None:
            return exact.entity(key, do)
        return self.entry(table, key, do).SerializeToString()

    def entry(self, table: Table, key: Key, do: Do | None = None) -> p4r.Entity:
        """A row; without `do` only its key, as a deletion needs it."""
        entity = p4r.Entity()
        self._fill(entity, table, key, do)
        return entity

    def _fill(self, entity: p4r.Entity, table: Table, key: Key, do: Do | None) -> None:
        if table.form is Form.GROUP:
            _fill_group(entity.packet_replication_engine_entry.multicast_group_entry, key, do)
            return
        ids = self._ids[table]
        if table.form is Form.METER:
            (cell,) = key
            _fill_meter(entity.meter_entry, ids.table, cell, do)
            return
        entry = entity.table_entry
        entry.table_id = ids.table
        entry.is_default_action = table.form is Form.DEFAULT
        _fill_match(entry, table, ids, key)
        if do is not None:
            action = entry.action.action
            action.action_id, parameters = ids.actions[do.action]
            add = action.params.add
            for number, value in zip(parameters, do.values, strict=True):
                parameter = add()
                parameter.param_id = number
                parameter.value = encode(value)

    def all_of(self, table: Table) -> p4r.Entity:
        """Asks for every row of a table."""
        if table.form is Form.GROUP:
            everyone = p4r.MulticastGroupEntry(multicast_group_id=0)
            engine = p4r.PacketReplicationEngineEntry(multicast_group_entry=everyone)
            return p4r.Entity(packet_replication_engine_entry=engine)
        number = self._ids[table].table
        if table.form is Form.METER:
            return p4r.Entity(meter_entry=p4r.MeterEntry(meter_id=number))
        default = table.form is Form.DEFAULT
        return p4r.Entity(table_entry=p4r.TableEntry(table_id=number, is_default_action=default))

    def direct_counters_of(self, table: Table) -> p4r.Entity:
        """Asks for the direct counter of every entry of a table."""
        return p4r.Entity(
            direct_counter_entry=p4r.DirectCounterEntry(
                table_entry=p4r.TableEntry(table_id=self._ids[table].table)
            )
        )

    def counter_cells(self, name: str, cells: Iterable[int]) -> list[p4r.Entity]:
        """Asks for cells of an indirect counter."""
        number = self.counters[name]
        return [
            p4r.Entity(counter_entry=p4r.CounterEntry(counter_id=number, index=p4r.Index(index=cell)))
            for cell in cells
        ]

    def register_cells(self, name: str) -> p4r.Entity:
        """Asks for all cells of a register."""
        return p4r.Entity(register_entry=p4r.RegisterEntry(register_id=self.registers[name]))

    def read(self, entity: p4r.Entity) -> tuple[Table, Key, Do] | None:
        """What a row says; None for a meter's cell or a default entry that nobody has set."""
        match entity.WhichOneof("entity"):
            case "meter_entry":
                return self._read_meter(entity.meter_entry)
            case "packet_replication_engine_entry":
                return _read_group(entity.packet_replication_engine_entry.multicast_group_entry)
        if not entity.table_entry.action.action.action_id:
            return None
        return self.read_entry(entity.table_entry)

    def _read_meter(self, entry: p4r.MeterEntry) -> tuple[Table, Key, Do] | None:
        config = entry.config
        if not entry.HasField("config") or not config.cir:
            return None
        do = Do("rate", (config.cir, config.cburst))
        return self._tables[entry.meter_id], (entry.index.index,), do

    def read_entry(self, entry: p4r.TableEntry) -> tuple[Table, Key, Do]:
        """What an entry says. Raises KeyError for a table or action that is not ours."""
        table = self._tables[entry.table_id]
        ids = self._ids[table]
        action = entry.action.action
        name = ids.names[action.action_id]
        values = {parameter.param_id: decode(parameter.value) for parameter in action.params}
        _, parameters = ids.actions[name]
        return table, self.read_key(entry), Do(name, tuple(values[number] for number in parameters))

    def read_key(self, entry: p4r.TableEntry) -> Key:
        ids = self._ids[self._tables[entry.table_id]]
        matches = {match.field_id: match for match in entry.match}
        key: list[int] = []
        for field, number in zip(self._tables[entry.table_id].key, ids.fields, strict=True):
            match = matches.get(number)
            if field.match is EXACT:
                key.append(decode(match.exact.value) if match else 0)
            elif field.match is LPM:
                key += (decode(match.lpm.value), match.lpm.prefix_len) if match else (0, 0)
            elif field.match is TERNARY:
                key += (decode(match.ternary.value), decode(match.ternary.mask)) if match else (0, 0)
            else:
                key += (decode(match.range.low), decode(match.range.high)) if match else (0, LAST_PORT)
        return tuple(key)

    # packets

    def packet_out(self, port: int, payload: bytes, order: Order = Order.SEND) -> p4r.PacketOut:
        values = {"order": order, "port": port}
        return p4r.PacketOut(
            payload=payload,
            metadata=[
                p4r.PacketMetadata(metadata_id=number, value=encode(values[name]))
                for number, name in self._packet_out.items()
            ],
        )

    def packet_in(self, packet: p4r.PacketIn) -> dict[str, int]:
        """The metadata of a packet-in by name."""
        return {
            self._packet_in[item.metadata_id]: decode(item.value)
            for item in packet.metadata
            if item.metadata_id in self._packet_in
        }


def _ids_of(table: Table, described: p4i.Table, actions: dict[int, p4i.Action]) -> _Ids:
    fields = {field.name: field.id for field in described.match_fields}
    offered = {actions[ref.id].preamble.alias: actions[ref.id] for ref in described.action_refs}
    wanted = {
        name: (
            _named(offered, name, f"action of table {table.name}").preamble.id,
            tuple(
                _named({p.name: p.id for p in offered[name].params}, parameter.name, f"parameter of {name}")
                for parameter in parameters
            ),
        )
        for name, parameters in table.actions.items()
    }
    if table.const:  # its actions are names for us, whatever they are
        wanted = {name: (action.preamble.id, ()) for name, action in offered.items()}
    return _Ids(
        described.preamble.id,
        tuple(_named(fields, field.name, f"field of table {table.name}") for field in table.key),
        wanted,
        {number: name for name, (number, _) in wanted.items()},
    )


def _by_id(header: p4i.ControllerPacketMetadata, fields: Iterable[Field]) -> dict[int, str]:
    numbers = {item.name: item.id for item in header.metadata}
    return {_named(numbers, field.name, "packet metadata"): field.name for field in fields}


def _named(things: dict[str, Any], name: str, what: str) -> Any:
    if name not in things:
        raise PipelineRefused(f"the P4Info has no {what} named {name}: it is not of this version's program")
    return things[name]


def _fill_match(entry: p4r.TableEntry, table: Table, ids: _Ids, key: Key) -> None:
    """The fields of a key. One that matches everything must be left out (P4Runtime 9.1.1)."""
    add = entry.match.add
    values = iter(key)
    for field, number in zip(table.key, ids.fields, strict=True):
        value = next(values)
        if field.match is EXACT:
            match = add()
            match.exact.value = encode(value)
        elif field.match is LPM:
            length = next(values)
            if not length:
                continue
            match = add()
            match.lpm.value, match.lpm.prefix_len = encode(value), length
        elif field.match is TERNARY:
            entry.priority = TERNARY_PRIORITY
            mask = next(values)
            if not mask:
                continue
            match = add()
            match.ternary.value, match.ternary.mask = encode(value), encode(mask)
        else:
            last = next(values)
            entry.priority = LAST_PORT + 1 - (last - value)  # of ranges the narrower goes before
            if (value, last) == (0, LAST_PORT):
                continue
            match = add()
            match.range.low, match.range.high = encode(value), encode(last)
        match.field_id = number


def _fill_meter(entry: p4r.MeterEntry, meter: int, cell: int, do: Do | None) -> None:
    """A cell with one rate, or as it is in the beginning: everything passes."""
    entry.meter_id, entry.index.index = meter, cell
    if do is not None:
        entry.config.cir = entry.config.pir = do.values[0]
        entry.config.cburst = entry.config.pburst = do.values[1]


def _fill_group(entry: p4r.MulticastGroupEntry, key: Key, do: Do | None) -> None:
    """A multicast group: of each copy its port and its instance."""
    (entry.multicast_group_id,) = key
    if do is not None:
        for port, instance in zip(do.values[::2], do.values[1::2], strict=True):
            entry.replicas.add(egress_port=port, instance=instance)


def _read_group(entry: p4r.MulticastGroupEntry) -> tuple[Table, Key, Do]:
    copies = sorted((replica.instance, _port_of(replica)) for replica in entry.replicas)
    values = tuple(value for instance, port in copies for value in (port, instance))
    return program.PROBE_GROUPS, (entry.multicast_group_id,), Do("replicas", values)


def _port_of(replica: p4r.Replica) -> int:
    """P4Runtime 1.4 lets a port be a byte string, too."""
    return replica.egress_port if replica.HasField("egress_port") else decode(replica.port)
