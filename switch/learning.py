"""The digests that a running program sent, as values."""

import ctypes
from collections.abc import Sequence
from typing import Any

from switch.compiler.deparser import digest_words
from switch.compiler.model import Program

WORD = 64
DIGESTS_AT_ONCE = 256


class LearnQueue:
    """The consumer of the program's ring of digests (struct digest_ring): one thread at a time."""

    def __init__(self, program: Program, library: Any, state: int) -> None:
        self._lists = program.learn_lists
        self._library = library
        self._state = state

    def take(self) -> list[tuple[str, tuple[int, ...]]]:
        """What was sent since the last call, in order: (learn list, values)."""
        words = self._library.core_digest_words(self._state)
        buffer = (ctypes.c_uint64 * (words * DIGESTS_AT_ONCE))()
        found = []
        while count := self._library.core_digests_take(self._state, buffer, DIGESTS_AT_ONCE):
            found += [self._values(buffer[i * words : (i + 1) * words]) for i in range(count)]
        return found

    def _values(self, record: Sequence[int]) -> tuple[str, tuple[int, ...]]:
        learn_list = self._lists[record[0]]
        values, at = [], 1
        for reference in learn_list.fields:
            size = digest_words((reference,))
            values.append(sum(word << (WORD * i) for i, word in enumerate(record[at : at + size])))
            at += size
        return learn_list.name, tuple(values)
