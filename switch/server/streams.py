"""One client's StreamChannel: what waits to be sent to it, and its end."""

import threading
from collections import deque
from collections.abc import Iterator

from finsy.proto import p4r

from switch.server.status import RequestError

# Packets and digests that may wait for a client which does not read. More are dropped: a slow controller must
# not fill the switch's memory.
MAX_WAITING = 4096


class ClientStream:
    """Written by any thread, drained by the one that serves the client."""

    def __init__(self) -> None:
        self._waiting: deque[p4r.StreamMessageResponse] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self.error: RequestError | None = None
        self.dropped = 0  # packets and digests

    def send(self, response: p4r.StreamMessageResponse) -> None:
        """Queue a message that must not be lost."""
        with self._changed:
            self._waiting.append(response)
            self._changed.notify()

    def offer(self, response: p4r.StreamMessageResponse) -> bool:
        """Queue a message unless too many wait already; False when it was dropped."""
        with self._changed:
            if len(self._waiting) >= MAX_WAITING:
                self.dropped += 1
                return False
            self._waiting.append(response)
            self._changed.notify()
            return True

    def close(self, error: RequestError | None = None) -> None:
        """End the stream after what is queued; with this error, unless it was closed before."""
        with self._changed:
            if not self._closed:
                self._closed = True
                self.error = error
            self._changed.notify()

    def responses(self) -> Iterator[p4r.StreamMessageResponse]:
        """Messages as they come, until the stream is closed."""
        while True:
            with self._changed:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                if not self._waiting:
                    return
                response = self._waiting.popleft()
            yield response
