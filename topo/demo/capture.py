"""Follows the new connections that reach one backend (see `topo.capture`)."""

import json
import threading

from topo import plan
from topo.errors import StartFailed
from topo.lab import READY, Lab


class SynWatch:
    """The monotonic time of every client's SYN that arrives at a backend, while the `with` block lasts."""

    def __init__(self, lab: Lab, backend: str) -> None:
        host = plan.Plan().host(backend)
        health = plan.Plan().health
        command = lab.python("topo.capture", "--interface", host.interface, "--port", str(plan.SERVICE_PORT))
        command += ["--without", health.address4, "--without", health.address6]
        self.moments: list[float] = []
        self._process = lab.start_on(backend, f"capture-{backend}", command)
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> "SynWatch":
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != READY:
            raise StartFailed("the capture of new connections did not start")
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        self._reader.join()

    def last_before(self, moment: float, *, since: float) -> float | None:
        """The last SYN that arrived between two moments, if any did."""
        return max((seen for seen in self.moments if since <= seen < moment), default=None)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.moments.append(json.loads(line)["moment"])
