"""What serialises everybody who reads or changes the state of a running program."""

import threading
from types import TracebackType

from switch.errors import EngineError


class Guard:
    """A lock that cannot be taken any more once the program was closed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = False

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """By whoever holds it."""
        self._closed = True

    def check(self) -> None:
        """Raises EngineError when the program was closed."""
        if self._closed:
            raise EngineError("the program was closed")

    def __enter__(self) -> None:
        """Raises EngineError when the program was closed."""
        self._lock.acquire()
        try:
            self.check()
        except EngineError:
            self._lock.release()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lock.release()
