"""The usual writes without Python (runtime/writes.h)."""

from switch.engine import Engine
from switch.server.native_tables import NativeTables
from switch.server.write_message import WriteMessage

AT_ONCE = 4096
"""Updates, between which others get at the engine: a port that goes down, digests, a trace."""


class NativeWrites:
    """Not thread-safe but for the engine: the device's lock is held."""

    def __init__(self, described: NativeTables, engine: Engine) -> None:
        self._described = described
        self._engine = engine

    def apply(self, message: WriteMessage, first: int) -> int:
        """Does the updates from `first` on, until one is not of the usual kind or something is wrong with it.

        Returns that one's number, or how many there are.
        """
        while True:
            end = min(first + AT_ONCE, message.count)
            first = self._engine.apply_writes(
                self._described.address, message.octets, message.spans, first, end
            )
            if first < end or end == message.count:
                return first
