"""Revisions of the desired state: apart from the store, since the command line knows them and no database."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Revision:
    """One state of the configuration. `number` counts from 1; `time` is in seconds since the epoch."""

    number: int
    time: float
    who: str
    what: str
