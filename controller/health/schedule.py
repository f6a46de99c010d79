"""Who is checked when: one task for each backend, none of which waits for another.

    schedule = Schedule(asker.ask)
    schedule.watch(gone=(), new=watches)
    await schedule.run(tell)             # until cancelled

A backend's first check comes at some moment of its first interval, and every further one about an interval
after the one before began: so many backends are asked evenly over time. Both are drawn by the backend's name,
so a schedule can be foretold, and no two go in step.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

from controller.health.checks import CheckFailed, CheckNotMade, Watch

logger = logging.getLogger("sluice.health")

CONCURRENCY = 4000
"""Checks under way at once, if there are descriptors for them."""

HURRIED_INTERVAL = 0.02
"""Seconds from the beginning of a hurried check to the next."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of one check, begun at `began` (the machine's monotonic clock, which processes share)."""

    name: str
    began: float
    passed: bool
    text: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """The checks themselves are in trouble; no verdict follows from it."""

    text: str
    cause: str


Tell = Callable[[Seen | Trouble], None]


def fraction(name: str, number: int) -> float:
    """From 0 to 1: the same for the same name and number, and as good as random otherwise."""
    drawn = blake2b(f"{name} {number}".encode(), digest_size=8).digest()
    return int.from_bytes(drawn) / 2**64


@dataclass(slots=True)
class _Checked:
    """One backend under watch."""

    watch: Watch
    task: asyncio.Task[None] | None = None
    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    hurried: int = 0
    """Checks that are to follow each other at once."""
    passes: int = 0
    """In a row, as far as they were told."""


class Schedule:
    """Checks whom it is to watch for as long as it runs.

    It tells of every failed check, and of passed ones until `rise` of them in a row have been told: more of
    them are no news. So those who listen have little to do while all is well.
    """

    def __init__(
        self,
        ask: Callable[[Watch], Awaitable[str]],
        *,
        draw: Callable[[str, int], float] = fraction,
        concurrency: int = CONCURRENCY,
    ) -> None:
        self._ask = ask
        self._draw = draw
        self._concurrency = concurrency
        self._slots = asyncio.Semaphore(concurrency)
        self._checked: dict[str, _Checked] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._tell: Tell = lambda news: None

    async def run(self, tell: Tell) -> None:
        """Checks until cancelled."""
        self._tell = tell
        async with asyncio.TaskGroup() as self._tasks:
            for checked in self._checked.values():
                self._start(checked)
            await asyncio.Event().wait()

    def watch(self, *, gone: Iterable[str], new: Iterable[Watch]) -> None:
        """`gone` are names. A `new` watch takes the place of one of its name, and begins anew."""
        for name in gone:
            self._stop(self._checked.pop(name))
        for watch in new:
            if before := self._checked.get(watch.name):
                self._stop(before)
            self._checked[watch.name] = checked = _Checked(watch)
            if self._tasks:
                self._start(checked)

    def hurry(self, name: str) -> None:
        """Checks the backend at once, as often as makes a verdict."""
        if checked := self._checked.get(name):
            checked.hurried = checked.watch.check.fall
            checked.hurry.set()

    def _start(self, checked: _Checked) -> None:
        assert self._tasks
        checked.task = self._tasks.create_task(self._check(checked), name=f"health {checked.watch.name}")

    @staticmethod
    def _stop(checked: _Checked) -> None:
        if checked.task:
            checked.task.cancel()

    async def _check(self, checked: _Checked) -> None:
        """Checks one backend again and again."""
        now = asyncio.get_running_loop().time
        name, interval, jitter = checked.watch.name, checked.watch.check.interval, checked.watch.check.jitter
        due = now() + interval * self._draw(name, 0)
        number = 0
        while True:
            await _until(due, checked.hurry)
            full = self._slots.locked()
            async with self._slots:
                began = now()
                if full and began - due > interval:
                    self._tell(Trouble("checks run late", f"{self._concurrency} are under way already"))
                await self._check_once(checked, began)
            number += 1
            checked.hurried = max(0, checked.hurried - 1)
            varied = interval * (1 + jitter * (2 * self._draw(name, number) - 1))
            due = began + (min(HURRIED_INTERVAL, interval) if checked.hurried else varied)

    async def _check_once(self, checked: _Checked, began: float) -> None:
        watch = checked.watch
        try:
            passed, text = True, await self._ask(watch)
        except CheckFailed as failure:
            passed, text = False, str(failure)
        except CheckNotMade as trouble:
            self._tell(Trouble("checks cannot be made, the last verdicts stay", str(trouble)))
            return
        except Exception as error:
            # A mistake of ours that one backend's odd answer has brought to light must not end all checks.
            logger.exception("check of %s", watch.name)
            self._tell(Trouble(f"the check of {watch.name} broke, its last verdict stays", repr(error)))
            return
        checked.passes = checked.passes + 1 if passed else 0
        if checked.passes <= watch.check.rise:
            self._tell(Seen(watch.name, began, passed, text))


async def _until(due: float, hurry: asyncio.Event) -> None:
    """Waits until `due`, or until it is to be sooner."""
    loop = asyncio.get_running_loop()
    waker = loop.call_at(due, hurry.set)
    try:
        await hurry.wait()
    finally:
        waker.cancel()
    hurry.clear()
