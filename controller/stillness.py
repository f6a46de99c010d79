"""For how long counters have stood still."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from controller.apportion import Mask

UNSEEN = -1


class Stillness:
    """For how long the cells of a counter have stood still. Times are the controller's clock, in seconds.

    A count was true at some moment between asking and the answer. To be on the safe side, a cell stands still
    from the answer that first showed its count, and until the latest one was asked for.
    """

    def __init__(self, cells: int) -> None:
        self._count = np.full(cells, UNSEEN, dtype=np.int64)
        self._first = np.full(cells, UNSEEN, dtype=np.int64)
        self._since = np.full(cells, np.inf)
        self._until = np.full(cells, -np.inf)

    def restart(self, cells: list[int]) -> None:
        """The cells have another meaning from now on: what was seen of them says nothing."""
        self._count[cells] = self._first[cells] = UNSEEN
        self._since[cells], self._until[cells] = np.inf, -np.inf

    def observe(self, counts: Mapping[int, int], asked: float, answered: float) -> None:
        """`counts` by cell, asked for and answered at these times."""
        cells = np.fromiter(counts.keys(), np.int64, len(counts))
        values = np.fromiter(counts.values(), np.int64, len(counts))
        new = self._first[cells] == UNSEEN
        self._first[cells[new]] = values[new]
        changed = cells[self._count[cells] != values]
        self._count[cells] = values
        self._since[changed] = answered
        self._until[cells] = asked

    def heard(self, cells: NDArray[np.integer]) -> Mask:
        """Which of `cells` have counted anything since they were first seen."""
        return self._count[cells] > self._first[cells]

    def of(self, cells: NDArray[np.integer]) -> NDArray[np.float64]:
        """Seconds that each of `cells` has stood still; below 0 when that is not known."""
        return self._until[cells] - self._since[cells]
