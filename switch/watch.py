"""What an operator should know about the ports: links that come and go, and packets that arrive damaged."""

import logging
from dataclasses import asdict
from typing import Protocol

from switch.worker import Losses, PortCounters

LOG = logging.getLogger(__name__)


class Ports(Protocol):
    """The worker's part that is looked at."""

    interfaces: dict[int, str]

    def link_is_up(self, number: int) -> bool: ...
    def counters(self, number: int) -> PortCounters: ...
    @property
    def losses(self) -> Losses: ...


class PortWatch:
    """Logs changes since the last look."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._up = {number: ports.link_is_up(number) for number in ports.interfaces}
        self._warned: set[int] = set()
        for number, up in self._up.items():
            if not up:
                LOG.warning("port %d (%s) is down", number, ports.interfaces[number])

    def look(self) -> None:
        for number, name in self._ports.interfaces.items():
            up = self._ports.link_is_up(number)
            if up != self._up[number]:
                self._up[number] = up
                LOG.info("port %d (%s) is %s", number, name, "up" if up else "down")
            if number not in self._warned and self._ports.counters(number).rx_unfinished_checksum:
                self._warned.add(number)
                LOG.warning(
                    "port %d (%s) receives packets without checksums, and the switch forwards them so: "
                    "turn off offloading at the other end of the link (ethtool -K INTERFACE tx off tso off)",
                    number,
                    name,
                )

    def sum_up(self) -> None:
        """Logs all counters."""
        for number, name in self._ports.interfaces.items():
            LOG.info("port %d (%s): %s", number, name, _words(self._ports.counters(number)))
        LOG.info("lost in the switch: %s", _words(self._ports.losses))


def _words(counters: PortCounters | Losses) -> str:
    """rx_packets 3, rx_bytes 180"""
    return ", ".join(f"{name} {value}" for name, value in asdict(counters).items())
