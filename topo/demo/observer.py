"""What the controller says while the demonstration runs: its events as they come, and the pool's state."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from controller.api.client import Client, Unreachable
from controller.api.schemas import PoolView
from controller.events import Event

POOL_SECONDS = 1.0


class Observer:
    """Follows one pool through the daemon's API."""

    def __init__(self, socket: Path, pool: str) -> None:
        self.socket = socket
        self.pool_name = pool
        self.last: PoolView | None = None
        """The pool as last seen."""

    def pool(self) -> PoolView:
        """The pool as it is now."""
        with Client(self.socket) as daemon:
            self.last = daemon.get(PoolView, "pools", self.pool_name)
        return self.last

    @contextmanager
    def following(self, tell: Callable[[str], None]) -> Iterator[None]:
        """Call `tell` with each new event of the controller, and keep `last` fresh, while the block lasts."""
        end = threading.Event()
        self.pool()
        with Client(self.socket) as daemon:
            past = daemon.get(list[Event], "events")

        def follow(after: int) -> None:
            with Client(self.socket) as daemon:
                for event in daemon.follow(after):
                    if end.is_set():
                        return
                    cause = f" ({event.cause})" if event.cause else ""
                    tell(f"{event.subject}: {event.text}{cause}")

        def refresh() -> None:
            while not end.wait(POOL_SECONDS):
                self.pool()

        # Both end with the process at the latest: the stream of events has no end of its own.
        threading.Thread(target=_until_daemon_ends(follow), args=(_last(past),), daemon=True).start()
        refresher = threading.Thread(target=_until_daemon_ends(refresh), daemon=True)
        refresher.start()
        try:
            yield
        finally:
            end.set()
            refresher.join()


def shares(pool: PoolView) -> dict[str, float]:
    """The part of the buckets that each backend has for new connections."""
    return {backend.name: backend.share for backend in pool.backends}


def _last(events: list[Event]) -> int:
    return events[-1].number if events else 0


def _until_daemon_ends(work: Callable[..., None]) -> Callable[..., None]:
    def guarded(*arguments: int) -> None:
        try:
            work(*arguments)
        except Unreachable:
            return

    return guarded
