"""What the controller says while the demonstration runs: its events as they come, and the pool's state."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from topo.demo.screen import BackendView
from topo.errors import CommandFailed
from topo.lab import Lab

POOL_SECONDS = 1.0


@dataclass(frozen=True)
class Pool:
    """A pool as `sluice pool show` reports it."""

    backends: tuple[BackendView, ...]

    @property
    def shares(self) -> dict[str, float]:
        """The part of the buckets that each backend has for new connections."""
        return {backend.name: backend.share for backend in self.backends}

    def share(self, backend: str) -> float:
        return self.shares.get(backend, 0.0)


class Observer:
    """Asks through the CLI, as an operator would."""

    def __init__(self, lab: Lab, pool: str) -> None:
        self.lab = lab
        self.pool_name = pool
        self.backends: tuple[BackendView, ...] = ()
        """As last seen."""

    def pool(self) -> Pool:
        """The pool as it is now."""
        report = self.lab.sluice_json("pool", "show", self.pool_name)
        backends = tuple(
            BackendView(entry["name"], entry["health"], entry["state"], entry["weight"], entry["share"])
            for entry in report["backends"]
        )
        self.backends = backends
        return Pool(backends)

    @contextmanager
    def following(self, tell: Callable[[str], None]) -> Iterator[None]:
        """Call `tell` with each event of the controller, and keep `backends` fresh, while the block lasts."""
        end = threading.Event()
        process = self.lab.start_cli("events", "--follow", "-o", "json")
        assert process.stdout is not None
        output = process.stdout

        def follow() -> None:
            for line in output:
                event = json.loads(line)
                cause = f" ({event['cause']})" if event["cause"] else ""
                tell(f"{event['subject']}: {event['text']}{cause}")

        def refresh() -> None:
            while not end.wait(POOL_SECONDS):
                try:
                    self.pool()
                except CommandFailed:  # the daemon is being restarted; the next look will tell
                    continue

        threads = [threading.Thread(target=work, daemon=True) for work in (follow, refresh)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            end.set()
            process.terminate()
            process.wait()
            for thread in threads:
                thread.join()
