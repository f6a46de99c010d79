"""The ports of the switch as its control planes see them: number, name, and whether packets can pass."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

PORT_BITS = 9
"""v1model's PortId_t."""
PORTS = (1 << PORT_BITS) - 1
"""Numbers of ports; the last is the drop port."""

Listener = Callable[["Port"], None]


@dataclass(frozen=True, slots=True)
class Port:
    """number: the program's and P4Runtime's; name: that of the interface.

    changed_at: when it last went down or came up, in nanoseconds since 1970; 0: not yet. changes: how often.
    """

    number: int
    name: str
    up: bool = True
    changed_at: int = field(default=0, compare=False)
    changes: int = field(default=0, compare=False)


class Ports:
    """All ports, and who is told when one appears, goes down or comes up. Any thread may call any method.

    any_number: more may appear, of all numbers.
    """

    def __init__(self, *, any_number: bool = False) -> None:
        self._any_number = any_number
        self._ports: dict[int, Port] = {}
        self._listeners: list[Listener] = []
        self._lock = threading.RLock()  # a listener may look at the ports

    def add(self, port: Port) -> None:
        """Does nothing when there is one of this number already."""
        with self._lock:
            if port.number not in self._ports:
                self._change(port)

    def set_up(self, number: int, up: bool) -> bool:
        """Whether that was a change. The port must be there."""
        with self._lock:
            port = self._ports[number]
            if port.up == up:
                return False
            self._change(replace(port, up=up, changed_at=time.time_ns(), changes=port.changes + 1))
            return True

    def _change(self, port: Port) -> None:
        self._ports[port.number] = port
        for listener in self._listeners:
            listener(port)

    def all(self) -> list[Port]:
        """By number."""
        with self._lock:
            return [self._ports[number] for number in sorted(self._ports)]

    def is_possible(self, number: int) -> bool:
        """Whether there is a port of this number, or may be."""
        return number in self._ports or (self._any_number and 0 <= number < PORTS)

    def tell(self, listener: Listener) -> None:
        """Tell this function of all ports as they are, as if each had just changed."""
        with self._lock:
            for port in self._ports.values():
                listener(port)

    def is_up(self, number: int) -> bool:
        """False also when there is no such port."""
        port = self._ports.get(number)
        return port is not None and port.up

    def is_down(self, number: int) -> bool:
        """False also when there is no such port."""
        port = self._ports.get(number)
        return port is not None and not port.up

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell this function of every change from now on, until the returned one is called.

        It is called in the thread that saw the change, for one change after the other, and must not wait.
        """
        with self._lock:
            self._listeners.append(listener)

        def stop() -> None:
            with self._lock:
                self._listeners.remove(listener)

        return stop
