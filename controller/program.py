"""Every name of the P4 program that the controller uses: tables, actions, fields with their widths, counters.

The names stand here once; `tests/unit/test_program.py` checks them against the compiled P4Info. Rows of
tables are plain data: a key is a tuple of integers (an LPM field takes two, value and prefix length; a
ternary one two, value and mask; a range two, both ends), and what is done is a `Do`, the name of an action
with its values. What P4Runtime has besides entries (a table's default entry, cells of meters, multicast
groups) are rows of a `Table` of another form, so that there is one way to bring any of it in line.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from controller.model import MAX_VIPS, Mode, Protocol
from controller.values import BACKEND_BITS, LAST_BACKEND, LAST_PORT, Address, Network

IPV4_MAPPED = 0xFFFF << 32
"""::ffff:0:0/96 (RFC 4291, 2.5.5.2): the form of IPv4 addresses in the data plane."""

IPV4_MAPPED_BITS = 96
ADDRESS_BITS = 128

TICK = 2**18 / 1e6
"""Seconds of a tick of the data plane's clock."""

MOTION_SLOTS = 65536
LAST_POOL = 4095
"""The table of pools has 4096 entries, and 0 is no pool."""

LAST_VIP = MAX_VIPS
"""The meter of VIPs has 8192 cells; 0 is no VIP."""


PROTOCOLS = {Protocol.TCP: 6, Protocol.UDP: 17}
MODES = {Mode.NAT: 1, Mode.DSR: 2, Mode.IPIP: 3, Mode.GRE: 4, Mode.VXLAN: 5, Mode.GUE: 6}

KEEP_PORT = 0
"""The port of a backend that gets packets with the VIP's port."""


class Match(StrEnum):
    """As P4Info names them."""

    EXACT = "EXACT"
    LPM = "LPM"
    TERNARY = "TERNARY"
    RANGE = "RANGE"


class Form(StrEnum):
    """What the rows of a `Table` are in P4Runtime."""

    ENTRIES = "entries"
    DEFAULT = "default entry"
    """One row, whose key is empty: the action of packets that hit no entry."""
    METER = "meter"
    """A key is a cell; without a row it lets everything pass."""
    GROUP = "multicast group"
    """What is done is `replicas`: the port and the instance of each copy, one after the other."""


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
    form: Form = Form.ENTRIES

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
_VIP = Field("vip", 16)
_BACKEND = Field("backend", BACKEND_BITS)
_PORT_RANGE = Field("port", 16, Match.RANGE)
_SERVICES = (_ADDRESS, Field("protocol", 8), _PORT_RANGE)
_SERVE = {
    "serve": (
        _VIP,
        _POOL,
        Field("source_mask", ADDRESS_BITS),
        Field("port_mask", 16),
        Field("refusal", 8),
    )
}
_PLACE = (Field("port", 9), Field("vlan", 12))

ADDRESSES = Table("addresses", (_ADDRESS,), {"own": (_MAC,), "prober": (_MAC,)})
OWN_SOURCES = Table("own_sources", (_ADDRESS,), {"from_us": ()})
VIPS = Table("vips", _SERVICE, _SERVE, counter="vip_counter")
VIP_RANGES = Table("vip_ranges", _SERVICES, _SERVE, counter="vip_range_counter")
SOURCES = Table(
    "sources",
    (_VIP, Field("source", ADDRESS_BITS, Match.LPM)),
    {"allow": (), "deny": ()},
    counter="source_counter",
)
VIP_RATE = Table("vip_rate", (_VIP,), {"rate": (Field("packets", 63), Field("burst", 63))}, form=Form.METER)
"""Packets a second, and how many may come at once."""
REPLY_RATE = Table(
    "reply_rate",
    (Field("port", 9),),
    {"rate": (Field("packets", 63), Field("burst", 63))},
    form=Form.METER,
)
"""The same of the switch's own ICMP errors and resets, by the port that the packets come from."""

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
            Field("current", BACKEND_BITS),
            Field("previous", BACKEND_BITS),
            Field("standby", BACKEND_BITS),
            Field("announced", 1),
            Field("motion", 16),
        )
    },
)
CURRENT_PROBED = Table("current.probed", (_BACKEND,), {"current.is_probed": ()})
STANDBY_PROBED = Table("standby.probed", (_BACKEND,), {"standby.is_probed": ()})
LIVENESS_SETTINGS = Table(
    "liveness_settings",
    (),
    {"settings": (Field("tolerance", 32), Field("gap", 32), Field("longest_idle", 14))},
    form=Form.DEFAULT,
)
BACKENDS = Table("backends", (_BACKEND,), {"backend_address": (_ADDRESS, _PORT)}, counter="backend_counter")
TUNNELS = Table(
    "tunnels",
    (_BACKEND,),
    {
        "tunnel": (
            Field("source", ADDRESS_BITS),
            Field("vni", 24),
            Field("inner_source_mac", 48),
            Field("inner_destination_mac", 48),
            Field("mtu", 16),
        )
    },
)
NAT_HOSTS = Table("nat_hosts", (_ADDRESS,), {"translated": ()})
_RESTORE = {"restore": (_ADDRESS, _PORT, _BACKEND)}
NAT_ANSWERS = Table("nat_answers", _SERVICE, _RESTORE, counter="answer_counter")
NAT_ANSWER_RANGES = Table("nat_answer_ranges", _SERVICES, _RESTORE, counter="answer_range_counter")
NAT_SERVICES = Table("nat_services", _SERVICE, {"direct": ()})
NAT_SERVICE_RANGES = Table("nat_service_ranges", _SERVICES, {"direct": ()})
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
LINKS = Table("links", _PLACE, {"link": (Field("mtu", 16),)})
INTERFACES = Table(
    "interfaces", _PLACE, {"reply_from": (Field("address4", 32), Field("address6", ADDRESS_BITS))}
)
_PROBE = (
    Field("source_mac", 48),
    Field("destination_mac", 48),
    Field("vlan", 12),
    Field("source", ADDRESS_BITS),
    Field("destination", ADDRESS_BITS),
)
PROBE_TARGETS = Table("probe_targets", (_BACKEND,), {"syn": (*_PROBE, _PORT), "echo": _PROBE})
PROBE_GROUPS = Table("probe_groups", (Field("group", 16),), {"replicas": ()}, form=Form.GROUP)
"""A probe order is copied for each backend of its group. An instance has 16 bits: the lower ones of the
backend's number. The others, its page, are in the group's number, and so the same for all of a group."""

INSTANCE_BITS = 16
GROUP_BITS = 13
"""Those of a group's number below the page (p4src/controller_orders.p4): BMv2 has groups up to 32767."""

PROBES_AT_ONCE = 16
"""Copies of one order. BMv2's queues hold 64 packets."""

DROPS = Table("drops", (Field("reason", 8),), {}, counter="drop_counter", const=True)
PUNTS = Table("punts", (Field("reason", 8),), {}, counter="punt_counter", const=True)
REPLIES = Table("replies", (Field("reply", 8),), {}, counter="reply_counter", const=True)
OVERHEADS = Table("overheads", (Field("mode", 8),), {}, const=True)
"""Tables of constant entries: the action of each names the reason that its key numbers."""

TABLES = (
    NEIGHBORS,
    ROUTES,
    LINKS,
    INTERFACES,
    MACS,
    ADDRESSES,
    OWN_SOURCES,
    HEALTH_CHECKERS,
    LIVENESS_SETTINGS,
    TUNNELS,
    BACKENDS,
    NAT_HOSTS,
    NAT_ANSWERS,
    NAT_ANSWER_RANGES,
    NAT_SERVICES,
    NAT_SERVICE_RANGES,
    PROBE_TARGETS,
    PROBE_GROUPS,
    CURRENT_PROBED,
    STANDBY_PROBED,
    BUCKETS,
    POOLS,
    SOURCES,
    VIP_RATE,
    REPLY_RATE,
    VIPS,
    VIP_RANGES,
)
"""Those that we write, in the order of insertions and changes: what an entry refers to comes before it.
Deletions go the other way."""

CONST_TABLES = (DROPS, PUNTS, REPLIES, OVERHEADS)

MOVING_PREVIOUS = "moving_previous"
MOVING_UNMOVED = "moving_unmoved"
BACKEND_SYNS = "backend_syns"
BACKEND_ACCEPTS = "backend_accepts"
BACKEND_REFUSALS = "backend_refusals"
PROBE_ANSWERS = "probe_answers"
SUSPECTED = "suspected"
ALL_SUSPECT = "all_suspect"
EXCEPTION_WAYS = ("way1.slots", "way2.slots", "way3.slots")
ROUNDS = "rounds"
REGISTERS = (*EXCEPTION_WAYS, ROUNDS)
"""Those that are read, where the switch lets them be."""

EMBRYONIC_TICKS = 57
"""How long an exception lives of which only a SYN was seen (p4src/constants.p4): 15 s."""

COUNTERS = {MOVING_PREVIOUS: MOTION_SLOTS, MOVING_UNMOVED: MOTION_SLOTS} | dict.fromkeys(
    (BACKEND_SYNS, BACKEND_ACCEPTS, BACKEND_REFUSALS, PROBE_ANSWERS, SUSPECTED, ALL_SUSPECT), LAST_BACKEND + 1
)
"""Indirect counters and how many cells they have."""

PACKET_IN = (
    Field("reason", 8),
    Field("ingress_port", 16),
    Field("fate", 8),
    Field("why", 8),
    Field("reply", 8),
    Field("egress_port", 16),
    Field("vip", 16),
    Field("pool", 16),
    Field("bucket", 16),
    Field("owner", BACKEND_BITS),
    Field("silent", 14),
    Field("decision", 8),
    Field("unused", 4),
    Field("recorded", 1),
    Field("closing", 1),
    Field("confirmed", 1),
    Field("known", 1),
)
"""All behind `ingress_port` are the answer to a trace."""

PACKET_OUT = (Field("order", 8), Field("port", 16))


class Order(IntEnum):
    """What a packet-out is for."""

    SEND = 0
    BEGIN = 1
    PROBE = 2
    TRACE = 3


class Punt(StrEnum):
    """Why the switch hands a packet to the controller."""

    ARP_REPLY = "arp_reply"
    NEIGHBOR_ADVERTISEMENT = "neighbor_advertisement"
    GLEAN = "glean"
    TUNNEL_ERROR = "tunnel_error"


TRACED = 5
"""The reason of a packet-in that answers a trace. It is no punt: no entry counts it."""


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


ALL_ONES = (1 << ADDRESS_BITS) - 1


def serve(
    vip: int, pool: int, *, source_mask: int = ALL_ONES, port_mask: int = LAST_PORT, refusal: int = 0
) -> Do:
    return Do("serve", (vip, pool, source_mask, port_mask, refusal))


def pool_settings(mode: Mode, buckets: int, idle_timeout: float, udp_move: bool) -> Do:
    return Do("pool_settings", (MODES[mode], buckets - 1, ticks(idle_timeout), int(udp_move)))


BURST_SECONDS = 0.1
LEAST_BURST = 64
"""Packets. A meter lets a tenth of a second's packets come at once, and never fewer than these."""


def rate(packets: int) -> Do:
    """`packets` a second."""
    return Do("rate", (packets, max(LEAST_BURST, int(packets * BURST_SECONDS))))


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
