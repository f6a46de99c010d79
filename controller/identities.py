"""Identities: the numbers by which the data plane knows backends and pools.

Number 0 is nobody. Whoever is added, or comes back from the dead, gets a fresh number, because exceptions
in the data plane may still name the old one. Numbers go round: the next one after the last given out, so
that a number comes back only after all the others, and never before QUARANTINE is over.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from controller.errors import SluiceError
from controller.model import Backend
from controller.values import LAST_BACKEND, Address

QUARANTINE = 3 * 3600.0
"""Seconds that a number rests. An exception is void after the idle timeout, but its time stamp goes round
in 72 minutes and could look fresh again; two turns are over by then."""

Server = tuple[str, Address, int | None]


class NoIdentityLeft(SluiceError):
    """All numbers are in use or resting."""

    def __init__(self, what: str, numbers: int) -> None:
        super().__init__(
            f"no number is left for another {what}: {numbers} are in use, or were until {QUARANTINE:g} s ago"
        )


@dataclass(frozen=True, slots=True)
class Identity:
    """One backend while it is in the data plane's tables.

    `removed` is when (seconds since the epoch) it was taken out of the configuration, if it was, and stood in
    for nobody any more: it then stays only until nobody needs it. `came` is when it came to a pool that ran
    already, as far as we have seen it.
    """

    id: int
    pool: str
    name: str
    address: Address
    port: int | None
    removed: float | None = None
    came: float | None = None

    @property
    def server(self) -> Server:
        return self.name, self.address, self.port


def server_of(backend: Backend) -> Server:
    """What makes it this server and not another one of its name."""
    return backend.name, backend.address, backend.port


def _by_nobody(number: int) -> bool:
    return False


@dataclass(slots=True)
class Numbers:
    """Which numbers are in use, which rest (since when), and which was given out last."""

    what: str
    last_used: int = LAST_BACKEND  # the highest that the data plane's table has room for
    used: set[int] = field(default_factory=set)
    resting: dict[int, float] = field(default_factory=dict)
    last: int = 0
    none_until: float = field(default=-math.inf, compare=False)
    """Until then there is none, as a search has shown: thousands who want one need not search again."""
    is_held: Callable[[int], bool] = field(default=_by_nobody, compare=False)
    """Whether some switch may still know a number that has rested."""

    def take(self, now: float) -> int:
        """A number that is free; `now` in seconds since the epoch."""
        if now < self.none_until:
            raise NoIdentityLeft(self.what, self.last_used)
        for step in range(self.last_used):
            number = (self.last + step) % self.last_used + 1
            if number in self.used or self._rests(number, now):
                continue
            self.resting.pop(number, None)
            self.used.add(number)
            self.last = number
            return number
        self.none_until = min(self.resting.values(), default=math.inf) + QUARANTINE
        raise NoIdentityLeft(self.what, self.last_used)

    def _rests(self, number: int, now: float) -> bool:
        since = self.resting.get(number)
        return since is not None and (now - since < QUARANTINE or self.is_held(number))

    def give_up(self, number: int, now: float) -> None:
        self.used.discard(number)
        self.resting[number] = now
        self.none_until = min(self.none_until, now + QUARANTINE)

    def give_back(self, number: int) -> None:
        """Unlike `give_up`: it may be given out again at once."""
        self.used.discard(number)
        self.none_until = -math.inf
