"""One pool's buckets: who has each, as arrays, and how they are kept on disk."""

import struct
import zlib
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from controller.apportion import NOBODY, Identities, Mask, grow
from controller.errors import StoreError
from controller.model import MAX_BUCKETS

SHARED_SLOT = 0
"""The counters that moving buckets share for which none of their own was left."""

Seconds = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Buckets:
    """Arrays with one element per bucket; never changed in place.

    `current` has new flows, `previous` those that began before the bucket moved, `standby` is next should
    `current` fail. While they differ the bucket is moving: `motion` is then its slot in the counters of
    moving buckets, and `began` the time (seconds since the epoch) since when; both are 0 in a settled one.
    """

    current: Identities
    previous: Identities
    standby: Identities
    motion: NDArray[np.uint16]
    began: Seconds

    @classmethod
    def of_nobody(cls, count: int) -> Self:
        nobody = np.full(count, NOBODY, dtype=np.uint32)
        return cls(nobody, nobody, nobody, np.full(count, SHARED_SLOT, np.uint16), np.zeros(count))

    def __len__(self) -> int:
        return len(self.current)

    @property
    def moving(self) -> Mask:
        return self.previous != self.current

    def grown(self) -> "Buckets":
        """Twice the buckets. The new half of a moving bucket needs a slot of its own, and has none yet."""
        return Buckets(
            grow(self.current),
            grow(self.previous),
            grow(self.standby),
            np.concatenate([self.motion, np.full(len(self), SHARED_SLOT, np.uint16)]),
            np.concatenate([self.began, self.began]),
        )

    def to_bytes(self) -> bytes:
        owners = (self.current, self.previous, self.standby)
        body = b"".join(
            (
                *(owner.astype(_OWNERS[_MAGIC]).tobytes() for owner in owners),
                self.motion.astype(_MOTION).tobytes(),
                self.began.astype(_BEGAN).tobytes(),
            )
        )
        return _HEADER.pack(_MAGIC, len(self)) + zlib.compress(body, level=1)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises StoreError when `data` is not what `to_bytes` returned, or did when numbers had 16 bits."""
        try:
            magic, count = _HEADER.unpack_from(data)
            body = zlib.decompress(data[_HEADER.size :])
        except (struct.error, zlib.error) as error:
            raise StoreError(f"the stored buckets of a pool are damaged: {error}") from None
        owner = _OWNERS.get(magic, _OWNERS[_MAGIC])
        size = (3 * owner.itemsize + _MOTION.itemsize + _BEGAN.itemsize) * count
        if magic not in _OWNERS or count & (count - 1) or not 0 < count <= MAX_BUCKETS or len(body) != size:
            raise StoreError(
                f"the stored buckets of a pool are damaged: {count} of them in {len(body)} bytes"
            )
        owners = np.frombuffer(body, owner, 3 * count).reshape(3, count).astype(np.uint32)
        motion = np.frombuffer(body, _MOTION, count, offset=3 * owner.itemsize * count).astype(np.uint16)
        began = np.frombuffer(body, _BEGAN, offset=size - _BEGAN.itemsize * count).astype(np.float64)
        return cls(owners[0], owners[1], owners[2], motion, began)


_HEADER = struct.Struct("<4sI")
_MAGIC = b"slb2"
_OWNERS = {b"slb1": np.dtype("<u2"), _MAGIC: np.dtype("<u4")}
_MOTION, _BEGAN = np.dtype("<u2"), np.dtype("<f8")
