"""Which of several controllers may write: P4Runtime specification 1.5, "Client Arbitration".

The primary is the client whose election id is the highest that the device ever received. When it leaves there
is no primary, until some client sends an election id at least that high: nobody is promoted unasked.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from finsy.proto import p4r, rpc_code, rpc_status

from switch.server.status import exhausted, failed_precondition, invalid, not_found, unimplemented

MAX_CLIENTS = 32


class Stream(Protocol):
    """A client's StreamChannel, to tell it things."""

    def send(self, response: p4r.StreamMessageResponse) -> None:
        """What must not be lost."""
        ...

    def offer_message(self, response: p4r.StreamMessageResponse) -> bool:
        """What may be lost when the client is slow; False if it was."""
        ...


@dataclass(eq=False)
class _Client:
    stream: Stream
    election_id: int | None  # None: wants to be a backup in any case


class Arbiter:
    """The clients of one device, default role.

    finish_writes: waits until writes that have begun are finished; called while nobody is primary.
    """

    def __init__(self, device_id: int, finish_writes: Callable[[], None]) -> None:
        self._device_id = device_id
        self._finish_writes = finish_writes
        self._clients: list[_Client] = []
        self._primary: _Client | None = None
        self._highest: int | None = None
        self._lock = threading.Lock()

    @property
    def primary(self) -> Stream | None:
        primary = self._primary
        return primary.stream if primary else None

    def is_primary(self, election_id: int | None) -> bool:
        """Whether requests with this election id come from the primary. Never waits."""
        primary = self._primary
        return primary is not None and election_id is not None and primary.election_id == election_id

    def update(self, stream: Stream, message: p4r.MasterArbitrationUpdate) -> None:
        """A client introduces itself, or changes its election id.

        Raises RequestError when the client's stream is to be ended with that status.
        """
        with self._lock:
            client = self._client(stream)
            self._check(client, message)
            election_id = uint128(message.election_id) if message.HasField("election_id") else None
            if client is None:
                client = _Client(stream, election_id)
                self._clients.append(client)
            client.election_id = election_id
            if election_id is not None and (self._highest is None or election_id >= self._highest):
                self._make_primary(client, election_id)
            elif client is self._primary:
                self._primary = None
                self._notify(self._clients)
            else:
                self._notify([client])

    def leave(self, stream: Stream) -> None:
        """The client's stream ended."""
        with self._lock:
            client = self._client(stream)
            if client is None:
                return
            self._clients.remove(client)
            if client is self._primary:
                self._primary = None
                self._notify(self._clients)

    def _client(self, stream: Stream) -> _Client | None:
        return next((client for client in self._clients if client.stream is stream), None)

    def _check(self, client: _Client | None, message: p4r.MasterArbitrationUpdate) -> None:
        if message.device_id != self._device_id:
            if client is not None:
                raise failed_precondition("the device id of a stream cannot change")
            raise not_found(f"no device {message.device_id} here; this switch is device {self._device_id}")
        if message.role.name or message.role.id:
            if client is not None:
                raise failed_precondition("the role of a stream cannot change")
            raise unimplemented("this switch has no roles: leave the role unset, for full pipeline access")
        if message.role.HasField("config"):
            raise invalid("this switch knows no role configurations: leave role.config unset")
        if client is None and len(self._clients) >= MAX_CLIENTS:
            raise exhausted(f"this switch serves {MAX_CLIENTS} clients at a time")
        if message.HasField("election_id"):
            wanted = uint128(message.election_id)
            if any(other.election_id == wanted for other in self._clients if other is not client):
                # finsy and others recognise this text of the reference server, and try another id.
                raise invalid("Election id already exists")

    def _make_primary(self, client: _Client, election_id: int) -> None:
        self._primary = None  # from here on nobody's writes are accepted
        self._highest = election_id
        self._notify([other for other in self._clients if other is not client], taken=True)
        self._finish_writes()
        self._primary = client
        self._notify([client])

    def _notify(self, clients: list[_Client], *, taken: bool = False) -> None:
        """taken: there is a primary, although it may not write yet."""
        for client in clients:
            if client is self._primary:
                status = rpc_status.Status(code=rpc_code.OK, message="You are the primary")
            elif self._primary or taken:
                status = rpc_status.Status(code=rpc_code.ALREADY_EXISTS, message="You are a backup")
            else:
                status = rpc_status.Status(code=rpc_code.NOT_FOUND, message="There is no primary")
            update = p4r.MasterArbitrationUpdate(device_id=self._device_id, status=status)
            if self._highest is not None:
                update.election_id.CopyFrom(_uint128_message(self._highest))
            client.stream.send(p4r.StreamMessageResponse(arbitration=update))


def uint128(value: p4r.Uint128) -> int:
    return value.high << 64 | value.low


def _uint128_message(value: int) -> p4r.Uint128:
    return p4r.Uint128(high=value >> 64, low=value & (1 << 64) - 1)
