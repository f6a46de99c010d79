"""What clients' own connections say of a backend: how many went there, and how many it accepted or refused.

Only nat pools tell, since only their answers pass the switch, which counts them (p4src/nat_answers.p4). The
counters are read now and then. A look that shows an accepted connection begins everything anew; when there
was none for the pool's `window`, and enough connections had the time between two looks to be answered, that
is a signal. A flood of SYNs gives none: a server that answers it accepts, whether the clients go on or not.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from controller.health.settings import NoCheck, Passive, Reaction
from controller.model import Mode, Pool

MOSTLY = 0.5
"""The share of the connections that a backend must have refused to be `refusing`."""

LOOKS = 2
"""That a signal takes."""


class Kind(StrEnum):
    """`refusing`: it resets what clients begin; `silent`: it says nothing to most of it."""

    SILENT = "silent"
    REFUSING = "refusing"


class Handshakes(NamedTuple):
    """Of one backend, as the switch has counted: SYNs that went there, and its answers to them."""

    syns: int
    accepts: int
    refusals: int


class Signal(NamedTuple):
    """Of `syns` connections in `seconds` none was seen to be accepted, and `refusals` were refused."""

    kind: Kind
    syns: int
    refusals: int
    seconds: float

    @property
    def text(self) -> str:
        return f"none of {self.syns} connections accepted in {self.seconds:.1f} s, {self.refusals} refused"


def reaction_to(kind: Kind, pool: Pool) -> Reaction:
    """What comes of a signal in `pool`, with `auto` decided."""
    reaction = pool.passive.silent if kind is Kind.SILENT else pool.passive.refusing
    if reaction is not Reaction.AUTO:
        return reaction
    checked = not isinstance(pool.health, NoCheck)
    return Reaction.CHECK if checked and pool.mode is Mode.NAT else Reaction.NONE


def reactions(pool: Pool) -> frozenset[Reaction]:
    """All that may come of signals; empty if nobody need listen for them."""
    return frozenset(reaction_to(kind, pool) for kind in Kind) - {Reaction.NONE}


@dataclass(slots=True)
class _Heard:
    """Of one backend: what was counted when we last heard that it accepts, or began to listen.

    `due` are the SYNs of the last look: by the next one they are answered, or will not be. So it takes two
    looks, however far apart they are.
    """

    since: float
    counted: Handshakes
    due: int
    looks: int = 0
    accepted: float = -math.inf
    """When it was last seen to accept."""
    signal: Signal | None = None

    def look(self, counts: Handshakes, now: float, limits: Passive) -> None:
        answerable, self.due = self.due, counts.syns
        self.looks += 1
        if counts.accepts != self.counted.accepts:
            self.accepted, self.signal = now, None
            self._begin(counts, now)
        elif self.looks >= LOOKS and now - self.since >= limits.window:
            answerable -= self.counted.syns
            if answerable >= limits.connections:
                self.signal = self._signal(answerable, counts, now)
            elif self.signal is None:
                self._begin(counts, now)

    def _begin(self, counts: Handshakes, now: float) -> None:
        self.since, self.counted, self.looks = now, counts, 0

    def _signal(self, answerable: int, counts: Handshakes, now: float) -> Signal:
        refusals = counts.refusals - self.counted.refusals
        kind = Kind.REFUSING if refusals >= MOSTLY * answerable else Kind.SILENT
        if self.signal and self.signal.kind is kind:
            return self.signal
        return Signal(kind, counts.syns - self.counted.syns, refusals, now - self.since)


class Listening:
    """What was heard of all backends, by their numbers; `now` in seconds of any clock."""

    def __init__(self) -> None:
        self._heard: dict[int, _Heard] = {}

    def observe(self, counts: Mapping[int, Handshakes], limits: Mapping[int, Passive], now: float) -> None:
        """Takes in the counters of all who are listened to; others are forgotten."""
        before, self._heard = self._heard, {}
        for number, counted in counts.items():
            heard = self._heard[number] = before.get(number) or _Heard(now, counted, counted.syns)
            if number in before:
                heard.look(counted, now, limits[number])

    def signal(self, number: int) -> Signal | None:
        heard = self._heard.get(number)
        return heard.signal if heard else None

    def accepts(self, number: int, *, since: float) -> bool:
        """Whether it was seen to accept connections at `since` or later."""
        heard = self._heard.get(number)
        return heard is not None and heard.accepted >= since

    def forget(self, number: int) -> None:
        """What is heard from now on decides anew."""
        self._heard.pop(number, None)
