"""The form of the packet table: what a case shows, what it installs, what goes in, and what must come out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from scapy.packet import Packet

from tests.packets.rows import Entry, Row

REALTIME_LIMIT = 1.0  # seconds that a case may take on a switch whose clock cannot be set
SMALLEST_FRAME = 20  # bytes: Ethernet, a VLAN tag and two more; less than these the kernel keeps to itself

SEND, BEGIN, PROBE, TRACE = range(4)  # what a packet-out orders


@dataclass(frozen=True)
class Out:
    """A packet that must leave by `port`. On CPU it begins with the packet_in header."""

    port: int
    packet: Packet

    @cached_property
    def octets(self) -> bytes:
        """What is on the wire. To build it takes scapy long, and every switch is asked the same."""
        return bytes(self.packet)


@dataclass(frozen=True)
class Send:
    """A packet arrives on `port`, `at` seconds after the case began; exactly `out` leaves, in order per port.

    broken: the packet carries a wrong TCP or UDP checksum on purpose, which must stay wrong.
    """

    port: int
    packet: Packet
    out: tuple[Out, ...] = ()
    at: float = 0.0
    broken: bool = False

    @cached_property
    def octets(self) -> bytes:
        return bytes(self.packet)


@dataclass(frozen=True)
class Order:
    """A packet-out: its header's fields and its payload."""

    order: int
    port: int
    payload: Packet
    out: tuple[Out, ...] = ()
    at: float = 0.0
    broken: bool = False


@dataclass(frozen=True)
class Raw:
    """Bytes on the CPU port, as no P4Runtime server would make them: in process only."""

    payload: bytes
    out: tuple[Out, ...] = ()
    at: float = 0.0
    broken: bool = False


@dataclass(frozen=True)
class Change:
    """The controller writes: rows that are new or other than before, and rows that go."""

    rows: tuple[Entry, ...] = ()
    gone: tuple[Entry, ...] = ()


@dataclass(frozen=True)
class InRound:
    """A step made of the number of the present probe round, which the switch counts and nobody can set.

    begins: a new round begins with it.
    """

    make: Callable[[int], Send | Order]
    begins: bool = False


Step = Send | Order | Raw | InRound | Change


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of an indirect counter."""

    counter: str
    index: int


@dataclass(frozen=True)
class Case:
    """One statement about the data plane.

    rows: on top of world.BASE; a row with the key of a base row takes its place. without: base rows left out.
    drops: packets counted by each drop reason; every reason that is not named must have counted nothing.
    replies: the same for each kind of reply.
    counts: packets counted by the direct counter of a row, or by a cell of an indirect counter.
    octets: the same for bytes, of direct counters.
    """

    shows: str
    steps: tuple[Step, ...]
    rows: tuple[Entry, ...] = ()
    without: tuple[Row, ...] = ()
    drops: Mapping[str, int] = field(default_factory=dict)
    replies: Mapping[str, int] = field(default_factory=dict)
    counts: Mapping[Row | Cell, int] = field(default_factory=dict)
    octets: Mapping[Row, int] = field(default_factory=dict)

    @property
    def packets(self) -> list[Send | Order | Raw]:
        """Its steps without the changes, as they are in probe round 1."""
        made = [step.make(1) if isinstance(step, InRound) else step for step in self.steps]
        return [step for step in made if not isinstance(step, Change)]

    @property
    def seconds(self) -> float:
        """How much time passes in it."""
        return max((step.at for step in self.packets), default=0.0)

    @cached_property
    def in_process_only(self) -> str | None:
        """Why it cannot run on a switch of its own, if so."""
        if self.seconds > REALTIME_LIMIT:
            return f"takes more than {REALTIME_LIMIT:g} s of virtual time"
        if any(isinstance(step, Raw) for step in self.packets):
            return "puts bytes on the CPU port that no P4Runtime server would"
        if any(isinstance(step, Send) and len(step.octets) < SMALLEST_FRAME for step in self.packets):
            return f"sends less than {SMALLEST_FRAME} bytes, which an interface may not pass on"
        return None

    def __str__(self) -> str:
        return self.shows


def dropped(shows: str, reason: str, port: int, packet: Packet, **more: Any) -> Case:
    """A case of one packet that ends as `reason`."""
    return Case(shows, (Send(port, packet),), drops={reason: 1}, **more)
