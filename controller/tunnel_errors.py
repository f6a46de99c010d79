"""What the underlay says about our tunnels: ICMP's "packet too big", and what that makes of a tunnel's MTU.

Anybody can forge such a message. So one is believed only if it quotes a packet that we may have sent, from a
tunnel's source to its backend; what it can do is bounded (no MTU below the protocol's minimum, one number for
each backend in the tables) and ends by itself (RFC 1191, 6.3).
"""

import logging
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from controller.assignment import Assignment
from controller.events import EventLog, Kind, Severity
from controller.frames import ETHERTYPE_IPV4, ETHERTYPE_IPV6, strip
from controller.model import Config, Mode
from controller.program import TUNNELS, Rows, Table, narrow
from controller.values import Address

logger = logging.getLogger("sluice.tunnels")

LIFETIME = 600.0
"""Seconds that a path's MTU is believed; then a larger packet is tried again (RFC 1191, 6.3; RFC 8201, 4)."""

LEAST = {4: 576, 6: 1280}
"""Bytes of a path's MTU, below which nobody is believed: RFC 791, 3.1; RFC 8200, 5."""

PLATEAUS = (65535, 32000, 17914, 8166, 4352, 2002, 1492, 1006, 576)
"""What an old router may mean that names no MTU: the next below the packet's length (RFC 1191, 7.1)."""

IP_HEADER = {4: 20, 6: 40}
OVERHEADS = {Mode.IPIP: 0, Mode.GRE: 4, Mode.VXLAN: 30, Mode.GUE: 12}
"""Bytes between the outer IP header and the packet inside; the table `overheads` of the program."""

PROTOCOL_ICMP, PROTOCOL_ICMPV6 = 1, 58
UNREACHABLE, FRAGMENTATION_NEEDED = 3, 4
PACKET_TOO_BIG = 2
ICMP_HEADER = 8


class TooBig(NamedTuple):
    """A path carries packets of `mtu` bytes at most, says an ICMP error about a larger one from us."""

    source: Address
    destination: Address
    mtu: int


class Tunnel(NamedTuple):
    """A tunnel in the tables."""

    backend: int
    name: str
    mode: Mode


def too_big(frame: bytes) -> TooBig | None:
    """What a packet-too-big message in an Ethernet frame says; None for anything else."""
    content = strip(frame)
    if content is None:
        return None
    if content.type == ETHERTYPE_IPV4:
        return _too_big_4(content.payload)
    return _too_big_6(content.payload) if content.type == ETHERTYPE_IPV6 else None


def _too_big_4(packet: bytes) -> TooBig | None:
    """RFC 1191, 4: the MTU is in the low half of the word that RFC 792 leaves unused, or it is 0."""
    message = packet[4 * (packet[0] & 15) :] if packet else b""
    quote = message[ICMP_HEADER:]
    if len(quote) < IP_HEADER[4] or packet[9] != PROTOCOL_ICMP or quote[0] >> 4 != 4:
        return None
    if message[0] != UNREACHABLE or message[1] != FRAGMENTATION_NEEDED:
        return None
    length = int.from_bytes(quote[2:4], "big")
    told = int.from_bytes(message[6:8], "big") or next((p for p in PLATEAUS if p < length), LEAST[4])
    mtu = max(told, LEAST[4])
    return TooBig(IPv4Address(quote[12:16]), IPv4Address(quote[16:20]), mtu) if mtu < length else None


def _too_big_6(packet: bytes) -> TooBig | None:
    """RFC 4443, 3.2."""
    message = packet[IP_HEADER[6] :]
    quote = message[ICMP_HEADER:]
    if len(quote) < IP_HEADER[6] or packet[6] != PROTOCOL_ICMPV6 or quote[0] >> 4 != 6:
        return None
    if message[0] != PACKET_TOO_BIG:
        return None
    length = IP_HEADER[6] + int.from_bytes(quote[4:6], "big")
    mtu = max(int.from_bytes(message[4:8], "big"), LEAST[6])
    return TooBig(IPv6Address(quote[8:24]), IPv6Address(quote[24:40]), mtu) if mtu < length else None


Tunnels = Mapping[tuple[Address, Address], list[Tunnel]]
"""By source and destination: backends of several pools may share a host."""


def tunnels_in(rows: Mapping[Table, Rows], assignment: Assignment, config: Config) -> Tunnels:
    """The tunnels among the entries that the switch should hold."""
    found: dict[tuple[Address, Address], list[Tunnel]] = {}
    for pool in config.pools:
        backends = assignment.pools[pool.name].backends if pool.mode.is_tunnel else {}
        for number, identity in backends.items():
            if do := rows[TUNNELS].get((number,)):
                ends = narrow(do.values[0]), identity.address
                found.setdefault(ends, []).append(Tunnel(number, f"{pool.name}/{identity.name}", pool.mode))
    return found


class _Learned(NamedTuple):
    mtu: int
    until: float


class PathMtus:
    """The largest packets that tunnels carry, as far as the underlay has complained, by backend's number."""

    def __init__(self, events: EventLog, clock: Callable[[], float]) -> None:
        self._events, self._clock = events, clock
        self._learned: dict[int, _Learned] = {}

    def copy(self, events: EventLog) -> "PathMtus":
        other = PathMtus(events, self._clock)
        other._learned = dict(self._learned)
        return other

    def heard(self, frame: bytes, tunnels: Tunnels) -> bool:
        """Takes an error about a tunnel; whether it lowers an MTU."""
        said = too_big(frame)
        about = tunnels.get((said.source, said.destination)) if said else None
        if said is None or about is None:
            logger.debug("not about a tunnel of ours: %s", said or "another ICMP error")
            return False
        lowered = False
        for tunnel in about:
            lowered |= self._lower(tunnel, said.mtu - IP_HEADER[said.source.version] - OVERHEADS[tunnel.mode])
        return lowered

    def _lower(self, tunnel: Tunnel, mtu: int) -> bool:
        """Larger than what is known says nothing: the message is late, or about another path."""
        known = self._learned.get(tunnel.backend)
        if known and known.mtu < mtu:
            return False
        self._learned[tunnel.backend] = _Learned(mtu, self._clock() + LIFETIME)
        if known and known.mtu == mtu:
            return False
        text = f"its tunnel carries {mtu} bytes at most"
        self._events.record(
            Kind.SWITCH, tunnel.name, text, "the underlay says: packet too big", Severity.WARNING
        )
        return True

    def present(self, backends: Mapping[int, str]) -> dict[int, int]:
        """Bytes by backend's number. What is older, or of a backend not among `backends`, is forgotten."""
        now = self._clock()
        for number, (mtu, until) in [*self._learned.items()]:
            if until <= now or number not in backends:
                del self._learned[number]
                if number in backends:
                    text = f"its tunnel may carry more than {mtu} bytes again"
                    self._events.record(Kind.SWITCH, backends[number], text, "10 minutes have passed")
        return self.known()

    def known(self) -> dict[int, int]:
        """Bytes by backend's number."""
        return {number: learned.mtu for number, learned in self._learned.items()}

    def due(self) -> float | None:
        """Seconds until something is forgotten."""
        ends = [learned.until for learned in self._learned.values()]
        return max(0.0, min(ends) - self._clock()) if ends else None
