"""P4Runtime: one connection to one switch, from arbitration until it breaks.

    async with Connection(target, pipeline) as switch:
        await switch.install()
        refusals = await switch.write(changes)

The messages and their gRPC stubs are finsy's; the channel and the deadlines are ours, because finsy's
client has fixed ones (10 s a call, 4 MB a message) and sends a batch of any size in one request. Every call
raises Unreachable when the connection is gone or slow, and NotPrimary when another controller has the
switch; then the connection is of no more use.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, NamedTuple, Self, TypeVar, cast

import grpc
import grpc.aio
from finsy.grpcutil import GRPC_EOF
from finsy.proto import U128, p4r, p4r_grpc, rpc_code, rpc_status

from controller.codec import Codec, decode, parse_p4info
from controller.credentials import SwitchTls, explained
from controller.errors import CallFailed, ElectionIdInUse, NotPrimary, PipelineRefused, Unreachable
from controller.program import Change, Do, Key, Order, Table

T = TypeVar("T")

UPDATES_PER_WRITE = 1000
CELLS_PER_READ = 1000
ROWS_AT_A_TIME = 250

CALL_DEADLINE = 10.0
READ_DEADLINE = 60.0
PIPELINE_DEADLINE = 60.0
"""Seconds: of a read until the next message of its answer has come. The embedded switch compiles a new
program when it takes it."""

PACKETS_WAITING = 1024
"""Packet-ins that wait to be looked at; more are dropped, oldest first."""

CHANNEL_OPTIONS = [
    # simple_switch_grpc answers a read in one message, however large.
    ("grpc.max_receive_message_length", 256 * 2**20),
    # The errors of a batch come in one header, 100 bytes and more for each update.
    ("grpc.max_metadata_size", 2**20),
    ("grpc.absolute_max_metadata_size", 2**20),
    # Each connection is a new attempt of ours; gRPC's memory of failed ones would delay it by up to 2
    # minutes.
    ("grpc.use_local_subchannel_pool", 1),
]

_STATUS_DETAILS = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class SwitchTarget:
    """Where the switch is, and by which election id we ask to be its primary controller.

    Lower ids are left for those who only want to look, such as p4runtime-shell.
    """

    address: str
    device_id: int = 1
    election_id: int = 100
    tls: SwitchTls | None = None

    @property
    def place(self) -> tuple[str, int]:
        """Which switch it is."""
        return self.address, self.device_id


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A compiled program. The cookie is a digest of it: equal cookies, equal programs."""

    codec: Codec
    message: p4r.ForwardingPipelineConfig

    @classmethod
    def load(cls, p4info: Path, device_config: Path) -> Self:
        """Raises PipelineRefused when a file cannot be read or lacks names that we need."""
        try:
            text, device = p4info.read_bytes(), device_config.read_bytes()
            parsed = parse_p4info(text.decode())
        except (OSError, ValueError) as error:
            raise PipelineRefused(f"the compiled program cannot be read: {error}") from None
        digest = hashlib.sha256(hashlib.sha256(text).digest() + device).digest()
        cookie = p4r.ForwardingPipelineConfig.Cookie(cookie=int.from_bytes(digest[:8], "big"))
        config = p4r.ForwardingPipelineConfig(p4info=parsed, p4_device_config=device, cookie=cookie)
        return cls(Codec(parsed), config)

    @property
    def cookie(self) -> int:
        return self.message.cookie.cookie


class Refusal(NamedTuple):
    """An update that the switch did not make. `code` is the canonical one (google.rpc.Code)."""

    change: Change
    code: int
    message: str

    @property
    def exists_already(self) -> bool:
        return self.code == rpc_code.ALREADY_EXISTS

    @property
    def does_not_exist(self) -> bool:
        return self.code == rpc_code.NOT_FOUND


class PacketIn(NamedTuple):
    """A packet that the switch handed over; `reason` numbers an entry of the table of punts, or is TRACED.

    `fields` is all of the packet's metadata by name.
    """

    reason: int
    port: int
    payload: bytes
    fields: Mapping[str, int] = MappingProxyType({})


class Traffic(NamedTuple):
    packets: int
    bytes: int


class Connection:
    """A connection in which we are the primary controller."""

    def __init__(self, target: SwitchTarget, pipeline: Pipeline) -> None:
        self.target = target
        self.packets: asyncio.Queue[PacketIn] = asyncio.Queue(PACKETS_WAITING)
        self.packets_lost = 0
        self.pipeline = pipeline
        self._codec = pipeline.codec
        self._election_id = U128.encode(target.election_id)
        self._sending = asyncio.Lock()
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        address, tls = self.target.address, self.target.tls
        self._channel = (
            grpc.aio.secure_channel(address, tls.credentials(), options=CHANNEL_OPTIONS)
            if tls
            else grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        )
        self._stub: Any = p4r_grpc.P4RuntimeStub(self._channel)  # type: ignore[arg-type]  # the stub's types are blocking
        self._write_bytes: Any = self._channel.unary_unary("/p4.v1.P4Runtime/Write")
        self._stream: Any = self._stub.StreamChannel()
        try:
            await self._become_primary()
        except BaseException:
            await self._channel.close()
            raise
        self._reader = asyncio.create_task(self._read_stream(), name="p4runtime stream")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        self._stream.cancel()
        await self._channel.close()

    # the stream

    async def _become_primary(self) -> None:
        """Returns when we are; raises NotPrimary when we cannot be now."""
        await within(CALL_DEADLINE, self._arbitrate(), self.target.tls)

    async def _arbitrate(self) -> None:
        """Asks to be the primary controller until we are told that we are, or that another one is."""
        answer = await self._bid(self._election_id)
        if answer.status.code == rpc_code.NOT_FOUND:
            # There is no primary, but there was one with a higher id: it takes that or more (P4Runtime 5.3).
            self._election_id.CopyFrom(answer.election_id)
            answer = await self._bid(self._election_id)
        if answer.status.code != rpc_code.OK:
            highest = U128.decode(answer.election_id)
            raise NotPrimary(f"another controller has the switch, with election id {highest}")

    async def _bid(self, election_id: p4r.Uint128 | None) -> p4r.MasterArbitrationUpdate:
        """The switch's answer; without an id we only want to be told."""
        bid = p4r.MasterArbitrationUpdate(device_id=self.target.device_id, election_id=election_id)
        try:
            await self._stream.write(p4r.StreamMessageRequest(arbitration=bid))
            return await self._next_arbitration()
        except grpc.aio.AioRpcError as error:
            if (
                error.code() == grpc.StatusCode.INVALID_ARGUMENT
                and "election" in str(error.details()).lower()
            ):
                raise ElectionIdInUse(f"another controller has the switch: {error.details()}") from None
            raise

    async def _next_arbitration(self) -> p4r.MasterArbitrationUpdate:
        while (message := await self._next_message()).WhichOneof("update") != "arbitration":
            pass
        return message.arbitration

    async def _next_message(self) -> p4r.StreamMessageResponse:
        message = await self._stream.read()
        if message is GRPC_EOF:
            raise Unreachable("the switch has closed the connection")
        return cast(p4r.StreamMessageResponse, message)

    async def _read_stream(self) -> None:
        while True:
            message = await self._next_message()
            match message.WhichOneof("update"):
                case "packet":
                    self._take_packet(message.packet)
                case "arbitration" if message.arbitration.status.code != rpc_code.OK:
                    raise NotPrimary("another controller has taken the switch")

    def _take_packet(self, packet: p4r.PacketIn) -> None:
        metadata = self._codec.packet_in(packet)
        if self.packets.full():
            self.packets.get_nowait()
            self.packets_lost += 1
        self.packets.put_nowait(
            PacketIn(metadata["reason"], metadata["ingress_port"], packet.payload, metadata)
        )

    async def until_lost(self) -> None:
        """Returns never: raises Unreachable or NotPrimary when the connection has ended."""
        assert self._reader is not None, "it has been entered"
        await within(None, asyncio.shield(self._reader))

    async def send(self, port: int, payload: bytes, order: Order = Order.SEND) -> None:
        """Sends an Ethernet frame out of a port, or gives another order."""
        request = p4r.StreamMessageRequest(packet=self._codec.packet_out(port, payload, order))
        async with self._sending:
            await within(CALL_DEADLINE, self._stream.write(request))

    # the pipeline

    async def cookie(self) -> int | None:
        """That of the program which the switch runs; None if it runs none."""
        request = p4r.GetForwardingPipelineConfigRequest(
            device_id=self.target.device_id,
            response_type=p4r.GetForwardingPipelineConfigRequest.COOKIE_ONLY,
        )
        try:
            answer = await self._call(self._stub.GetForwardingPipelineConfig, request, CALL_DEADLINE)
        except _Answered as error:
            if error.code is grpc.StatusCode.FAILED_PRECONDITION:
                return None
            raise
        return answer.config.cookie.cookie if answer.config.HasField("cookie") else None

    async def install(self) -> bool:
        """Makes the switch run our program; True if it did not. It then holds no entries and no flows."""
        if await self.cookie() == self.pipeline.cookie:
            return False
        request = p4r.SetForwardingPipelineConfigRequest(
            device_id=self.target.device_id,
            election_id=self._election_id,
            action=p4r.SetForwardingPipelineConfigRequest.VERIFY_AND_COMMIT,
            config=self.pipeline.message,
        )
        try:
            await self._call(self._stub.SetForwardingPipelineConfig, request, PIPELINE_DEADLINE)
        except CallFailed as error:
            raise PipelineRefused(f"the switch does not take our program: {error}") from None
        return True

    @property
    def channel(self) -> grpc.aio.Channel:
        """For what the switch offers beside P4Runtime."""
        return self._channel

    # entries

    async def write(self, changes: Iterable[Change]) -> list[Refusal]:
        """Makes `changes` in this order; returns those that the switch refused. The others are made.

        One request is put together while the switch works on the one before.
        """
        refusals: list[Refusal] = []
        batch: Sequence[Change] = ()
        under_way: Any = None
        try:
            for following in _batches(changes, UPDATES_PER_WRITE):
                request = self._write_request(following)
                if under_way is not None:
                    refusals += await self._refused(batch, under_way)
                self._check_alive()
                batch, under_way = following, self._write_bytes(request, timeout=CALL_DEADLINE)
                await asyncio.sleep(0)  # so that it is sent before the next one is put together
            if under_way is not None:
                refusals += await self._refused(batch, under_way)
        finally:
            if under_way is not None:
                under_way.cancel()  # which means nothing to one that has been answered
        return refusals

    def _write_request(self, changes: Sequence[Change]) -> bytes:
        head = p4r.WriteRequest(device_id=self.target.device_id, election_id=self._election_id)
        return b"".join([head.SerializeToString(), *map(self._codec.update, changes)])

    @staticmethod
    async def _refused(changes: Sequence[Change], under_way: Awaitable[object]) -> list[Refusal]:
        """Those of `changes` that a write `under_way` is answered to have refused."""
        try:
            await within(None, under_way)
        except _Answered as error:
            if len(error.details) != len(changes):
                raise
            return [
                Refusal(change, detail.canonical_code, detail.message)
                for change, detail in zip(changes, error.details, strict=True)
                if detail.canonical_code != rpc_code.OK
            ]
        return []

    async def rows(self, table: Table) -> AsyncIterator[tuple[Key, Do]]:
        """Every row of a table."""
        async for entity in self._read([self._codec.all_of(table)]):
            if row := self._codec.read(entity):
                yield row[1:]

    async def encoded_rows(self, table: Table) -> AsyncIterator[list[bytes]]:
        """Every row of a table as a serialised Entity, some at a time. There may be a pause in between."""
        async for answer in self._answers([self._codec.all_of(table)]):
            for some in _batches(answer.entities, ROWS_AT_A_TIME):
                yield [entity.SerializeToString() for entity in some]

    async def _read(self, entities: Iterable[p4r.Entity]) -> AsyncIterator[p4r.Entity]:
        async for answer in self._answers(entities):
            for entity in answer.entities:
                yield entity

    async def _answers(self, entities: Iterable[p4r.Entity]) -> AsyncIterator[p4r.ReadResponse]:
        request = p4r.ReadRequest(device_id=self.target.device_id, entities=entities)
        self._check_alive()
        call = self._stub.Read(request)
        while (answer := await within(READ_DEADLINE, call.read())) is not GRPC_EOF:
            yield answer

    # counters

    async def traffic(self, table: Table) -> dict[Key, Traffic]:
        """The direct counters of a table by key."""
        counters: dict[Key, Traffic] = {}
        async for entity in self._read([self._codec.direct_counters_of(table)]):
            entry = entity.direct_counter_entry
            data = entry.data
            counters[self._codec.read_key(entry.table_entry)] = Traffic(data.packet_count, data.byte_count)
        return counters

    async def packet_counts(self, counter: str, cells: Iterable[int]) -> dict[int, int]:
        """Cells of an indirect counter, in packets."""
        counts: dict[int, int] = {}
        for batch in _batches(cells, CELLS_PER_READ):
            async for entity in self._read(self._codec.counter_cells(counter, batch)):
                counts[entity.counter_entry.index.index] = entity.counter_entry.data.packet_count
        return counts

    async def register(self, name: str) -> list[int]:
        """All cells of a register. Raises CallFailed where the switch does not let it be read."""
        cells = self._read([self._codec.register_cells(name)])
        return [decode(entity.register_entry.data.bitstring) async for entity in cells]

    async def _call(self, method: Any, request: Any, deadline: float) -> Any:
        self._check_alive()
        return await within(None, method(request, timeout=deadline))

    def _check_alive(self) -> None:
        """The channel would connect again by itself, perhaps to a switch that has begun anew."""
        if self._reader is not None and self._reader.done():
            raise Unreachable("the connection to the switch was lost")


async def within(deadline: float | None, awaitable: Awaitable[T], tls: SwitchTls | None = None) -> T:
    """The result of a call, with gRPC's errors as ours; `deadline` in seconds, for calls that have none."""
    try:
        async with asyncio.timeout(deadline):
            return await awaitable
    except TimeoutError:
        raise Unreachable(f"the switch has not answered for {deadline:g} s") from None
    except asyncio.InvalidStateError:
        raise Unreachable("no connection to the switch: its stream has ended") from None
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # Nobody cancels the task: gRPC has the call end so when its channel is closed.
        raise Unreachable("the connection to the switch was closed") from None
    except grpc.aio.AioRpcError as error:
        match error.code():
            case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.CANCELLED:
                raise Unreachable(f"no connection to the switch: {_reason(error, tls)}") from None
            case grpc.StatusCode.DEADLINE_EXCEEDED:
                raise Unreachable("the switch has not answered in time") from None
            case grpc.StatusCode.PERMISSION_DENIED if "primary" in str(error.details()).lower():
                raise NotPrimary("another controller has the switch") from None
            case _:
                raise _Answered(error) from None


def _reason(error: grpc.aio.AioRpcError, tls: SwitchTls | None) -> str:
    """What happened; gRPC puts it last, behind whom it happened to: `ipv4:127.0.0.1:9559: ...: refused`."""
    said = error.details() or error.code().name
    known = explained(said, tls)
    return known if known != said else said.rpartition(": ")[2]


class _Answered(CallFailed):
    """A call that was answered with an error, and what the answer says about single updates."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self.code = error.code()
        self.details = _details(error)
        super().__init__(f"the switch answered {self.code.name}: {error.details()}")


def _details(error: grpc.aio.AioRpcError) -> list[p4r.Error]:
    """One P4Runtime error for each update of a batch, also for those that were made (P4Runtime 12.3)."""
    details: list[p4r.Error] = []
    for name, value in error.trailing_metadata() or ():
        if name == _STATUS_DETAILS and isinstance(value, bytes):
            for packed in rpc_status.Status.FromString(value).details:
                detail = p4r.Error()
                if packed.Unpack(detail):
                    details.append(detail)
    return details


def _batches(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    rest = iter(items)
    while batch := tuple(islice(rest, size)):
        yield batch
