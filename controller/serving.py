"""Who of a pool gets new flows, and how many: verdicts, tiers, panic and slow start, in one decision.

1. May serve: who is `active` and has a weight. Healthy of those: who is up.
   Who is ejected counts as down from 3. on, unless all who are up are ejected.
2. When fewer than the share `panic` of those who are known are healthy, the checks are not believed: all
   serve, of all tiers.
3. Otherwise tiers are taken in order, the lowest first, until at least `tier_minimum` healthy ones serve.
4. Who has come to a pool that runs gets his weight by and by (slow start).

When nobody serves by that, and somebody is to (`Roles.awaited`), those whom the configuration has taken new
flows from and who still get them stand in: see `assignment`. They come before panic, as long as none of those
who fail their checks is in the tables.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from controller.model import Backend, Pool, State

STEPS = 10
"""Of a slow start. A weight here is the configured one times as many of them as have been taken."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A configured backend. `steps` of its slow start have been taken, STEPS when it is over."""

    backend: Backend
    up: bool
    steps: int = STEPS
    ejected: bool = False
    """It fails its clients: no new flows for a while, unless nobody else is up."""
    there: bool = True
    """It is in the tables."""
    judged: bool = True
    """It is there, or its checks have said something. Who waits for that neither serves nor fails."""

    @property
    def weight(self) -> int:
        return self.backend.weight * self.steps


@dataclass(frozen=True, slots=True)
class Roles:
    """What is decided, by name.

    `weights` are of those that get new flows, `reserve` of those that would be the next: the tier behind the
    last that serves. Both come into the tables, if they are not there; of the others, the `present` stay.
    """

    present: frozenset[str] = frozenset()
    weights: tuple[tuple[str, int], ...] = ()
    reserve: tuple[tuple[str, int], ...] = ()
    tier: int = 0
    """The last that serves."""
    panic: bool = False
    healthy: int = 0
    may_serve: int = 0
    slow: tuple[tuple[str, int], ...] = ()
    """Who of those that serve is in his slow start, and how many steps he has taken."""
    ejected: frozenset[str] = frozenset()
    """Who is present, and gets no new flows since it fails its clients."""
    awaited: tuple[str, ...] = ()
    """When nobody serves: who would as soon as he is up."""
    stand_ins: frozenset[int] = frozenset()
    """The numbers of those that serve meanwhile, though they are to leave."""


NOBODY_SERVES = Roles()


def may_serve(backend: Backend) -> bool:
    """Whether the operator wants it to have new flows."""
    return backend.state is State.ACTIVE and backend.weight > 0


def decide(pool: Pool, candidates: Iterable[Candidate], *, can_stand_in: bool = False) -> Roles:
    """`can_stand_in`: somebody who is to leave gets new flows still, and could go on doing so."""
    known = [one for one in candidates if one.backend.state is not State.DISABLED]
    entitled = [one for one in known if may_serve(one.backend)]
    healthy = [one for one in entitled if one.up]
    judged = [one for one in entitled if one.judged]
    may_panic = bool(healthy) or not can_stand_in or any(one.there for one in entitled)
    panic = may_panic and len(healthy) < pool.panic * len(judged)
    fit = [one for one in healthy if not one.ejected]
    if panic or not fit:
        fit = healthy
    serving, waiting = (entitled, []) if panic else _by_tier(fit, pool.tier_minimum)
    behind = min((one.backend.tier for one in waiting), default=0)
    return Roles(
        present=frozenset(one.backend.name for one in known if one.up or panic),
        weights=tuple((one.backend.name, one.weight) for one in serving),
        reserve=tuple((one.backend.name, one.weight) for one in waiting if one.backend.tier == behind),
        tier=max((one.backend.tier for one in serving), default=0),
        panic=panic,
        healthy=len(healthy),
        may_serve=len(entitled),
        slow=tuple((one.backend.name, one.steps) for one in serving if one.steps < STEPS),
        ejected=frozenset(one.backend.name for one in healthy if one.ejected and fit is not healthy),
        awaited=() if serving else tuple(one.backend.name for one in entitled),
    )


def _by_tier(healthy: list[Candidate], minimum: int) -> tuple[list[Candidate], list[Candidate]]:
    """Those who serve, and those who wait until they are needed."""
    last, serving = -1, 0
    for tier, count in sorted(Counter(one.backend.tier for one in healthy).items()):
        if serving >= minimum:
            break
        last, serving = tier, serving + count
    return (
        [one for one in healthy if one.backend.tier <= last],
        [one for one in healthy if one.backend.tier > last],
    )


def steps_taken(came: float | None, now: float, slow_start: float) -> int:
    """Of a backend that `came` then (None: it was there all along). The first step is taken at once."""
    if came is None or not 0 <= now - came < slow_start:
        return STEPS
    return 1 + math.floor((now - came) / slow_start * STEPS)


def next_step(came: float | None, now: float, slow_start: float) -> float | None:
    """When the next one is due, if it is not over."""
    taken = steps_taken(came, now, slow_start)
    return None if came is None or taken >= STEPS else came + taken * slow_start / STEPS
