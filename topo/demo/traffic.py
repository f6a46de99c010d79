"""The clients of the demonstration, and everything that they reported."""

import json
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from topo.client import Request, StreamEvent
from topo.lab import Lab

STOP_SECONDS = 15.0
RATE_WINDOW = 2.0  # seconds over which the present rate is taken


@dataclass(frozen=True)
class Load:
    """What each client sends."""

    url: str
    rate: float = 40.0
    streams: int = 4
    concurrency: int = 64


@dataclass
class Observed:
    """All reports of all clients so far, in the order in which they came."""

    requests: list[Request] = field(default_factory=list)
    events: list[StreamEvent] = field(default_factory=list)
    held_back: int = 0


class Traffic:
    """One client process on each host that has a load, from `start` to `stop`. `label` is for their names.

    Their reports are read by a thread each. The lists only grow, so they may be read at any time.
    """

    def __init__(self, lab: Lab, loads: Mapping[str, Load], label: str = "client") -> None:
        self.lab = lab
        self.loads = loads
        self.label = label
        self.observed = Observed()
        self._streams: dict[str, dict[str, int]] = {}
        self._clients: dict[str, subprocess.Popen[str]] = {}
        self._readers: list[threading.Thread] = []

    def start(self) -> None:
        for host, load in self.loads.items():
            command = self.lab.python("topo.client", "--url", load.url, "--rate", str(load.rate))
            command += ["--streams", str(load.streams), "--concurrency", str(load.concurrency)]
            client = self.lab.start_on(host, f"{self.label}-{host}", command)
            reader = threading.Thread(target=self._read, args=(host, client), daemon=True)
            reader.start()
            self._clients[host] = client
            self._readers.append(reader)

    def stop(self) -> None:
        """Let the clients finish what is under way; returns when everything has been reported."""
        for client in self._clients.values():
            client.send_signal(signal.SIGTERM)
        for client in self._clients.values():
            client.wait(STOP_SECONDS)
        for reader in self._readers:
            reader.join(STOP_SECONDS)
        self._clients.clear()

    def dead_clients(self) -> list[str]:
        """The hosts whose client has ended by itself, which it never should."""
        return [host for host, client in self._clients.items() if client.poll() is not None]

    def streams(self) -> Counter[str]:
        """The long-lived connections alive now, by backend."""
        total: Counter[str] = Counter()
        for of_host in list(self._streams.values()):
            total.update(of_host)
        return total

    def rates(self) -> Counter[str]:
        """Requests answered in the last moments, by backend."""
        since = time.monotonic() - RATE_WINDOW
        recent: Counter[str] = Counter()
        for request in reversed(self.observed.requests):
            if request.ended < since - 1.0:  # reports of several clients are not quite in order
                break
            if request.ended >= since and request.backend:
                recent[request.backend] += 1
        return recent

    def _read(self, host: str, client: subprocess.Popen[str]) -> None:
        assert client.stdout is not None
        for line in client.stdout:
            report = json.loads(line)
            self.observed.requests += [Request(**request) for request in report["requests"]]
            self.observed.events += [StreamEvent(**event) for event in report["events"]]
            self.observed.held_back += report["held_back"]
            self._streams[host] = report["streams"]
