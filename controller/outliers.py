"""Backends that fail their clients: signals of a pool's own connections, and who is ejected for them.

A signal (`health.passive`) makes checks hurry, or ejects: the backend gets no new connections for a while.
It stays in the tables, and keeps those that it has, so a signal that was wrong breaks none. Nobody is ejected
who would leave the pool without anybody, or with more than its share out; nor for silence while no other
backend of the pool accepts connections: then it may be the clients that are silent, or the way.
"""

import math
from collections.abc import Iterable, Mapping

from controller.assignment import Assignment, PoolAssignment
from controller.events import EventLog, Kind, Severity
from controller.health import passive
from controller.health.ejection import Ejections, Name
from controller.health.passive import Listening, Signal, reaction_to, reactions
from controller.health.settings import NoCheck, Passive, Reaction
from controller.identities import Identity, server_of
from controller.model import ONLY, Pool
from controller.serving import NOBODY_SERVES, Roles
from controller.values import format_duration, format_share

LATELY = 0.5
"""Of a pool's window. When all fall silent together, who did so a moment earlier must not be taken for one
of a kind."""

TEXTS = {
    passive.Kind.SILENT: "silent: clients' connections are not answered",
    passive.Kind.REFUSING: "refusing: it resets what clients begin",
}


class Outliers:
    """Signals and ejections of all pools, with their events; `now` in seconds since the epoch."""

    def __init__(self, events: EventLog, ejections: Ejections | None = None) -> None:
        self._signals: dict[str, dict[Name, Signal]] = {}
        """By the switch that their clients came through."""
        self._listenings: dict[str, Listening] = {}
        self.ejections = ejections or Ejections()
        self._spared: set[Name] = set()
        """Of whom it was told that a signal does not eject them."""
        self._back: set[Name] = set()
        """Who has come back since the pool's assignment was last made."""
        self._pardoned: set[Name] = set()
        """Who may come back before his time is over."""
        self._events = events

    def copy(self, events: EventLog) -> "Outliers":
        other = Outliers(events, self.ejections.copy())
        other._signals, other._spared = dict(self._signals), set(self._spared)
        other._back, other._pardoned = set(self._back), set(self._pardoned)
        return other

    # signals

    def signal(self, name: Name) -> Signal | None:
        """How it fails clients, whichever switch they came through."""
        return next((heard[name] for heard in self._signals.values() if name in heard), None)

    def deaf(self, switch: str) -> None:
        """Nothing is heard through that switch any more."""
        self._signals.pop(switch, None)
        self._listenings.pop(switch, None)

    def listened(self, pools: Iterable[Pool], assignment: Assignment) -> dict[int, Passive]:
        """The numbers of the backends whose answers matter, and by which limits."""
        return {
            number: pool.passive
            for pool in pools
            if pool.name in assignment.pools and reactions(pool)
            for number, _ in _configured(pool, assignment.pools[pool.name])
        }

    def hear(
        self,
        pools: Iterable[Pool],
        assignment: Assignment,
        roles: Mapping[str, Roles],
        listening: Listening,
        moment: float,
        now: float,
        switch: str = ONLY,
    ) -> tuple[list[Name], set[str]]:
        """Takes in what was heard through a switch; `moment` is now by the clock of `listening`.

        Returns the backends whose checks should hurry, and the pools of which somebody was ejected.
        """
        hurry: list[Name] = []
        ejecting: set[str] = set()
        heard: dict[Name, Signal] = {}
        self._listenings[switch] = listening
        for pool in pools:
            assigned = assignment.pools.get(pool.name)
            if assigned is None or not reactions(pool):
                continue
            for number, identity in _configured(pool, assigned):
                name = pool.name, identity.name
                signal = listening.signal(number)
                reaction = reaction_to(signal.kind, pool) if signal else Reaction.NONE
                if signal is None or reaction is Reaction.NONE:
                    self._tell_end(name, switch)
                    continue
                if self._tell(name, signal) and not isinstance(pool.health, NoCheck):
                    hurry.append(name)
                since = moment - LATELY * pool.passive.window
                others = any(listening.accepts(n, since=since) for n in assigned.backends if n != number)
                serving = roles.get(pool.name, NOBODY_SERVES)
                if reaction is Reaction.EJECT and self._eject(pool, name, signal, serving, others, now):
                    ejecting.add(pool.name)
                    for one in self._listenings.values():
                        one.forget(number)
                else:
                    heard[name] = signal
        self._signals[switch] = heard
        return hurry, ejecting

    def _tell(self, name: Name, signal: Signal) -> bool:
        """Whether it is news."""
        before = self.signal(name)
        if before and before.kind is signal.kind:
            return False
        self._record(name, TEXTS[signal.kind], signal.text, Severity.WARNING)
        return True

    def _tell_end(self, name: Name, switch: str) -> None:
        if any(name in heard for other, heard in self._signals.items() if other != switch):
            return  # it still fails the clients of another switch
        self._spared.discard(name)
        if name in self._signals.get(switch, ()):
            self._record(name, "accepts clients' connections again", "")

    # ejections

    def _eject(
        self, pool: Pool, name: Name, signal: Signal, roles: Roles, others_accept: bool, now: float
    ) -> bool:
        if self.ejections.until(name) is not None:
            return False
        objection = self._objection(pool, name[1], signal, roles, others_accept)
        if objection:
            if name not in self._spared:
                self._spared.add(name)
                self._record(name, "is not ejected", objection, Severity.WARNING)
            return False
        self._spared.discard(name)
        reason = f"{signal.kind}: {signal.text}"
        length = self.ejections.eject(name, now, pool.passive, reason)
        text = f"is ejected: no new connections for {format_duration(round(length, 3))}"
        self._record(name, text, reason, Severity.WARNING)
        return True

    def _objection(self, pool: Pool, backend: str, signal: Signal, roles: Roles, others_accept: bool) -> str:
        """Why it must not be ejected; "" if it may."""
        out = self.ejections.out(pool.name)
        serving = {name for name, _ in roles.weights}
        all_of_them = len(serving | out)
        if not (serving | {name for name, _ in roles.reserve}) - out - {backend}:
            return "nobody else could serve"
        if len(out) >= max(1, math.floor(pool.passive.most * all_of_them)):
            return f"{len(out)} of {all_of_them} are, at most {format_share(pool.passive.most)} may be"
        if signal.kind is passive.Kind.SILENT and not others_accept:
            return "no other backend of the pool accepts connections: it may be the clients, or the way"
        return ""

    def let_back(self, pool: Pool, now: float) -> bool:
        """Those whose time is over, or all if the pool ejects nobody any more; True if there are any."""
        out = self.out(pool.name)
        if not out:
            return False
        may_eject = Reaction.EJECT in reactions(pool)
        ended = {name: "its time is over" for name in self.ejections.ended(pool.name, now)}
        pardoned = {name: "its checks pass again" for of, name in self._pardoned if of == pool.name}
        back = ended | pardoned if may_eject else dict.fromkeys(sorted(out), "the pool ejects nobody")
        for backend, cause in back.items():
            self._end((pool.name, backend), cause, now)
        return bool(back)

    def pardon(self, pool: str, backend: str) -> None:
        """It was down, and its checks pass again: what clients heard before means nothing any more."""
        if self.ejections.until((pool, backend)) is not None:
            self._pardoned.add((pool, backend))

    def _end(self, name: Name, cause: str, now: float) -> None:
        self.ejections.end(name, now)
        self._pardoned.discard(name)
        self._back.add(name)
        self._record(name, "is ejected no longer", cause)

    def out(self, pool: str) -> frozenset[str]:
        """Who is ejected."""
        return self.ejections.out(pool)

    def until(self, pool: str, backend: str) -> float | None:
        """Until when it is ejected; None if it is not."""
        return self.ejections.until((pool, backend))

    def reason(self, pool: str, backend: str) -> str:
        """Why it is ejected."""
        return self.ejections.reason((pool, backend))

    def take_back(self, pool: str) -> frozenset[str]:
        """Who has come back since this was last asked."""
        back = {name for name in self._back if name[0] == pool}
        self._back -= back
        return frozenset(backend for _, backend in back)

    def due(self, pool: str) -> Iterable[float]:
        """When those that are out come back."""
        return self.ejections.due(pool)

    def keep(self, names: set[Name]) -> set[str]:
        """Forgets all others; returns the pools of which somebody was ejected, or had been."""
        self._signals = {
            switch: {name: signal for name, signal in heard.items() if name in names}
            for switch, heard in self._signals.items()
        }
        self._spared &= names
        self._back &= names
        self._pardoned &= names
        return self.ejections.keep(names)

    def _record(self, name: Name, text: str, cause: str, severity: Severity = Severity.INFO) -> None:
        self._events.record(Kind.HEALTH, "/".join(name), text, cause, severity)


def _configured(pool: Pool, assigned: PoolAssignment) -> list[tuple[int, Identity]]:
    """Those that are judged. Who is no longer configured is not, also while it stands in for others: its name
    may be another one's."""
    servers = {server_of(backend) for backend in pool.backends}
    return [(number, one) for number, one in assigned.backends.items() if one.server in servers]
