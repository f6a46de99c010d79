"""Every name of the P4 program that the controller uses: tables, actions, fields with their widths, counters.

The names stand here once; `tests/unit/test_program.py` checks them against the compiled P4Info. Rows of
tables are plain data: a key is a tuple of integers (an LPM field takes two, value and prefix length; a
ternary one two, value and mask), and what is done is a `Do`, the name of an action with its values.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from controller.model import Mode, Protocol
from controller.values import Address, Network

IPV4_MAPPED = 0xFFFF << 32
"""::ffff:0:0/96 (RFC 4291, 2.5.5.2): the form of IPv4 addresses in the data plane."""

IPV4_MAPPED_BITS = 96
ADDRESS_BITS = 128

TICK = 2**18 / 1e6
"""Seconds of a tick of the data plane's clock."""

MOTION_SLOTS = 65536
LAST_POOL = 4095
"""The table of pools has 4096 entries, and 0 is no pool."""

PROTOCOLS = {Protocol.TCP: 6, Protocol.UDP: 17}
MODES = {Mode.NAT: 1, Mode.DSR: 2}

KEEP_PORT = 0
"""The port of a backend that gets packets with the VIP's port."""


class Match(StrEnum):
    """As P4Info names them."""

    EXACT = "EXACT"
    LPM = "LPM"
    TERNARY = "TERNARY"


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a key, a parameter of an action, or one of packet metadata."""

    name: str
    bits: int
    match: Match = Match.EXACT


@dataclass(frozen=True, eq=False, slots=True)
class Table:
    """A table, its key and its actions. `counter` is its direct counter; `const` ones cannot be written."""

    name: str
    key: tuple[Field, ...]
    actions: dict[str, tuple[Field, ...]]
    counter: str | None = None
    const: bool = False

    def __repr__(self) -> str:
        return self.name


Key = tuple[int, ...]


class Do(NamedTuple):
    """An action of an entry."""

    action: str
    values: tuple[int, ...] = ()


Rows = dict[Key, Do]

_MAC = Field("mac", 48)
_ADDRESS = Field("address", ADDRESS_BITS)
_PORT = Field("port", 16)
_POOL = Field("pool", 16)
_SERVICE = (_ADDRESS, Field("protocol", 8), _PORT)

MACS = Table("macs", (_MAC,), {"ours": ()})
ADDRESSES = Table("addresses", (_ADDRESS,), {"own": (_MAC,)})
VIPS = Table("vips", _SERVICE, {"serve": (_POOL,)}, counter="vip_counter")
POOLS = Table(
    "pools",
    (_POOL,),
    {"pool_settings": (Field("mode", 8), Field("mask", 16), Field("idle", 14), Field("udp_move", 1))},
)
BUCKETS = Table(
    "buckets",
    (_POOL, Field("bucket", 16)),
    {
        "owners": (
            Field("current", 16),
            Field("previous", 16),
            Field("standby", 16),
            Field("announced", 1),
            Field("motion", 16),
        )
    },
)
BACKENDS = Table(
    "backends", (Field("backend", 16),), {"backend_address": (_ADDRESS, _PORT)}, counter="backend_counter"
)
NAT_ANSWERS = Table("nat_answers", _SERVICE, {"restore": (_ADDRESS, _PORT)}, counter="answer_counter")
NAT_SERVICES = Table("nat_services", _SERVICE, {"direct": ()})
HEALTH_CHECKERS = Table(
    "health_checkers",
    (Field("source", ADDRESS_BITS, Match.TERNARY), Field("destination", ADDRESS_BITS, Match.TERNARY)),
    {"untranslated": ()},
)
ROUTES = Table(
    "routes",
    (Field("destination", ADDRESS_BITS, Match.LPM),),
    {"connected": (), "via": (Field("gateway", ADDRESS_BITS),)},
)
NEIGHBORS = Table(
    "neighbors",
    (_ADDRESS,),
    {"forward": (Field("port", 9), Field("source_mac", 48), Field("destination_mac", 48), Field("vlan", 12))},
)
DROPS = Table("drops", (Field("reason", 8),), {}, counter="drop_counter", const=True)
PUNTS = Table("punts", (Field("reason", 8),), {}, counter="punt_counter", const=True)
"""Tables of constant entries: the action of each names the reason that its key numbers."""

TABLES = (
    NEIGHBORS,
    ROUTES,
    MACS,
    ADDRESSES,
    HEALTH_CHECKERS,
    BACKENDS,
    NAT_ANSWERS,
    NAT_SERVICES,
    BUCKETS,
    POOLS,
    VIPS,
)
"""Those that we write, in the order of insertions and changes: what an entry refers to comes before it.
Deletions go the other way."""

MOVING_PREVIOUS = "moving_previous"
MOVING_UNMOVED = "moving_unmoved"
BACKEND_SYNS = "backend_syns"
COUNTERS = {MOVING_PREVIOUS: MOTION_SLOTS, MOVING_UNMOVED: MOTION_SLOTS, BACKEND_SYNS: 65536}
"""Indirect counters and how many cells they have."""

PACKET_IN = (Field("reason", 8), Field("ingress_port", 16))
PACKET_OUT = (Field("order", 8), Field("port", 16))


class Order(IntEnum):
    """What a packet-out is for."""

    SEND = 0


class Punt(StrEnum):
    """Why the switch hands a packet to the controller."""

    ARP_REPLY = "arp_reply"
    NEIGHBOR_ADVERTISEMENT = "neighbor_advertisement"
    GLEAN = "glean"


def wide(address: Address) -> int:
    """An address as the data plane has it: 128 bits for both families."""
    return int(address) | IPV4_MAPPED if address.version == 4 else int(address)


def narrow(address: int) -> Address:
    """The address that `wide` made this from."""
    if address >> 32 == IPV4_MAPPED >> 32:
        return IPv4Address(address & 0xFFFFFFFF)
    return IPv6Address(address)


def wide_prefix(network: Network) -> Key:
    """A network as an LPM field: value and prefix length."""
    shift = IPV4_MAPPED_BITS if network.version == 4 else 0
    return wide(network.network_address), network.prefixlen + shift


def ticks(seconds: float) -> int:
    """The smallest whole number of ticks that is not shorter."""
    return -int(-seconds // TICK)


def serve(pool: int) -> Do:
    return Do("serve", (pool,))


def pool_settings(mode: Mode, buckets: int, idle_timeout: float, udp_move: bool) -> Do:
    return Do("pool_settings", (MODES[mode], buckets - 1, ticks(idle_timeout), int(udp_move)))


def backend_address(address: Address, port: int | None) -> Do:
    return Do("backend_address", (wide(address), port or KEEP_PORT))


def forward(port: int, source_mac: int, destination_mac: int, vlan: int) -> Do:
    return Do("forward", (port, source_mac, destination_mac, vlan))


class Kind(StrEnum):
    """What is done to a row."""

    INSERT = "insert"
    MODIFY = "modify"
    DELETE = "delete"


class Change(NamedTuple):
    """One write to a table; a deletion needs no `do`."""

    kind: Kind
    table: Table
    key: Key
    do: Do | None
