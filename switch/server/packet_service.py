"""BMv2's packet service: packets in and out, and port state, by gRPC (--dp-grpc-server-addr).

A test that brings its packets this way runs on both switches, and needs no interfaces and no rights. What
became of the packets of a stream has come when the stream, after the client's end of it, ends; the answers to
one packet come in order, with its id.
"""

import logging
import threading
from collections.abc import Iterator
from typing import Any

import grpc

from switch.in_process import InProcess, Packets
from switch.ports import PORTS, Port
from switch.server.listening import grpc_server, listen
from switch.server.outbox import Outbox
from switch.server.packet_messages import (
    OPER_STATUS_DOWN,
    OPER_STATUS_UP,
    SERVICE,
    PacketStreamRequest,
    PacketStreamResponse,
    SetPortOperStatusRequest,
    SetPortOperStatusResponse,
)

LOG = logging.getLogger(__name__)

THREADS = 4
PACKETS_WAITING = 4096
BYTES_WAITING = 16 << 20


class PacketServer:
    """Listens from the start; serves one client at a time, as the reference switch, from `start` to `stop`.

    plane: is made here, and its packets come and go here. address: as `listen` has it.
    """

    def __init__(self, device_id: int, cpu_port: int | None, address: str) -> None:
        self.plane = InProcess(cpu_port, self._unasked)
        self._device_id = device_id
        self._client: Outbox[Any] | None = None
        self._lock = threading.Lock()
        self._grpc = grpc_server(THREADS)
        self._grpc.add_generic_rpc_handlers((self._handler(),))
        self.address = listen(self._grpc, address, "--dp-grpc-server-addr")

    def start(self) -> None:
        self._grpc.start()

    def stop(self) -> None:
        """Ends the client's stream."""
        stopped = self._grpc.stop(None)
        if client := self._client:
            client.close()
        stopped.wait()

    def _handler(self) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "PacketStream": grpc.stream_stream_rpc_method_handler(
                    self._packet_stream,
                    request_deserializer=PacketStreamRequest.FromString,
                    response_serializer=PacketStreamResponse.SerializeToString,
                ),
                "SetPortOperStatus": grpc.unary_unary_rpc_method_handler(
                    self._set_port_oper_status,
                    request_deserializer=SetPortOperStatusRequest.FromString,
                    response_serializer=SetPortOperStatusResponse.SerializeToString,
                ),
            },
        )

    def _unasked(self, packets: Packets) -> None:
        """Packets that left without one of the client's having come in: those of the controller."""
        client = self._client
        for port, packet in packets:
            if client is not None:
                client.offer(self._response(0, port, packet), len(packet))

    def _response(self, id: int, port: int, packet: bytes) -> Any:
        return PacketStreamResponse(id=id, device_id=self._device_id, port=port, packet=packet)

    def _packet_stream(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        if not self.plane.has_program:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not ready: there is no program yet")
        outbox: Outbox[Any] = Outbox(PACKETS_WAITING, BYTES_WAITING)
        with self._lock:
            busy = self._client is not None
            if not busy:
                self._client = outbox
        if busy:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "only one client authorized at a time")
        try:
            if context.add_callback(outbox.close):
                threading.Thread(target=self._take_in, args=(requests, outbox), daemon=True).start()
                yield from outbox.messages()
        finally:
            outbox.close()
            self._client = None
            if outbox.dropped:
                LOG.warning("the packet client did not read in time: %d packets dropped", outbox.dropped)

    def _take_in(self, requests: Iterator[Any], outbox: Outbox[Any]) -> None:
        try:
            for request in requests:
                if request.device_id != self._device_id or request.port >= PORTS or not request.packet:
                    continue  # as the reference switch, which says nothing
                self._appear(request.port)
                for port, packet in self.plane.receive(request.port, request.packet):
                    # A client that does not read is not read from either.
                    outbox.put(self._response(request.id, port, packet), len(packet))
        except grpc.RpcError:
            pass  # the client vanished
        finally:
            outbox.close()

    def _appear(self, number: int) -> None:
        self.plane.ports.add(Port(number, f"port{number}"))

    def _set_port_oper_status(self, request: Any, context: grpc.ServicerContext) -> Any:
        if request.device_id != self._device_id:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Invalid device id")
        if request.port >= PORTS:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"ports are numbered 0 to {PORTS - 1}")
        if request.oper_status not in (OPER_STATUS_DOWN, OPER_STATUS_UP):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Invalid oper status")
        self._appear(request.port)
        self.plane.ports.set_up(request.port, request.oper_status == OPER_STATUS_UP)
        return SetPortOperStatusResponse()
