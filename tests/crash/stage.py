"""What both `world` and `pair` stand on: the switch, clients that talk, and a loop for the wires between."""

import asyncio
import threading
from collections.abc import Coroutine
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, TypeVar

from tests.crash.clients import Clients
from tests.fakes.embedded import EmbeddedSwitch

T = TypeVar("T")


class Stage:
    """From its making until `end`. `patience` bounds what is waited for, `silence` is the clients'; seconds.

    `tick`: between two packets of each flow, about.
    """

    def __init__(self, vip: tuple[IPv4Address, int], *, tick: float, silence: float, patience: float) -> None:
        self._patience = patience
        self.switch = EmbeddedSwitch()
        self.switch.start()
        self.clients = Clients(self.switch, *vip, patience=silence)
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self._tick, self._silent = tick, threading.Event()
        self._talk = threading.Thread(target=self._keep_talking)
        self._talk.start()

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs it in the loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(self._patience)

    def silence(self) -> None:
        """The clients say nothing any more."""
        self._silent.set()
        self._talk.join()

    def end(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.switch.kill()

    def _keep_talking(self) -> None:
        while not self._silent.wait(self._tick):
            self.clients.speak()


def daemon_order(folder: Path, name: str, store: Path, socket: Path) -> dict[str, str]:
    """What a zygote is told of a daemon: its files are in the folder, and called by its name."""
    return {
        "config": str(folder / f"{name}.yaml"),
        "checks": str(folder),
        "socket": str(socket),
        "store": str(store / "sluice.db"),
        "log_level": "info",
        "log": str(folder / f"{name}.log"),
        "down": str(folder / "down"),
    }
