"""Counters, registers and meters of a running program.

    engine.counters["MyIngress.hits"].read(3)  # (packets, bytes)
    engine.registers["MyIngress.last"].write(0, 5)
    engine.meters["MyIngress.limit"].write(1, Rates(cir=1000, cburst=10, pir=2000, pburst=20))

A direct counter or meter has no indices: it belongs to the entries of its `table`, and is reached with them
(`Engine.direct_counter_read` and so on). All methods may be called by any thread.
"""

import ctypes
from dataclasses import asdict
from typing import Any

from switch.cells import Cells
from switch.entries import Rates
from switch.errors import BadEntry
from switch.guard import Guard

COUNTER_BITS = 64
MAX_RATE = (1 << 63) - 1
"""Rates and bursts are P4Runtime's: int64."""


class Array:
    """What all three have.

    size: cells; of a direct one, the size of its table. bits: of a register's cell, 64 for the others.
    table: whose entries a direct one belongs to; None for one with indices.
    """

    kind: str

    def __init__(self, name: str, size: int, bits: int, table: str | None, guard: Guard) -> None:
        self.name = name
        self.size = size
        self.bits = bits
        self.table = table
        self._guard = guard

    def _check(self, index: int) -> None:
        if self.table is not None:
            raise BadEntry(f"{self.name} is a direct {self.kind}: it has entries of a table, no indices")
        if not 0 <= index < self.size:
            raise BadEntry(f"{self.name} has {self.size} cells; there is no index {index}")


class CounterArray(Array):
    """address: of the C side's cells; a direct counter has none of its own."""

    kind = "counter"

    def __init__(self, name: str, size: int, table: str | None, address: int, guard: Guard) -> None:
        super().__init__(name, size, COUNTER_BITS, table, guard)
        self._cells = None if table else Cells(name, address, size, (COUNTER_BITS, COUNTER_BITS))

    def _checked(self, index: int) -> Cells:
        self._check(index)
        assert self._cells is not None, "only a direct counter has no cells"
        return self._cells

    def read(self, index: int) -> tuple[int, int]:
        """(packets, bytes) of one cell. Raises BadEntry."""
        with self._guard:
            packets, octets = self._checked(index).read(index)
            return packets, octets

    def write(self, index: int, packets: int, octets: int) -> None:
        """Raises BadEntry."""
        with self._guard:
            self._checked(index).write(index, (packets, octets))


class RegisterArray(Array):
    """address: of the C side's cells."""

    kind = "register"

    def __init__(self, name: str, size: int, bits: int, address: int, guard: Guard) -> None:
        super().__init__(name, size, bits, None, guard)
        self._cells = Cells(name, address, size, (bits,))

    def read(self, index: int) -> int:
        """Raises BadEntry."""
        with self._guard:
            (value,) = self._cells.read(index)
            return value

    def write(self, index: int, value: int) -> None:
        """Raises BadEntry."""
        with self._guard:
            self._cells.write(index, (value,))


class MeterArray(Array):
    """blocks: writes the rates of the C side's cells, at `address`; a direct meter has none of its own."""

    kind = "meter"

    def __init__(
        self, name: str, size: int, table: str | None, address: int, blocks: "MeterBlocks", guard: Guard
    ) -> None:
        super().__init__(name, size, COUNTER_BITS, table, guard)
        self._address = address
        self._blocks = blocks
        self._rates: dict[int, Rates] = {}

    def read(self, index: int) -> Rates | None:
        """How a cell is configured; None when it is not. Raises BadEntry."""
        with self._guard:
            self._check(index)
            return self._rates.get(index)

    def write(self, index: int, rates: Rates) -> None:
        """Configure a cell; its buckets are full then. Raises BadEntry."""
        check_rates(self.name, rates)
        with self._guard:
            self._check(index)
            self._blocks.set(self._address, index, rates)
            self._rates[index] = rates

    def reset(self, index: int) -> None:
        """Back to no configuration: all packets are green. Raises BadEntry."""
        with self._guard:
            self._check(index)
            self._blocks.set(self._address, index, None)
            self._rates.pop(index, None)


class MeterBlocks:
    """The C side of meters: a configuration with its buckets, exchanged as a whole."""

    def __init__(self, library: Any, state: int) -> None:
        self._library = library
        self._state = state

    def set(self, address: int, index: int, rates: Rates | None) -> None:
        """Of the cell with this index behind the address. Raises MemoryError."""
        numbers = None
        if rates is not None:
            numbers = (ctypes.c_uint64 * 4)(rates.cir, rates.cburst, rates.pir, rates.pburst)
        if not self._library.meter_configure(self._state, address, index, numbers):
            raise MemoryError("no memory for the meter's rates")


def check_rates(what: str, rates: Rates) -> None:
    """Raises BadEntry."""
    for name, number in asdict(rates).items():
        if not 0 <= number <= MAX_RATE:
            raise BadEntry(f"{what}: {name} {number} is not between 0 and {MAX_RATE}")
    if rates.cir > rates.pir:
        raise BadEntry(f"{what}: the committed rate {rates.cir} is above the peak rate {rates.pir}")
