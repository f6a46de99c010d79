"""Arrays of the running program, read and written in place beside the processing thread.

Each number up to 64 bits is one load or store of the machine. A wider one is several: a reader may see half
of a write that happens at the same instant.
"""

import ctypes
from collections.abc import Sequence

from switch.compiler.widths import ones, storage
from switch.errors import BadEntry

C_TYPES = {8: ctypes.c_uint8, 16: ctypes.c_uint16, 32: ctypes.c_uint32, 64: ctypes.c_uint64}
WORD = 64


class Cells:
    """size cells, each of one or more numbers of the given widths, all stored in the same type."""

    def __init__(self, name: str, address: int, size: int, widths: Sequence[int]) -> None:
        self._name = name
        self._size = size
        self._widths = tuple(widths)
        stored = storage(max(widths)).bits
        self._parts = max(stored // WORD, 1)
        self._step = self._parts * len(self._widths)
        self._words = (C_TYPES[min(stored, WORD)] * (size * self._step)).from_address(address)

    def _start(self, index: int) -> int:
        if not 0 <= index < self._size:
            raise BadEntry(f"{self._name} has {self._size} cells; there is no index {index}")
        return index * self._step

    def read(self, index: int) -> tuple[int, ...]:
        """The cell's numbers. Raises BadEntry when there is no such cell."""
        start = self._start(index)
        words = self._words[start : start + self._step]
        if self._parts == 1:
            return tuple(words)
        return tuple(
            sum(word << (WORD * place) for place, word in enumerate(words[i : i + self._parts]))
            for i in range(0, self._step, self._parts)
        )

    def write(self, index: int, values: Sequence[int]) -> None:
        """Raises BadEntry when there is no such cell or a value does not fit."""
        start = self._start(index)
        for value, bits in zip(values, self._widths, strict=True):
            if value < 0 or value >> bits:
                raise BadEntry(f"{self._name} has {bits} bits; {value:#x} does not fit")
        for place, value in enumerate(values):
            for part in range(self._parts):
                word = value >> (part * WORD) & ones(WORD)
                self._words[start + place * self._parts + part] = word
