"""A P4Runtime client for tests: messages as they are on the wire, one client for each connection."""

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
from finsy.proto import p4i, p4r, p4r_grpc, rpc_code, rpc_status
from google.protobuf import text_format

PROGRAMS = Path(__file__).parent / "programs"
DEVICE_ID = 1
DEADLINE = 60.0  # seconds; nothing takes this long but on a very busy machine


def pipeline_config(name: str, cookie: int = 1) -> p4r.ForwardingPipelineConfig:
    """A program of programs/."""
    return p4r.ForwardingPipelineConfig(
        p4info=text_format.Parse((PROGRAMS / f"{name}.p4info.txtpb").read_text(), p4i.P4Info()),
        p4_device_config=(PROGRAMS / f"{name}.json").read_bytes(),
        cookie=p4r.ForwardingPipelineConfig.Cookie(cookie=cookie),
    )


class Refused(Exception):
    """An RPC failed. codes: for each update its google.rpc.Code, where the server gave details."""

    def __init__(self, error: grpc.RpcError) -> None:
        assert isinstance(error, grpc.Call)
        super().__init__(f"{error.code()}: {error.details()}")
        self.code = error.code()
        self.text = error.details() or ""
        self.details: list[p4r.Error] = []
        for key, value in error.trailing_metadata() or ():  # type: ignore[misc]
            if key == "grpc-status-details-bin":
                for packed in rpc_status.Status.FromString(value).details:
                    detail = p4r.Error()
                    assert packed.Unpack(detail)
                    self.details.append(detail)

    @property
    def codes(self) -> list[str]:
        return [code_name(detail.canonical_code) for detail in self.details]


class StreamEnded(Exception):
    """The server ended the stream."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


class Stream:
    """A StreamChannel. Responses are read in the background, and given out in order."""

    def __init__(self, stub: p4r_grpc.P4RuntimeStub) -> None:
        self._requests: queue.Queue[p4r.StreamMessageRequest | None] = queue.Queue()
        self._responses: queue.Queue[p4r.StreamMessageResponse | StreamEnded] = queue.Queue()
        self._call = stub.StreamChannel(iter(self._requests.get, None))
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        try:
            for response in self._call:
                self._responses.put(response)
        except grpc.RpcError:
            pass
        self._responses.put(StreamEnded(self._call.code(), self._call.details()))

    def send(self, request: p4r.StreamMessageRequest) -> None:
        self._requests.put(request)

    def receive(self, timeout: float = DEADLINE) -> p4r.StreamMessageResponse:
        """Raises StreamEnded, or queue.Empty after the timeout."""
        response = self._responses.get(timeout=timeout)
        if isinstance(response, StreamEnded):
            raise response
        return response

    def arbitrate(self, election_id: int | None, device_id: int = DEVICE_ID, role: str = "") -> None:
        request = p4r.StreamMessageRequest()
        request.arbitration.device_id = device_id
        if role:
            request.arbitration.role.name = role
        if election_id is not None:
            request.arbitration.election_id.CopyFrom(uint128(election_id))
        self.send(request)

    def verdict(self) -> tuple[str, int | None]:
        """The next arbitration message: (status, highest election id)."""
        update = self.receive().arbitration
        highest = update.election_id.high << 64 | update.election_id.low
        return code_name(update.status.code), highest if update.HasField("election_id") else None

    def close(self) -> None:
        self._requests.put(None)
        self._call.cancel()


class Client:
    """election_id: what requests are signed with; `become_primary` opens a stream with it."""

    def __init__(self, address: str, election_id: int = 1, device_id: int = DEVICE_ID) -> None:
        self._channel = grpc.insecure_channel(
            address,
            options=[
                ("grpc.max_metadata_size", 1 << 20),
                ("grpc.max_receive_message_length", 4 << 20),
                ("grpc.use_local_subchannel_pool", 1),  # a connection of its own
            ],
        )
        self.stub = p4r_grpc.P4RuntimeStub(self._channel)
        self.election_id = election_id
        self.device_id = device_id
        self._streams: list[Stream] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in self._streams:
            stream.close()
        self._channel.close()

    def open_stream(self) -> Stream:
        stream = Stream(self.stub)
        self._streams.append(stream)
        return stream

    def become_primary(self) -> Stream:
        stream = self.open_stream()
        stream.arbitrate(self.election_id, self.device_id)
        assert stream.verdict() == ("OK", self.election_id)
        return stream

    def set_pipeline(
        self, config: p4r.ForwardingPipelineConfig | None, action: str = "VERIFY_AND_COMMIT"
    ) -> None:
        request = p4r.SetForwardingPipelineConfigRequest(
            device_id=self.device_id,
            election_id=uint128(self.election_id),
            action=p4r.SetForwardingPipelineConfigRequest.Action.Value(action),
        )
        if config is not None:
            request.config.CopyFrom(config)
        with refusals():
            self.stub.SetForwardingPipelineConfig(request, timeout=DEADLINE)

    def write_updates(self, *updates: p4r.Update, atomicity: str = "CONTINUE_ON_ERROR") -> None:
        request = p4r.WriteRequest(
            device_id=self.device_id,
            election_id=uint128(self.election_id),
            updates=updates,
            atomicity=p4r.WriteRequest.Atomicity.Value(atomicity),
        )
        with refusals():
            self.stub.Write(request, timeout=DEADLINE)

    def insert(self, *entities: p4r.Entity) -> None:
        self.write_updates(*(p4r.Update(type=p4r.Update.INSERT, entity=entity) for entity in entities))

    def modify(self, *entities: p4r.Entity) -> None:
        self.write_updates(*(p4r.Update(type=p4r.Update.MODIFY, entity=entity) for entity in entities))

    def delete(self, *entities: p4r.Entity) -> None:
        self.write_updates(*(p4r.Update(type=p4r.Update.DELETE, entity=entity) for entity in entities))

    def read_messages(self, *entities: p4r.Entity) -> Iterator[p4r.ReadResponse]:
        request = p4r.ReadRequest(device_id=self.device_id, entities=entities)
        with refusals():
            yield from self.stub.Read(request, timeout=DEADLINE)

    def read(self, *entities: p4r.Entity) -> list[p4r.Entity]:
        return [entity for message in self.read_messages(*entities) for entity in message.entities]


@contextmanager
def refusals() -> Iterator[None]:
    """Turns gRPC's errors into Refused."""
    try:
        yield
    except grpc.RpcError as error:
        raise Refused(error) from None


def code_name(code: int) -> str:
    """The name of a google.rpc.Code."""
    return next(name for name, value in rpc_code.Code.items() if value == code)


def uint128(value: int) -> p4r.Uint128:
    return p4r.Uint128(high=value >> 64, low=value & (1 << 64) - 1)
