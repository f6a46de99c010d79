"""A BMv2 of its own for packet tests: the compiled program, its tables by name, packets in and out over gRPC.

    with Bmv2(json, p4info) as switch:
        switch.insert(Row("macs", {"mac": 1}, "ours"))
        out = switch.send(1, packet)          # [(port, bytes), ...], packet-ins on port CPU

Packets go through `--dp-grpc-server-addr` (p4.bm.DataplaneInterface): no interface, no root, real time.
"""

import contextlib
import queue
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from finsy.proto import p4i, p4r, p4r_grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

COMPILED = Path(__file__).resolve().parents[2] / "p4src" / "compiled"
SWITCH = "simple_switch_grpc"
DEVICE = 1
CPU = 255
QUIET = 0.12  # seconds without a packet after which none is expected any more
DEADLINE = 10.0
LOADING = 120.0  # of a program, which the embedded switch may have to compile


@dataclass(frozen=True, slots=True)
class Prefix:
    """An LPM value: the first `length` bits count."""

    value: int
    length: int


@dataclass(frozen=True, slots=True)
class Masked:
    """A ternary value; mask 0 is "don't care"."""

    value: int
    mask: int


@dataclass(frozen=True, slots=True)
class Span:
    """A range, both ends in it."""

    low: int
    high: int


Value = int | Prefix | Masked | Span


@dataclass(frozen=True, slots=True)
class Row:
    """One table entry, by the names of the P4Info."""

    table: str
    match: Mapping[str, Value]
    action: str
    params: Mapping[str, int] = field(default_factory=dict)
    priority: int = 0


@dataclass(frozen=True, slots=True)
class PacketIn:
    """What the controller got: the header's fields by name, and the frame."""

    fields: Mapping[str, int]
    frame: bytes


def _messages() -> tuple[type, type]:
    """p4.bm.DataplaneInterface's two stream messages, which no package on PyPI ships."""
    file = descriptor_pb2.FileDescriptorProto(
        name="dataplane_interface.proto", package="p4.bm", syntax="proto3"
    )
    number = descriptor_pb2.FieldDescriptorProto
    for name in ("PacketStreamRequest", "PacketStreamResponse"):
        message = file.message_type.add(name=name)
        types = (("id", number.TYPE_UINT64), ("device_id", number.TYPE_UINT64), ("port", number.TYPE_UINT32))
        for index, (field_name, kind) in enumerate((*types, ("packet", number.TYPE_BYTES)), start=1):
            message.field.add(name=field_name, number=index, type=kind, label=number.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    request, response = (
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"p4.bm.{name}"))
        for name in ("PacketStreamRequest", "PacketStreamResponse")
    )
    return request, response


REQUEST, RESPONSE = _messages()


def _free_port() -> int:
    with contextlib.closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _bytes(value: int, bits: int) -> bytes:
    return value.to_bytes((bits + 7) // 8, "big")


class Bmv2:
    """One process for one program; tables are emptied between cases with `clear`."""

    name = "BMv2"
    quiet = QUIET
    """Seconds without a frame after which `send` expects none any more."""

    def __init__(
        self, program: Path = COMPILED / "sluice.json", p4info: Path = COMPILED / "sluice.p4info.txtpb"
    ):
        self.p4info = text_format.Parse(p4info.read_text(), p4i.P4Info())
        self.tables = {table.preamble.alias: table for table in self.p4info.tables}
        self.actions = {action.preamble.alias: action for action in self.p4info.actions}
        self.by_action_id = {action.preamble.id: action for action in self.p4info.actions}
        self.headers = {m.preamble.name: m for m in self.p4info.controller_packet_metadata}
        self.installed: list[p4r.Entity] = []
        self.defaults: set[str] = set()
        self.groups: list[int] = []
        self.received: queue.Queue[tuple[int, bytes]] = queue.Queue()
        self.packet_ins: queue.Queue[PacketIn] = queue.Queue()
        self.folder = Path(tempfile.mkdtemp(prefix="sluice-bmv2-"))
        self._to_switch: queue.Queue[p4r.StreamMessageRequest | None] = queue.Queue()
        self._to_dataplane: queue.Queue[object] = queue.Queue()
        self._launch()
        try:
            grpc.channel_ready_future(self.channel).result(DEADLINE)
            self._push(program.read_bytes())
            self._connect()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Bmv2":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._to_switch.put(None)
        self.channel.close()
        self._end()
        shutil.rmtree(self.folder)

    # -- the process

    def _launch(self) -> None:
        control, dataplane = _free_port(), _free_port()
        command = [SWITCH, "--no-p4", "--device-id", str(DEVICE)]
        command += ["--notifications-addr", f"ipc://{self.folder}/notifications.ipc", "--"]
        command += ["--grpc-server-addr", f"127.0.0.1:{control}", "--cpu-port", str(CPU)]
        command += ["--dp-grpc-server-addr", f"127.0.0.1:{dataplane}"]
        self.log = (self.folder / "log").open("w+")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        self.channel = grpc.insecure_channel(f"127.0.0.1:{control}")
        self.dataplane = grpc.insecure_channel(f"127.0.0.1:{dataplane}")

    def _end(self) -> None:
        self._to_dataplane.put(None)
        self.dataplane.close()
        self.process.terminate()
        self.process.wait()
        self.log.close()

    def _push(self, program: bytes) -> None:
        first = p4r.StreamMessageRequest()
        first.arbitration.device_id = DEVICE
        first.arbitration.election_id.low = 1
        self._to_switch.put(first)
        self.stub = p4r_grpc.P4RuntimeStub(self.channel)
        answers = self.stub.StreamChannel(iter(self._to_switch.get, None))
        next(answers)
        threading.Thread(target=self._read_stream, args=(answers,), daemon=True).start()

        request = p4r.SetForwardingPipelineConfigRequest(device_id=DEVICE)
        request.election_id.low = 1
        request.action = p4r.SetForwardingPipelineConfigRequest.VERIFY_AND_COMMIT
        request.config.p4info.CopyFrom(self.p4info)
        request.config.p4_device_config = program
        self.stub.SetForwardingPipelineConfig(request, timeout=LOADING)

    def _connect(self) -> None:
        """The stream of packets."""
        stream = self.dataplane.stream_stream(
            "/p4.bm.DataplaneInterface/PacketStream",
            request_serializer=REQUEST.SerializeToString,
            response_deserializer=RESPONSE.FromString,
        )
        frames = stream(iter(self._to_dataplane.get, None), wait_for_ready=True)
        threading.Thread(target=self._read_frames, args=(frames,), daemon=True).start()

    def _read_stream(self, answers: Iterator[p4r.StreamMessageResponse]) -> None:
        names = {m.id: m.name for m in self.headers["packet_in"].metadata}
        with contextlib.suppress(grpc.RpcError):
            for answer in answers:
                if answer.WhichOneof("update") == "packet":
                    fields = {
                        names[m.metadata_id]: int.from_bytes(m.value, "big") for m in answer.packet.metadata
                    }
                    self.packet_ins.put(PacketIn(fields, answer.packet.payload))

    def _read_frames(self, frames: Iterator) -> None:
        with contextlib.suppress(grpc.RpcError):
            for frame in frames:
                self.received.put((frame.port, frame.packet))

    # -- tables

    def _value(self, match: p4r.FieldMatch, value: Value, bits: int) -> None:
        match value:
            case Prefix(bits_of, length):
                match.lpm.value, match.lpm.prefix_len = _bytes(bits_of, bits), length
            case Masked(bits_of, mask):
                match.ternary.value, match.ternary.mask = _bytes(bits_of, bits), _bytes(mask, bits)
            case Span(low, high):
                match.range.low, match.range.high = _bytes(low, bits), _bytes(high, bits)
            case int():
                match.exact.value = _bytes(value, bits)

    def _entity(self, row: Row) -> p4r.Entity:
        table = self.tables[row.table]
        entity = p4r.Entity()
        entry = entity.table_entry
        entry.table_id, entry.priority = table.preamble.id, row.priority
        fields = {field.name: field for field in table.match_fields}
        for name, value in row.match.items():
            everything = (Prefix(0, 0), Span(0, (1 << fields[name].bitwidth) - 1))
            if value in everything or (isinstance(value, Masked) and value.mask == 0):
                continue  # P4Runtime 9.1.1: "don't care" is left out
            match = entry.match.add(field_id=fields[name].id)
            self._value(match, value, fields[name].bitwidth)
        allowed = {
            self.by_action_id[ref.id].preamble.alias: self.by_action_id[ref.id] for ref in table.action_refs
        }
        action = allowed.get(row.action) or next(
            a for n, a in allowed.items() if n.endswith("." + row.action)
        )
        params = {param.name: param for param in action.params}
        if missing := params.keys() ^ row.params.keys():
            raise KeyError(f"{row.table}: {row.action} has {sorted(params)}, differing in {sorted(missing)}")
        entry.action.action.action_id = action.preamble.id
        for name, number in row.params.items():
            entry.action.action.params.add(
                param_id=params[name].id, value=_bytes(number, params[name].bitwidth)
            )
        return entity

    def _write(self, kind: int, entities: Sequence[p4r.Entity]) -> None:
        request = p4r.WriteRequest(device_id=DEVICE)
        request.election_id.low = 1
        for entity in entities:
            request.updates.add(type=kind).entity.CopyFrom(entity)
        if request.updates:
            self.stub.Write(request, timeout=DEADLINE)

    def insert(self, *rows: Row) -> None:
        entities = [self._entity(row) for row in rows]
        self._write(p4r.Update.INSERT, entities)
        self.installed += entities

    def modify(self, *rows: Row) -> None:
        self._write(p4r.Update.MODIFY, [self._entity(row) for row in rows])

    def delete(self, *rows: Row) -> None:
        entities = [self._entity(row) for row in rows]
        self._write(p4r.Update.DELETE, entities)
        keys = [(entity.table_entry.table_id, list(entity.table_entry.match)) for entity in entities]
        self.installed = [
            e for e in self.installed if (e.table_entry.table_id, list(e.table_entry.match)) not in keys
        ]

    def set_default(self, table: str, action: str, **params: int) -> None:
        entity = self._entity(Row(table, {}, action, params))
        entity.table_entry.is_default_action = True
        self._write(p4r.Update.MODIFY, [entity])
        self.defaults.add(table)

    def set_meter(self, name: str, index: int, rate: int, burst: int) -> None:
        """rate: packets a second; BMv2 starts with a full bucket of `burst` packets."""
        entity = p4r.Entity()
        entry = entity.meter_entry
        entry.meter_id = next(
            m.preamble.id for m in self.p4info.meters if m.preamble.name.endswith("." + name)
        )
        entry.index.index = index
        entry.config.cir = entry.config.pir = rate
        entry.config.cburst = entry.config.pburst = burst
        self._write(p4r.Update.MODIFY, [entity])

    def multicast(self, group: int, replicas: Sequence[tuple[int, int]]) -> None:
        """replicas: (port, instance)."""
        entity = p4r.Entity()
        entry = entity.packet_replication_engine_entry.multicast_group_entry
        entry.multicast_group_id = group
        for port, instance in replicas:
            entry.replicas.add(egress_port=port, instance=instance)
        self._write(p4r.Update.INSERT, [entity])
        self.groups.append(group)

    def clear(self) -> None:
        self._write(p4r.Update.DELETE, list(reversed(self.installed)))
        self.installed = []
        for name in self.defaults:
            entity = p4r.Entity()
            entity.table_entry.table_id = self.tables[name].preamble.id
            entity.table_entry.is_default_action = True
            self._write(p4r.Update.MODIFY, [entity])
        self.defaults.clear()
        for group in self.groups:
            entity = p4r.Entity()
            entity.packet_replication_engine_entry.multicast_group_entry.multicast_group_id = group
            self._write(p4r.Update.DELETE, [entity])
        self.groups = []

    # -- counters

    def _read(self, entity: p4r.Entity) -> list[p4r.Entity]:
        request = p4r.ReadRequest(device_id=DEVICE, entities=[entity])
        return [e for answer in self.stub.Read(request, timeout=DEADLINE) for e in answer.entities]

    def reasons(self, table: str) -> dict[str, int]:
        """Packets by action name, of a table of constant entries (drops, punts, replies)."""
        entity = p4r.Entity()
        entity.table_entry.table_id = self.tables[table].preamble.id
        entity.table_entry.counter_data.SetInParent()
        counts = {}
        for read in self._read(entity):
            action = self.by_action_id[read.table_entry.action.action.action_id]
            name = action.preamble.name.rsplit(".", 1)[1]
            counts[name] = read.table_entry.counter_data.packet_count
        return counts

    def counter(self, name: str, index: int) -> int:
        entity = p4r.Entity()
        entity.counter_entry.counter_id = next(
            c.preamble.id for c in self.p4info.counters if c.preamble.name.endswith("." + name)
        )
        entity.counter_entry.index.index = index
        (read,) = self._read(entity)
        return read.counter_entry.data.packet_count

    # -- packets

    def inject(self, port: int, packet: object) -> None:
        self._to_dataplane.put(REQUEST(device_id=DEVICE, port=port, packet=bytes(packet)))  # type: ignore[call-overload]

    def packet_out(self, payload: object = b"", **fields: int) -> None:
        message = p4r.StreamMessageRequest()
        message.packet.payload = bytes(payload)  # type: ignore[call-overload]
        for meta in self.headers["packet_out"].metadata:
            value = _bytes(fields.get(meta.name, 0), meta.bitwidth)
            message.packet.metadata.add(metadata_id=meta.id, value=value)
        self._to_switch.put(message)

    def collect(self, quiet: float = QUIET) -> list[tuple[int, bytes]]:
        """Whatever comes out until nothing has come for so many seconds."""
        out = []
        with contextlib.suppress(queue.Empty):
            while True:
                out.append(self.received.get(timeout=quiet))
        return out

    def send(self, port: int, *packets: object) -> list[tuple[int, bytes]]:
        for packet in packets:
            self.inject(port, packet)
        return self.collect(self.quiet)

    def punted(self) -> list[PacketIn]:
        time.sleep(QUIET)
        out = []
        with contextlib.suppress(queue.Empty):
            while True:
                out.append(self.packet_ins.get_nowait())
        return out
