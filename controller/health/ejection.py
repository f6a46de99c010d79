"""Backends that get no new connections for a while, since clients' connections came to nothing there.

The first time for as long as the pool's settings say, and each further time for twice as long as the one
before, up to a limit; who has then served for as long as that limit begins anew.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from controller.health.settings import Passive

Name = tuple[str, str]
"""Pool and backend."""

MOST_DOUBLINGS = 50


@dataclass(frozen=True, slots=True)
class Ejection:
    """The latest one of a backend, from `at` `until` a time in seconds since the epoch, `times` in a row; and
    why."""

    at: float
    until: float
    times: int
    reason: str = ""
    over: bool = False


class Ejections:
    """Of all backends that were ejected lately."""

    def __init__(self, known: Mapping[str, Mapping[str, Ejection]] = {}) -> None:
        """`known` by pool and name, as `of` tells it."""
        self._known: dict[Name, Ejection] = {
            (pool, backend): one for pool, backends in known.items() for backend, one in backends.items()
        }

    def copy(self) -> "Ejections":
        other = Ejections()
        other._known = dict(self._known)
        return other

    def of(self, pool: str) -> Mapping[str, Ejection]:
        return {backend: one for (of, backend), one in self._known.items() if of == pool}

    def eject(self, name: Name, now: float, settings: Passive, reason: str) -> float:
        """Returns for how many seconds."""
        before = self._known.get(name)
        times = before.times + 1 if before and now - before.until <= settings.longest else 1
        length = min(settings.ejection * 2 ** min(times - 1, MOST_DOUBLINGS), settings.longest)
        self._known[name] = Ejection(now, now + length, times, reason)
        return length

    def out(self, pool: str) -> frozenset[str]:
        return frozenset(backend for of, backend in self._known if of == pool and self.until((of, backend)))

    def until(self, name: Name) -> float | None:
        """When it ends; None for who is not out."""
        known = self._known.get(name)
        return known.until if known and not known.over else None

    def reason(self, name: Name) -> str:
        """Why it is out; "" for who is not."""
        known = self._known.get(name)
        return known.reason if known and not known.over else ""

    def ended(self, pool: str, now: float) -> list[str]:
        """Those that are out though their time is over."""
        return [backend for backend in sorted(self.out(pool)) if self._known[pool, backend].until <= now]

    def end(self, name: Name, now: float) -> None:
        """It comes back; how often it was out is remembered."""
        known = self._known[name]
        self._known[name] = replace(known, until=min(known.until, now), over=True)

    def due(self, pool: str) -> Iterator[float]:
        """When those that are out come back."""
        return (self._known[pool, backend].until for backend in self.out(pool))

    def keep(self, names: set[Name]) -> set[str]:
        """Forgets all others; returns the pools of which there were any."""
        changed = {pool for pool, backend in self._known if (pool, backend) not in names}
        self._known = {name: one for name, one in self._known.items() if name in names}
        return changed

    def set_back(self, now: float) -> set[str]:
        """The clock shows `now` after a later time: who was ejected then is so from now. Returns pools."""
        late = {name: one for name, one in self._known.items() if one.at > now}
        for name, one in late.items():
            self._known[name] = replace(one, at=now, until=now + one.until - one.at)
        return {pool for pool, _ in late}
