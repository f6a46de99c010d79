"""Where the program's hashes put a flow or a datagram, by the text of service.p4, exceptions.p4 and
fragments.p4; and flows made to fall where a case wants them.

CRC-32 is linear, and so is what is made of it by exclusive or: a source address for a wanted hash or place
solves 32 linear equations.
"""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from zlib import crc32

from tests.packets.rows import TCP, wide
from tests.packets.world import HTTP, V4, Family


@dataclass(frozen=True, slots=True)
class Flow:
    """A client's end of a connection to a VIP."""

    source: str
    source_port: int
    destination: str
    destination_port: int = HTTP
    protocol: int = TCP

    @property
    def hash(self) -> int:
        """What picks the bucket."""
        return crc32(
            self.destination_port.to_bytes(2, "big")
            + self.source_port.to_bytes(2, "big")
            + wide(self.destination).to_bytes(16, "big")
            + wide(self.source).to_bytes(16, "big")
            + bytes([self.protocol])
        )

    def bucket(self, mask: int) -> int:
        return self.hash & 0xFFFF & mask

    def place(self, pool: int) -> int:
        """What picks the slot of its exception in each way: bits 0-13, 9-22, 18-31."""
        return crc32(
            self.source_port.to_bytes(2, "big")
            + wide(self.source).to_bytes(16, "big")
            + self.destination_port.to_bytes(2, "big")
            + wide(self.destination).to_bytes(16, "big")
            + bytes([self.protocol])
        )

    def digest(self, pool: int) -> int:
        """What tells the flow from others in its exception's slot; and a tunnel's entropy."""
        return crc32(
            pool.to_bytes(2, "big")
            + wide(self.source).to_bytes(16, "big")
            + wide(self.destination).to_bytes(16, "big")
            + bytes([self.protocol])
            + self.source_port.to_bytes(2, "big")
            + self.destination_port.to_bytes(2, "big")
        )


@dataclass(frozen=True, slots=True)
class Datagram:
    """What the fragments of a datagram have in common."""

    source: str
    destination: str
    protocol: int
    identification: int

    @property
    def digest(self) -> int:
        """What tells it from others in its slot; a tunnel's entropy for all fragments but the first."""
        return crc32(
            wide(self.source).to_bytes(16, "big")
            + wide(self.destination).to_bytes(16, "big")
            + bytes([self.protocol])
            + self.identification.to_bytes(4, "big")
        )

    @property
    def place(self) -> int:
        """What picks its slot, by its low bits."""
        return crc32(
            self.identification.to_bytes(4, "big")
            + wide(self.destination).to_bytes(16, "big")
            + wide(self.source).to_bytes(16, "big")
            + bytes([self.protocol])
        )


def _solve(columns: list[int], wanted: int) -> int | None:
    """The bits whose columns add up (without carry) to `wanted`, if any: Gaussian elimination over GF(2)."""
    pivots: dict[int, tuple[int, int]] = {}
    for bit, column in enumerate(columns):
        chosen = 1 << bit
        for top, (other, parts) in pivots.items():
            if column >> top & 1:
                column, chosen = column ^ other, chosen ^ parts
        if column:
            top = column.bit_length() - 1
            pivots = {t: (o ^ column, p ^ chosen) if o >> top & 1 else (o, p) for t, (o, p) in pivots.items()}
            pivots[top] = (column, chosen)
    solution = 0
    for top, (column, parts) in pivots.items():
        if wanted >> top & 1:
            wanted, solution = wanted ^ column, solution ^ parts
    return None if wanted else solution


def flows_where(
    key: Callable[[Flow], int], wanted: int, number: int, family: Family, destination: str
) -> list[Flow]:
    """Flows of which a key of 32 bits that is linear (hash, place) has the wanted value. All are unicast."""
    flows: list[Flow] = []
    for port in range(30000, 40000):

        def flow_from(low: int, port: int = port) -> Flow:
            source = IPv4Address(low) if family is V4 else IPv6Address(wide("2001:db8::") | low)
            return Flow(str(source), port, destination)

        zero = key(flow_from(0))
        low = _solve([key(flow_from(1 << bit)) ^ zero for bit in range(32)], wanted ^ zero)
        if low is None or (family is V4 and not 11 <= low >> 24 < 127):
            continue
        flows.append(flow_from(low))
        if len(flows) == number:
            return flows
    raise ValueError(f"there are only {len(flows)} such flows")


def flow_in_bucket(
    bucket: int, mask: int, source: str, destination: str, protocol: int = TCP, port: int = HTTP
) -> Flow:
    """The first flow from a source, by its port from 40000 on, that falls into a bucket."""
    return next(
        flow
        for source_port in range(40000, 65536)
        if (flow := Flow(source, source_port, destination, port, protocol)).bucket(mask) == bucket
    )
