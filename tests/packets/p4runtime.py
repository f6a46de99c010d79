"""P4Runtime messages for rows and counters, by the names of the P4Info."""

from dataclasses import dataclass
from pathlib import Path

from finsy.proto import p4i, p4r
from google.protobuf import text_format

from tests.packets.rows import Entry, Masked, Meter, Prefix, Row, Span, Value

COMPILED = Path(__file__).resolve().parents[2] / "p4src" / "compiled"
PIPELINE = COMPILED / "sluice.json"
P4INFO = COMPILED / "sluice.p4info.txtpb"

INSERT = p4r.Update.INSERT
MODIFY = p4r.Update.MODIFY
DELETE = p4r.Update.DELETE


@dataclass(frozen=True, slots=True)
class Count:
    packets: int
    octets: int


def number(value: int) -> bytes:
    """The shortest byte string, as P4Runtime sends numbers."""
    return value.to_bytes((value.bit_length() + 7) // 8 or 1, "big")


class Names:
    """The program's objects by alias, and messages made with them."""

    def __init__(self, p4info: p4i.P4Info) -> None:
        self.p4info = p4info
        self.tables = {table.preamble.alias: table for table in p4info.tables}
        self.actions = {action.preamble.alias: action for action in p4info.actions}
        self.counters = {counter.preamble.alias: counter for counter in p4info.counters}
        self.meters = {meter.preamble.alias: meter for meter in p4info.meters}
        self._fields = {
            alias: {field.name: field for field in table.match_fields} for alias, table in self.tables.items()
        }
        self._params = {
            alias: {param.name: param.id for param in action.params} for alias, action in self.actions.items()
        }
        self.headers = {header.preamble.name: header for header in p4info.controller_packet_metadata}

    @classmethod
    def load(cls, path: Path = P4INFO) -> "Names":
        return cls(text_format.Parse(path.read_text(), p4i.P4Info()))

    # ---- entries

    def _match(self, table: str, name: str, value: Value) -> p4r.FieldMatch | None:
        """None for "don't care", which P4Runtime leaves out."""
        match = p4r.FieldMatch(field_id=self._fields[table][name].id)
        if isinstance(value, Prefix):
            if value.length == 0:
                return None
            match.lpm.value, match.lpm.prefix_len = number(value.value), value.length
        elif isinstance(value, Span):
            if value == Span(0, (1 << self._fields[table][name].bitwidth) - 1):
                return None
            match.range.low, match.range.high = number(value.low), number(value.high)
        elif isinstance(value, Masked):
            if value.mask == 0:
                return None
            match.ternary.value, match.ternary.mask = number(value.value), number(value.mask)
        else:
            match.exact.value = number(value)
        return match

    def key(self, row: Row) -> p4r.TableEntry:
        """An entry with its table, match and priority only."""
        matches = [self._match(row.table, name, value) for name, value in row.match]
        return p4r.TableEntry(
            table_id=self.tables[row.table].preamble.id,
            match=[match for match in matches if match is not None],
            priority=row.priority,
            is_default_action=row.default,
        )

    def entry(self, row: Row) -> p4r.TableEntry:
        entry = self.key(row)
        action = entry.action.action
        action.action_id = self.actions[row.action].preamble.id
        for name, value in row.params:
            action.params.add(param_id=self._params[row.action][name], value=number(value))
        return entry

    def _meter(self, meter: Meter) -> p4r.MeterEntry:
        """Without a rate, which leaves every packet green."""
        return p4r.MeterEntry(
            meter_id=self.meters[meter.meter].preamble.id, index=p4r.Index(index=meter.index)
        )

    def _entity(self, entry: Entry) -> p4r.Entity:
        if isinstance(entry, Row):
            return p4r.Entity(table_entry=self.entry(entry))
        if isinstance(entry, Meter):
            cell = self._meter(entry)
            cell.config.cir = cell.config.pir = entry.rate
            cell.config.cburst = cell.config.pburst = entry.burst
            return p4r.Entity(meter_entry=cell)
        group = p4r.MulticastGroupEntry(multicast_group_id=entry.number)
        for port, instance in entry.copies:
            group.replicas.add(egress_port=port, instance=instance)
        return _replicated(group)

    def insert(self, entry: Entry) -> p4r.Update:
        """Of what is always there, a meter's cell and a table's default action, the first change."""
        always = isinstance(entry, Meter) or (isinstance(entry, Row) and entry.default)
        return p4r.Update(type=MODIFY if always else INSERT, entity=self._entity(entry))

    def modify(self, entry: Entry) -> p4r.Update:
        return p4r.Update(type=MODIFY, entity=self._entity(entry))

    def delete(self, entry: Entry) -> p4r.Update:
        """Of what is always there, the return to what it was at first."""
        if isinstance(entry, Row):
            kind = MODIFY if entry.default else DELETE
            return p4r.Update(type=kind, entity=p4r.Entity(table_entry=self.key(entry)))
        if isinstance(entry, Meter):
            return p4r.Update(type=MODIFY, entity=p4r.Entity(meter_entry=self._meter(entry)))
        return p4r.Update(
            type=DELETE, entity=_replicated(p4r.MulticastGroupEntry(multicast_group_id=entry.number))
        )

    # ---- counters

    def direct_counter(self, row: Row) -> p4r.Entity:
        """The question for one entry's counter."""
        return p4r.Entity(direct_counter_entry=p4r.DirectCounterEntry(table_entry=self.key(row)))

    def direct_counters(self, table: str) -> p4r.Entity:
        """The question for all of a table's counters, as its entries with counter data."""
        table_id = self.tables[table].preamble.id
        return p4r.Entity(table_entry=p4r.TableEntry(table_id=table_id, counter_data=p4r.CounterData()))

    def counter(self, counter: str, index: int) -> p4r.Entity:
        counter_id = self.counters[counter].preamble.id
        return p4r.Entity(counter_entry=p4r.CounterEntry(counter_id=counter_id, index=p4r.Index(index=index)))

    def actions_by_id(self) -> dict[int, str]:
        return {action.preamble.id: alias for alias, action in self.actions.items()}

    # ---- packets to and from the controller

    def packet_out(self, order: int, port: int, payload: bytes) -> p4r.PacketOut:
        ids = {field.name: field.id for field in self.headers["packet_out"].metadata}
        return p4r.PacketOut(
            payload=payload,
            metadata=[
                p4r.PacketMetadata(metadata_id=ids["order"], value=number(order)),
                p4r.PacketMetadata(metadata_id=ids["port"], value=number(port)),
            ],
        )

    def packet_out_octets(self, order: int, port: int, payload: bytes) -> bytes:
        """The same as the program gets it from the CPU port: the header, then the payload."""
        values = {"order": order, "port": port}
        header, bits = 0, 0
        for field in self.headers["packet_out"].metadata:
            header = header << field.bitwidth | values.get(field.name, 0)
            bits += field.bitwidth
        return header.to_bytes(bits // 8, "big") + payload

    def packet_in(self, message: p4r.PacketIn) -> bytes:
        """The bytes that the program sent to the CPU port: the header, then the payload."""
        values = {item.metadata_id: int.from_bytes(item.value, "big") for item in message.metadata}
        header, bits = 0, 0
        for field in self.headers["packet_in"].metadata:
            header, bits = header << field.bitwidth | values[field.id], bits + field.bitwidth
        return header.to_bytes(bits // 8, "big") + message.payload


def count_of(data: p4r.CounterData) -> Count:
    return Count(data.packet_count, data.byte_count)


def _replicated(group: p4r.MulticastGroupEntry) -> p4r.Entity:
    entry = p4r.PacketReplicationEngineEntry(multicast_group_entry=group)
    return p4r.Entity(packet_replication_engine_entry=entry)
