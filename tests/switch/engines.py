"""What the engine's tests share: loading the test programs, and headers as dictionaries of numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from switch.engine import Engine

PROGRAMS = Path(__file__).parent / "programs"


def config_of(name: str) -> bytes:
    """The BMv2 JSON of programs/<name>.p4."""
    return (PROGRAMS / f"{name}.json").read_bytes()


def load(name: str) -> Engine:
    return Engine.load(config_of(name))


@dataclass(frozen=True)
class Layout:
    """A header: fields with their widths in bits, in order, which together are whole bytes."""

    fields: Mapping[str, int]

    @property
    def length(self) -> int:
        """In bytes."""
        return sum(self.fields.values()) // 8

    def pack(self, **values: int) -> bytes:
        """Fields that are not given are 0."""
        assert set(values) <= set(self.fields), set(values) - set(self.fields)
        whole = 0
        for name, bits in self.fields.items():
            whole = whole << bits | (values.get(name, 0) & (1 << bits) - 1)
        return whole.to_bytes(self.length, "big")

    def unpack(self, packet: bytes) -> dict[str, int]:
        """The header at the beginning of the packet."""
        whole = int.from_bytes(packet[: self.length], "big")
        found = {}
        for name, bits in reversed(list(self.fields.items())):
            found[name] = whole & (1 << bits) - 1
            whole >>= bits
        return found

    def rest(self, packet: bytes) -> bytes:
        return packet[self.length :]
