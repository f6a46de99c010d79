"""The hash by which the program picks a flow's bucket (p4src/service.p4, FindBucket)."""

import struct
import zlib

from controller.program import ALL_ONES
from controller.values import LAST_PORT

_PORTS = struct.Struct("!HH")


def bucket_of(
    source: int,
    source_port: int,
    destination: int,
    destination_port: int,
    protocol: int,
    *,
    bucket_mask: int,
    source_mask: int = ALL_ONES,
    port_mask: int = LAST_PORT,
) -> int:
    """CRC-32 over the fields as they stand one behind the other; addresses are those of the data plane."""
    fields = (
        _PORTS.pack(destination_port & port_mask, source_port & port_mask)
        + destination.to_bytes(16, "big")
        + (source & source_mask).to_bytes(16, "big")
        + bytes([protocol])
    )
    return zlib.crc32(fields) & bucket_mask
