"""A client of BMv2's packet service, p4.bm.DataplaneInterface."""

from collections.abc import Callable, Iterator
from typing import Any

import grpc

from switch.server.packet_messages import (
    PacketStreamRequest,
    PacketStreamResponse,
    SetPortOperStatusRequest,
    SetPortOperStatusResponse,
)
from tests.switch.client import DEADLINE, DEVICE_ID


class PacketClient:
    """Speaks to the service by its names on the wire."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address)
        self._stream: Callable[..., Any] = self._channel.stream_stream(
            "/p4.bm.DataplaneInterface/PacketStream",
            request_serializer=PacketStreamRequest.SerializeToString,
            response_deserializer=PacketStreamResponse.FromString,
        )
        self._set_status: Callable[..., Any] = self._channel.unary_unary(
            "/p4.bm.DataplaneInterface/SetPortOperStatus",
            request_serializer=SetPortOperStatusRequest.SerializeToString,
            response_deserializer=SetPortOperStatusResponse.FromString,
        )

    def close(self) -> None:
        self._channel.close()

    def stream(self, requests: Iterator[Any]) -> Any:
        return self._stream(requests, timeout=DEADLINE)

    def exchange(self, *requests: Any) -> list[tuple[int, int, bytes]]:
        """(id, port, packet) of everything that became of the requests."""
        return [(got.id, got.port, got.packet) for got in self.stream(iter(requests))]

    def set_status(self, port: int, status: int, device_id: int = DEVICE_ID) -> None:
        request = SetPortOperStatusRequest(device_id=device_id, port=port, oper_status=status)
        self._set_status(request, timeout=DEADLINE)


def request(port: int, packet: bytes, id: int = 0, device_id: int = DEVICE_ID) -> Any:
    return PacketStreamRequest(id=id, device_id=device_id, port=port, packet=packet)
