"""Multicast groups and clone sessions of a running program.

engine.multicast_groups.set(5, [(1, 0), (2, 7)])  # copies to ports 1 and 2, with egress_rid 0 and 7
engine.clone_sessions.set(9, [(3, 0)])
"""

from collections.abc import Callable, Sequence
from typing import Any

from switch.errors import BadEntry, NoSuchEntry
from switch.guard import Guard
from switch.library import Replica

Replicas = tuple[tuple[int, int], ...]
"""(port, rid), in the order in which copies are made."""


class ReplicaSets:
    """Numbered sets of replicas. All methods may be called by any thread.

    what: one of them, for errors. lowest, highest: the numbers there can be. function: of the C side.
    """

    def __init__(
        self, what: str, lowest: int, highest: int, function: Callable[..., Any], state: int, guard: Guard
    ) -> None:
        self.what = what
        self.lowest = lowest
        self.highest = highest
        self._function = function
        self._state = state
        self._guard = guard
        self._sets: dict[int, Replicas] = {}

    def set(self, number: int, replicas: Sequence[tuple[int, int]]) -> None:
        """Create or replace one. Raises BadEntry."""
        if not self.lowest <= number <= self.highest:
            raise BadEntry(f"{self.what} {number} is not between {self.lowest} and {self.highest}")
        with self._guard:
            array = (Replica * len(replicas))(*replicas)
            if not self._function(self._state, number, array, len(replicas)):
                raise MemoryError("no memory for the replicas")
            self._sets[number] = tuple(replicas)

    def delete(self, number: int) -> None:
        """Raises NoSuchEntry."""
        with self._guard:
            if number not in self._sets:
                raise NoSuchEntry(f"there is no {self.what} {number}")
            if not self._function(self._state, number, None, 0):
                raise MemoryError("no memory for the replicas")
            del self._sets[number]

    def all(self) -> dict[int, Replicas]:
        """Every one by its number."""
        with self._guard:
            return dict(self._sets)
