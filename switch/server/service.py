"""The five RPCs of P4Runtime, over one device."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import NoReturn

import grpc
from finsy.proto import p4r, p4r_grpc, rpc_code

from switch.errors import EngineError
from switch.server import read
from switch.server.arbitration import MAX_CLIENTS, Arbiter, uint128
from switch.server.batch import Outcome, all_or_none, each, each_written
from switch.server.device import Device
from switch.server.direct_call import DirectCall, direct_call
from switch.server.pipeline import Pipeline
from switch.server.read_responses import responses
from switch.server.status import (
    ERROR_SPACE,
    STATUS_DETAILS,
    RequestError,
    batch_status,
    denied,
    exhausted,
    failed_precondition,
    grpc_code,
    invalid,
    not_found,
    unimplemented,
)
from switch.server.streams import ClientStream
from switch.server.watchdog import Watchdog
from switch.server.write_message import WriteMessage, load_reader

LOG = logging.getLogger(__name__)

SERVICE_NAME = "p4.v1.P4Runtime"
API_VERSION = "1.5.0"

# Each stream keeps one of the server's threads. A few more than clients: some have not said yet who they are.
MAX_STREAMS = MAX_CLIENTS + 8

# Of a WriteRequest that is done within a millisecond: some hundred updates.
QUICK_BYTES = 16 << 10

# Seconds. A stream begins with an arbitration; an answer is read while it is sent.
INTRODUCTION_TIMEOUT = 10.0
STALL_TIMEOUT = 30.0


class P4RuntimeService(p4r_grpc.P4RuntimeServicer):
    def __init__(self, device: Device) -> None:
        self._device = device
        self.arbiter = Arbiter(device.id, finish_writes=self._finish_writes)
        self._configuring = threading.Lock()
        self._streams: dict[ClientStream, object] = {}  # with the watchdog's token
        self._streams_lock = threading.Lock()
        self.watchdog = Watchdog()

    def _finish_writes(self) -> None:
        with self._device.lock:
            pass  # whoever held it has finished

    # ---- Write ----

    def Write(self, message: WriteMessage, context: grpc.ServicerContext) -> p4r.WriteResponse:
        request = message.request
        try:
            self._check_addressee(request.device_id, request.role, request.role_id)
            self._check_primary(request)  # who is not does not keep the lock from those who may
            with self._device.lock:
                self._check_primary(request)
                errors = self._write(self._device.locked_pipeline(), message)
        except RequestError as error:
            _abort(context, error)
        if any(errors):
            _abort_batch(context, errors, "updates")
        return p4r.WriteResponse()

    def is_quick(self, octets: bytes) -> bool:
        """Whether a WriteRequest, as it came, is done at once: it is short, and nothing else is under way."""
        if len(octets) > QUICK_BYTES or not self._device.lock.acquire(blocking=False):
            return False
        self._device.lock.release()
        return True

    def _write(self, pipeline: Pipeline, message: WriteMessage) -> Outcome:
        match message.request.atomicity:
            case p4r.WriteRequest.CONTINUE_ON_ERROR:
                return each_written(pipeline, message)
            case p4r.WriteRequest.ROLLBACK_ON_ERROR:
                return all_or_none(pipeline, message.updates())
            case p4r.WriteRequest.DATAPLANE_ATOMIC:
                updates = message.updates()
                with self._device.data_plane.held():
                    return all_or_none(pipeline, updates)
            case other:
                raise invalid(f"there is no atomicity {other}")

    # ---- Read ----

    def Read(self, request: p4r.ReadRequest, context: grpc.ServicerContext) -> Iterator[bytes]:
        """Responses as octets: most come so from C."""
        try:
            self._check_addressee(request.device_id, request.role)
            found: list[read.Entities] = []
            with ExitStack() as lease:
                with self._device.lock:
                    pipeline = lease.enter_context(self._device.pipeline())
                    errors = each(
                        request.entities, lambda wanted: found.append(read.select(pipeline, wanted))
                    )
                entities = (entity for some in found for entity in some)
                # gRPC leaves a generator that is not read to its end to the garbage collector.
                if not context.add_callback(lease.close):
                    return
                for response in responses(entities):
                    with self.watchdog.limit(STALL_TIMEOUT, context.cancel):
                        yield response
        except RequestError as error:
            _abort(context, error)
        except EngineError:
            if context.is_active():
                raise
            return  # the client is gone, and with it the lease of the pipeline
        if any(errors):
            _abort_batch(context, errors, "reads")

    # ---- Pipeline ----

    def SetForwardingPipelineConfig(
        self, request: p4r.SetForwardingPipelineConfigRequest, context: grpc.ServicerContext
    ) -> p4r.SetForwardingPipelineConfigResponse:
        try:
            self._check_addressee(request.device_id, request.role, request.role_id)
            self._check_primary(request)
            with self._configuring:
                self._configure(request)
        except RequestError as error:
            _abort(context, error)
        return p4r.SetForwardingPipelineConfigResponse()

    def _configure(self, request: p4r.SetForwardingPipelineConfigRequest) -> None:
        actions = p4r.SetForwardingPipelineConfigRequest
        action = request.action
        if action == actions.UNSPECIFIED:
            raise invalid("the action is missing")
        if action == actions.COMMIT:
            if request.HasField("config"):
                raise invalid("COMMIT takes the config that was saved before, and none with it")
            self._as_primary(request, self._device.commit_saved)
        elif action != actions.RECONCILE_AND_COMMIT or not self._keep_program(request):
            self._load(request)
        LOG.info("pipeline: %s", actions.Action.Name(action))

    def _keep_program(self, request: p4r.SetForwardingPipelineConfigRequest) -> bool:
        """Whether the program runs already, so that there is nothing to exchange but the cookie."""
        with self._device.lock:
            self._check_primary(request)
            return self._device.reconcile_cookie(request.config)

    def _load(self, request: p4r.SetForwardingPipelineConfigRequest) -> None:
        actions = p4r.SetForwardingPipelineConfigRequest
        pipeline = self._device.load(request.config)
        try:
            if request.action == actions.VERIFY:
                pipeline.retire()
            elif request.action == actions.VERIFY_AND_SAVE:
                self._as_primary(request, lambda: self._device.save(pipeline))
            elif request.action == actions.RECONCILE_AND_COMMIT:
                self._as_primary(request, lambda: self._device.reconcile(pipeline))
            else:
                self._as_primary(request, lambda: self._device.commit(pipeline))
        except RequestError:
            pipeline.retire()
            raise

    def _as_primary(
        self, request: p4r.SetForwardingPipelineConfigRequest, change: Callable[[], None]
    ) -> None:
        """Compiling takes a while: whether the client is still the primary counts when the change is made."""
        with self._device.lock:
            self._check_primary(request)
            change()

    def GetForwardingPipelineConfig(
        self, request: p4r.GetForwardingPipelineConfigRequest, context: grpc.ServicerContext
    ) -> p4r.GetForwardingPipelineConfigResponse:
        response = p4r.GetForwardingPipelineConfigResponse()
        try:
            self._check_addressee(request.device_id, "")
        except RequestError as error:
            _abort(context, error)
        config = self._device.config
        if config is None:
            return response
        kinds = p4r.GetForwardingPipelineConfigRequest
        response.config.SetInParent()
        if config.HasField("cookie"):
            response.config.cookie.CopyFrom(config.cookie)
        if request.response_type in (kinds.ALL, kinds.P4INFO_AND_COOKIE):
            response.config.p4info.CopyFrom(config.p4info)
        if request.response_type in (kinds.ALL, kinds.DEVICE_CONFIG_AND_COOKIE):
            response.config.p4_device_config = config.p4_device_config
        return response

    # ---- Stream ----

    def StreamChannel(
        self, request_iterator: Iterator[p4r.StreamMessageRequest], context: grpc.ServicerContext
    ) -> Iterator[p4r.StreamMessageResponse]:
        stream = ClientStream(context.cancel)
        with self._streams_lock:
            if len(self._streams) >= MAX_STREAMS:
                _abort(context, exhausted(f"this switch serves {MAX_STREAMS} streams at a time"))
            self._streams[stream] = self.watchdog.start(INTRODUCTION_TIMEOUT, lambda: stream.end(_NOBODY))
        try:
            if context.add_callback(stream.close):  # False: the client is gone already
                threading.Thread(
                    target=self._listen, args=(stream, request_iterator), name="stream", daemon=True
                ).start()
                yield from stream.messages()
        finally:
            with self._streams_lock:
                self.watchdog.stop(self._streams.pop(stream))
            self.arbiter.leave(stream)
            if stream.dropped:
                LOG.warning(
                    "a client did not read in time: %d packets or digests were dropped", stream.dropped
                )
        if stream.error is not None:
            _abort(context, stream.error)

    def end_streams(self) -> None:
        """Tell all clients that the switch stops."""
        with self._streams_lock:
            for stream in self._streams:
                stream.end(RequestError(rpc_code.UNAVAILABLE, "the switch is stopping"))

    def _listen(self, stream: ClientStream, requests: Iterator[p4r.StreamMessageRequest]) -> None:
        try:
            for request in requests:
                self._hear(stream, request)
        except RequestError as error:
            stream.end(error)
        except grpc.RpcError:
            stream.close()  # the client vanished
        except Exception:
            stream.end(RequestError(rpc_code.INTERNAL, "the switch failed; its standard error says why"))
            raise
        else:
            stream.close()

    def _hear(self, stream: ClientStream, request: p4r.StreamMessageRequest) -> None:
        """Raises RequestError for a bad arbitration only, which ends the stream; the rest is told in it."""
        kind = request.WhichOneof("update")
        if kind == "arbitration":
            self.arbiter.update(stream, request.arbitration)
            self.watchdog.stop(self._streams.get(stream))
            return
        error = p4r.StreamError(space=ERROR_SPACE)
        try:
            if kind == "packet":
                error.packet_out.packet_out.CopyFrom(request.packet)
                self._packet_out(stream, request.packet)
            elif kind == "digest_ack":
                error.digest_list_ack.digest_list_ack.CopyFrom(request.digest_ack)
                self._digest_ack(request.digest_ack)
            else:
                error.other.other.CopyFrom(request.other)
                raise unimplemented("this switch knows no architecture-specific stream messages")
        except RequestError as refused:
            error.canonical_code = refused.code
            error.message = refused.message
            stream.offer_message(p4r.StreamMessageResponse(error=error))

    def _packet_out(self, stream: ClientStream, packet: p4r.PacketOut) -> None:
        if self.arbiter.primary is not stream:
            raise denied("only the primary may send packets")
        with self._device.running_pipeline() as pipeline:
            header = pipeline.packet_out.pack(packet.metadata)
        if self._device.data_plane.cpu_port is None:
            raise failed_precondition("the switch was started without a CPU port (-- --cpu-port N)")
        if not self._device.data_plane.packet_out(header + packet.payload):
            raise exhausted("too many packets wait to be sent out, or it is too long")

    def _digest_ack(self, ack: p4r.DigestListAck) -> None:
        with self._device.running_pipeline() as pipeline:
            pipeline.digests.acknowledge(ack)

    # ---- Capabilities ----

    def Capabilities(
        self, request: p4r.CapabilitiesRequest, context: grpc.ServicerContext
    ) -> p4r.CapabilitiesResponse:
        try:
            if request.device_id:
                self._check_addressee(request.device_id, "")
        except RequestError as error:
            _abort(context, error)
        return p4r.CapabilitiesResponse(p4runtime_api_version=API_VERSION)

    # ---- Checks ----

    def _check_addressee(self, device_id: int, role: str, role_id: int = 0) -> None:
        """role_id: what roles were called by before P4Runtime 1.4."""
        if device_id != self._device.id:
            raise not_found(f"no device {device_id} here; this switch is device {self._device.id}")
        if role or role_id:
            raise not_found(f"no role {role or role_id} here: this switch has no roles, leave it unset")

    def _check_primary(self, request: p4r.WriteRequest | p4r.SetForwardingPipelineConfigRequest) -> None:
        election_id = uint128(request.election_id) if request.HasField("election_id") else None
        if not self.arbiter.is_primary(election_id):
            raise denied("Not primary")


def add_service(service: P4RuntimeService, server: grpc.Server) -> DirectCall | None:
    """As generated code would, but that Write reads its requests by itself, in C, and is served directly, and
    that Read gives octets.

    Returns what serves Write, to be started and stopped with the server. Raises BuildError.
    """
    load_reader()
    write = grpc.unary_unary_rpc_method_handler(
        service.Write, WriteMessage.parse, p4r.WriteResponse.SerializeToString
    )
    handlers = {
        "Write": write,
        "Read": grpc.unary_stream_rpc_method_handler(service.Read, p4r.ReadRequest.FromString, None),
        "SetForwardingPipelineConfig": grpc.unary_unary_rpc_method_handler(
            service.SetForwardingPipelineConfig,
            p4r.SetForwardingPipelineConfigRequest.FromString,
            p4r.SetForwardingPipelineConfigResponse.SerializeToString,
        ),
        "GetForwardingPipelineConfig": grpc.unary_unary_rpc_method_handler(
            service.GetForwardingPipelineConfig,
            p4r.GetForwardingPipelineConfigRequest.FromString,
            p4r.GetForwardingPipelineConfigResponse.SerializeToString,
        ),
        "StreamChannel": grpc.stream_stream_rpc_method_handler(
            service.StreamChannel,
            p4r.StreamMessageRequest.FromString,
            p4r.StreamMessageResponse.SerializeToString,
        ),
        "Capabilities": grpc.unary_unary_rpc_method_handler(
            service.Capabilities,
            p4r.CapabilitiesRequest.FromString,
            p4r.CapabilitiesResponse.SerializeToString,
        ),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE_NAME, handlers),))
    return direct_call(server, f"/{SERVICE_NAME}/Write", write, service.is_quick, service.watchdog)


_NOBODY = RequestError(
    rpc_code.DEADLINE_EXCEEDED, f"a stream begins with an arbitration, within {INTRODUCTION_TIMEOUT:.0f} s"
)


def _abort(context: grpc.ServicerContext, error: RequestError) -> NoReturn:
    context.abort(grpc_code(error.code), error.message)


def _abort_batch(context: grpc.ServicerContext, errors: Outcome, what: str) -> NoReturn:
    status = batch_status(errors, what)
    context.set_trailing_metadata(((STATUS_DETAILS, status.SerializeToString()),))
    context.abort(grpc_code(status.code), status.message)
