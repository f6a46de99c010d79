"""How others choose a server: by the hash alone, by Maglev's table, and by that with a cache of connections.

They are simulated over the hash that the program has of a flow. Maglev: Eisenbud et al., "Maglev: A Fast
and Reliable Software Network Load Balancer", NSDI 2016, 3.4.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

MAGLEV_SIZE = 65537


def maglev_table(servers: Sequence[str], size: int = MAGLEV_SIZE) -> NDArray[np.int64]:
    """Who has each of `size` places (a prime), as positions in `servers`: turn by turn, each takes the next
    free place of its own permutation."""
    offsets = [crc32(b"offset" + name.encode()) % size for name in servers]
    skips = [crc32(b"skip" + name.encode()) % (size - 1) + 1 for name in servers]
    table = [-1] * size
    at, filled = offsets[:], 0
    while True:
        for server, skip in enumerate(skips):
            place = at[server]
            while table[place] >= 0:
                place = (place + skip) % size
            table[place] = server
            at[server] = (place + skip) % size
            filled += 1
            if filled == size:
                return np.array(table)


class Rival(Protocol):
    """A load balancer without a controller that knows about flows."""

    name: str

    def serve_by(self, servers: Sequence[str]) -> None:
        """From now on these are the servers."""
        ...

    def owner(self, flow: int, digest: int) -> str:
        """The server of a packet; `digest` is the hash of its flow."""
        ...


class Hashing:
    name = "hash mod n"

    def serve_by(self, servers: Sequence[str]) -> None:
        self._servers: list[str] = [*servers]

    def owner(self, flow: int, digest: int) -> str:
        return self._servers[digest % len(self._servers)]


class Maglev:
    name = f"Maglev, {MAGLEV_SIZE} places"

    def serve_by(self, servers: Sequence[str]) -> None:
        self._table: list[str] = [servers[int(index)] for index in maglev_table(servers)]

    def owner(self, flow: int, digest: int) -> str:
        return self._table[digest % MAGLEV_SIZE]


class CachedMaglev(Maglev):
    """As Katran does it: the least recently used of `room` connections makes place for a new one."""

    def __init__(self, room: int) -> None:
        self.name = f"Maglev with an LRU cache of {room}"
        self._room = room
        self._cache: OrderedDict[int, str] = OrderedDict()

    def owner(self, flow: int, digest: int) -> str:
        known = self._cache.get(flow)
        if known is not None:
            self._cache.move_to_end(flow)
            return known
        chosen = super().owner(flow, digest)
        self._cache[flow] = chosen
        if len(self._cache) > self._room:
            self._cache.popitem(last=False)
        return chosen
