"""What waits to be sent to one client, bounded, and its end."""

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Outbox(Generic[T]):
    """Filled by any thread, drained by the one that serves the client.

    room: how many messages may wait, and `room_bytes` how long they may be together; more are dropped or have
    to wait: a client that does not read must not fill the switch's memory.
    """

    def __init__(self, room: int, room_bytes: int) -> None:
        self._room = room
        self._room_bytes = room_bytes
        self._waiting: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._closed = False
        self.dropped = 0

    @property
    def closed(self) -> bool:
        return self._closed

    def offer(self, message: T, size: int) -> bool:
        """Put it in if there is room; False when it was dropped."""
        with self._changed:
            if self._full:
                self.dropped += 1
                return False
            self._put(message, size)
            return True

    def put(self, message: T, size: int) -> None:
        """Put it in, waiting for room. Does nothing when the outbox is or gets closed."""
        with self._changed:
            while self._full and not self._closed:
                self._changed.wait()
            self._put(message, size)

    @property
    def _full(self) -> bool:
        return len(self._waiting) >= self._room or self._bytes >= self._room_bytes

    def _put(self, message: T, size: int) -> None:
        if not self._closed:
            self._waiting.append((message, size))
            self._bytes += size
            self._changed.notify_all()

    def close(self) -> None:
        """Nothing more comes; what waits is still sent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def messages(self) -> Iterator[T]:
        """As they come, until the outbox is closed and empty."""
        while True:
            with self._changed:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                if not self._waiting:
                    return
                message, size = self._waiting.popleft()
                self._bytes -= size
                self._changed.notify_all()
            yield message
