"""Taking over what a running switch holds, so that a controller that begins anew breaks no flow.

The flows that are alive went by the entries of the switch, not by what the controller had meant to write
when it ended. So `previous` is what the switch has, and `current` too, from where the next update goes on.
The store has the identities, and the buckets for a switch that lost its own. Where the store knows nothing
of a pool or of an identity (it was lost, or is older), they are recognised by VIP, address and port.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from controller.apportion import NOBODY, Identities
from controller.assignment import Assignment, PoolAssignment
from controller.buckets import SHARED_SLOT, Buckets
from controller.holdings import ABSENT, Holdings
from controller.identities import Identity, server_of
from controller.model import Backend, Config, Pool, Vip
from controller.program import (
    BACKENDS,
    KEEP_PORT,
    POOLS,
    Do,
    narrow,
    wide,
)
from controller.services import place_of


def adopt(assignment: Assignment, config: Config, holdings: Holdings, now: float) -> None:
    """Makes `assignment` follow `holdings`; `now` in seconds since the epoch."""
    _keep_clear(assignment, holdings)
    pools = _claim_all(assignment, config, holdings, now)
    for pool in pools:
        _follow(assignment, pool.name, holdings, now)
    _set_aside(assignment, holdings, now)


def join(assignment: Assignment, config: Config, holdings: Holdings, now: float) -> dict[str, Identities]:
    """Takes in a switch that is to follow `assignment`, as others do; `now` in seconds since 1970.

    Returns the `previous` of all buckets, by pool, as this switch has them: where its flows are. Who it alone
    knows is in the assignment from now on, since it may have flows.
    """
    pools = _claim_all(assignment, config, holdings, now)
    found = {pool.name: _previous_of(assignment, config, pool.name, holdings) for pool in pools}
    _set_aside(assignment, holdings, now)
    return {name: previous for name, previous in found.items() if previous is not None}


def _claim_all(assignment: Assignment, config: Config, holdings: Holdings, now: float) -> list[Pool]:
    """Recognises what the switch knows and we do not; returns the pools that have buckets."""
    _claim_vips(assignment, config, holdings)
    known = {*assignment.pools}
    for pool in config.pools:
        if pool.name not in assignment.pools:
            _claim_pool(assignment, config, pool, holdings)
    pools = [pool for pool in config.pools if pool.name in assignment.pools]
    for pool in pools:
        came = now if pool.name in known else None
        _claim(assignment, pool, _named(assignment, pool, holdings), holdings, now, came)
    # In no bucket, but perhaps still the owner of recorded flows. Of which pool, only its address may tell.
    numbers = assignment.backend_numbers
    for number in {number for (number,) in holdings.rows[BACKENDS]} - numbers.used - numbers.resting.keys():
        at = holdings.rows[BACKENDS][number,].values
        here = [pool for pool in pools if any(_is_at(backend, *at) for backend in pool.backends)]
        for pool in (here or pools)[:1]:
            _claim(assignment, pool, {number}, holdings, now, None)
    return pools


def _previous_of(assignment: Assignment, config: Config, name: str, holdings: Holdings) -> Identities | None:
    """As many as we have buckets; None if the switch does not have all of its own.

    A switch may know the pool by another number, if the controller has lost its store.
    """
    assigned = assignment.pools[name]
    number, buckets = assigned.id, assigned.buckets
    served = {do.values[1] for vip in config.vips_of(name) if (do := _entry_of(vip, holdings))}
    if number not in served and len(served) == 1:
        (number,) = served
    size = _size(holdings, number)
    if not size or size & (size - 1) or not holdings.has_buckets(number, size):
        return None
    while len(buckets) < size:
        buckets = buckets.grown()
    if buckets is not assigned.buckets:
        assignment.pools[name] = replace(assigned, buckets=buckets)
    held = holdings.buckets[number][:size, 1].astype(np.uint32)
    return np.tile(held, len(buckets) // size)


def _keep_clear(assignment: Assignment, holdings: Holdings) -> None:
    """Without a store we do not know which numbers rest: those given out last, near the highest in use.

    So we go on far from there: three eighths of a round, that it is somewhere else after another loss, too.
    """
    for table, numbers in ((BACKENDS, assignment.backend_numbers), (POOLS, assignment.pool_numbers)):
        if not numbers.last and holdings.rows[table]:
            highest = max(number for (number,) in holdings.rows[table])
            numbers.last = (highest + numbers.last_used * 3 // 8) % numbers.last_used


def _claim_pool(assignment: Assignment, config: Config, pool: Pool, holdings: Holdings) -> None:
    """The number under which the switch serves this pool's VIPs, if it is one."""
    entries = [_entry_of(vip, holdings) for vip in config.vips_of(pool.name)]
    served = {do.values[1] for do in entries if do}
    for number in served if len(served) == 1 else ():
        size = _size(holdings, number)
        if number not in assignment.pool_numbers.used and size & (size - 1) == 0 < size:
            assignment.restore(pool.name, PoolAssignment(number, Buckets.of_nobody(size)))


def _claim_vips(assignment: Assignment, config: Config, holdings: Holdings) -> None:
    """The numbers under which the switch knows our VIPs."""
    for vip in config.vips:
        if do := _entry_of(vip, holdings):
            assignment.claim_vip(vip.name, do.values[0])


def _entry_of(vip: Vip, holdings: Holdings) -> Do | None:
    table, key = place_of(vip)
    return holdings.rows[table].get(key)


def _named(assignment: Assignment, pool: Pool, holdings: Holdings) -> set[int]:
    """The backends that the pool's buckets name."""
    number = assignment.pools[pool.name].id
    held = holdings.buckets.get(number)
    if held is None:
        return set()
    return {*np.unique(held[: _size(holdings, number), :2]).tolist()} - {NOBODY, ABSENT}


def _claim(
    assignment: Assignment,
    pool: Pool,
    found: set[int],
    holdings: Holdings,
    now: float,
    came: float | None,
) -> None:
    """Gives `pool` the identities among `found` that nobody knows: not in use, and not given up lately.

    Of a pool that we know, one that we do not know has come since then, at `came` at the latest.
    """
    numbers, assigned = assignment.backend_numbers, assignment.pools[pool.name]
    claimed = dict(assigned.backends)
    for number in sorted(found - numbers.used - numbers.resting.keys()):
        do = holdings.rows[BACKENDS].get((number,))
        if do is not None:
            address, port = do.values
            claimed[number] = _identity(number, pool, address, port, claimed, now=now, came=came)
            numbers.used.add(number)
    assignment.pools[pool.name] = replace(assigned, backends=claimed)


def _identity(
    number: int,
    pool: Pool,
    address: int,
    port: int,
    known: Mapping[int, Identity],
    *,
    now: float,
    came: float | None,
) -> Identity:
    """The configured backend with this address; otherwise one that was removed, whose flows may end.

    So is one that has another number already: each of two switches may know it by its own.
    """
    servers = {identity.server for identity in known.values()}
    for backend in pool.backends:
        if _is_at(backend, address, port) and server_of(backend) not in servers:
            return Identity(number, pool.name, backend.name, backend.address, backend.port, came=came)
    where = narrow(address)
    return Identity(number, pool.name, f"{where}:{port}", where, port or None, removed=now)


def _is_at(backend: Backend, address: int, port: int) -> bool:
    return (wide(backend.address), backend.port or KEEP_PORT) == (address, port)


def _follow(assignment: Assignment, name: str, holdings: Holdings, now: float) -> None:
    """Takes the pool's buckets over from the switch, as far as they name backends that are alive."""
    assigned = assignment.pools[name]
    size, buckets = _size(holdings, assigned.id), assigned.buckets
    if not size or not holdings.has_buckets(assigned.id, size):
        return
    while len(buckets) < size:
        buckets = buckets.grown()
    held = holdings.buckets[assigned.id][:size].astype(np.uint32)
    while len(held) < len(buckets):  # it was about to grow: its flows are still in the smaller ones
        held = np.concatenate([held, held])
    alive = np.array([NOBODY, *assigned.backends], dtype=np.uint32)
    current = np.where(np.isin(held[:, 0], alive), held[:, 0], buckets.current)
    previous = np.where(np.isin(held[:, 1], alive), held[:, 1], current)
    standby = np.where(np.isin(held[:, 2], alive), held[:, 2], buckets.standby)
    moving = current != previous
    began = np.where(moving, np.where(buckets.began > 0, buckets.began, now), 0.0)
    motion = np.where(moving, held[:, 4], SHARED_SLOT).astype(np.uint16)
    assignment.replace_buckets(name, Buckets(current, previous, standby, motion, began))


def _set_aside(assignment: Assignment, holdings: Holdings, now: float) -> None:
    """Numbers that the switch knows and we do not rest, as if given up just now: now it forgets them."""
    for table, numbers in ((BACKENDS, assignment.backend_numbers), (POOLS, assignment.pool_numbers)):
        for (number,) in holdings.rows[table]:
            if number not in numbers.used:
                numbers.resting[number] = now


def _size(holdings: Holdings, pool: int) -> int:
    """How many buckets the switch uses for a pool; 0 if it has no such pool."""
    settings = holdings.rows[POOLS].get((pool,))
    return settings.values[1] + 1 if settings else 0
