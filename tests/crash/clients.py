"""Clients of one VIP, whose packets go through the embedded switch in this process.

A flow that is live stays with the server that it began at. What breaks that is kept in `broken`, with its
circumstances, since packets are sent from several threads.
"""

import struct
import threading
import time
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from controller.program import Order
from controller.trace import Decision
from tests.fakes.compiled import ACK, CLIENTS_PORT, DESTINATION, SYN, packet_in, tcp_frame
from tests.fakes.embedded import EmbeddedSwitch

CLIENT, ROUTER = 0x02_00_00_00_01_00, 0x02_00_00_00_00_01
FIRST_CLIENT = IPv4Address("10.0.2.1")
CLIENTS = 200
MOST_FLOWS = 60
STATELESS = {Decision.SETTLED, Decision.PREVIOUS}
"""Decided by buckets alone, which a switch that begins anew gets back."""


@dataclass(slots=True)
class Flow:
    """`spoke` is when its last packet was sent (monotonic seconds)."""

    ack: bytes
    owner: IPv4Address
    spoke: float


@dataclass
class Clients:
    """`patience` (seconds): who was silent for that long is given up, the idle timeout may be over.

    `doomed` are servers whose flows may end at any time, since they are, or were just now, dead or disabled.
    """

    switch: EmbeddedSwitch
    vip: IPv4Address
    port: int
    patience: float
    flows: dict[int, Flow] = field(default_factory=dict)
    doomed: set[IPv4Address] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)
    blank: bool = True
    """The switch began anew and has not forwarded anything since."""
    may_be_refused: bool = True
    """There may be nobody who serves."""
    opened: int = 0
    checked: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.RLock()

    def doom(self, servers: set[IPv4Address]) -> None:
        """From now on their flows may be lost."""
        with self._lock:
            self.doomed |= servers
            self._forget(lambda flow: flow.owner in servers)

    def spare(self, servers: set[IPv4Address]) -> None:
        """They serve, and will as long as nobody says otherwise."""
        with self._lock:
            self.doomed -= servers

    def restart_switch(self) -> None:
        """Takes along the flows that only the switch knew."""
        with self._lock:
            self._forget(lambda flow: self._decision(flow) not in STATELESS)
            self.blank = True
            self.switch.kill()
            self.switch.start()

    def open(self) -> IPv4Address | None:
        """A flow begins; its server, if it has one."""
        with self._lock:
            self.opened += 1
            source = FIRST_CLIENT + self.opened % CLIENTS
            ends, ports = (source, self.vip), (1024 + self.opened % 60_000, self.port)
            owner = self._send(tcp_frame(ends, ports, SYN, (CLIENT, ROUTER)))
            if owner is None and not self.blank and not self.may_be_refused:
                self.broken.append(f"flow {self.opened} finds nobody")
            if owner and owner not in self.doomed and len(self.flows) < MOST_FLOWS:
                flow = Flow(tcp_frame(ends, ports, ACK, (CLIENT, ROUTER)), owner, time.monotonic())
                self.flows[self.opened] = flow
                self._speak(self.opened, flow)
            return owner

    def close_some(self, count: int) -> None:
        with self._lock:
            for number in [*self.flows][:count]:
                del self.flows[number]

    def speak(self) -> None:
        """A packet of every flow."""
        with self._lock:
            for number, flow in [*self.flows.items()]:
                self._speak(number, flow)

    def _speak(self, number: int, flow: Flow) -> None:
        now = time.monotonic()
        if now - flow.spoke > self.patience:
            del self.flows[number]
            return
        owner = self._send(flow.ack)
        if owner is None and self.blank:
            return
        flow.spoke = now
        self.checked += 1
        if owner != flow.owner:
            where = f"went to {owner}" if owner else "was dropped"
            self.broken.append(f"flow {number} of {flow.owner}: a packet {where}")
            del self.flows[number]

    def _send(self, frame: bytes) -> IPv4Address | None:
        for _, sent in self.switch.receive(CLIENTS_PORT, frame):
            self.blank = False
            return IPv4Address(sent[DESTINATION])
        return None

    def _decision(self, flow: Flow) -> int:
        for _, answer in self.switch.plane.trace(struct.pack("!BH", Order.TRACE, CLIENTS_PORT) + flow.ack):
            return packet_in(answer)["decision"]
        return Decision.NONE

    def _forget(self, which) -> None:  # type: ignore[no-untyped-def]
        self.flows = {number: flow for number, flow in self.flows.items() if not which(flow)}
