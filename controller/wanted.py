"""From the model, the assignment and the neighbors to the entries that the switch should hold."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from controller.assignment import Assignment, PoolAssignment
from controller.model import Config, Mode, Pool, UdpFlows, Vip
from controller.program import (
    ADDRESS_BITS,
    ADDRESSES,
    BACKENDS,
    HEALTH_CHECKERS,
    MACS,
    NAT_ANSWERS,
    NAT_SERVICES,
    NEIGHBORS,
    POOLS,
    PROTOCOLS,
    ROUTES,
    VIPS,
    Do,
    Key,
    Rows,
    Table,
    backend_address,
    pool_settings,
    serve,
    wide,
    wide_prefix,
)
from controller.values import Address, mac_to_int

Owners = NDArray[np.uint16]
"""One row per bucket: current, previous, standby, announced, motion, as the table's action takes them."""

OWNERS = 5

ALL_BITS = (1 << ADDRESS_BITS) - 1


@dataclass(frozen=True, slots=True)
class Wanted:
    """All entries: `rows` by table, and the buckets of each pool, by its number, as arrays."""

    rows: Mapping[Table, Rows]
    buckets: Mapping[int, Owners] = field(default_factory=dict)


def wanted(config: Config, assignment: Assignment, neighbors: Rows) -> Wanted:
    """What the switch should hold. Every pool of `config` has its place in `assignment`."""
    mac = mac_to_int(config.switch.mac)
    pools = [(pool, assignment.pools[pool.name]) for pool in config.pools]
    rows: dict[Table, Rows] = {
        MACS: {(mac,): Do("ours")},
        ADDRESSES: {(wide(address),): Do("own", (mac,)) for address in own_addresses(config)},
        ROUTES: dict(_routes(config)),
        HEALTH_CHECKERS: dict(_health_checkers(config.health_sources)),
        NEIGHBORS: neighbors,
        VIPS: {
            _service(vip.address, vip, vip.port): serve(assignment.pools[vip.pool].id) for vip in config.vips
        },
        POOLS: {(assigned.id,): _settings(pool, assigned) for pool, assigned in pools},
        BACKENDS: {
            (number,): backend_address(identity.address, identity.port)
            for _, assigned in pools
            for number, identity in assigned.backends.items()
        },
        NAT_ANSWERS: {},
        NAT_SERVICES: {},
    }
    for service, do in _answers(config, assignment):
        rows[NAT_ANSWERS][service] = do
        rows[NAT_SERVICES][service] = Do("direct")
    return Wanted(rows, {assigned.id: owners(assigned) for _, assigned in pools})


def own_addresses(config: Config) -> set[Address]:
    """The addresses that the switch answers for: VIPs and its own as a router."""
    return {vip.address for vip in config.vips} | {
        address.ip for interface in config.interfaces for address in interface.addresses
    }


def owners(assigned: PoolAssignment) -> Owners:
    buckets = assigned.buckets
    # A planned move will be announced here, 4 s ahead, when the data plane's other half is there.
    announced = np.zeros(len(buckets), dtype=np.uint16)
    return np.stack([buckets.current, buckets.previous, buckets.standby, announced, buckets.motion], axis=1)


def _routes(config: Config) -> Iterator[tuple[Key, Do]]:
    for interface in config.interfaces:
        for address in interface.addresses:
            yield wide_prefix(address.network), Do("connected")
    for route in config.routes:
        yield wide_prefix(route.destination), Do("via", (wide(route.gateway),))


def _health_checkers(sources: Iterable[Address]) -> Iterator[tuple[Key, Do]]:
    """A check and its answer: from the source to anybody, and from anybody to it."""
    for source in sources:
        yield (wide(source), ALL_BITS, 0, 0), Do("untranslated")
        yield (0, 0, wide(source), ALL_BITS), Do("untranslated")


def _settings(pool: Pool, assigned: PoolAssignment) -> Do:
    udp_move = pool.udp is UdpFlows.MOVE
    return pool_settings(pool.mode, len(assigned.buckets), pool.idle_timeout, udp_move)


def _answers(config: Config, assignment: Assignment) -> Iterator[tuple[Key, Do]]:
    """The services of nat backends, whose answers get the VIP back as their source.

    Also of backends that are down, since their addresses stay reserved for the VIP, and of removed ones while
    they have flows, unless the service was given to another VIP meanwhile: the configured ones come last.
    """
    nat = [pool for pool in config.pools if pool.mode is Mode.NAT]
    for pool in nat:
        for vip in config.vips_of(pool.name):
            restore = Do("restore", (wide(vip.address), vip.port))
            for identity in assignment.pools[pool.name].backends.values():
                yield _service(identity.address, vip, identity.port or vip.port), restore
    for pool in nat:
        for vip in config.vips_of(pool.name):
            restore = Do("restore", (wide(vip.address), vip.port))
            for backend in pool.backends:
                yield _service(backend.address, vip, backend.port or vip.port), restore


def _service(address: Address, vip: Vip, port: int) -> Key:
    return wide(address), PROTOCOLS[vip.protocol], port
