"""The desired state as data: VIPs, pools, backends, and where the switch is attached.

A `Config` that exists is valid: the cross-checks of `controller.rules` run whenever one is made. Everything
is frozen; the functions at the end return a changed copy, checked anew. They raise InvalidConfig or
UnknownName. The attribute names are the keys of the YAML document.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cached_property
from ipaddress import IPv4Address
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, ValidationError, ValidationInfo, field_validator, model_validator

from controller import rules
from controller.errors import InvalidConfig, Problem, UnknownName
from controller.health.settings import Damping, Health, IcmpCheck, NoCheck, Passive, TcpCheck
from controller.parts import Int, L4Port, Part
from controller.problems import problems_of
from controller.values import (
    Address,
    Duration,
    HostAddress,
    InterfaceAddress,
    Mac,
    Moment,
    Name,
    PortRange,
    Ports,
    Prefix,
    Share,
    format_moment,
    refuse,
)

MIN_BUCKETS, MAX_BUCKETS = 16, 65536
MAX_WEIGHT = 1000
MAX_VIPS = 8191
LAST_TIER = 15
MAX_ANNOUNCEMENT = 60.0
MAX_SLOW_START = 3600.0
MIN_MTU = 576
"""Bytes; what every IPv4 host takes (RFC 791, 3.1)."""

FIVE_TUPLE, CLIENT = "five-tuple", "client"
MAX_IDLE_TIMEOUT = 2147.0
"""Half a turn of the data plane's clock of 2^14 ticks of 2^18 us, rounded down to whole seconds."""

# Port numbers of the switch: 9 bits, of which 511 means drop and 255 the controller.
LAST_SWITCH_PORT = 510
CPU_PORT = 255

ONLY = ""
"""The name of a switch that is the only one and needs none."""

SwitchPort = Annotated[Int, Field(ge=1, le=LAST_SWITCH_PORT)]


class Protocol(StrEnum):
    """The names; their numbers (IANA) are in `controller.program`."""

    TCP = "tcp"
    UDP = "udp"


class Mode(StrEnum):
    """How a packet reaches its backend: addresses rewritten, only the MAC (direct server return), tunnels."""

    NAT = "nat"
    DSR = "dsr"
    IPIP = "ipip"
    GRE = "gre"
    VXLAN = "vxlan"
    GUE = "gue"

    @property
    def is_tunnel(self) -> bool:
        return self not in (Mode.NAT, Mode.DSR)


class State(StrEnum):
    """An operator's will for a backend: serve; take no new flows; be out at once, whatever breaks."""

    ACTIVE = "active"
    DRAIN = "drain"
    DISABLED = "disabled"


class AtDeadline(StrEnum):
    """What becomes of the flows that a draining backend still has at its deadline."""

    KEEP = "keep"  # they go on, and so does the drain
    CUT = "cut"  # the backend is disabled


class OnNoBackend(StrEnum):
    """What a client hears when no backend is there: nothing, a TCP reset (else port unreachable), or ICMP."""

    DROP = "drop"
    RESET = "reset"
    UNREACHABLE = "unreachable"


class Probe(StrEnum):
    """What the switch asks a pool's backends in every round: a TCP connection, or an ICMP echo.

    `auto`: TCP if the pool serves TCP and has health checks; otherwise nothing.
    """

    AUTO = "auto"
    TCP = "tcp"
    ICMP = "icmp"
    NONE = "none"


class UdpFlows(StrEnum):
    """What becomes of the UDP flows of a bucket that moves: they stay until it settles, or move at once."""

    STAY = "stay"
    MOVE = "move"


def _host_and_port(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise refuse("must be a host and a port, such as 127.0.0.1:9559 or [fd00::1]:9559")
    return value


Target = Annotated[str, AfterValidator(_host_and_port)]


class Switch(Part):
    """The P4Runtime target, and the MAC address that it answers to as a router."""

    address: Target = rules.DEFAULT_TARGET
    device_id: Int = Field(default=1, ge=1, lt=2**64)
    mac: Mac
    reply_rate: Int = Field(default=1000, ge=1, le=10**9)
    """ICMP errors and TCP resets of its own, a second, about packets from any one port."""

    @property
    def place(self) -> tuple[str, int]:
        """Which switch it is."""
        return self.address, self.device_id


class Interface(Part):
    """A network that the switch is attached to by one or more ports (between which it does not bridge)."""

    name: Name
    ports: tuple[SwitchPort, ...] = Field(min_length=1)
    addresses: tuple[InterfaceAddress, ...] = Field(min_length=1)
    vlan: Int = Field(default=0, ge=0, le=4094)
    mtu: Int | None = Field(default=None, ge=MIN_MTU, le=65535)
    """The largest IP packet, in bytes; without it none is too large."""

    @field_validator("ports")
    @classmethod
    def _no_cpu_port(cls, ports: tuple[int, ...]) -> tuple[int, ...]:
        if CPU_PORT in ports:
            raise refuse(f"port {CPU_PORT} is the controller's own")
        return ports


class Route(Part):
    """A network that is reached through a gateway on an attached one."""

    destination: Prefix
    gateway: HostAddress


class StaticNeighbor(Part):
    """A neighbor whose MAC address and port are not asked for."""

    address: HostAddress
    mac: Mac
    port: SwitchPort


class OneSwitch(Part):
    """One of several switches: its P4Runtime target, and what it does not have in common with the others."""

    name: Name
    address: Target
    device_id: Int | None = Field(default=None, ge=1, lt=2**64)
    mac: Mac | None = None
    reply_rate: Int | None = Field(default=None, ge=1, le=10**9)
    interfaces: tuple[Interface, ...] | None = None
    routes: tuple[Route, ...] | None = None
    neighbors: tuple[StaticNeighbor, ...] | None = None


class Liveness(Part):
    """How the switch itself notices that a backend is silent: a probe round every `interval`.

    One that has not answered for more than `misses` rounds is suspect, and new connections go to the
    standbys of its buckets until it answers again.
    """

    interval: Duration = Field(default=0.1, ge=0.005, le=10)
    misses: Int = Field(default=3, ge=1, le=1000)


class Deadline(Part):
    """When a drain is to be over, by the controller's clock, and what then."""

    at: Moment
    then: AtDeadline = AtDeadline.KEEP

    def __str__(self) -> str:
        return f"{format_moment(self.at)}, then {self.then}"


class Backend(Part):
    """One server of a pool. Without `port` packets keep the VIP's port. `deadline` is for one that drains."""

    name: Name
    address: HostAddress
    port: L4Port | None = None
    weight: Int = Field(default=1, ge=0, le=MAX_WEIGHT)
    state: State = State.ACTIVE
    tier: Int = Field(default=0, ge=0, le=LAST_TIER)
    """Those of a higher number serve when there are not enough of the lower ones."""
    deadline: Deadline | None = None

    @field_validator("deadline")
    @classmethod
    def _drains(cls, deadline: Deadline | None, info: ValidationInfo) -> Deadline | None:
        state = info.data.get("state", State.DRAIN)
        if deadline and state != State.DRAIN:
            raise refuse(f"is for a backend that drains, and the state of this one is {state}")
        return deadline


class Tunnel(Part):
    """How a pool's packets are carried to its backends, whose addresses are the tunnels' other ends.

    `source` is one of the switch's own addresses; without it, the one on the backend's network, or else the
    first of its family. `mtu` is the largest packet that fits into it, if that is less than the link's MTU
    leaves room for. VXLAN needs `vni`, the network's identifier, and `inner_mac`, the MAC address of the
    backends' VXLAN interfaces.
    """

    source: HostAddress | None = None
    mtu: Int | None = Field(default=None, ge=MIN_MTU, le=65535)
    vni: Int = Field(default=1, ge=0, lt=2**24)
    inner_mac: Mac | None = None


class Pool(Part):
    """The backends behind one or more VIPs, and how packets reach them. `buckets` is a power of two."""

    name: Name
    mode: Mode = Mode.NAT
    buckets: Int = Field(default=1024, ge=MIN_BUCKETS, le=MAX_BUCKETS)
    idle_timeout: Duration = Field(default=300.0, ge=1, le=MAX_IDLE_TIMEOUT)
    drain_deadline: Duration = 3600.0
    announcement: Duration = Field(default=4.0, le=MAX_ANNOUNCEMENT)
    """How long before a planned move the switch begins to remember new flows, so that a SYN that is sent
    again meanwhile stays where it was. 0: moves are made at once."""
    udp: UdpFlows = UdpFlows.STAY
    tunnel: Tunnel = Tunnel()
    health: Health = TcpCheck()
    probe: Probe = Probe.AUTO
    slow_start: Duration = Field(default=0.0, le=MAX_SLOW_START)
    """How long it takes until a backend that comes to a pool that runs has its whole share. 0: no time."""
    panic: Share = 0.0
    """When fewer of the backends are healthy, the checks are not believed, and all serve. 0%: never."""
    tier_minimum: Int = Field(default=1, ge=1)
    """Tiers of backends join, the lowest first, until so many healthy ones serve."""
    damping: Damping | None = None
    passive: Passive = Passive()
    backends: tuple[Backend, ...] = ()

    @field_validator("buckets")
    @classmethod
    def _power_of_two(cls, buckets: int) -> int:
        if buckets & (buckets - 1):
            below = 1 << (buckets.bit_length() - 1)
            raise refuse(f"must be a power of two, such as {below} or {below * 2}")
        return buckets

    def backend(self, name: str) -> Backend:
        for backend in self.backends:
            if backend.name == name:
                return backend
        raise UnknownName(f"backend of pool {self.name}", name, (b.name for b in self.backends))


class Vip(Part):
    """The address, protocol and port (or ports) that clients use, and what they may do.

    `affinity` says which flows go to the same backend: those of one `five-tuple`, of one `client`, or of the
    clients in one network (`client/24`). Of the prefixes in `allow` and `deny` the longest that has a client
    decides; with an `allow`, whom none has may not. `rate` is packets a second.
    """

    name: Name
    address: HostAddress
    protocol: Protocol = Protocol.TCP
    port: Ports
    pool: Name
    affinity: str = FIVE_TUPLE
    allow: tuple[Prefix, ...] = ()
    deny: tuple[Prefix, ...] = ()
    rate: Int | None = Field(default=None, ge=1, le=10**9)
    on_no_backend: OnNoBackend = OnNoBackend.DROP

    @field_validator("affinity")
    @classmethod
    def _known(cls, affinity: str) -> str:
        kind, slash, length = affinity.partition("/")
        if affinity != FIVE_TUPLE and (kind != CLIENT or (slash and not length.isdecimal())):
            raise refuse(f"is {affinity!r}, must be five-tuple, client, or client/24, say")
        return affinity

    @property
    def affinity_prefix(self) -> int | None:
        """How long the prefix is of a client's address that tells it from others; None for all of it."""
        _, slash, length = self.affinity.partition("/")
        return int(length) if slash else None


class Config(Part):
    """All of it."""

    switch: Switch
    switches: tuple[OneSwitch, ...] | None = Field(default=None, min_length=1)
    """If there are several: then `switch`, `interfaces`, `routes` and `neighbors` are of all that have no
    others of their own."""
    interfaces: tuple[Interface, ...] = ()
    routes: tuple[Route, ...] = ()
    neighbors: tuple[StaticNeighbor, ...] = ()
    health_sources: tuple[HostAddress, ...] = ()
    liveness: Liveness = Liveness()
    pools: tuple[Pool, ...] = ()
    vips: tuple[Vip, ...] = Field(default=(), max_length=MAX_VIPS)

    @model_validator(mode="after")
    def _consistent(self, info: ValidationInfo) -> Self:
        rules.check(self, sound=info.context)
        return self

    @property
    def switch_names(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.switches) if self.switches else (ONLY,)

    def for_switch(self, name: str) -> "Config":
        """The configuration as one of the switches has it, as if it were the only one."""
        if self.switches is None and name == ONLY:
            return self
        if name not in self._by_switch:
            raise UnknownName("switch", name, self.switch_names)
        return self._by_switch[name]

    @cached_property
    def _by_switch(self) -> dict[str, "Config"]:
        return {one.name: _as_only_one(self, one) for one in self.switches or ()}

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As pydantic's, but that nothing stays which was derived from what is no longer there."""
        copied = super().model_copy(update=update, deep=deep)
        for name in vars(copied).keys() - Config.model_fields.keys():
            del vars(copied)[name]
        return copied

    def pool(self, name: str) -> Pool:
        if name not in self._pools_by_name:
            raise UnknownName("pool", name, (p.name for p in self.pools))
        return self._pools_by_name[name]

    @cached_property
    def _pools_by_name(self) -> dict[str, Pool]:
        """Of several of one name, which no valid configuration has, the first."""
        return {pool.name: pool for pool in reversed(self.pools)}

    def vip(self, name: str) -> Vip:
        for vip in self.vips:
            if vip.name == name:
                return vip
        raise UnknownName("VIP", name, (v.name for v in self.vips))

    def vips_of(self, pool: str) -> tuple[Vip, ...]:
        return self._vips_by_pool.get(pool, ())

    @cached_property
    def _vips_by_pool(self) -> dict[str, tuple[Vip, ...]]:
        found: dict[str, list[Vip]] = {}
        for vip in self.vips:
            found.setdefault(vip.pool, []).append(vip)
        return {pool: tuple(vips) for pool, vips in found.items()}


def _as_only_one(config: Config, one: OneSwitch) -> Config:
    common = config.switch
    own = {
        "address": one.address,
        "device_id": one.device_id or common.device_id,
        "mac": one.mac or common.mac,
        "reply_rate": one.reply_rate or common.reply_rate,
    }
    parts: dict[str, Any] = {"switch": common.model_copy(update=own), "switches": None}
    for part in OWN_PARTS:
        parts[part] = getattr(config if getattr(one, part) is None else one, part)
    return config.model_copy(update=parts)


OWN_PARTS = ("interfaces", "routes", "neighbors")
"""Of a configuration, that a switch may have for itself."""


def service_port(backend: Backend, vip: Vip) -> int | PortRange:
    """The port or ports on which `backend` serves `vip`."""
    return backend.port or vip.port


def check_port(config: Config, pool: Pool, backend: Backend) -> int:
    """The port that health checks of `backend` go to. `rules` has made sure that there is one, if need be.

    0 if it has no port: for a check that needs none, and while no VIP uses the pool, and neither its backends
    nor its check name a port.
    """
    if isinstance(pool.health, NoCheck | IcmpCheck):
        return 0
    ports = [port for vip in config.vips_of(pool.name) if isinstance(port := service_port(backend, vip), int)]
    return pool.health.port or backend.port or (ports[0] if ports else 0)


def own_address_towards(config: Config, address: Address) -> Address | None:
    """The switch's address on the network that `address` is in, or else its first of that family."""
    own = [one for interface in config.interfaces for one in interface.addresses]
    ours = [one.ip for one in own if one.version == address.version]
    return next((one.ip for one in own if address in one.network), ours[0] if ours else None)


# Changes. Each returns a checked copy.


def replace(config: Config, **parts: Any) -> Config:
    """`config` with other `parts`, checked as a whole."""
    values = {name: getattr(config, name) for name in Config.model_fields} | parts
    try:
        return Config.model_validate(values, context=config)
    except ValidationError as error:
        raise InvalidConfig(problems_of(error, Config, values)) from None


def with_pool(config: Config, pool: Pool) -> Config:
    """With `pool` in the place of the one of its name."""
    config.pool(pool.name)
    return replace(config, pools=tuple(pool if p.name == pool.name else p for p in config.pools))


def with_backends(config: Config, pool: str, backends: Iterable[Backend]) -> Config:
    return with_pool(config, config.pool(pool).model_copy(update={"backends": tuple(backends)}))


def make_backend(
    name: str, address: str | Address, port: int | None = None, weight: int = 1, state: State = State.ACTIVE
) -> Backend:
    """A backend from what an operator typed."""
    try:
        return Backend.model_validate(
            {"name": name, "address": address, "port": port, "weight": weight, "state": state}
        )
    except ValidationError as error:
        raise InvalidConfig(problems_of(error, Backend)) from None


def add_backend(config: Config, pool: str, backend: Backend) -> Config:
    present = config.pool(pool).backends
    _refuse_taken(f"pools[{pool}].backends", "backend", backend, present)
    return with_backends(config, pool, (*present, backend))


def remove_backend(config: Config, pool: str, name: str) -> Config:
    gone = config.pool(pool).backend(name)
    return with_backends(config, pool, (b for b in config.pool(pool).backends if b is not gone))


def change_backend(config: Config, pool: str, name: str, **values: Any) -> Config:
    """With other values of one backend, such as `weight=2` or `state=State.DRAIN`.

    A deadline goes when the drain is called off.
    """
    if values.get("state", State.DRAIN) != State.DRAIN:
        values = {"deadline": None} | values
    old = config.pool(pool).backend(name)
    try:
        new = Backend.model_validate(old.model_dump() | values)
    except ValidationError as error:
        where = f"pools[{pool}].backends[{name}]"
        raise InvalidConfig(problems_of(error, Backend, values, where)) from None
    return with_backends(config, pool, (new if b is old else b for b in config.pool(pool).backends))


def add_vip(config: Config, vip: Vip) -> Config:
    _refuse_taken("vips", "VIP", vip, config.vips)
    return replace(config, vips=(*config.vips, vip))


def remove_vip(config: Config, name: str) -> Config:
    gone = config.vip(name)
    return replace(config, vips=tuple(vip for vip in config.vips if vip is not gone))


def _refuse_taken(where: str, kind: str, new: Backend | Vip, present: Iterable[Backend | Vip]) -> None:
    if any(other.name == new.name for other in present):
        text = f"there is a {kind} named {new.name} already: choose another name, or remove that one first"
        raise InvalidConfig([Problem(f"{where}[{new.name}].name", text)])


def is_v4(address: Address) -> bool:
    return isinstance(address, IPv4Address)
