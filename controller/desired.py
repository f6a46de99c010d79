"""What the switch should hold, and the decisions that lead to it: the controller without its wires.

Everything that changes it marks the pools that it concerns; `refresh` then brings their assignment in line.
What `refresh` decides is on the switch only when it has been written: until `written` is called, no counter
is believed to say anything about it.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import replace
from functools import partial

import numpy as np

from controller.adoption import adopt, join
from controller.announcements import Announcements
from controller.apportion import Mask
from controller.assignment import Assignment, Outcome
from controller.buckets import SHARED_SLOT
from controller.draining import Peaks
from controller.errors import InvalidConfig, Problem
from controller.events import EventLog, Kind, Severity
from controller.health.checks import NUMBER
from controller.health.damping import Flaps
from controller.health.ejection import Ejections
from controller.health.passive import Listening
from controller.holdings import Holdings
from controller.identities import Server, server_of
from controller.members import Kept, Member
from controller.model import ONLY, Config, Pool
from controller.news import News, cause_of
from controller.outliers import Outliers
from controller.program import BACKENDS, POOLS, Table
from controller.services import is_elsewhere
from controller.serving import NOBODY_SERVES, Roles, next_step, steps_taken
from controller.settle import Settling
from controller.stand_ins import NOBODY_CUT, Cut, StandIns
from controller.values import Address, format_duration
from controller.verdicts import Verdicts


class Desired:
    """The configuration, what is known of the backends, and the assignment that follows from both.

    `now` is always in seconds since the epoch.
    """

    def __init__(
        self,
        config: Config,
        assignment: Assignment,
        events: EventLog,
        flaps: Flaps | None = None,
        ejections: Ejections | None = None,
    ) -> None:
        self.config = config
        self.assignment = assignment
        self.verdicts = Verdicts()
        self.version = 0
        """Of all decisions: larger after each that switches are to hear of."""
        self.members = {name: Member() for name in config.switch_names}
        self.settling = Settling(self.members)
        self.peaks = Peaks()
        self._news = News(events)
        self.unsaved: set[str] = set()
        """Pools whose assignment, penalties or ejections the store does not have yet."""
        self._events = events
        self._stale: set[str] = {pool.name for pool in config.pools}
        self._cut: dict[str, frozenset[Server]] = {}
        self.roles: dict[str, Roles] = {}
        """Of each pool's backends, as they were last decided."""
        self.flaps = flaps or Flaps()
        names = self._names
        self.unsaved.update(self.flaps.keep(names))
        self.outliers = Outliers(events, ejections)
        # Whoever had the name when this was stored may have been another server.
        self.outliers.keep(names - self._taken_over())
        self._fallen: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """How often backends (by pool and name) have gone down since the last refresh."""
        self._latest = math.inf
        """When the last refresh was: before the first, what was stored may be of a clock that was ahead."""
        self._announcements = Announcements()
        self.on_stand_ins: Callable[[], None] = lambda: None
        """Called when others than before are to be checked, beside those that are configured."""
        assignment.backend_numbers.is_held = lambda number: self._may_be_held(BACKENDS, number)
        assignment.pool_numbers.is_held = lambda number: self._may_be_held(POOLS, number)

    def _may_be_held(self, table: Table, number: int) -> bool:
        """Whether some switch may still know a number, so that it is not to be given out again."""
        return any(member.may_hold(table, number) for member in self.members.values())

    def copy(self, events: EventLog) -> "Desired":
        """One that decides as this one would, and tells `events`. Its counters say nothing yet."""
        other = Desired(self.config, self.assignment.copy(), events, self.flaps.copy())
        other.verdicts = self.verdicts.copy()
        other.roles, other._latest = dict(self.roles), self._latest
        other.outliers = self.outliers.copy(events)
        other._stale, other._cut = set(self._stale), dict(self._cut)
        other._fallen.update({pool: Counter(fallen) for pool, fallen in self._fallen.items()})
        other._announcements = self._announcements.copy()
        for name, member in self.members.items():
            other.members[name].holdings = member.holdings
            other.members[name].kept = {pool: copy(kept) for pool, kept in member.kept.items()}
        return other

    # what changes it

    def configure(self, config: Config, *, drain: bool) -> None:
        """Another configuration. Without `drain`, backends that it takes away leave at once."""
        before = {pool.name: pool for pool in self.config.pools}
        for pool in config.pools:
            # Who stands in may have been given to another pool.
            if pool != before.get(pool.name) or self._roles_of(pool.name).stand_ins:
                self._stale.add(pool.name)
                if not drain:
                    self.cut({pool.name: self._taken_away(pool)})
        servers = _servers(self.config) & _servers(config)
        self.config = config
        self._follow_switches()
        self.verdicts.update(config)
        names = self._names
        self.unsaved.update(self.flaps.keep(names))
        self.unsaved |= self.outliers.keep({(pool, name) for pool, (name, *_) in servers})
        for pool, fallen in self._fallen.items():
            for name in [name for name in fallen if (pool, name) not in names]:
                del fallen[name]

    def _taken_over(self) -> set[tuple[str, str]]:
        """Names that are those of other servers in the tables."""
        there = {
            (pool, server)
            for pool, assigned in self.assignment.pools.items()
            for server in assigned.by_server()
        }
        same = there & _servers(self.config)
        return {(pool, name) for pool, (name, *_) in there - same} - {
            (pool, name) for pool, (name, *_) in same
        }

    @property
    def _names(self) -> set[tuple[str, str]]:
        """Of all backends that are configured, with their pools."""
        return {(pool.name, one.name) for pool in self.config.pools for one in pool.backends}

    def _taken_away(self, pool: Pool) -> frozenset[Server]:
        """The backends that `pool` has no longer; those that were taken away before are not among them."""
        assigned = self.assignment.pools.get(pool.name)
        present = {i.server for i in assigned.backends.values() if i.removed is None} if assigned else set()
        earlier = {one.server for one in self.stand_ins.removed(pool)}
        return frozenset(present - earlier - {server_of(backend) for backend in pool.backends})

    def set_health(self, pool: str, backend: str, healthy: bool, reason: str) -> bool:
        """A verdict, also about a removed one that stands in; True if there is something to do about it."""
        if NUMBER in backend:
            return not healthy and self._lose(pool, backend)
        was_up = self.verdicts.healthy(pool, backend)
        changed = self.verdicts.set(self.config, pool, backend, healthy, reason)
        if changed:
            self._stale.add(pool)
            if was_up and not healthy:
                self._fallen[pool][backend] += 1
            elif healthy:
                self.outliers.pardon(pool, backend)
        return changed

    def _lose(self, pool: str, backend: str) -> bool:
        """A removed backend that stands in is down; True if it still does."""
        if lost := self.stand_ins.labelled(pool, backend):
            self.cut({pool: lost})
        return bool(lost)

    def cut(self, cut: Cut) -> None:
        """Backends that are configured no longer leave at once, with the connections that they have."""
        for pool, servers in cut.items():
            self._stale.add(pool)
            self._cut[pool] = self._cut.get(pool, frozenset()) | servers

    def hear(
        self, listening: Listening, moment: float, now: float, switch: str = ONLY
    ) -> tuple[list[tuple[str, str]], bool]:
        """What clients' connections through a switch say; `moment` is now by the clock of `listening`.

        Returns those (pool and name) whose checks should hurry, and whether somebody was ejected.
        """
        pools = self.config.pools
        hurry, ejecting = self.outliers.hear(
            pools, self.assignment, self.roles, listening, moment, now, switch
        )
        self._stale |= ejecting
        self.unsaved |= ejecting
        return hurry, bool(ejecting)

    # the switches

    def _follow_switches(self) -> None:
        """Who is no longer configured is not waited for; who is new has no say before it was read back."""
        names = self.config.switch_names
        for name in self.members.keys() - {*names}:
            self.leave(name, self._latest)
            del self.members[name]
        for name in names:
            self.members.setdefault(name, Member())

    def adopt(self, holdings: Holdings, now: float, switch: str = ONLY) -> None:
        """Goes on from what a switch holds. All of its counters begin anew.

        While no other one is connected, the assignment follows this one. Otherwise it follows the assignment,
        but for flows that it alone may have (see `members`).
        """
        member = self.members[switch]
        alone = not any(other.present for name, other in self.members.items() if name != switch)
        member.present, member.holdings = True, holdings
        member.forget()
        member.unwritten.clear()
        member.kept.clear()
        if alone:
            before = {name: assigned.backends for name, assigned in self.assignment.pools.items()}
            adopt(self.assignment, self.config, holdings, now)
            after = self.assignment.pools
            self.unsaved |= {
                name for name, assigned in after.items() if assigned.backends != before.get(name)
            }
            self._stale |= {pool.name for pool in self.config.pools}
            self._announcements.clear()
            for assigned in self.assignment.pools.values():
                self.peaks.observe(assigned)
        else:
            self._take_in(member, holdings, now)

    def _take_in(self, member: Member, holdings: Holdings, now: float) -> None:
        """Another switch joins those that are connected."""
        self.version += 1
        found = join(self.assignment, self.config, holdings, now)
        # What rests may begin to rest anew, and identities may have been found: the store is to know.
        self.unsaved |= self.assignment.pools.keys()
        for name, assigned in self.assignment.pools.items():
            if name in found:
                kept = Kept(found[name], np.ones(len(found[name]), dtype=np.bool_), now)
                if kept.follow(assigned):
                    member.kept[name] = kept
            moving = assigned.buckets.motion[assigned.buckets.moving].tolist()
            member.restart(name, {SHARED_SLOT, *moving}, self.version)

    def leave(self, switch: str, now: float) -> None:
        """The connection to a switch has ended: what it counts from now on is not known."""
        member = self.members[switch]
        member.present = False
        member.forget()
        self.outliers.deaf(switch)
        for pool in self._announcements.untold(switch):
            self._announcements.told(pool, switch, self.version, now)

    # what follows

    def refresh(self, now: float) -> None:
        """Brings the assignment in line with all that changed."""
        self._heed_the_clock(now)
        for name in self.assignment.pools.keys() - {pool.name for pool in self.config.pools}:
            self.assignment.forget(name, now)
            self.unsaved.add(name)
            self.version += 1
            for member in self.members.values():
                member.drop_pool(name)
            self.roles.pop(name, None)
            self._announcements.forget(name)
        for pool in self.config.pools:
            self._damp(pool, now)
            if self.outliers.let_back(pool, now):
                self._stale.add(pool.name)
                self.unsaved.add(pool.name)
            if pool.name in self._stale or self._is_due(pool, now):
                self._update(pool, now)
        self._fallen.clear()
        self.assignment.number_vips((vip.name for vip in self.config.vips), now)

    def _heed_the_clock(self, now: float) -> None:
        """What began at a time that is yet to come, by a clock that was set back, began now.

        Otherwise a slow start would be over at once, and a penalty or an ejection last for as long as the
        clock went back. A clock that is set forward ends them early.
        """
        if now < self._latest:
            changed = {
                *self.assignment.set_back(now),
                *self.flaps.set_back(now),
                *self.outliers.ejections.set_back(now),
            }
            self._stale |= changed
            self.unsaved |= changed
        self._latest = now

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
            elsewhere=partial(is_elsewhere, self.config, pool.name),
        )
        self._stale.discard(pool.name)
        roles, self.roles[pool.name] = self._roles_of(pool.name), outcome.roles
        cause = cause_of(outcome, roles)
        self._news.of_roles(pool, self.assignment.pools[pool.name], outcome.roles, roles)
        if outcome.roles.stand_ins != roles.stand_ins:
            self.on_stand_ins()
        self._note(pool, outcome, cause or self._announcements.cause(pool.name) or "weights changed")
        self._announce(pool, outcome.pending, cause or "weights changed", now)

    def _announce(self, pool: Pool, pending: Mask, cause: str, now: float) -> None:
        """`pending` are the buckets that are to move. Each switch that is connected is to be told."""
        ahead, before = pool.announcement, self._announcements.buckets.get(pool.name)
        new = self._announcements.announce(pool.name, pending, now, ahead, cause)
        if before is not None or new.any():
            self.version += 1
        if new.any():
            present = [name for name, member in self.members.items() if member.present]
            self._announcements.wait_for(pool.name, new, present, now, ahead, self.version)
            text = f"{int(new.sum())} of {pool.buckets} buckets move in {format_duration(ahead)}"
            self._events.record(Kind.BUCKETS, pool.name, text, cause)

    def _damp(self, pool: Pool, now: float) -> None:
        """Holds back who goes up and down all the time, and lets go who has done so for long enough."""
        settings = pool.damping
        for backend in self.flaps.released(pool.name, now, settings):
            self._stale.add(pool.name)
            self.unsaved.add(pool.name)
            cause = f"its penalty is down to {settings.reuse:g}" if settings else "the pool has no damping"
            self._events.record(Kind.HEALTH, f"{pool.name}/{backend}", "is held back no longer", cause)
        if settings is None:
            return
        for backend, times in self._fallen.get(pool.name, {}).items():
            name = pool.name, backend
            self.unsaved.add(pool.name)
            if any([self.flaps.fell(name, now, settings) for _ in range(times)]):
                penalty = self.flaps.penalty(name, now, settings)
                cause = f"its penalty is {penalty:.1f}, from {settings.suppress:g} on it is held back"
                text = "is held back: it goes up and down"
                self._events.record(Kind.HEALTH, "/".join(name), text, cause, Severity.WARNING)

    def _roles_of(self, pool: str) -> Roles:
        return self.roles.get(pool, NOBODY_SERVES)

    @property
    def stand_ins(self) -> StandIns:
        return StandIns(self.config, self.assignment, self.roles)

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
        taken = dict(self._roles_of(pool.name).slow)
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
        slow = dict(self._roles_of(pool.name).slow)
        for identity in self.assignment.pools[pool.name].backends.values() if slow else ():
            if identity.name in slow and identity.removed is None:
                step = next_step(identity.came, now, pool.slow_start)
                yield now if step is None else step

    def _is_up(self, pool: Pool) -> Callable[[str], bool | None]:
        """The verdicts, but that who is held back does not come. (Who is there, and has not fallen, stays.)

        When nobody else is up, they come all the same: damping never leaves a pool without anybody.
        """
        assigned = self.assignment.pools.get(pool.name)
        there = {identity.name for identity in assigned.backends.values()} if assigned else set()
        held = self.flaps.held(pool.name) - (there - self._fallen.get(pool.name, {}).keys())
        if all(b.name in held or self.verdicts.is_up(pool, b.name) is False for b in pool.backends):
            held = frozenset()
        return lambda backend: False if backend in held else self.verdicts.is_up(pool, backend)

    def _note(self, pool: Pool, outcome: Outcome, cause: str) -> None:
        if outcome.changed:
            self.version += 1
            self.unsaved.add(pool.name)
            self.peaks.observe(self.assignment.pools[pool.name])
        for member in self.members.values():
            member.restart(pool.name, outcome.restarted, self.version)
            member.backends.restart([identity.id for identity in outcome.came])
            self._follow_kept(member, pool.name, anew=outcome.changed)
        for name in outcome.starved:
            text = "cannot serve: all numbers for backends are in use, or were a short time ago"
            self._events.record(Kind.BUCKETS, f"{pool.name}/{name}", text, severity=Severity.ERROR)
        if outcome.moved:
            moving = int(self.assignment.pools[pool.name].buckets.moving.sum())
            text = f"{outcome.moved} of {pool.buckets} buckets moved, {moving} may still have flows elsewhere"
            self._events.record(Kind.BUCKETS, pool.name, text, cause)

    def _follow_kept(self, member: Member, pool: str, *, anew: bool) -> None:
        """A bucket that the others have settled counts at the shared slot, from now on if that is `anew`."""
        kept = member.kept.get(pool)
        if kept is None:
            return
        if not kept.follow(self.assignment.pools[pool]):
            del member.kept[pool]
        elif anew:
            member.restart(pool, [SHARED_SLOT], self.version)

    def awaited(self, switch: str = ONLY) -> set[str]:
        """Pools of which it matters when the switch has their buckets."""
        return {*self.members[switch].unwritten, *self._announcements.untold(switch)}

    def written(self, pool: str, now: float, switch: str = ONLY, version: int | None = None) -> None:
        """A switch has the pool's buckets as of `version` (now): its moves count, and are announced, from
        now."""
        version = self.version if version is None else version
        self.members[switch].written(pool, version)
        self._announcements.told(pool, switch, version, now)

    # what ends by itself

    def moving_slots(self, switch: str = ONLY) -> list[int]:
        """The counters of moving buckets that are in use on a switch."""
        slots = [
            assigned.buckets.motion[assigned.buckets.moving] for assigned in self.assignment.pools.values()
        ]
        if self.members[switch].kept:
            slots.append(np.array([SHARED_SLOT], dtype=np.uint16))
        return np.unique(np.concatenate(slots)).tolist() if slots else []

    def settle(self, now: float) -> bool:
        """Settles the buckets that nobody needs in two places, and lets removed backends go; True if any."""
        pools = [pool for pool in self.config.pools if pool.name in self.assignment.pools]
        changed = [pool.name for pool in pools if self._settle(pool, now) | self._let_go(pool, now)]
        kept = [self._settle_kept(member, pool, now) for member in self.members.values() for pool in pools]
        assigned = [(pool, self.assignment.pools[pool.name]) for pool in pools]
        self._news.of_drains(assigned, self.settling)
        self._news.of_absence(assigned, self.settling, self.members)
        self.unsaved.update(changed)
        self.version += bool(changed or any(kept))
        return bool(changed or any(kept))

    def _settle_kept(self, member: Member, pool: Pool, now: float) -> bool:
        return member.settle_kept(pool, self.assignment.pools[pool.name].buckets, now)

    def _settle(self, pool: Pool, now: float) -> bool:
        buckets = self.assignment.pools[pool.name].buckets
        settled = self.settling.settled(pool, buckets, now)
        if not settled.any():
            return False
        self.assignment.settle(pool.name, settled)
        self.version += 1
        for member in self.members.values():
            self._follow_kept(member, pool.name, anew=True)
        rest = int(buckets.moving.sum() - settled.sum())
        text = f"{int(settled.sum())} buckets settled, {rest} may still have flows elsewhere"
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

    # what others ask

    def backends(self) -> set[Address]:
        """The addresses of all backends in the tables."""
        return {
            identity.address
            for assigned in self.assignment.pools.values()
            for identity in assigned.backends.values()
        }

    def assignment_of(self, switch: str) -> Assignment:
        """The assignment as one switch is to have it."""
        kept = self.members[switch].kept
        if not kept:
            return self.assignment
        other = self.assignment.copy()
        for pool, own in kept.items():
            assigned = other.pools[pool]
            other.pools[pool] = replace(assigned, buckets=own.of(assigned.buckets))
        return other

    def foreseen(self, now: float) -> Assignment:
        """The assignment; where a pool has none yet, for want of a switch, with the one that it will get."""
        if all(pool.name in self.assignment.pools for pool in self.config.pools):
            return self.assignment
        return self.preview(self.config, now)[1]

    def preview(self, config: Config, now: float, cut: Cut = NOBODY_CUT) -> tuple[int, Assignment]:
        """How many buckets another configuration would move, and the assignment that it would lead to."""
        assignment, before = self.assignment.copy(), {pool.name: pool for pool in self.config.pools}
        concerned = self._stale | cut.keys()
        stale = [pool for pool in config.pools if pool != before.get(pool.name) or pool.name in concerned]
        moved = sum(
            assignment.update(
                pool,
                self._is_up(pool),
                now,
                cut=cut.get(pool.name, frozenset()),
                ejected=self.outliers.out(pool.name),
                elsewhere=partial(is_elsewhere, config, pool.name),
            ).moved
            for pool in stale
        )
        assignment.number_vips((vip.name for vip in config.vips), now)
        return moved, assignment


def _servers(config: Config) -> set[tuple[str, Server]]:
    """All backends with their pools, as what they are and not only by name."""
    return {(pool.name, server_of(backend)) for pool in config.pools for backend in pool.backends}


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
