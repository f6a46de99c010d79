"""Where the program's hashes put a flow, by the text of service.p4 and exceptions.p4; and flows made to fall
where a case wants them.

CRC-32 is linear: over the 32 last bits of a source address it is one-to-one, so every hash has its source.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from itertools import count
from zlib import crc32

from tests.packets.rows import MAPPED, TCP, wide
from tests.packets.world import HTTP, V4, Family

EXCEPTION_SLOTS = 16384
WAY_SHIFTS = (0, 9, 18)


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
        """What picks the bucket and the places of an exception."""
        return crc32(
            self.destination_port.to_bytes(2, "big")
            + self.source_port.to_bytes(2, "big")
            + wide(self.destination).to_bytes(16, "big")
            + wide(self.source).to_bytes(16, "big")
            + bytes([self.protocol])
        )

    def bucket(self, mask: int) -> int:
        return self.hash & 0xFFFF & mask

    @property
    def places(self) -> tuple[int, ...]:
        """Its slot in each way."""
        return tuple(self.hash >> shift & (EXCEPTION_SLOTS - 1) for shift in WAY_SHIFTS)


def _solve(columns: list[int], wanted: int) -> int:
    """The bits whose columns add up (without carry) to `wanted`: Gaussian elimination over GF(2)."""
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
    if wanted:
        raise ValueError("there is no such address")
    return solution


def flow_with_hash(
    hash: int, source_port: int, family: Family, destination: str, protocol: int = TCP, port: int = HTTP
) -> Flow:
    """The flow from this port whose hash is `hash`: the last 32 bits of its source are free for that."""

    def with_low_bits(low: int) -> Flow:
        if family is V4:
            return Flow(str(IPv4Address(low)), source_port, destination, port, protocol)
        return Flow(str(IPv6Address(wide("2001:db8::") | low)), source_port, destination, port, protocol)

    zero = with_low_bits(0).hash
    columns = [with_low_bits(1 << bit).hash ^ zero for bit in range(32)]
    return with_low_bits(_solve(columns, hash ^ zero))


def flows_with_hash(hash: int, wanted: int, family: Family, destination: str) -> list[Flow]:
    """Flows that share one hash, and so their bucket and their place in every way. All are unicast."""
    flows: list[Flow] = []
    for port in count(30000):
        flow = flow_with_hash(hash, port, family, destination)
        if family is not V4 or 11 <= wide(flow.source) - MAPPED >> 24 < 127:
            flows.append(flow)
        if len(flows) == wanted:
            return flows
    raise AssertionError("unreachable")


def flow_in_bucket(
    bucket: int, mask: int, source: str, destination: str, protocol: int = TCP, port: int = HTTP
) -> Flow:
    """The first flow from a source, by its port from 40000 on, that falls into a bucket."""
    return next(
        flow
        for source_port in range(40000, 65536)
        if (flow := Flow(source, source_port, destination, port, protocol)).bucket(mask) == bucket
    )
