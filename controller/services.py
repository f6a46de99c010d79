"""The entries that stand for VIPs: who serves them, who may use them, how nat backends' answers are known."""

from collections.abc import Iterable, Iterator, Mapping

from controller.apportion import NOBODY
from controller.assignment import Assignment
from controller.identities import Identity, Server, server_of
from controller.memory import Memory
from controller.model import FIVE_TUPLE, Backend, Config, Mode, OnNoBackend, Vip
from controller.program import (
    ADDRESS_BITS,
    ALL_ONES,
    LAST_PORT,
    NAT_ANSWER_RANGES,
    NAT_ANSWERS,
    NAT_HOSTS,
    NAT_SERVICE_RANGES,
    NAT_SERVICES,
    PROTOCOLS,
    SOURCES,
    VIP_RANGES,
    VIP_RATE,
    VIPS,
    Do,
    Key,
    Rows,
    Table,
    rate,
    serve,
    wide,
    wide_prefix,
)
from controller.values import Address, PortRange, span

EVERYBODY: Key = (0, 0)
"""The prefix of all sources."""

REFUSALS = {OnNoBackend.DROP: 0, OnNoBackend.RESET: 1, OnNoBackend.UNREACHABLE: 2}


def place_of(vip: Vip) -> tuple[Table, Key]:
    """The table and the key of a VIP's entry."""
    return _place(VIPS, VIP_RANGES, vip.address, vip, vip.port)


def service_rows(config: Config, assignment: Assignment, memory: Memory | None = None) -> dict[Table, Rows]:
    """Every VIP of `config` has its number in `assignment`, and its pool has one, too."""
    memory = memory or Memory()
    parts = [
        memory.make(("vip", vip.name), _of_vip, vip, assignment.vips[vip.name], assignment.pools[vip.pool].id)
        for vip in config.vips
    ]
    # Backends that are down are answered for, too, since their addresses stay reserved for the VIP, and
    # removed ones while they have flows, unless the service was given to another VIP meanwhile: so the
    # configured ones come last.
    nat = [(pool, config.vips_of(pool.name)) for pool in config.pools if pool.mode is Mode.NAT]
    for pool, vips in nat:
        backends = assignment.pools[pool.name].backends
        parts.append(memory.make(("assigned", pool.name), _of_assigned, backends, *vips))
    for pool, vips in nat:
        backends = assignment.pools[pool.name].backends
        parts.append(memory.make(("configured", pool.name), _of_configured, pool.backends, backends, *vips))
    return {
        table: memory.union(table, [part[table] for part in parts if table in part])
        for table in (*_VIP_TABLES, *_ANSWER_TABLES)
    }


def is_elsewhere(config: Config, pool: str, server: Server) -> bool:
    """Whether what `server` did for `pool`, which has it no longer, is the service of another pool's VIP now.

    In nat mode an answer is known by its source alone, so it could not serve both.
    """
    _, address, own_port = server
    return config.pool(pool).mode is Mode.NAT and any(
        vip.protocol is mine.protocol and span(one.port or vip.port).overlaps(span(own_port or mine.port))
        for other in config.pools
        if other.name != pool and other.mode is Mode.NAT
        for one in other.backends
        if one.address == address
        for vip in config.vips_of(other.name)
        for mine in config.vips_of(pool)
    )


DIRECT, TRANSLATED = Do("direct"), Do("translated")

KEEP = 0
"""The restored port of an answer that keeps its own."""

_ANSWER_TABLES = (NAT_ANSWERS, NAT_ANSWER_RANGES, NAT_SERVICES, NAT_SERVICE_RANGES, NAT_HOSTS)


_VIP_TABLES = (VIPS, VIP_RANGES, SOURCES, VIP_RATE)


def _of_vip(vip: Vip, number: int, pool: int) -> dict[Table, Rows]:
    table, key = place_of(vip)
    limit = {} if vip.rate is None else {(number,): rate(vip.rate)}
    return {table: {key: _serve(vip, number, pool)}, SOURCES: dict(_sources(vip, number)), VIP_RATE: limit}


def _serve(vip: Vip, number: int, pool: int) -> Do:
    prefix = vip.affinity_prefix
    ignored = ADDRESS_BITS if prefix is None else vip.address.max_prefixlen - prefix
    source_mask = ALL_ONES if prefix is None else ALL_ONES >> ignored << ignored
    port_mask = LAST_PORT if vip.affinity == FIVE_TUPLE else 0
    refusal = REFUSALS[vip.on_no_backend]
    return serve(number, pool, source_mask=source_mask, port_mask=port_mask, refusal=refusal)


def _sources(vip: Vip, number: int) -> Iterator[tuple[Key, Do]]:
    """Once somebody is named who may, nobody else does; the longest prefix decides."""
    if vip.allow:
        yield (number, *EVERYBODY), Do("deny")
    for networks, action in ((vip.allow, "allow"), (vip.deny, "deny")):
        for network in networks:
            yield (number, *wide_prefix(network)), Do(action)


def _of_assigned(backends: Mapping[int, Identity], *vips: Vip) -> dict[Table, Rows]:
    servers = [(identity.address, identity.port, number) for number, identity in backends.items()]
    return _answers(vips, servers)


def _of_configured(
    configured: tuple[Backend, ...], backends: Mapping[int, Identity], *vips: Vip
) -> dict[Table, Rows]:
    """A server that is in no other table has no number: its answers are nobody's, or those of another one in
    its place, which may have been removed and still serve."""
    places = {(identity.address, identity.port): number for number, identity in backends.items()}
    numbers = {identity.server: number for number, identity in backends.items()}
    servers = [
        (one.address, one.port, numbers.get(server_of(one), places.get((one.address, one.port), NOBODY)))
        for one in configured
    ]
    return _answers(vips, servers)


def _answers(vips: Iterable[Vip], servers: list[tuple[Address, int | None, int]]) -> dict[Table, Rows]:
    """The services of a nat pool's backends, whose answers get the VIP back as their source.

    `servers` are addresses, ports and the numbers of the backends whose answers are counted.
    """
    rows: dict[Table, Rows] = {table: {} for table in _ANSWER_TABLES}
    for vip in vips:
        vip_port = vip.port if isinstance(vip.port, int) else KEEP
        for address, own_port, number in servers:
            port = own_port or vip.port
            answers, key = _place(NAT_ANSWERS, NAT_ANSWER_RANGES, address, vip, port)
            rows[answers][key] = Do("restore", (wide(vip.address), vip_port, number))
            services, key = _place(NAT_SERVICES, NAT_SERVICE_RANGES, address, vip, port)
            rows[services][key] = DIRECT
            rows[NAT_HOSTS][wide(address),] = TRANSLATED
    return rows


def _place(
    exact: Table, ranges: Table, address: Address, vip: Vip, port: int | PortRange
) -> tuple[Table, Key]:
    start = wide(address), PROTOCOLS[vip.protocol]
    return (ranges, (*start, port.low, port.high)) if isinstance(port, PortRange) else (exact, (*start, port))
