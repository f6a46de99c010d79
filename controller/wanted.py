"""From the model, the assignment and the neighbors to the entries that the switch should hold."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from controller.apportion import Mask
from controller.assignment import Assignment
from controller.buckets import Buckets
from controller.errors import InvalidConfig, Problem
from controller.identities import Identity
from controller.memory import Memory
from controller.model import Config, Interface, Pool, Switch, UdpFlows, Vip, own_address_towards
from controller.probes import Probes
from controller.program import (
    ADDRESSES,
    ALL_ONES,
    BACKENDS,
    BUCKETS,
    HEALTH_CHECKERS,
    INTERFACES,
    LINKS,
    LIVENESS_SETTINGS,
    MACS,
    NEIGHBORS,
    OWN_SOURCES,
    POOLS,
    REPLY_RATE,
    ROUTES,
    TUNNELS,
    Do,
    Key,
    Rows,
    Table,
    backend_address,
    pool_settings,
    rate,
    ticks,
    wide,
    wide_prefix,
)
from controller.services import service_rows
from controller.values import Address, mac_to_int

Owners = NDArray[np.uint32]
"""One row per bucket: current, previous, standby, announced, motion, as the table's action takes them."""

OWNERS = 5


@dataclass(frozen=True, slots=True)
class Wanted:
    """All entries: `rows` by table, and the buckets of each pool, by its number, as arrays."""

    rows: Mapping[Table, Rows]
    buckets: Mapping[int, Owners] = field(default_factory=dict)


def wanted(
    config: Config,
    assignment: Assignment,
    neighbors: Rows,
    announced: Mapping[str, Mask] = MappingProxyType({}),
    probes: Probes | None = None,
    path_mtus: Mapping[int, int] = MappingProxyType({}),
    memory: Memory | None = None,
) -> Wanted:
    """What the switch should hold. Every pool of `config` has its place in `assignment`.

    `announced` are the buckets, by pool, that will move soon.
    Without `probes` nobody is asked whether he is alive.
    `path_mtus` is what the underlay says that tunnels carry: bytes by backend's number.
    With the `memory` of earlier calls only what has changed is made anew: rows of a table, and buckets of a
    pool, that are as they were the last time are the same object. Nobody may change them.
    """
    memory = memory or Memory()
    memory.begin()
    mac = mac_to_int(config.switch.mac)
    pools = [(pool, assignment.pools[pool.name]) for pool in config.pools]
    own = memory.make("own addresses", _own_addresses, config.switch, *config.vips, *config.interfaces)
    asked = (probes or Probes()).rows(mac)
    rows: dict[Table, Rows] = {
        MACS: {(mac,): Do("ours")},
        OWN_SOURCES: memory.make(OWN_SOURCES, _own_sources, own),
        LINKS: dict(_links(config)),
        INTERFACES: dict(_interfaces(config)),
        REPLY_RATE: {
            (port,): rate(config.switch.reply_rate)
            for interface in config.interfaces
            for port in interface.ports
        },
        ROUTES: dict(_routes(config)),
        HEALTH_CHECKERS: dict(_health_checkers(config.health_sources)),
        NEIGHBORS: neighbors,
        POOLS: {
            (assigned.id,): memory.make((POOLS, pool.name), _settings, pool, assigned.buckets)
            for pool, assigned in pools
        },
        BACKENDS: memory.union(
            BACKENDS,
            [memory.make((BACKENDS, pool.name), _addresses, assigned.backends) for pool, assigned in pools],
        ),
        TUNNELS: dict(_tunnels(config, assignment, mac, path_mtus)),
        LIVENESS_SETTINGS: {(): _liveness(config)},
    }
    rows |= service_rows(config, assignment, memory)
    rows |= asked | {ADDRESSES: memory.union(ADDRESSES, [own, asked[ADDRESSES]])}
    buckets = {
        assigned.id: memory.make((BUCKETS, pool.name), owners, assigned.buckets, announced.get(pool.name))
        for pool, assigned in pools
    }
    return Wanted(rows, buckets)


def refuse_what_has_no_room(wanted: Wanted, sizes: Mapping[Table, int]) -> None:
    """Raises InvalidConfig when some table of the switch, by its size, cannot hold what is wanted."""
    counts = {table: len(rows) for table, rows in wanted.rows.items()}
    counts[BUCKETS] = sum(map(len, wanted.buckets.values()))
    problems = [
        Problem("", f"asks for {count} {table}, of which the switch has room for {sizes[table]}")
        for table, count in counts.items()
        if count > sizes.get(table, count)
    ]
    if problems:
        raise InvalidConfig(problems)


def own_addresses(config: Config) -> set[Address]:
    """The addresses that the switch answers for: VIPs and its own as a router."""
    return {*_addresses_of((*config.vips, *config.interfaces))}


def _addresses_of(holders: Iterable[Vip | Interface]) -> Iterator[Address]:
    for holder in holders:
        if isinstance(holder, Vip):
            yield holder.address
        else:
            yield from (address.ip for address in holder.addresses)


def owners(buckets: Buckets, announced: Mask | None = None) -> Owners:
    flags = np.zeros(len(buckets), np.uint32) if announced is None else announced.astype(np.uint32)
    return np.stack(
        [buckets.current, buckets.previous, buckets.standby, flags, buckets.motion], axis=1, dtype=np.uint32
    )


def _routes(config: Config) -> Iterator[tuple[Key, Do]]:
    for interface in config.interfaces:
        for address in interface.addresses:
            yield wide_prefix(address.network), Do("connected")
    for route in config.routes:
        yield wide_prefix(route.destination), Do("via", (wide(route.gateway),))


def _health_checkers(sources: Iterable[Address]) -> Iterator[tuple[Key, Do]]:
    """A check and its answer: from the source to anybody, and from anybody to it."""
    for source in sources:
        yield (wide(source), ALL_ONES, 0, 0), Do("untranslated")
        yield (0, 0, wide(source), ALL_ONES), Do("untranslated")


def _settings(pool: Pool, buckets: Buckets) -> Do:
    return pool_settings(pool.mode, len(buckets), pool.idle_timeout, pool.udp is UdpFlows.MOVE)


def _addresses(backends: Mapping[int, Identity]) -> Rows:
    return {(n,): backend_address(identity.address, identity.port) for n, identity in backends.items()}


def _own_addresses(switch: Switch, *holders: Vip | Interface) -> Rows:
    do = Do("own", (mac_to_int(switch.mac),))
    return {(wide(address),): do for address in _addresses_of(holders)}


def _own_sources(own: Rows) -> Rows:
    return {key: Do("from_us") for key in own}


def _tunnels(
    config: Config, assignment: Assignment, mac: int, path_mtus: Mapping[int, int]
) -> Iterator[tuple[Key, Do]]:
    """Inside, a VXLAN frame goes from the switch's MAC address to that of the backends' VXLAN interfaces."""
    for pool in config.pools:
        if not pool.mode.is_tunnel:
            continue
        tunnel = pool.tunnel
        inside = mac_to_int(tunnel.inner_mac) if tunnel.inner_mac else 0
        for number, identity in assignment.pools[pool.name].backends.items():
            source = tunnel.source or own_address_towards(config, identity.address)
            if source is not None:  # the address may have been taken away while a removed backend has flows
                mtu = min(filter(None, (tunnel.mtu, path_mtus.get(number))), default=0)
                yield (number,), Do("tunnel", (wide(source), tunnel.vni, mac, inside, mtu))


def _links(config: Config) -> Iterator[tuple[Key, Do]]:
    for interface in config.interfaces:
        for port in interface.ports:
            if interface.mtu is not None:
                yield (port, interface.vlan), Do("link", (interface.mtu,))


def _interfaces(config: Config) -> Iterator[tuple[Key, Do]]:
    """From which address the switch speaks to whom it hears on a port; 0 where it has none of a family."""
    for interface in config.interfaces:
        addresses = {address.version: int(address.ip) for address in reversed(interface.addresses)}
        for port in interface.ports:
            yield (port, interface.vlan), Do("reply_from", (addresses.get(4, 0), addresses.get(6, 0)))


def _liveness(config: Config) -> Do:
    """Rounds that may go unanswered, microseconds that a round lasts at the least, the scrub's patience."""
    longest = max((pool.idle_timeout for pool in config.pools), default=0.0)
    shortest = int(config.liveness.interval * 1e6) // 2
    return Do("settings", (config.liveness.misses, shortest, ticks(longest)))
