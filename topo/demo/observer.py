"""What the controller says while the demonstration runs: its events as they come, and the pools' state."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from controller.api.client import Client, Unreachable
from controller.api.schemas import PoolView
from controller.events import Event

POOL_SECONDS = 1.0


class Observer:
    """Follows some pools through the daemon's API."""

    def __init__(self, socket: Path, pools: Iterable[str]) -> None:
        self.socket = socket
        self.names = tuple(pools)
        self.last: dict[str, PoolView] = {}
        """The pools as last seen."""

    def pools(self) -> dict[str, PoolView]:
        """The pools as they are now."""
        with Client(self.socket) as daemon:
            self.last = {name: daemon.get(PoolView, "pools", name) for name in self.names}
        return self.last

    @contextmanager
    def following(self, tell: Callable[[str], None]) -> Iterator[None]:
        """Call `tell` with each new event of the controller, and keep `last` fresh, while the block lasts."""
        end = threading.Event()
        self.pools()
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
                self.pools()

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
