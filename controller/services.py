"""The entries that stand for VIPs: who serves them, who may use them, how nat backends' answers are known."""

from collections.abc import Iterator

from controller.assignment import Assignment
from controller.model import FIVE_TUPLE, Config, Mode, OnNoBackend, Vip
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
from controller.values import Address, PortRange

EVERYBODY: Key = (0, 0)
"""The prefix of all sources."""

REFUSALS = {OnNoBackend.DROP: 0, OnNoBackend.RESET: 1, OnNoBackend.UNREACHABLE: 2}


def place_of(vip: Vip) -> tuple[Table, Key]:
    """The table and the key of a VIP's entry."""
    return _place(VIPS, VIP_RANGES, vip.address, vip, vip.port)


def service_rows(config: Config, assignment: Assignment) -> dict[Table, Rows]:
    """Every VIP of `config` has its number in `assignment`, and its pool has one, too."""
    tables = (VIPS, VIP_RANGES, SOURCES, VIP_RATE, *_ANSWER_TABLES)
    rows: dict[Table, Rows] = {table: {} for table in tables}
    for vip in config.vips:
        number = assignment.vips[vip.name]
        table, key = place_of(vip)
        rows[table][key] = _serve(vip, number, assignment.pools[vip.pool].id)
        rows[SOURCES].update(_sources(vip, number))
        if vip.rate is not None:
            rows[VIP_RATE][number,] = rate(vip.rate)
    for vip, address, port in _answering(config, assignment):
        restored = vip.port if isinstance(vip.port, int) else KEEP
        answers, key = _place(NAT_ANSWERS, NAT_ANSWER_RANGES, address, vip, port)
        rows[answers][key] = Do("restore", (wide(vip.address), restored))
        services, key = _place(NAT_SERVICES, NAT_SERVICE_RANGES, address, vip, port)
        rows[services][key] = Do("direct")
        rows[NAT_HOSTS][wide(address),] = Do("translated")
    return rows


KEEP = 0
"""The restored port of an answer that keeps its own."""

_ANSWER_TABLES = (NAT_ANSWERS, NAT_ANSWER_RANGES, NAT_SERVICES, NAT_SERVICE_RANGES, NAT_HOSTS)


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


def _answering(config: Config, assignment: Assignment) -> Iterator[tuple[Vip, Address, int | PortRange]]:
    """The services of nat backends, whose answers get the VIP back as their source.

    Also of backends that are down, since their addresses stay reserved for the VIP, and of removed ones while
    they have flows, unless the service was given to another VIP meanwhile: the configured ones come last.
    """
    nat = [(pool, vip) for pool in config.pools if pool.mode is Mode.NAT for vip in config.vips_of(pool.name)]
    for pool, vip in nat:
        for identity in assignment.pools[pool.name].backends.values():
            yield vip, identity.address, identity.port or vip.port
    for pool, vip in nat:
        for backend in pool.backends:
            yield vip, backend.address, backend.port or vip.port


def _place(
    exact: Table, ranges: Table, address: Address, vip: Vip, port: int | PortRange
) -> tuple[Table, Key]:
    start = wide(address), PROTOCOLS[vip.protocol]
    return (ranges, (*start, port.low, port.high)) if isinstance(port, PortRange) else (exact, (*start, port))
