"""Links that come and go at the ports, and what the ports have counted in the end.

The kernel tells at once when a link changes (netlink, RTMGRP_LINK); what it says is taken as a reason to look
at all ports, so that nothing hangs on having understood every message.
"""

import logging
import socket
import threading
import time
from dataclasses import asdict
from typing import Protocol

from switch.ports import Ports
from switch.worker import Losses, PortCounters

LOG = logging.getLogger(__name__)


NETLINK_ROUTE = 0
RTMGRP_LINK = 1
NEWS_BYTES = 64 * 1024
LOOK_INTERVAL = 1.0  # seconds, when the kernel says nothing
SETTLE_TIME = 0.01  # seconds; a link that changes does so in several messages


class Plane(Protocol):
    """The worker's part that is looked at."""

    @property
    def ports(self) -> Ports: ...

    def link_is_up(self, number: int) -> bool: ...
    def counters(self, number: int) -> PortCounters: ...
    @property
    def losses(self) -> Losses: ...


class PortWatch:
    """Keeps the state of the ports up to date, from `start` to `stop`, and logs what changed."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="links", daemon=True)
        self._news = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE)
        self._news.bind((0, RTMGRP_LINK))
        self._news.settimeout(LOOK_INTERVAL)
        for port in plane.ports.all():
            if not port.up:
                LOG.warning("port %d (%s) is down", port.number, port.name)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._news.close()

    def _watch(self) -> None:
        while not self._stopping.is_set():
            try:
                self._news.recv(NEWS_BYTES)
                time.sleep(SETTLE_TIME)
            except TimeoutError:
                pass
            except OSError as error:
                LOG.debug("news of links were lost: %s", error)  # more came than the socket holds
            self.look()

    def look(self) -> None:
        for port in self._plane.ports.all():
            up = self._plane.link_is_up(port.number)
            if self._plane.ports.set_up(port.number, up):
                LOG.info("port %d (%s) is %s", port.number, port.name, "up" if up else "down")

    def sum_up(self) -> None:
        """Logs all counters."""
        for port in self._plane.ports.all():
            LOG.info("port %d (%s): %s", port.number, port.name, _words(self._plane.counters(port.number)))
        LOG.info("lost in the switch: %s", _words(self._plane.losses))


def _words(counters: PortCounters | Losses) -> str:
    """rx_packets 3, rx_bytes 180"""
    return ", ".join(f"{name} {value}" for name, value in asdict(counters).items())
