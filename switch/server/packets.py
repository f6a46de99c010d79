"""Packets to and from the controller: the header that the program sees, the metadata that P4Runtime shows.

The program sees one header in front of the packet, with the fields of the P4Info one after the other, bit by
bit. P4Runtime shows the fields as metadata beside the payload.
"""

from collections.abc import Iterable

from finsy.proto import p4r

from switch.p4info import ControllerHeader
from switch.server.status import invalid
from switch.server.values import decode, encode


class HeaderCodec:
    """Translates `packet_in` or `packet_out`."""

    def __init__(self, header: ControllerHeader) -> None:
        self.header = header
        self._shifts: dict[int, tuple[int, int, str]] = {}  # id -> bits, bits after it, what it is
        remaining = header.octets * 8
        for field in header.fields:
            remaining -= field.bits
            self._shifts[field.id] = (field.bits, remaining, f"{header.name}: metadata {field.name}")

    def pack(self, metadata: Iterable[p4r.PacketMetadata]) -> bytes:
        """The header. Raises RequestError unless every field is given, once, and fits."""
        value = 0
        missing = dict(self._shifts)
        for item in metadata:
            if item.metadata_id not in self._shifts:
                raise invalid(f"{self.header.name} has no metadata with id {item.metadata_id}")
            bits, shift, what = self._shifts[item.metadata_id]
            if missing.pop(item.metadata_id, None) is None:
                raise invalid(f"{what} is given twice")
            value |= decode(item.value, bits, what) << shift
        for _, _, what in missing.values():
            raise invalid(f"{what} is missing")
        return value.to_bytes(self.header.octets, "big")

    def unpack(self, packet: bytes) -> p4r.PacketIn | None:
        """The message for a packet, or None if it is too short for the header."""
        octets = self.header.octets
        if len(packet) < octets:
            return None
        value = int.from_bytes(packet[:octets], "big")
        return p4r.PacketIn(
            payload=packet[octets:],
            metadata=[
                p4r.PacketMetadata(metadata_id=id, value=encode(value >> shift & ((1 << bits) - 1)))
                for id, (bits, shift, _) in self._shifts.items()
            ],
        )
