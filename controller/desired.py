"""What the switch should hold, and the decisions that lead to it: the controller without its wires.

Everything that changes it marks the pools that it concerns; `refresh` then brings their assignment in line.
What `refresh` decides is on the switch only when it has been written: until `written` is called, no counter
is believed to say anything about it.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from controller.adoption import adopt
from controller.announcements import Announcements
from controller.apportion import Mask
from controller.assignment import Assignment, Outcome
from controller.draining import Peaks
from controller.errors import InvalidConfig, Problem
from controller.events import EventLog, Kind, Severity
from controller.health.damping import Flaps
from controller.health.passive import Listening
from controller.identities import Server, server_of
from controller.model import Config, Pool, State
from controller.outliers import Outliers
from controller.reconciler import Holdings
from controller.serving import NOBODY_SERVES, STEPS, Roles, next_step, steps_taken
from controller.settle import Settling
from controller.values import Address, format_duration, format_share
from controller.verdicts import Verdicts


class Desired:
    """The configuration, what is known of the backends, and the assignment that follows from both.

    `now` is always in seconds since the epoch.
    """

    def __init__(self, config: Config, assignment: Assignment, events: EventLog) -> None:
        self.config = config
        self.assignment = assignment
        self.verdicts = Verdicts()
        self.settling = Settling()
        self.peaks = Peaks()
        self._told_drained: dict[str, set[int]] = {}
        """By pool, backends of which it was told that they have drained."""
        self.unsaved: set[str] = set()
        """Pools whose assignment the store does not have yet."""
        self._events = events
        self._stale: set[str] = {pool.name for pool in config.pools}
        self._cut: dict[str, frozenset[Server]] = {}
        self.roles: dict[str, Roles] = {}
        """Of each pool's backends, as they were last decided."""
        self.flaps = Flaps()
        self.outliers = Outliers(events)
        self._fallen: Counter[tuple[str, str]] = Counter()
        """How often backends (by pool and name) have gone down since the last refresh."""
        self._announcements = Announcements()
        self.unwritten: dict[str, set[int]] = {}
        """Motion slots of pools whose moves the switch may not have made yet."""

    def copy(self, events: EventLog) -> "Desired":
        """One that decides as this one would, and tells `events`. Its counters say nothing yet."""
        other = Desired(self.config, self.assignment.copy(), events)
        other.verdicts = self.verdicts.copy()
        other.roles, other.flaps = dict(self.roles), self.flaps.copy()
        other.outliers = self.outliers.copy(events)
        other._stale, other._cut, other._fallen = set(self._stale), dict(self._cut), Counter(self._fallen)
        other._announcements = self._announcements.copy()
        return other

    # what changes it

    def configure(self, config: Config, *, drain: bool) -> None:
        """Another configuration. Without `drain`, backends that it takes away leave at once."""
        before = {pool.name: pool for pool in self.config.pools}
        for pool in config.pools:
            if pool != before.get(pool.name):
                self._stale.add(pool.name)
                if not drain:
                    self._cut[pool.name] = self._taken_away(pool)
        servers = _servers(self.config) & _servers(config)
        self.config = config
        self.verdicts.update(config)
        self.flaps.keep({(pool.name, backend.name) for pool in config.pools for backend in pool.backends})
        self.outliers.keep({(pool, name) for pool, (name, *_) in servers})

    def _taken_away(self, pool: Pool) -> frozenset[Server]:
        """The backends that `pool` has no longer; those that drain already are not among them."""
        assigned = self.assignment.pools.get(pool.name)
        present = [i.server for i in assigned.backends.values() if i.removed is None] if assigned else []
        return frozenset(present) - {server_of(backend) for backend in pool.backends}

    def set_health(self, pool: str, backend: str, healthy: bool, reason: str) -> bool:
        """A verdict; True if there is something to do about it."""
        was_up = self.verdicts.healthy(pool, backend)
        changed = self.verdicts.set(self.config, pool, backend, healthy, reason)
        if changed:
            self._stale.add(pool)
            if was_up and not healthy:
                self._fallen[pool, backend] += 1
            elif healthy:
                self.outliers.pardon(pool, backend)
        return changed

    def hear(self, listening: Listening, moment: float, now: float) -> tuple[list[tuple[str, str]], bool]:
        """What clients' connections say of the backends; `moment` is now by the clock of `listening`.

        Returns those (pool and name) whose checks should hurry, and whether somebody was ejected.
        """
        pools = self.config.pools
        hurry, ejecting = self.outliers.hear(pools, self.assignment, self.roles, listening, moment, now)
        self._stale |= ejecting
        return hurry, bool(ejecting)

    def adopt(self, holdings: Holdings, now: float) -> None:
        """Goes on from what a switch holds. All counters begin anew."""
        adopt(self.assignment, self.config, holdings, now)
        self._stale |= {pool.name for pool in self.config.pools}
        self.settling = Settling()
        for assigned in self.assignment.pools.values():
            self.peaks.observe(assigned)
        self.unwritten.clear()
        self._announcements.clear()

    # what follows

    def refresh(self, now: float) -> None:
        """Brings the assignment in line with all that changed."""
        for name in self.assignment.pools.keys() - {pool.name for pool in self.config.pools}:
            self.assignment.forget(name, now)
            self.unsaved.add(name)
            self.unwritten.pop(name, None)
            self.roles.pop(name, None)
            self._announcements.forget(name)
        for pool in self.config.pools:
            self._damp(pool, now)
            if self.outliers.let_back(pool, now):
                self._stale.add(pool.name)
            if pool.name in self._stale or self._is_due(pool, now):
                self._update(pool, now)
        self._fallen.clear()
        self.assignment.number_vips((vip.name for vip in self.config.vips), now)

    def _update(self, pool: Pool, now: float) -> None:
        """Moves what may move, and announces what is to move.

        A death is not announced: who is gone must not get new flows. Nor is it where a bucket has nobody,
        whose new flows are refused. What else is decided waits for its own announcement.
        """
        cut = self._cut.pop(pool.name, frozenset())
        before = self.assignment.pools.get(pool.name)
        movable = None
        if pool.announcement and before:
            size = max(pool.buckets, len(before.buckets))
            movable = self._announcements.ready(pool.name, size, now, pool.announcement)
        outcome = self.assignment.update(
            pool,
            self._is_up(pool),
            now,
            cut=cut,
            movable=movable,
            ejected=self.outliers.out(pool.name),
            back=self.outliers.take_back(pool.name),
        )
        self._stale.discard(pool.name)
        cause = _cause(outcome, self.roles.get(pool.name, NOBODY_SERVES))
        self._note_roles(pool, outcome.roles)
        self._note(pool, outcome, cause or self._announcements.cause(pool.name) or "weights changed")
        announced = self._announcements.announce(
            pool.name, outcome.pending, now, pool.announcement, cause or "weights changed"
        )
        if announced:
            text = f"{announced} of {pool.buckets} buckets move in {format_duration(pool.announcement)}"
            self._events.record(Kind.BUCKETS, pool.name, text, cause or "weights changed")

    def _damp(self, pool: Pool, now: float) -> None:
        """Holds back who goes up and down all the time, and lets go who has done so for long enough."""
        settings = pool.damping
        for backend in self.flaps.released(pool.name, now, settings):
            self._stale.add(pool.name)
            cause = f"its penalty is down to {settings.reuse:g}" if settings else "the pool has no damping"
            self._events.record(Kind.HEALTH, f"{pool.name}/{backend}", "is held back no longer", cause)
        if settings is None:
            return
        for name, times in self._fallen.items():
            if name[0] == pool.name and any([self.flaps.fell(name, now, settings) for _ in range(times)]):
                penalty = self.flaps.penalty(name, now, settings)
                cause = f"its penalty is {penalty:.1f}, from {settings.suppress:g} on it is held back"
                text = "is held back: it goes up and down"
                self._events.record(Kind.HEALTH, "/".join(name), text, cause, Severity.WARNING)

    def _note_roles(self, pool: Pool, roles: Roles) -> None:
        """Tells of panic, and of tiers that join or leave."""
        before, self.roles[pool.name] = self.roles.get(pool.name, NOBODY_SERVES), roles
        healthy = f"{roles.healthy} of {roles.may_serve} backends are healthy"
        if roles.panic != before.panic:
            text = (
                "in panic: all backends serve, whatever the checks say"
                if roles.panic
                else "no longer in panic"
            )
            limit = f", fewer than {format_share(pool.panic)}" if roles.panic else ""
            severity = Severity.WARNING if roles.panic else Severity.INFO
            self._events.record(Kind.HEALTH, pool.name, text, healthy + limit, severity)
        if roles.tier != before.tier:
            joins, serving = roles.tier > before.tier, [name for name, _ in roles.weights]
            below = sum(pool.backend(name).tier < roles.tier for name in serving) if joins else len(serving)
            text = f"tier {roles.tier} serves, too" if joins else f"tier {before.tier} serves no longer"
            cause = f"{below} healthy in lower tiers, at least {pool.tier_minimum} are to serve"
            severity = Severity.WARNING if joins else Severity.INFO
            self._events.record(Kind.HEALTH, pool.name, text, cause, severity)

    @property
    def announced(self) -> Mapping[str, Mask]:
        """The buckets, by pool, that will move soon."""
        return self._announcements.buckets

    def due(self, now: float) -> float | None:
        """When there is something to do that waits for its time only."""
        moments = [moment for pool in self.config.pools for moment in self._moments(pool, now)]
        moves = self._announcements.due()
        return min(moments if moves is None else [*moments, moves], default=None)

    def _is_due(self, pool: Pool, now: float) -> bool:
        before = self.assignment.pools.get(pool.name)
        if before is None:
            return False
        size = max(pool.buckets, len(before.buckets))
        if self._announcements.ready(pool.name, size, now, pool.announcement).any():
            return True
        taken = dict(self.roles.get(pool.name, NOBODY_SERVES).slow)
        return any(
            steps_taken(identity.came, now, pool.slow_start) != taken[identity.name]
            for identity in before.backends.values()
            if identity.name in taken and identity.removed is None
        )

    def _moments(self, pool: Pool, now: float) -> Iterator[float]:
        """When the next step of a slow start is due, and when who is held back is free."""
        yield from self.outliers.due(pool.name)
        if pool.damping:
            yield from self.flaps.due(pool.name, pool.damping)
        slow = dict(self.roles.get(pool.name, NOBODY_SERVES).slow)
        for identity in self.assignment.pools[pool.name].backends.values() if slow else ():
            if identity.name in slow and identity.removed is None:
                step = next_step(identity.came, now, pool.slow_start)
                yield now if step is None else step

    def _is_up(self, pool: Pool) -> Callable[[str], bool | None]:
        """The verdicts, but that who is held back does not come (who is there already, stays).

        When nobody else is up, they come all the same: damping never leaves a pool without anybody.
        """
        assigned = self.assignment.pools.get(pool.name)
        there = {identity.name for identity in assigned.backends.values()} if assigned else set()
        held = self.flaps.held(pool.name) - there
        if all(b.name in held or self.verdicts.is_up(pool, b.name) is False for b in pool.backends):
            held = frozenset()
        return lambda backend: False if backend in held else self.verdicts.is_up(pool, backend)

    def _note(self, pool: Pool, outcome: Outcome, cause: str) -> None:
        restarted = [*outcome.restarted]
        self.settling.slots.restart(restarted)
        self.settling.backends.restart([identity.id for identity in outcome.came])
        if restarted:
            self.unwritten.setdefault(pool.name, set()).update(restarted)
        if outcome.changed:
            self.unsaved.add(pool.name)
            self.peaks.observe(self.assignment.pools[pool.name])
        for name in outcome.starved:
            text = "cannot serve: all numbers for backends are in use, or were a short time ago"
            self._events.record(Kind.BUCKETS, f"{pool.name}/{name}", text, severity=Severity.ERROR)
        if outcome.moved:
            moving = int(self.assignment.pools[pool.name].buckets.moving.sum())
            text = f"{outcome.moved} of {pool.buckets} buckets moved, {moving} still have flows elsewhere"
            self._events.record(Kind.BUCKETS, pool.name, text, cause)

    def written(self, pool: str) -> None:
        """The switch has the pool's buckets: their moves count from now."""
        self.settling.slots.restart([*self.unwritten.pop(pool)])

    # what ends by itself

    def moving_slots(self) -> list[int]:
        """The counters of moving buckets that are in use."""
        slots = [
            assigned.buckets.motion[assigned.buckets.moving] for assigned in self.assignment.pools.values()
        ]
        return np.unique(np.concatenate(slots)).tolist() if slots else []

    def settle(self, now: float) -> bool:
        """Settles the buckets that nobody needs in two places, and lets removed backends go; True if any."""
        changed = [
            pool.name
            for pool in self.config.pools
            if pool.name in self.assignment.pools
            and pool.name not in self.unwritten
            and (self._settle(pool, now) | self._let_go(pool, now))
        ]
        for pool in self.config.pools:
            self._tell_drained(pool)
        self.unsaved.update(changed)
        return bool(changed)

    def _settle(self, pool: Pool, now: float) -> bool:
        buckets = self.assignment.pools[pool.name].buckets
        settled = self.settling.settled(pool, buckets, now)
        if not settled.any():
            return False
        self.assignment.settle(pool.name, settled)
        rest = int(buckets.moving.sum() - settled.sum())
        text = f"{int(settled.sum())} buckets settled, {rest} still have flows elsewhere"
        self._events.record(Kind.BUCKETS, pool.name, text)
        return True

    def _let_go(self, pool: Pool, now: float) -> bool:
        assigned = self.assignment.pools[pool.name]
        leaving = [i for i in assigned.backends.values() if self.settling.may_go(pool, assigned, i, now)]
        for identity in leaving:
            drained = self.settling.is_drained(pool, assigned, identity)
            self.assignment.remove(pool.name, identity.id, now)
            self._events.record(
                Kind.CHANGE,
                f"{pool.name}/{identity.name}",
                "has drained and is removed" if drained else "is removed with flows that are still alive",
                "" if drained else "its drain deadline has passed",
                Severity.INFO if drained else Severity.WARNING,
            )
        return bool(leaving)

    def _tell_drained(self, pool: Pool) -> None:
        """Tells once of each backend that was set to drain that it has: it can be switched off now."""
        assigned = self.assignment.pools.get(pool.name)
        draining = {server_of(one) for one in pool.backends if one.state is State.DRAIN}
        told = self._told_drained.pop(pool.name, set())
        if assigned is None or not draining:
            return
        drained = {
            number
            for number, identity in assigned.backends.items()
            if identity.server in draining and self.settling.is_drained(pool, assigned, identity)
        }
        self._told_drained[pool.name] = drained
        for number in drained - told:
            name = f"{pool.name}/{assigned.backends[number].name}"
            self._events.record(Kind.CHANGE, name, "has drained: no flow is left")

    # what others ask

    def backends(self) -> set[Address]:
        """The addresses of all backends in the tables."""
        return {
            identity.address
            for assigned in self.assignment.pools.values()
            for identity in assigned.backends.values()
        }

    def foreseen(self, now: float) -> Assignment:
        """The assignment; where a pool has none yet, for want of a switch, with the one that it will get."""
        if all(pool.name in self.assignment.pools for pool in self.config.pools):
            return self.assignment
        return self.preview(self.config, now)[1]

    def preview(self, config: Config, now: float) -> tuple[int, Assignment]:
        """How many buckets another configuration would move, and the assignment that it would lead to."""
        assignment, before = self.assignment.copy(), {pool.name: pool for pool in self.config.pools}
        stale = [pool for pool in config.pools if pool != before.get(pool.name) or pool.name in self._stale]
        moved = sum(
            assignment.update(pool, self._is_up(pool), now, ejected=self.outliers.out(pool.name)).moved
            for pool in stale
        )
        assignment.number_vips((vip.name for vip in config.vips), now)
        return moved, assignment


def _servers(config: Config) -> set[tuple[str, Server]]:
    """All backends with their pools, as what they are and not only by name."""
    return {(pool.name, server_of(backend)) for pool in config.pools for backend in pool.backends}


def _cause(outcome: Outcome, before: Roles) -> str:
    """Why buckets move, as far as the backends that serve tell: "" if it is their weights."""
    came, left = (
        [f"{i.name} {how}" for i in of] for of, how in ((outcome.came, "came"), (outcome.left, "left"))
    )
    now = outcome.roles.ejected
    out = [f"{name} is ejected" for name in sorted(now - before.ejected)]
    back = [f"{name} is ejected no longer" for name in sorted(before.ejected & outcome.roles.present - now)]
    slow = [f"slow start of {name}, step {steps} of {STEPS}" for name, steps in outcome.roles.slow]
    return ", ".join([*came, *left, *out, *back, *slow])


def refuse_what_cannot_change(before: Config, after: Config, sizes: dict[str, int]) -> None:
    """Raises InvalidConfig for changes that would break a pool's flows; `sizes` are the present buckets."""
    modes = {pool.name: pool.mode for pool in before.pools}
    problems: list[Problem] = []
    for pool in after.pools:
        where = f"pools[{pool.name}]"
        if pool.mode is not modes.get(pool.name, pool.mode):
            text = f"is {modes[pool.name]} and cannot change: make another pool and point the VIP at it"
            problems.append(Problem(f"{where}.mode", text))
        if pool.buckets < sizes.get(pool.name, 0):
            problems.append(Problem(f"{where}.buckets", f"can only grow, there are {sizes[pool.name]}"))
    if problems:
        raise InvalidConfig(problems)
