"""Backends that go up and down all the time are held back for a while (RFC 2439, for routes).

Each time one goes down its penalty grows by 1. A penalty decays by half in every half-life. From `suppress`
on the backend is held back, also when its checks pass, until its penalty is below `reuse`. However often it
has gone down, that takes no longer than `longest`.
"""

import math
from collections.abc import Iterator
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

    def __init__(self) -> None:
        self._known: dict[Name, Flapping] = {}

    def copy(self) -> "Flaps":
        other = Flaps()
        other._known = dict(self._known)
        return other

    def fell(self, name: Name, now: float, settings: Damping) -> bool:
        """Whether it is held back now and was not before."""
        before = self._known.get(name, Flapping(0.0, now))
        self._known[name] = after = before.fallen(now, settings)
        return after.held and not before.held

    def released(self, pool: str, now: float, settings: Damping | None) -> list[str]:
        """Backends that are held back no longer; all of them when the pool has no damping any more."""
        free = [
            name
            for name, one in self._known.items()
            if name[0] == pool and one.held and (settings is None or one.free_at(settings) <= now)
        ]
        for name in free:
            self._known[name] = replace(self._known[name], held=False)
        return [backend for _, backend in free]

    def held(self, pool: str) -> frozenset[str]:
        return frozenset(
            backend for of, backend in self._known if of == pool and self._known[of, backend].held
        )

    def penalty(self, name: Name, now: float, settings: Damping | None) -> float:
        known = self._known.get(name)
        return known.penalty_at(now, settings) if known and settings else 0.0

    def due(self, pool: str, settings: Damping) -> Iterator[float]:
        """When those that are held back are free again."""
        return (one.free_at(settings) for name, one in self._known.items() if name[0] == pool and one.held)

    def keep(self, names: set[Name]) -> None:
        """Forgets all others."""
        self._known = {name: one for name, one in self._known.items() if name in names}
