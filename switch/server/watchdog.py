"""What must not take for ever: reading an answer, saying who one is."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Watchdog:
    """`look` is to be called now and then; any thread may call the rest."""

    def __init__(self) -> None:
        self._watched: dict[object, tuple[float, Callable[[], object]]] = {}
        self._lock = threading.Lock()

    def start(self, seconds: float, expire: Callable[[], object]) -> object:
        """Calls `expire` after so long, unless `stop` is called with what this returns."""
        token = object()
        with self._lock:
            self._watched[token] = (time.monotonic() + seconds, expire)
        return token

    def stop(self, token: object) -> None:
        """Calling it again is harmless."""
        with self._lock:
            self._watched.pop(token, None)

    @contextmanager
    def limit(self, seconds: float, expire: Callable[[], object]) -> Iterator[None]:
        """What is done meanwhile has so long."""
        token = self.start(seconds, expire)
        try:
            yield
        finally:
            self.stop(token)

    def look(self) -> None:
        """Calls what is due."""
        now = time.monotonic()
        with self._lock:
            due = [token for token, (deadline, _) in self._watched.items() if deadline <= now]
            expired = [self._watched.pop(token)[1] for token in due]
        for expire in expired:
            expire()
