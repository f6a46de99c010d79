"""What must outlive the controller: revisions of the desired state, identities, buckets."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Revision:
    """One state of the configuration. `number` counts from 1; `time` is in seconds since the epoch."""

    number: int
    time: float
    who: str
    what: str


class Store:
    """Placeholder of the protocol; filled in by the next commit."""
