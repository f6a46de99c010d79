"""Which backends the pools' buckets have: the state that only the controller writes.

`Assignment.update` brings one pool in line with its configuration and the verdicts about its backends:

- a planned change moves the fewest buckets, of those that may move yet; each keeps its `previous` for the
  flows that began earlier
- a backend that is down, disabled or cut off leaves at once: where it was `previous`, the bucket is settled
- one that was taken out of the configuration stays until nobody needs it (`Assignment.remove`)
- new flows are taken from nobody for the sake of those who are not up yet: see `_who_could_stand_in`

A moving bucket may move again: every flow of it is then at its `previous` or recorded as an exception,
whatever `current` was in between. So `previous` stays, and a bucket that comes back to it is settled at
once, while the exceptions that remain are honoured until they end. Only the idle clock begins anew.

See docs/controller.md for why this breaks no flow.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from controller.apportion import NOBODY, Counts, Identities, Mask, apportion, spread_standbys
from controller.buckets import SHARED_SLOT, Buckets
from controller.errors import StoreError
from controller.identities import Identity, NoIdentityLeft, Numbers, Server, server_of
from controller.model import Pool, State
from controller.program import LAST_POOL, LAST_VIP, MOTION_SLOTS
from controller.serving import NOBODY_SERVES, Candidate, Roles, decide, may_serve, steps_taken

Verdict = Callable[[str], bool | None]
"""Whether the backend of this name is up; None while nobody knows."""


@dataclass(frozen=True, slots=True)
class PoolAssignment:
    """A pool's number, its buckets, and its backends that are in the tables, by identity."""

    id: int
    buckets: Buckets
    backends: dict[int, Identity] = field(default_factory=dict)

    def by_server(self) -> dict[Server, Identity]:
        return {identity.server: identity for identity in self.backends.values()}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one update did.

    `moved` counts buckets with another `current`, `restarted` are motion slots whose idle clock begins anew,
    `came` and `left` the backends that are in the tables now, or no longer. `starved` ones are up, but no
    number is left for them. `pending` are the buckets that are to move, and may not yet.
    """

    moved: int = 0
    restarted: frozenset[int] = frozenset()
    came: tuple[Identity, ...] = ()
    left: tuple[Identity, ...] = ()
    starved: tuple[str, ...] = ()
    changed: bool = False
    pending: Mask = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    roles: Roles = NOBODY_SERVES


class Assignment:
    """The buckets and identities of all pools. What changes is replaced, so that `copy` is cheap."""

    def __init__(self) -> None:
        self.pools: dict[str, PoolAssignment] = {}
        self.backend_numbers = Numbers("backend")
        self.pool_numbers = Numbers("pool", last_used=LAST_POOL)
        self.vips: dict[str, int] = {}
        """The numbers of VIPs by name. The store does not keep them: they are the switch's, or new."""
        self.vip_numbers = Numbers("VIP", last_used=LAST_VIP)
        self.slots_used = np.zeros(MOTION_SLOTS, dtype=np.bool_)
        self.slots_used[SHARED_SLOT] = True

    def copy(self) -> "Assignment":
        other = Assignment()
        other.pools = dict(self.pools)
        other.backend_numbers = _copied(self.backend_numbers)
        other.pool_numbers = _copied(self.pool_numbers)
        other.vips, other.vip_numbers = dict(self.vips), _copied(self.vip_numbers)
        other.slots_used = self.slots_used.copy()
        return other

    def update(
        self,
        pool: Pool,
        verdict: Verdict,
        now: float,
        *,
        cut: frozenset[Server] = frozenset(),
        movable: Mask | None = None,
        ejected: frozenset[str] = frozenset(),
        back: frozenset[str] = frozenset(),
        elsewhere: Callable[[Server], bool] = lambda server: False,
    ) -> Outcome:
        """Makes the assignment of `pool` what it should be; `now` in seconds since the epoch.

        Nobody's verdict about a backend leaves it as it is; the backends of a new pool all serve. `cut` are
        backends no longer configured that are not to be drained. Of the buckets that somebody has who is
        still there, only the `movable` move, if there is a choice of them. Backends that are `ejected` stay
        for their old flows, and all their buckets move; those that are `back` begin as if they had come now.
        A server that is `elsewhere` stands in for nobody: what it served is another pool's by now.
        """
        known = self.pools.get(pool.name)
        before = known or PoolAssignment(self.pool_numbers.take(now), Buckets.of_nobody(pool.buckets))
        before = _come_again(before, back, now)
        could_stand_in = _who_could_stand_in(pool, before, verdict, cut, elsewhere)
        roles = self._roles(pool, before, verdict, now, ejected, bool(could_stand_in), first=known is None)
        present = self._present(pool, before, roles, now, first=known is None)
        if not present.weights and (awaited := roles.awaited or tuple(present.starved)):
            present.weights = could_stand_in
            roles = replace(roles, awaited=awaited, stand_ins=frozenset(could_stand_in))
        configured = {server_of(backend) for backend in pool.backends}
        removed = [
            _leaving(identity, now, stands_in=identity.id in roles.stand_ins)
            for identity in before.backends.values()
            if identity.server not in configured | cut
        ]
        backends = {identity.id: identity for identity in (*present.identities, *removed)}
        left = tuple(identity for number, identity in before.backends.items() if number not in backends)

        buckets = before.buckets
        while len(buckets) < pool.buckets:
            buckets = buckets.grown()
        grown = len(buckets) > len(before.buckets)
        alive = np.array([*backends], dtype=np.uint32)
        patient = [number for number, one in backends.items() if one.name not in roles.ejected]
        current, pending = _chosen(buckets, present, np.array(patient, dtype=np.uint32), movable)
        # Nobody needs `previous` where it is nobody, or left: its flows are lost, and reset by whom they
        # meet now.
        previous = np.where(np.isin(buckets.previous, alive), buckets.previous, current)
        standby = _standbys(current, buckets.standby, present)
        moved, restarted = self._with_slots(buckets, current, previous, standby, now, grown)
        for identity in left:
            self.backend_numbers.give_up(identity.id, now)
        same = backends == before.backends  # then it is the same object, and nobody need look at it
        after = PoolAssignment(before.id, moved, before.backends if same else dict(sorted(backends.items())))
        self.pools[pool.name] = after
        return Outcome(
            int((moved.current != buckets.current).sum()),
            restarted,
            came=tuple(i for i in present.identities if i.id not in before.backends),
            left=left,
            starved=tuple(present.starved),
            changed=known is None or not _equal(known, after),
            pending=pending,
            roles=roles,
        )

    def _roles(
        self,
        pool: Pool,
        before: PoolAssignment,
        verdict: Verdict,
        now: float,
        ejected: frozenset[str],
        can_stand_in: bool,
        first: bool,
    ) -> Roles:
        known, candidates = before.by_server(), []
        for backend in pool.backends:
            identity = known.get(server_of(backend))
            up = verdict(backend.name)
            judged = first or up is not None
            if up is None:
                up = first or identity is not None
            came = identity.came if identity else None if first else now
            steps = steps_taken(came, now, pool.slow_start)
            there = identity is not None
            candidates.append(
                Candidate(backend, up, steps, backend.name in ejected, there, judged=there or judged)
            )
        return decide(pool, candidates, can_stand_in=can_stand_in)

    def _present(
        self, pool: Pool, before: PoolAssignment, roles: Roles, now: float, first: bool
    ) -> "_Present":
        """The configured backends that are to be in the tables."""
        present, known = _Present(), before.by_server()
        weights, reserve = dict(roles.weights), dict(roles.reserve)
        for backend in pool.backends:
            if backend.name not in roles.present:
                continue
            identity = known.get(server_of(backend))
            if identity is None:
                if backend.name not in weights.keys() | reserve.keys():
                    continue
                try:
                    number = self.backend_numbers.take(now)
                except NoIdentityLeft:
                    present.starved.append(backend.name)
                    continue
                came = None if first else now
                identity = Identity(number, pool.name, backend.name, backend.address, backend.port, came=came)
            present.identities.append(
                identity if identity.removed is None else replace(identity, removed=None)
            )
            if weight := weights.get(backend.name):
                present.weights[identity.id] = weight
            elif weight := reserve.get(backend.name):
                present.reserve[identity.id] = weight
        return present

    def _with_slots(
        self,
        before: Buckets,
        current: Identities,
        previous: Identities,
        standby: Identities,
        now: float,
        grown: bool,
    ) -> tuple[Buckets, frozenset[int]]:
        moving = current != previous
        motion, began = before.motion.copy(), before.began.copy()
        self._free_slots(motion[~moving])
        motion[~moving], began[~moving] = SHARED_SLOT, 0
        began[moving & ~before.moving] = now
        slotless = moving & (motion == SHARED_SLOT)
        motion[slotless] = self._take_slots(int(slotless.sum()))
        restarted = moving & (
            ~before.moving | (motion != before.motion) | (current != before.current) | grown
        )
        return Buckets(current, previous, standby, motion, began), frozenset(motion[restarted].tolist())

    def number_vips(self, names: Iterable[str], now: float) -> None:
        """Gives every VIP a number. One may be used again soon: no flow is recorded by it."""
        names = [*names]
        for name in self.vips.keys() - names:
            self.vip_numbers.give_back(self.vips.pop(name))
        for name in names:
            if name not in self.vips:
                self.vips[name] = self.vip_numbers.take(now)

    def claim_vip(self, name: str, number: int) -> None:
        """The switch knows the VIP by this number already, unless we have given it to another one."""
        if name not in self.vips and number not in self.vip_numbers.used:
            self.vips[name] = number
            self.vip_numbers.used.add(number)

    def restore(self, pool: str, assignment: PoolAssignment) -> None:
        """Takes over the state of a pool as the store had it. Raises StoreError if it makes no sense."""
        buckets = assignment.buckets
        known = {NOBODY, *assignment.backends}
        named = {*np.unique(buckets.current).tolist(), *np.unique(buckets.previous).tolist()}
        slots = buckets.motion[buckets.motion != SHARED_SLOT]
        if not named <= known:
            raise StoreError(f"buckets of pool {pool} name backends that it has not: {sorted(named - known)}")
        if self.slots_used[slots].any() or len(np.unique(slots)) != len(slots):
            raise StoreError(f"counters of moving buckets of pool {pool} are used twice")
        if self.backend_numbers.used & assignment.backends.keys() or assignment.id in self.pool_numbers.used:
            raise StoreError(f"numbers of pool {pool} are used twice")
        self.slots_used[slots] = True
        self.backend_numbers.used |= assignment.backends.keys()
        self.pool_numbers.used.add(assignment.id)
        self.pools[pool] = assignment

    def replace_buckets(self, pool: str, buckets: Buckets) -> None:
        """Takes over the buckets of a pool from the switch. Slots that another bucket has are dropped."""
        self._free_slots(self.pools[pool].buckets.motion)
        slots, first = np.unique(buckets.motion, return_index=True)
        own = np.zeros(len(buckets), dtype=np.bool_)
        own[first[~self.slots_used[slots]]] = True
        motion = np.where(own, buckets.motion, SHARED_SLOT).astype(np.uint16)
        self.slots_used[motion] = True
        self.pools[pool] = replace(self.pools[pool], buckets=replace(buckets, motion=motion))

    def settle(self, pool: str, settled: Mask) -> None:
        """Nobody needs `previous` of these buckets any more."""
        assignment = self.pools[pool]
        buckets = assignment.buckets
        self._free_slots(buckets.motion[settled])
        self.pools[pool] = replace(
            assignment,
            buckets=replace(
                buckets,
                previous=np.where(settled, buckets.current, buckets.previous),
                motion=np.where(settled, SHARED_SLOT, buckets.motion).astype(np.uint16),
                began=np.where(settled, 0.0, buckets.began),
            ),
        )

    def remove(self, pool: str, number: int, now: float) -> None:
        """Takes out a backend that is no longer configured and that no bucket has."""
        assignment = self.pools[pool]
        rest = {n: identity for n, identity in assignment.backends.items() if n != number}
        self.pools[pool] = replace(assignment, backends=rest)
        self.backend_numbers.give_up(number, now)

    def set_back(self, now: float) -> list[str]:
        """The clock shows `now` after a later time: who came then came now. Returns their pools."""
        changed = list[str]()
        for name, assigned in self.pools.items():
            late = {n: i for n, i in assigned.backends.items() if i.came is not None and i.came > now}
            if late:
                came = {number: replace(identity, came=now) for number, identity in late.items()}
                self.pools[name] = replace(assigned, backends=assigned.backends | came)
                changed.append(name)
        return changed

    def forget(self, pool: str, now: float) -> None:
        """Drops a pool that is no longer configured, with all that it has."""
        assignment = self.pools.pop(pool)
        self._free_slots(assignment.buckets.motion)
        for number in assignment.backends:
            self.backend_numbers.give_up(number, now)
        self.pool_numbers.give_up(assignment.id, now)

    def _take_slots(self, count: int) -> np.ndarray:
        """Free slots, as many as there are; the shared one for the rest."""
        free = np.flatnonzero(~self.slots_used)[:count]
        self.slots_used[free] = True
        return np.concatenate([free, np.full(count - len(free), SHARED_SLOT)]).astype(np.uint16)

    def _free_slots(self, slots: np.ndarray) -> None:
        self.slots_used[slots] = False
        self.slots_used[SHARED_SLOT] = True


@dataclass(slots=True)
class _Present:
    """Backends that are to be in the tables, with their weights by number."""

    identities: list[Identity] = field(default_factory=list)
    weights: dict[int, int] = field(default_factory=dict)
    """Of those that get new flows."""
    reserve: dict[int, int] = field(default_factory=dict)
    """Of those that would be the next."""
    starved: list[str] = field(default_factory=list)


def _arrays(weights: dict[int, int]) -> tuple[Identities, Counts]:
    """Numbers in order, and their weights."""
    numbers = sorted(weights)
    return np.array(numbers, dtype=np.uint32), np.array([weights[n] for n in numbers], dtype=np.int64)


def _come_again(before: PoolAssignment, back: frozenset[str], now: float) -> PoolAssignment:
    if not any(one.name in back for one in before.backends.values()):
        return before
    backends = {n: replace(one, came=now) if one.name in back else one for n, one in before.backends.items()}
    return replace(before, backends=backends)


def _who_could_stand_in(
    pool: Pool,
    before: PoolAssignment,
    verdict: Verdict,
    cut: frozenset[Server],
    elsewhere: Callable[[Server], bool],
) -> dict[int, int]:
    """Who gets new flows and is to get none any more, by number, with the buckets that it has.

    Whether it is so can be read from the buckets alone: also by a controller that begins anew, or another
    one. As weights, their buckets have nothing move while all of them stay. Who is down or `cut` is not among
    them, nor who has handed over its buckets. Nobody is while one who is to serve is there.
    """
    configured = {server_of(backend): backend for backend in pool.backends}
    found = dict[int, int]()
    here = [configured[one.server] for one in before.backends.values() if one.server in configured]
    if any(may_serve(backend) and verdict(backend.name) is not False for backend in here):
        return found
    for number, identity in before.backends.items():
        backend = configured.get(identity.server)
        if backend is None:
            leaves = identity.server not in cut and not elsewhere(identity.server)
        else:
            drains = backend.state is not State.DISABLED and not may_serve(backend)
            leaves = drains and verdict(backend.name) is not False
        if leaves and (buckets := int((before.buckets.current == number).sum())):
            found[number] = buckets
    return found


def _leaving(identity: Identity, now: float, *, stands_in: bool) -> Identity:
    """One that is no longer configured: it drains from when it stands in for nobody."""
    if stands_in:
        return identity if identity.removed is None else replace(identity, removed=None)
    return identity if identity.removed is not None else replace(identity, removed=now)


def _chosen(
    buckets: Buckets, present: _Present, patient: Identities, movable: Mask | None
) -> tuple[Identities, Mask]:
    """The new `current` of each bucket; and which are to have yet another, but may not move yet.

    Buckets of those that are not `patient` move at once.
    """
    serving, weights = _arrays(present.weights)
    wanted = apportion(buckets.current, buckets.previous, buckets.standby, serving, weights)
    if movable is None:
        return wanted, np.zeros(len(wanted), dtype=np.bool_)
    pending = (wanted != buckets.current) & np.isin(buckets.current, patient) & ~movable
    return np.where(pending, buckets.current, wanted), pending


def _standbys(current: Identities, standby: Identities, present: _Present) -> Identities:
    """Who serves alone has the reserve for standbys. Who is to get no new flows is nobody's."""
    weights = dict(present.weights)
    if len(weights) == 1:
        weights |= present.reserve
    holders = dict.fromkeys(np.unique(current[current != NOBODY]).tolist(), 0)
    return spread_standbys(current, standby, *_arrays(holders | weights))


def _copied(numbers: Numbers) -> Numbers:
    return replace(numbers, used=set(numbers.used), resting=dict(numbers.resting))


def _equal(a: PoolAssignment, b: PoolAssignment) -> bool:
    return (
        a.backends == b.backends
        and len(a.buckets) == len(b.buckets)
        and all(
            np.array_equal(getattr(a.buckets, part), getattr(b.buckets, part))
            for part in ("current", "previous", "standby", "motion")
        )
    )
