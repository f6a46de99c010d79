"""Next hops: which MAC address, on which port.

The switch answers questions for our own addresses itself; asking is done here, by ARP and neighbor
solicitations in packet-outs. Two kinds of next hop are asked for:

- needed ones, backends and gateways, from the start and for as long as they are configured;
- gleaned ones, hosts on attached networks for which the switch had a packet and no MAC address. A few packets
  are kept for each and sent on when it answers. One that does not answer is forgotten.

The states are those of RFC 4861, 7.3.2, simplified; the timers are its defaults (section 10):

    resolving ──answer──► reachable ──30 s──► probing ──answer──► reachable
        │ 3 questions                            │ 3 questions to itself, 3 to everybody
        └──► failed (needed: asked again later)  └──► failed, or forgotten

Who is probed is asked where it was (RFC 1122, 2.3.2.1), then everywhere, since it may have moved; its entry
stands meanwhile.

Pure state: what is to be sent goes out through `send`, time comes in through `tick`.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from controller import frames
from controller.events import EventLog, Kind, Severity
from controller.model import Interface, Route, StaticNeighbor
from controller.program import Do, Rows, forward, narrow, wide
from controller.report import NeighborReport
from controller.values import Address, int_to_mac, mac_to_int

logger = logging.getLogger("sluice.neighbors")

QUESTION_INTERVAL = 1.0
"""Seconds between questions (RFC 4861: RETRANS_TIMER)."""

QUESTIONS = 3
"""Questions without an answer after which a neighbor has failed (MAX_MULTICAST_SOLICIT)."""

REACHABLE_TIME = 30.0
"""Seconds after which an answer is asked for again."""

RETRY_INTERVAL = 5.0
"""Seconds after which a failed neighbor that is needed is asked for again."""

KEPT_PACKETS = 3
"""Packets that wait for one neighbor; a newer one replaces the oldest (RFC 4861, 7.2.2)."""

GLEANING = 256
"""Neighbors that may be sought because of gleaned packets at once; a scan of a network asks for no more."""

GLEANED = 16384
"""Neighbors that are kept because of gleaned packets."""

FULL_TIME = 0.25
"""Seconds for which nobody counts again whether there is room for one more."""


class State(StrEnum):
    """Of a neighbor; the values are those of `NeighborReport.state`."""

    STATIC = "static"
    REACHABLE = "reachable"
    PROBING = "probing"
    RESOLVING = "resolving"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a neighbor answered."""

    port: int
    mac: int


@dataclass(slots=True)
class Neighbor:
    """One next hop. `due` is when something is to be done about it next; `failed`, until it answers again."""

    address: Address
    interface: Interface
    ours: Address
    needed: bool
    state: State = State.RESOLVING
    place: Place | None = None
    asked: int = 0
    failed: bool = False
    due: float = 0.0
    kept: list[bytes] = field(default_factory=list)


class Neighbors:
    """The neighbors of one switch.

    `send(port, frame)` sends a frame; `changed()` is called when `rows` has changed. Events name the
    `switch`, if it has a name.
    """

    def __init__(
        self,
        send: Callable[[int, bytes], None],
        changed: Callable[[], None],
        events: EventLog,
        clock: Callable[[], float],
        switch: str = "",
    ) -> None:
        self._send, self._tell, self._events, self._clock = send, changed, events, clock
        self._switch = switch
        self._rows: Rows | None = None
        self._mac = 0
        self._interfaces: Sequence[Interface] = ()
        self._routes: Sequence[Route] = ()
        self._vips: frozenset[Address] = frozenset()
        self._neighbors: dict[Address, Neighbor] = {}
        self._full_until = float("-inf")

    def copy(self, events: EventLog) -> "Neighbors":
        """One that knows the same, asks nobody, and tells `events`."""
        other = Neighbors(lambda port, frame: None, lambda: None, events, self._clock, self._switch)
        other._mac, other._interfaces, other._routes = self._mac, self._interfaces, self._routes
        other._vips = self._vips
        other._neighbors = {address: replace(one) for address, one in self._neighbors.items()}
        return other

    def configure(
        self,
        mac: str,
        interfaces: Sequence[Interface],
        routes: Sequence[Route],
        static: Iterable[StaticNeighbor],
        needed: Iterable[Address],
        vips: Iterable[Address] = (),
    ) -> None:
        """Takes a new configuration; what is known and still right is kept.

        `needed` are the backends: they, or the gateways to them, are asked for without being asked for.
        """
        self._vips = frozenset(vips)
        self._mac, self._interfaces, self._routes = mac_to_int(mac), interfaces, routes
        hops = {self._next_hop(address) for address in needed}
        wanted = {hop for hop in hops if hop and self._attached(hop)}
        wanted |= {route.gateway for route in routes if self._attached(route.gateway)}
        before = self._neighbors
        self._neighbors = {}
        for address, neighbor in before.items():
            if neighbor.state is State.STATIC or not self._still_right(neighbor):
                continue
            neighbor.needed = address in wanted
            self._neighbors[address] = neighbor
        for one in static:
            self._add(
                one.address, needed=True, state=State.STATIC, place=Place(one.port, mac_to_int(one.mac))
            )
        for address in sorted(
            wanted - self._neighbors.keys(), key=lambda address: (address.version, address)
        ):
            self._add(address, needed=True)
        self._changed()

    def adopt(self, rows: Rows) -> None:
        """Takes over the switch's entries of neighbors that we have not found yet, and probes them."""
        for (address,), do in rows.items():
            port, _, mac, _ = do.values
            at = narrow(address)
            neighbor = self._neighbors.get(at) or self._add(at, needed=False)
            if neighbor and neighbor.place is None and port in neighbor.interface.ports:
                neighbor.state, neighbor.place, neighbor.asked = State.PROBING, Place(port, mac), 0
                neighbor.due = self._clock()
        self._changed()

    def _still_right(self, neighbor: Neighbor) -> bool:
        return self._attached(neighbor.address) == (neighbor.interface, neighbor.ours)

    def _attached(self, address: Address) -> tuple[Interface, Address] | None:
        """The interface on whose network an address is, and our own address there."""
        for interface in self._interfaces:
            for ours in interface.addresses:
                if address in ours.network and address != ours.ip:
                    return interface, ours.ip
        return None

    def _add(
        self, address: Address, *, needed: bool, state: State = State.RESOLVING, place: Place | None = None
    ) -> Neighbor | None:
        attached = self._attached(address)
        if attached is None:
            return None
        neighbor = Neighbor(address, *attached, needed, state, place, due=self._clock())
        self._neighbors[address] = neighbor
        return neighbor

    # what comes in

    def answered(self, port: int, frame: bytes) -> None:
        """An ARP reply or neighbor advertisement that came in by `port`. Only what we know of is believed."""
        answer = frames.answer(frame)
        neighbor = self._neighbors.get(answer.address) if answer else None
        if answer is None or neighbor is None or neighbor.state is State.STATIC:
            return
        if port not in neighbor.interface.ports:
            logger.info(
                "%s answered on port %d, which is not one of %s",
                answer.address,
                port,
                neighbor.interface.name,
            )
            return
        place, known = Place(port, answer.mac), neighbor.place
        neighbor.state, neighbor.place, neighbor.asked, neighbor.failed = State.REACHABLE, place, 0, False
        neighbor.due = self._clock() + REACHABLE_TIME
        for packet in neighbor.kept:
            self._forward(neighbor, place, packet)
        neighbor.kept.clear()
        if place != known:
            moved = f"it was {_describe(known)}" if known else ""
            self._record(neighbor, f"is {_describe(place)}", "of", moved)
            self._changed()

    def gleaned(self, frame: bytes) -> None:
        """A packet for a next hop that the switch does not know; its MACs and VLAN are still to be set."""
        destination = frames.ip_destination(frame)
        if destination is None or destination in self._vips:
            return  # to a dsr backend; it does not say which, and all of them are asked for already
        address = self._next_hop(destination)
        if address is None:
            return
        neighbor = self._neighbors.get(address) or self._sought(address)
        if neighbor is None:
            return
        if neighbor.place:  # it answered while the packet was on its way to us
            self._forward(neighbor, neighbor.place, frame)
            return
        neighbor.kept = [*neighbor.kept, frame][-KEPT_PACKETS:]

    def _sought(self, address: Address) -> Neighbor | None:
        """A neighbor that nobody needs but this packet; it is asked for at once."""
        now = self._clock()
        if now < self._full_until:
            return None
        gleaned = [other for other in self._neighbors.values() if not other.needed]
        seeking = sum(other.state is State.RESOLVING for other in gleaned)
        if seeking >= GLEANING or len(gleaned) >= GLEANED:
            self._full_until = now + FULL_TIME
            return None
        neighbor = self._add(address, needed=False)
        if neighbor:
            self._due(neighbor, now)
        return neighbor

    def _next_hop(self, destination: Address) -> Address | None:
        """By the longest prefix, as the data plane's table of routes has it."""
        if self._attached(destination):
            return destination
        fitting = [route for route in self._routes if destination in route.destination]
        return max(fitting, key=lambda route: route.destination.prefixlen).gateway if fitting else None

    def _forward(self, neighbor: Neighbor, place: Place, frame: bytes) -> None:
        if content := frames.strip(frame):
            self._send(place.port, frames.ethernet(place.mac, self._mac, neighbor.interface.vlan, content))

    # what time brings

    def tick(self) -> None:
        """Does what is due. Call it a few times a second."""
        now = self._clock()
        for neighbor in [one for one in self._neighbors.values() if one.due <= now]:
            if neighbor.state is not State.STATIC:
                self._due(neighbor, now)

    def _due(self, neighbor: Neighbor, now: float) -> None:
        match neighbor.state:
            case State.REACHABLE:
                neighbor.state, neighbor.asked = State.PROBING, 0
            case State.FAILED:
                neighbor.state, neighbor.asked = State.RESOLVING, 0
        if neighbor.asked == (2 * QUESTIONS if neighbor.place else QUESTIONS):
            self._fail(neighbor, now)
            return
        where = neighbor.place if neighbor.asked < QUESTIONS else None
        neighbor.asked += 1
        neighbor.due = now + QUESTION_INTERVAL
        vlan, to = neighbor.interface.vlan, where and where.mac
        frame = frames.question(neighbor.address, neighbor.ours, self._mac, vlan, to=to)
        for port in (where.port,) if where else neighbor.interface.ports:
            self._send(port, frame)

    def _fail(self, neighbor: Neighbor, now: float) -> None:
        lost, neighbor.place = neighbor.place, None
        neighbor.kept.clear()
        if neighbor.needed:
            neighbor.state, neighbor.due = State.FAILED, now + RETRY_INTERVAL
        else:
            del self._neighbors[neighbor.address]
        if lost or (neighbor.needed and not neighbor.failed):
            what = "lost" if lost else "not found"
            cause = f"{neighbor.asked} questions on {neighbor.interface.name} had no answer"
            self._record(neighbor, what, "by", cause, Severity.WARNING)
        neighbor.failed = True
        if lost:
            self._changed()

    def _record(
        self, neighbor: Neighbor, text: str, word: str, cause: str, severity: Severity = Severity.INFO
    ) -> None:
        """`word` is put before the switch's name, where it has one."""
        if self._switch:
            text = f"{text} {word} {self._switch}"
        self._events.record(Kind.NEIGHBOR, str(neighbor.address), text, cause, severity)

    def _changed(self) -> None:
        self._rows = None
        self._tell()

    # what is known

    def way_to(self, destination: Address) -> Do | None:
        """The `forward` that takes a packet to its next hop; None while that is not known."""
        address = self._next_hop(destination)
        neighbor = self._neighbors.get(address) if address else None
        return self._forwarding(neighbor) if neighbor else None

    def _forwarding(self, neighbor: Neighbor) -> Do | None:
        place, vlan = neighbor.place, neighbor.interface.vlan
        return forward(place.port, self._mac, place.mac, vlan) if place else None

    def rows(self) -> Rows:
        """The entries of the table of neighbors: the same object until something changes."""
        if self._rows is None:
            self._rows = {
                (wide(one.address),): do
                for one in self._neighbors.values()
                if (do := self._forwarding(one)) is not None
            }
        return self._rows

    def report(self, switch: str = "") -> tuple[NeighborReport, ...]:
        return tuple(
            NeighborReport(
                address=str(one.address),
                state=one.state.value,
                interface=one.interface.name,
                port=one.place.port if one.place else None,
                mac=int_to_mac(one.place.mac) if one.place else None,
                switch=switch,
            )
            for one in sorted(self._neighbors.values(), key=lambda one: (one.address.version, one.address))
        )


def _describe(place: Place) -> str:
    return f"{int_to_mac(place.mac)} on port {place.port}"
