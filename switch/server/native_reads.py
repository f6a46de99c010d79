"""Table entries as the octets of ReadResponses, without Python (runtime/reads.h)."""

import ctypes
from collections.abc import Iterator
from enum import IntFlag
from typing import TYPE_CHECKING

from switch.engine import Engine
from switch.server.native_tables import NativeTables
from switch.table import Snapshot

if TYPE_CHECKING:
    from switch.server.pipeline import TableState

ENTITIES_PER_RESPONSE = 1000
OCTETS_PER_RESPONSE = 1 << 20
"""finsy takes messages up to 4 MB. One entity may be longer: it comes by itself then."""


class Told(IntFlag):
    """What is told of an entry beside its key, as in reads.h."""

    ACTION = 1
    COUNTER = 2
    RATES = 4
    LAST_HIT = 8


class Reading(ctypes.Structure):
    """struct reading."""

    _fields_ = (
        ("table", ctypes.c_uint32),
        ("what", ctypes.c_uint32),
        ("now", ctypes.c_uint64),
        ("copies", ctypes.c_void_p),
        ("order", ctypes.c_void_p),
        ("next", ctypes.c_uint64),
        ("end", ctypes.c_uint64),
    )


class NativeReads:
    """Any thread may use it."""

    def __init__(self, described: NativeTables, engine: Engine) -> None:
        self._described = described
        self._engine = engine

    def responses(self, state: "TableState", snapshot: Snapshot, told: Told) -> Iterator[bytes]:
        """The entries of the snapshot, those that are still there where a count, rate or time is told.

        The table's entries must be known to C, and have no annotations.
        """
        assert state.in_c is not None, "only such tables are read here"
        order = snapshot.order()
        reading = Reading(
            table=state.in_c.number,
            what=told,
            copies=ctypes.addressof(snapshot.copies),
            order=ctypes.addressof(order),
            end=len(snapshot),
        )
        address = self._described.address
        most = self._engine.most_octets(address, state.in_c.number)
        room = (ctypes.c_uint8 * max(min(OCTETS_PER_RESPONSE, most * len(snapshot)), most))()
        while length := self._engine.encode_entries(address, reading, ENTITIES_PER_RESPONSE, room):
            yield bytes(memoryview(room)[:length])
