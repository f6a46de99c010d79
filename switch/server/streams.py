"""One client's StreamChannel: what waits to be sent to it, and its end."""

from collections.abc import Callable

from finsy.proto import p4r

from switch.server.outbox import Outbox
from switch.server.status import RequestError

# Packets and digests that may wait for a client which does not read.
MAX_WAITING = 4096
MAX_WAITING_BYTES = 16 << 20

# Beyond those: changes of who is primary. They are small and must not be lost.
MAX_VERDICTS_WAITING = 1024


class ClientStream(Outbox[p4r.StreamMessageResponse]):
    """cancel: ends the RPC at once, without waiting for the client to take anything."""

    def __init__(self, cancel: Callable[[], object]) -> None:
        super().__init__(MAX_WAITING, MAX_WAITING_BYTES)
        self._cancel = cancel
        self.error: RequestError | None = None

    def send(self, response: p4r.StreamMessageResponse) -> None:
        """Queue a message that must not be lost. A client that leaves too many unread is let go."""
        with self._changed:
            if len(self._waiting) < MAX_WAITING + MAX_VERDICTS_WAITING:
                self._put(response, 0)
                return
        self.close()
        self._cancel()

    def offer_message(self, response: p4r.StreamMessageResponse) -> bool:
        """Queue a message unless too many wait already; False when it was dropped."""
        return self.offer(response, response.ByteSize())

    def end(self, error: RequestError) -> None:
        """End the stream after what is queued; with this error, unless it was closed before."""
        with self._changed:
            if not self._closed:
                self.error = error
        self.close()
