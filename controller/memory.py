"""What was made before, and need not be made again: so that a change costs what it changes, not the whole.

    rows = memory.make(("backends", pool.name), _addresses, assigned.backends)

is `_addresses(assigned.backends)`, whatever was remembered: the function depends on its arguments alone, and
those never change in place, so that the same objects have the same result. What comes out equal stays the
same object, and what is made of it in turn is not made again either.
"""

import operator
import sys
from collections.abc import Callable, Hashable, Iterable
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")


class _Made(NamedTuple):
    """A result, and what it was made of, which stays alive with it: no other object can take its place."""

    sources: tuple[Any, ...]
    result: Any


class Memory:
    """Results by name, each of the arguments that it was made of the last time."""

    def __init__(self) -> None:
        self._before: dict[Hashable, _Made] = {}
        self._now: dict[Hashable, _Made] = {}

    def begin(self) -> None:
        """Begins a round: what was not asked for in the last one is forgotten."""
        if self._now:
            self._before, self._now = self._now, {}

    def make(self, name: Hashable, function: Callable[..., T], *sources: Any) -> T:
        """`function(*sources)`. One name goes with one function."""
        made = self._now.get(name) or self._before.get(name)
        if made is None:
            made = _Made(sources, function(*sources))
        elif len(made.sources) != len(sources) or not all(map(operator.is_, made.sources, sources)):
            result = function(*sources)
            made = _Made(sources, made.result if _equal(made.result, result) else result)
        self._now[name] = made
        return made.result

    def union(self, name: Hashable, parts: Iterable[dict[K, V]]) -> dict[K, V]:
        """All of `parts`, the later ones before the earlier where they have the same key."""
        return self.make(name, _union, *parts)


def _union(*parts: dict[Any, Any]) -> dict[Any, Any]:
    whole: dict[Any, Any] = {}
    for part in parts:
        whole.update(part)
    return whole


def _equal(one: Any, other: Any) -> bool:
    numpy = sys.modules.get("numpy")  # who has not imported it has no array, nor waits for it
    if numpy is not None and isinstance(one, numpy.ndarray):
        return numpy.array_equal(one, other)
    return one == other
