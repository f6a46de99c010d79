"""When a backend counts as healthy or down: `rise` passed checks in a row, or `fall` failed ones.

Results count while they are consecutive, never as a sum: one answer in between starts the count again. A
verdict, once given, holds until enough results in a row contradict it. As a table, for rise 2 and fall 3:

    health    after 1 pass   2 passes in a row   1 or 2 failures   3 failures in a row
    unknown   unknown        healthy             unknown           down
    healthy   healthy        healthy             healthy           down
    down      down           healthy             down              down
"""

from dataclasses import dataclass
from enum import StrEnum


class Health(StrEnum):
    """The verdict about one backend."""

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class RiseFall:
    """What is known about one backend after some checks.

    `streak` counts the latest equal results: 3 means three passed checks in a row, -2 two failed ones.
    """

    health: Health = Health.UNKNOWN
    streak: int = 0

    def after(self, passed: bool, *, rise: int, fall: int) -> "RiseFall":
        """The state after one more result."""
        streak = max(self.streak, 0) + 1 if passed else min(self.streak, 0) - 1
        if streak >= rise:
            return RiseFall(Health.HEALTHY, streak)
        if -streak >= fall:
            return RiseFall(Health.DOWN, streak)
        return RiseFall(self.health, streak)
