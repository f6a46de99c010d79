"""The switch's time, which P4 programs see as timestamps: microseconds since the switch began.

Everything in the process counts from the same instant, so that the time of a packet and of a table's change
can be compared.
"""

import time
from datetime import UTC, datetime, timedelta

BEGAN = time.monotonic_ns()
"""Time 0, of CLOCK_MONOTONIC."""


def microseconds() -> int:
    return (time.monotonic_ns() - BEGAN) // 1000


def wall_clock(at: int) -> datetime:
    """When that was, for people."""
    return datetime.now(UTC) - timedelta(microseconds=microseconds() - at)
