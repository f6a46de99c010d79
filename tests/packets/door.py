"""Packets to and from a switch by gRPC (BMv2's p4.bm.DataplaneInterface), which needs no interfaces."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import grpc

from switch.server.packet_messages import PacketStreamRequest, PacketStreamResponse

STREAM = "/p4.bm.DataplaneInterface/PacketStream"

REFUSAL = 0.3
"""Seconds in which a switch refuses a stream, if it does."""
PATIENCE = 20.0
"""Seconds for BMv2 to take one: it serves P4Runtime a moment before it has begun with packets."""


class Door:
    """As Wires, through a stream that is open until `close`. The switch must have its program."""

    kind = "by gRPC"
    namespace = ""  # that of the tests

    def __init__(self, address: str, device_id: int) -> None:
        self._device_id = device_id
        self._channel = grpc.insecure_channel(address)
        stream: Callable[..., Any] = self._channel.stream_stream(
            STREAM,
            request_serializer=PacketStreamRequest.SerializeToString,
            response_deserializer=PacketStreamResponse.FromString,
        )
        self._arrived: queue.SimpleQueue[tuple[int, bytes]] = queue.SimpleQueue()
        self._requests, responses = _open(stream, address)
        threading.Thread(target=self._listen, args=(responses,), daemon=True).start()

    def _listen(self, responses: Iterable[Any]) -> None:
        with contextlib.suppress(grpc.RpcError):  # the end of the stream
            for response in responses:
                self._arrived.put((response.port, response.packet))

    def send(self, port: int, frame: bytes) -> None:
        self._requests.put(PacketStreamRequest(device_id=self._device_id, port=port, packet=frame))

    def receive(self, timeout: float) -> Iterator[tuple[int, bytes]]:
        """What has arrived by now, waiting `timeout` seconds for the first of it."""
        with contextlib.suppress(queue.Empty):
            yield self._arrived.get(timeout=timeout)
            while True:
                yield self._arrived.get_nowait()

    def close(self) -> None:
        self._requests.put(None)
        self._channel.close()


def _open(stream: Callable[..., Any], address: str) -> tuple[queue.SimpleQueue[Any], Any]:
    """A stream that the switch has taken: what it sends (None: no more), and what comes."""
    deadline = time.monotonic() + PATIENCE
    while True:
        requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        responses = stream(iter(requests.get, None))
        try:
            refusal = responses.exception(REFUSAL)
        except grpc.FutureTimeoutError:
            return requests, responses
        requests.put(None)
        if time.monotonic() > deadline:
            raise RuntimeError(f"{address} takes no packets: {refusal}")
