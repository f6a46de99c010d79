"""Which packets are traced: words like "src=10.0.0.11 proto=tcp dport=80", made into bytes and masks.

A packet is matched by its outermost IP header, untagged or behind one VLAN tag, and its ports where no IP
option or extension header lies in between: the filter is for finding packets, not for policy.
"""

import ctypes
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce

PATTERN_BYTES = 64
ANY_PORT = 0xFFFF
"""As in runtime/tracer.h."""

MAX_PORT = 511
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "gre": 47, "icmpv6": 58}

WITH_PORTS = (PROTOCOLS["tcp"], PROTOCOLS["udp"])

ETHER_TYPE, VLAN_TAG = 12, 4
IPV4, IPV6, VLAN = 0x0800, 0x86DD, 0x8100

GRAMMAR = """\
  port=N               came in at this port of the switch
  src=ADDR  dst=ADDR   IPv4 or IPv6, of the outermost header; ADDR may be a prefix
  host=ADDR            one of the two
  proto=NAME           tcp, udp, icmp, icmpv6, gre or a number
  sport=N  dport=N     TCP or UDP
  every=N              each N-th of those only"""


class FilterError(ValueError):
    """The text is no filter; says which word is wrong, and what would be right."""


class Pattern(ctypes.Structure):
    """struct pattern."""

    _fields_ = (
        ("port", ctypes.c_uint32),
        ("length", ctypes.c_uint32),
        ("mask", ctypes.c_uint8 * PATTERN_BYTES),
        ("value", ctypes.c_uint8 * PATTERN_BYTES),
    )


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where a kind of frame has its fields, in bytes, and what must be in it."""

    start: int  # of the IP header
    version: int

    @property
    def source(self) -> int:
        return self.start + (12 if self.version == 4 else 8)

    @property
    def address_bytes(self) -> int:
        return 4 if self.version == 4 else 16

    @property
    def destination(self) -> int:
        return self.source + self.address_bytes

    @property
    def protocol(self) -> int:
        return self.start + (9 if self.version == 4 else 6)

    @property
    def ports(self) -> int:
        return self.start + (20 if self.version == 4 else 40)


_FRAMES = tuple(_Frame(start, version) for start in (14, 14 + VLAN_TAG) for version in (4, 6))


@dataclass(frozen=True, slots=True)
class _Bytes:
    """What some bytes of a packet must be: (place, mask, value)."""

    wanted: tuple[tuple[int, int, int], ...] = ()

    def at(self, place: int, value: bytes, mask: bytes | None = None) -> "_Bytes":
        masks = mask or b"\xff" * len(value)
        more = ((place + i, m, v & m) for i, (m, v) in enumerate(zip(masks, value, strict=True)) if m)
        return _Bytes((*self.wanted, *more))


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class TraceFilter:
    """Parsed. None: whatever it may be. hosts: of each, one of source and destination must be."""

    port: int | None = None
    source: Network | None = None
    destination: Network | None = None
    hosts: tuple[Network, ...] = field(default=())
    protocol: int | None = None
    source_port: int | None = None
    destination_port: int | None = None
    every: int = 1

    @classmethod
    def parse(cls, text: str) -> "TraceFilter":
        """Raises FilterError."""
        return reduce(_with, text.split(), cls())

    def patterns(self) -> list[Pattern]:
        """A packet is chosen that fits one of these."""
        port = ANY_PORT if self.port is None else self.port
        plain = replace(self, port=None, every=1) == TraceFilter()
        kinds = [_Bytes()] if plain else [kind for frame in _FRAMES for kind in self._in(frame)]
        return [pattern for kind in kinds if (pattern := _pattern(port, kind)) is not None]

    def _in(self, frame: _Frame) -> list[_Bytes]:
        """The ways in which such a frame fits; none when an address is of the other family."""
        networks = (self.source, self.destination, *self.hosts)
        if any(network is not None and network.version != frame.version for network in networks):
            return []
        wanted = _Bytes().at(frame.start - 2, (IPV4 if frame.version == 4 else IPV6).to_bytes(2, "big"))
        if frame.start > ETHER_TYPE + 2:
            wanted = wanted.at(ETHER_TYPE, VLAN.to_bytes(2, "big"))
        for network, place in ((self.source, frame.source), (self.destination, frame.destination)):
            if network is not None:
                wanted = _address(wanted, place, network)
        protocols = () if self.protocol is None else (self.protocol,)
        ports = {frame.ports: self.source_port, frame.ports + 2: self.destination_port}
        if any(number is not None for number in ports.values()):
            protocols = protocols or WITH_PORTS
            if frame.version == 4:  # no options, and the first fragment
                wanted = wanted.at(frame.start, b"\x45").at(frame.start + 6, b"\0\0", b"\x1f\xff")
        for place, number in ports.items():
            if number is not None:
                wanted = wanted.at(place, number.to_bytes(2, "big"))
        ways = [wanted.at(frame.protocol, bytes([number])) for number in protocols] or [wanted]
        for network in self.hosts:
            ends = (frame.source, frame.destination)
            ways = [_address(way, place, network) for way in ways for place in ends]
        return ways


def _address(wanted: _Bytes, place: int, network: Network) -> _Bytes:
    return wanted.at(place, network.network_address.packed, network.netmask.packed)


def _pattern(port: int, kind: _Bytes) -> Pattern | None:
    """None: nothing fits, because a byte must be two things."""
    pattern = Pattern(port=port, length=max((place + 1 for place, _, _ in kind.wanted), default=0))
    for place, mask, value in kind.wanted:
        if (pattern.value[place] ^ value) & pattern.mask[place] & mask:
            return None
        pattern.mask[place] |= mask
        pattern.value[place] |= value
    return pattern


def _with(chosen: TraceFilter, word: str) -> TraceFilter:
    name, equals, value = word.partition("=")
    reader = _WORDS.get(name)
    if not equals or reader is None:
        raise FilterError(f"'{word}' is no part of a filter; there are:\n{GRAMMAR}")
    try:
        return reader(chosen, value)
    except ValueError as error:
        raise FilterError(f"'{word}': {error}") from error


def _number(value: str, lowest: int, highest: int) -> int:
    if not value.isdecimal() or not lowest <= int(value) <= highest:
        raise ValueError(f"should be a number from {lowest} to {highest}")
    return int(value)


def _protocol(value: str) -> int:
    if value in PROTOCOLS:
        return PROTOCOLS[value]
    if not value.isdecimal() or int(value) > 255:
        raise ValueError(f"should be one of {', '.join(PROTOCOLS)}, or a number up to 255")
    return int(value)


def _network(value: str) -> Network:
    return ipaddress.ip_network(value, strict=False)


_WORDS: Mapping[str, Callable[[TraceFilter, str], TraceFilter]] = {
    "port": lambda f, v: replace(f, port=_number(v, 0, MAX_PORT)),
    "src": lambda f, v: replace(f, source=_network(v)),
    "dst": lambda f, v: replace(f, destination=_network(v)),
    "host": lambda f, v: replace(f, hosts=(*f.hosts, _network(v))),
    "proto": lambda f, v: replace(f, protocol=_protocol(v)),
    "sport": lambda f, v: replace(f, source_port=_number(v, 0, 65535)),
    "dport": lambda f, v: replace(f, destination_port=_number(v, 0, 65535)),
    "every": lambda f, v: replace(f, every=_number(v, 1, 1 << 31)),
}
