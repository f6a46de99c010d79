"""The flows that the switch has recorded as exceptions: its registers, read (p4src/exceptions.p4).

A switch that lets nobody read registers (BMv2 does not, by P4Runtime) says nothing: then nothing is known.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controller.apportion import NOBODY
from controller.assignment import Assignment
from controller.errors import CallFailed
from controller.model import Config
from controller.program import EMBRYONIC_TICKS, EXCEPTION_WAYS, ROUNDS, ticks
from controller.report import Recorded
from controller.values import LAST_BACKEND
from controller.wire import Connection

TICK_BITS = 14
OWNER_SHIFT = 16
MICROSECONDS_BITS = 32
LAST_TICK = (1 << TICK_BITS) - 1
LONGEST_ROUND = 64
"""Ticks: more than a round lasts, whose beginning is the clock."""


@dataclass(frozen=True, slots=True)
class Slots:
    """What the registers hold: a value for each place; and the clock in ticks, None if nobody knows."""

    values: NDArray[np.uint64]
    now: int | None


async def read(switch: Connection, *, clocked: bool) -> Slots | None:
    """None when the switch does not let its registers be read. `clocked`: probe rounds are begun."""
    try:
        ways = [await switch.register(name) for name in EXCEPTION_WAYS]
        (clock,) = await switch.register(ROUNDS)
    except CallFailed:
        return None
    # A tick is 2^18 us, so its 14 bits are the highest of the 32 that the round's beginning has.
    now = (clock & ((1 << MICROSECONDS_BITS) - 1)) >> (MICROSECONDS_BITS - TICK_BITS)
    return Slots(
        np.array([value for way in ways for value in way], dtype=np.uint64), now if clocked else None
    )


def count(slots: Slots, idle_ticks: Mapping[int, int], time: float) -> Recorded:
    """Of places whose owner has `idle_ticks` (by its number), those whose flow is not over."""
    values = slots.values
    owners = (values >> np.uint64(OWNER_SHIFT) & np.uint64(LAST_BACKEND)).astype(np.int64)
    alive = owners != NOBODY
    if slots.now is not None:
        silent = (slots.now - (values & np.uint64(LAST_TICK)).astype(np.int64)) & LAST_TICK
        silent[silent > LAST_TICK - LONGEST_ROUND] = 0  # its latest packet came after the clock was told
        limits = np.full(LAST_BACKEND + 1, LAST_TICK, dtype=np.int64)
        limits[list(idle_ticks)] = list(idle_ticks.values())
        confirmed = values >> np.uint64(TICK_BITS) & np.uint64(1) == 1
        alive &= silent <= np.where(confirmed, limits[owners], EMBRYONIC_TICKS)
    numbers, counts = np.unique(owners[alive], return_counts=True)
    return Recorded(
        time=time,
        used=int(alive.sum()),
        room=len(values),
        exact=slots.now is not None,
        by_backend=dict(zip(numbers.tolist(), counts.tolist(), strict=True)),
    )


def idle_ticks(config: Config, assignment: Assignment) -> dict[int, int]:
    """After how many ticks of silence a flow of each backend is over."""
    return {
        number: ticks(pool.idle_timeout)
        for pool in config.pools
        if pool.name in assignment.pools
        for number in assignment.pools[pool.name].backends
    }
