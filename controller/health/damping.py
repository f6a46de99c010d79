"""Backends that go up and down all the time are held back for a while (RFC 2439, for routes).

Each time one goes down its penalty grows by 1. A penalty decays by half in every half-life. From `suppress`
on the backend is held back, also when its checks pass, until its penalty is below `reuse`. However often it
has gone down, that takes no longer than `longest`.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from controller.health.settings import Damping

Name = tuple[str, str]
"""Pool and backend."""


@dataclass(frozen=True, slots=True)
class Flapping:
    """The penalty of one backend, at a time in seconds since the epoch."""

    penalty: float
    at: float
    held: bool = False

    def fallen(self, now: float, settings: Damping) -> "Flapping":
        """It has gone down once more."""
        penalty = min(self.penalty_at(now, settings) + 1, settings.ceiling)
        return Flapping(penalty, now, self.held or penalty >= settings.suppress)

    def penalty_at(self, now: float, settings: Damping) -> float:
        return self.penalty * 0.5 ** (max(0.0, now - self.at) / settings.half_life)

    def free_at(self, settings: Damping) -> float:
        """When its penalty is down to `reuse`."""
        return self.at + settings.half_life * max(0.0, math.log2(self.penalty / settings.reuse))


class Flaps:
    """Of all backends that have gone down lately."""

    def __init__(self, known: Mapping[str, Mapping[str, Flapping]] = {}) -> None:
        """`known` by pool and name, as `of` tells it."""
        self._known = {pool: dict(backends) for pool, backends in known.items()}

    def copy(self) -> "Flaps":
        return Flaps(self._known)

    def of(self, pool: str) -> Mapping[str, Flapping]:
        return self._known.get(pool, {})

    def fell(self, name: Name, now: float, settings: Damping) -> bool:
        """Whether it is held back now and was not before."""
        pool, backend = name
        before = self.of(pool).get(backend, Flapping(0.0, now))
        self._known.setdefault(pool, {})[backend] = after = before.fallen(now, settings)
        return after.held and not before.held

    def released(self, pool: str, now: float, settings: Damping | None) -> list[str]:
        """Backends that are held back no longer; all of them when the pool has no damping any more."""
        free = [
            backend
            for backend, one in self.of(pool).items()
            if one.held and (settings is None or one.free_at(settings) <= now)
        ]
        for backend in free:
            self._known[pool][backend] = replace(self._known[pool][backend], held=False)
        return free

    def held(self, pool: str) -> frozenset[str]:
        return frozenset(backend for backend, one in self.of(pool).items() if one.held)

    def penalty(self, name: Name, now: float, settings: Damping | None) -> float:
        pool, backend = name
        known = self.of(pool).get(backend)
        return known.penalty_at(now, settings) if known and settings else 0.0

    def due(self, pool: str, settings: Damping) -> Iterator[float]:
        """When those that are held back are free again."""
        return (one.free_at(settings) for one in self.of(pool).values() if one.held)

    def keep(self, names: set[Name]) -> list[str]:
        """Forgets all others; returns the pools of which there were any."""
        kept = {
            pool: {backend: one for backend, one in backends.items() if (pool, backend) in names}
            for pool, backends in self._known.items()
        }
        changed = [pool for pool, backends in kept.items() if len(backends) < len(self._known[pool])]
        self._known = {pool: backends for pool, backends in kept.items() if backends}
        return changed

    def set_back(self, now: float) -> list[str]:
        """The clock shows `now` after a later time: penalties of then are of now. Returns their pools."""
        pools = [pool for pool, backends in self._known.items() if any(b.at > now for b in backends.values())]
        for pool in pools:
            self._known[pool] = {
                backend: replace(one, at=min(one.at, now)) for backend, one in self._known[pool].items()
            }
        return pools
