"""Who is checked when: one task for each backend, none of which waits for another.

    monitor = Monitor(controller.set_health, controller.events)
    monitor.update(controller.config)    # again after each change of the configuration
    await monitor.run()                  # until cancelled

A backend's first check comes at a random moment of its first interval, and every further one an interval
after the one before began, so that a thousand backends are asked evenly over time. Each result goes through
`rise_fall`; a verdict that changes is reported, with the results that led to it.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from controller.events import EventLog, Kind, Severity
from controller.health import checks
from controller.health.checks import CheckFailed, CheckNotMade, Target
from controller.health.rise_fall import Health, RiseFall
from controller.model import Config, HttpCheck, NoCheck, TcpCheck, check_port
from controller.values import Address

logger = logging.getLogger("sluice.health")

CONCURRENCY = 500
"""Checks under way at once. Each needs a descriptor, of which a process commonly has 1024."""

COMPLAINT_INTERVAL = 60.0
"""Seconds between two events about the same trouble with the checks themselves."""

HURRIED_INTERVAL = 0.02
"""Seconds from the beginning of a hurried check to the next."""

Report = Callable[[str, str, bool, str], None]
"""Takes pool, backend, whether it is healthy, and why."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What is asked of one backend."""

    pool: str
    backend: str
    target: Target
    check: TcpCheck | HttpCheck

    @property
    def name(self) -> str:
        return f"{self.pool}/{self.backend}"


def watches(config: Config) -> Iterator[Watch]:
    """Every backend that can be checked, whatever its administrative state.

    So a backend that was disabled has a verdict on the day it is enabled. One whose port nobody names yet
    (its pool has no VIP) cannot be checked.
    """
    for pool in config.pools:
        if isinstance(pool.health, NoCheck):
            continue
        for backend in pool.backends:
            if port := check_port(config, pool, backend):
                target = Target(backend.address, port, _source(config, backend.address))
                yield Watch(pool.name, backend.name, target, pool.health)


def _source(config: Config, address: Address) -> Address | None:
    """The address to ask `address` from: the first health source of its family."""
    return next((source for source in config.health_sources if source.version == address.version), None)


async def ask(watch: Watch) -> str:
    """One check, within its time limit; returns what was seen, or raises CheckError."""
    match watch.check:
        case TcpCheck():
            check = checks.tcp(watch.target)
        case HttpCheck(path=path, host=host, status=statuses):
            check = checks.http(watch.target, path=path, host=host, statuses=statuses)
    return await checks.within(watch.check.timeout, check)


@dataclass(slots=True)
class _Checked:
    """One backend under watch."""

    watch: Watch
    state: RiseFall
    task: asyncio.Task[None] | None = None
    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    hurried: int = 0
    """Checks that are to follow each other at once."""


class Monitor:
    """Checks all backends of a configuration for as long as it runs.

    `way_is_clear` says whether packets can reach the backends at all. While they cannot, failed checks count
    for nothing: the switch between us and the backends may be empty, or gone, and if we held that against
    them all would be down, and lose their connections, when it comes back.
    """

    def __init__(
        self,
        report: Report,
        events: EventLog,
        *,
        way_is_clear: Callable[[], bool] = lambda: True,
        ask: Callable[[Watch], Awaitable[str]] = ask,
        first_delay: Callable[[float], float] = lambda interval: random.uniform(0, interval),
        concurrency: int = CONCURRENCY,
    ) -> None:
        self._report = report
        self._events = events
        self._way_is_clear = way_is_clear
        self._ask = ask
        self._first_delay = first_delay
        self._concurrency = concurrency
        self._slots = asyncio.Semaphore(concurrency)
        self._checked: dict[str, _Checked] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._complaints: dict[str, float] = {}

    async def run(self) -> None:
        """Checks until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            for checked in self._checked.values():
                self._start(checked)
            await asyncio.Event().wait()

    def update(self, config: Config) -> None:
        """Watches what `config` wants watched from now on.

        A backend whose address, port and kind of check stay keeps its verdict and count; one that is new, or
        asked otherwise, begins anew.
        """
        wanted = {watch.name: watch for watch in watches(config)}
        for name in self._checked.keys() - wanted.keys():
            self._stop(self._checked.pop(name))
        for name, watch in wanted.items():
            before = self._checked.get(name)
            if before and before.watch == watch:
                continue
            state = RiseFall()
            if before:
                self._stop(before)
                if _same_question(before.watch, watch):
                    state = before.state
            self._checked[name] = checked = _Checked(watch, state)
            if self._tasks:
                self._start(checked)

    def hurry(self, pool: str, backend: str) -> None:
        """Somebody else takes the backend for dead: checks it at once, as often as makes a verdict."""
        if checked := self._checked.get(f"{pool}/{backend}"):
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
        interval = checked.watch.check.interval
        due = now() + self._first_delay(interval)
        while True:
            await _until(due, checked.hurry)
            full = self._slots.locked()
            async with self._slots:
                began = now()
                if full and began - due > interval:
                    self._complain("checks run late", f"{self._concurrency} are under way already")
                await self._check_once(checked)
            checked.hurried = max(0, checked.hurried - 1)
            due = began + (min(HURRIED_INTERVAL, interval) if checked.hurried else interval)

    async def _check_once(self, checked: _Checked) -> None:
        watch, clear = checked.watch, self._way_is_clear()
        try:
            passed, seen = True, await self._ask(watch)
        except CheckFailed as failure:
            if not (clear and self._way_is_clear()):
                return
            passed, seen = False, str(failure)
        except CheckNotMade as trouble:
            self._complain("checks cannot be made, the last verdicts stay", str(trouble))
            return
        except Exception as error:
            # A mistake of ours that one backend's odd answer has brought to light must not end all checks.
            logger.exception("check of %s", watch.name)
            self._complain(f"the check of {watch.name} broke, its last verdict stays", repr(error))
            return
        before, settings = checked.state, watch.check
        checked.state = before.after(passed, rise=settings.rise, fall=settings.fall)
        if checked.state.health == before.health:
            return
        count = settings.rise if passed else settings.fall
        reason = f"{count} of {count} checks {'passed' if passed else 'failed'}: {seen}"
        self._report(watch.pool, watch.backend, checked.state.health == Health.HEALTHY, reason)

    def _complain(self, text: str, cause: str) -> None:
        """Records that the checks themselves are in trouble, at most once a minute for each trouble."""
        now = asyncio.get_running_loop().time()
        trouble = f"{text}: {cause}"
        if now - self._complaints.get(trouble, -COMPLAINT_INTERVAL) >= COMPLAINT_INTERVAL:
            self._complaints[trouble] = now
            self._events.record(Kind.HEALTH, "health checks", text, cause, Severity.ERROR)


async def _until(due: float, event: asyncio.Event) -> None:
    """Waits for a moment of the loop's clock, or for an event, which is taken."""
    try:
        async with asyncio.timeout_at(due):
            await event.wait()
    except TimeoutError:
        return
    event.clear()


def _same_question(before: Watch, after: Watch) -> bool:
    """Whether the answers to `before` say something about `after`."""
    return (before.target.address, before.target.port, before.check.type) == (
        after.target.address,
        after.target.port,
        after.check.type,
    )
