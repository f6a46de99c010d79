"""What the switch should hold, and the decisions that lead to it: the controller without its wires.

Everything that changes it marks the pools that it concerns; `refresh` then brings their assignment in line.
What `refresh` decides is on the switch only when it has been written: until `written` is called, no counter
is believed to say anything about it.
"""

from collections.abc import Callable

import numpy as np

from controller.adoption import adopt
from controller.assignment import Assignment, Outcome
from controller.draining import Peaks
from controller.errors import InvalidConfig, Problem
from controller.events import EventLog, Kind, Severity
from controller.identities import Server, server_of
from controller.model import Config, Pool, State
from controller.reconciler import Holdings
from controller.settle import Settling
from controller.values import Address, format_duration
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
        self._due: dict[str, float] = {}
        """When the announced moves of pools are to be made."""
        self.unwritten: dict[str, set[int]] = {}
        """Motion slots of pools whose moves the switch may not have made yet."""

    def copy(self, events: EventLog) -> "Desired":
        """One that decides as this one would, and tells `events`. Its counters say nothing yet."""
        other = Desired(self.config, self.assignment.copy(), events)
        other.verdicts = self.verdicts.copy()
        other._stale, other._cut, other._due = set(self._stale), dict(self._cut), dict(self._due)
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
        self.config = config
        self.verdicts.update(config)

    def _taken_away(self, pool: Pool) -> frozenset[Server]:
        """The backends that `pool` has no longer; those that drain already are not among them."""
        assigned = self.assignment.pools.get(pool.name)
        present = [i.server for i in assigned.backends.values() if i.removed is None] if assigned else []
        return frozenset(present) - {server_of(backend) for backend in pool.backends}

    def set_health(self, pool: str, backend: str, healthy: bool, reason: str) -> bool:
        """A verdict; True if there is something to do about it."""
        changed = self.verdicts.set(self.config, pool, backend, healthy, reason)
        if changed:
            self._stale.add(pool)
        return changed

    def adopt(self, holdings: Holdings, now: float) -> None:
        """Goes on from what a switch holds. All counters begin anew."""
        adopt(self.assignment, self.config, holdings, now)
        self._stale |= {pool.name for pool in self.config.pools}
        self.settling = Settling()
        for assigned in self.assignment.pools.values():
            self.peaks.observe(assigned)
        self.unwritten.clear()
        self._due.clear()

    # what follows

    def refresh(self, now: float) -> None:
        """Brings the assignment in line with all that changed."""
        for name in self.assignment.pools.keys() - {pool.name for pool in self.config.pools}:
            self.assignment.forget(name, now)
            self.unsaved.add(name)
            self.unwritten.pop(name, None)
            self._due.pop(name, None)
        for pool in self.config.pools:
            if pool.name in self._stale and not self._waits(pool, now):
                cut = self._cut.pop(pool.name, frozenset())
                outcome = self.assignment.update(pool, self._is_up(pool), now, cut=cut)
                self._note(pool, outcome)
                self._stale.discard(pool.name)
                self._due.pop(pool.name, None)
        self.assignment.number_vips((vip.name for vip in self.config.vips), now)

    def _waits(self, pool: Pool, now: float) -> bool:
        """Whether what is to become of the pool was announced and is not due yet; announces it if need be.

        A death is not announced, and takes along all that was: who is gone must not get new flows. What is
        decided during an announcement goes with it, since all buckets of the pool are announced. While a
        bucket has nobody, its new flows are refused: then there is nothing to wait for.
        """
        before = self.assignment.pools.get(pool.name)
        if not pool.announcement or before is None or not before.buckets.current.all():
            return False
        cut = self._cut.get(pool.name, frozenset())
        outcome = self.assignment.copy().update(pool, self._is_up(pool), now, cut=cut)
        if outcome.left or not outcome.moved:
            return False
        if pool.name not in self._due:
            self._due[pool.name] = now + pool.announcement
            text = f"{outcome.moved} of {pool.buckets} buckets move in {format_duration(pool.announcement)}"
            self._events.record(Kind.BUCKETS, pool.name, text)
        # Longer than it was to take means that the clock was set back.
        return 0 < self._due[pool.name] - now <= pool.announcement

    @property
    def announced(self) -> frozenset[str]:
        """The pools of which buckets will move soon."""
        return frozenset(self._due)

    def due(self) -> float | None:
        """When the next announced move is to be made, if any is."""
        return min(self._due.values(), default=None)

    def _is_up(self, pool: Pool) -> Callable[[str], bool | None]:
        return lambda backend: self.verdicts.is_up(pool, backend)

    def _note(self, pool: Pool, outcome: Outcome) -> None:
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
            cause = ", ".join(
                [f"{i.name} came" for i in outcome.came] + [f"{i.name} left" for i in outcome.left]
            )
            self._events.record(Kind.BUCKETS, pool.name, text, cause or "weights changed")

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
        moved = sum(assignment.update(pool, self._is_up(pool), now).moved for pool in stale)
        assignment.number_vips((vip.name for vip in config.vips), now)
        return moved, assignment


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
