"""A WriteRequest as it came over the network, of which only as much is read as somebody asks for.

A write of many takes longest for making an object of each update. C finds the updates, and says which of them
it can read by itself (runtime/messages.h); protobuf reads the others.
"""

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Self

from finsy.proto import p4r

from switch.build import RUNTIME, build

OCTETS_PER_UPDATE = 16
"""A guess that is nearly always too low: one that is too high costs a second look."""


class UpdateSpan(ctypes.Structure):
    """struct update_span."""

    _fields_ = (("offset", ctypes.c_uint64), ("length", ctypes.c_uint32), ("plain", ctypes.c_uint32))


class _Rest(ctypes.Structure):
    """struct request_rest."""

    _fields_ = (("length", ctypes.c_uint64), ("odd", ctypes.c_uint64), ("octets", ctypes.c_uint8 * 240))


_OCTETS = _Rest.octets.offset  # type: ignore[attr-defined]


@cache
def _spans(bits: int) -> Any:
    """The type of an array of 2**bits spans: few sizes, because ctypes takes its time to make a type."""
    return UpdateSpan * (1 << bits)


@cache
def load_reader() -> Any:
    """runtime/messages.c. Raises BuildError."""
    library = ctypes.CDLL(str(build("messages", (RUNTIME / "messages.c",))))
    library.request_split.restype = ctypes.c_int64
    library.request_split.argtypes = (
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_void_p,
    )
    return library


@lru_cache(maxsize=64)
def _request(octets: bytes) -> p4r.WriteRequest:
    """Without its updates a client's request is always the same."""
    return p4r.WriteRequest.FromString(octets)


@dataclass(slots=True)
class WriteMessage:
    """request: everything but its updates, to be looked at only: other messages have the same.

    count: how many updates these are. spans: an array of UpdateSpan.
    """

    request: p4r.WriteRequest
    octets: bytes
    spans: Any
    count: int
    _others: Mapping[int, p4r.Update]
    """Those that C cannot read."""

    @classmethod
    def parse(cls, octets: bytes) -> Self:
        """Raises DecodeError exactly when protobuf would."""
        split = load_reader().request_split
        rest = _Rest()
        at = ctypes.addressof(rest)
        spans, most = _room(len(octets) // OCTETS_PER_UPDATE)
        count = split(octets, len(octets), ctypes.addressof(spans), most, at)
        if count > most:
            spans, most = _room(count)
            count = split(octets, len(octets), ctypes.addressof(spans), most, at)
        if count < 0:
            return cls._of(p4r.WriteRequest.FromString(octets))
        others = {}
        if rest.odd:
            odd = (number for number in range(count) if not spans[number].plain)
            others = {number: p4r.Update.FromString(_cut(octets, spans[number])) for number in odd}
        request = _request(ctypes.string_at(at + _OCTETS, rest.length))
        return cls(request, octets, spans, count, others)

    @classmethod
    def _of(cls, request: p4r.WriteRequest) -> Self:
        """Of one that C cannot even split."""
        rest = p4r.WriteRequest()
        rest.CopyFrom(request)
        del rest.updates[:]
        count = len(request.updates)
        return cls(rest, b"", (UpdateSpan * count)(), count, dict(enumerate(request.updates)))

    def update(self, number: int) -> p4r.Update:
        return self._others.get(number) or p4r.Update.FromString(_cut(self.octets, self.spans[number]))

    def updates(self) -> list[p4r.Update]:
        return [self.update(number) for number in range(self.count)]


def _room(updates: int) -> tuple[Any, int]:
    """An array for at least so many spans, and its length."""
    bits = updates.bit_length()
    return _spans(bits)(), 1 << bits


def _cut(octets: bytes, span: UpdateSpan) -> bytes:
    return octets[span.offset : span.offset + span.length]
