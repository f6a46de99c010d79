"""From the results of checks to verdicts about backends.

    monitor = Monitor(controller.set_health, controller.events, CheckProcess())
    monitor.update(controller.config)    # again after each change of the configuration
    await monitor.run()                  # until cancelled

Somebody else makes the checks (`Checker`): the daemon a process of its own (`process`), so that thousands of
checks a second delay nothing here. Each result goes through `rise_fall`; a verdict that changes is reported,
with the results that led to it.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from controller.events import EventLog, Kind, Severity
from controller.health.checks import Target, Watch
from controller.health.rise_fall import Health, RiseFall
from controller.health.schedule import Seen, Tell, Trouble
from controller.health.settings import NoCheck, Portless
from controller.model import Config, check_port
from controller.values import Address

COMPLAINT_INTERVAL = 60.0
"""Seconds between two events about the same trouble with the checks themselves."""

LOOK_AT_THE_WAY = 0.05
"""Seconds between two looks whether the way to the backends is clear; a switch is never away for so short."""

now = time.monotonic

Report = Callable[[str, str, bool, str], None]
"""Takes pool, backend, whether it is healthy, and why."""


class Checker(Protocol):
    """Makes the checks: `schedule.Schedule`, here or in a process of its own."""

    def watch(self, *, gone: Iterable[str], new: Iterable[Watch]) -> None: ...

    def hurry(self, name: str) -> None: ...

    async def run(self, tell: Tell) -> None: ...


def watches(config: Config) -> Iterator[Watch]:
    """Every backend that can be checked, whatever its administrative state.

    So a backend that was disabled has a verdict on the day it is enabled. One whose port nobody names yet
    (its pool has no VIP) cannot be checked, if the check needs one.
    """
    for pool in config.pools:
        if isinstance(pool.health, NoCheck):
            continue
        for backend in pool.backends:
            port = check_port(config, pool, backend)
            if port or isinstance(pool.health, Portless):
                target = Target(backend.address, port, _source(config, backend.address))
                yield Watch(pool.name, backend.name, target, pool.health)


def _source(config: Config, address: Address) -> Address | None:
    """The address to ask `address` from: the first health source of its family."""
    return next((source for source in config.health_sources if source.version == address.version), None)


@dataclass(slots=True)
class _Watched:
    """One backend, and what is known about it."""

    watch: Watch
    state: RiseFall
    since: float
    """What began earlier was asked otherwise."""


class Monitor:
    """Gives verdicts on all backends of a configuration for as long as it runs.

    `way_is_clear` says whether packets can reach the backends at all. While they cannot, failed checks count
    for nothing: the switch between us and the backends may be empty, or gone, and if we held that against
    them all would be down, and lose their connections, when it comes back.
    """

    def __init__(
        self,
        report: Report,
        events: EventLog,
        checker: Checker,
        *,
        way_is_clear: Callable[[], bool] = lambda: True,
    ) -> None:
        self._report = report
        self._events = events
        self._checker = checker
        self._way_is_clear = way_is_clear
        self._clear_since: float | None = None
        self._watched: dict[str, _Watched] = {}
        self._complaints: dict[Trouble, float] = {}

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._look_at_the_way())
            tasks.create_task(self._checker.run(self._take))

    def update(self, config: Config) -> None:
        """Watches what `config` wants watched from now on.

        A backend whose address, port and kind of check stay keeps its verdict and count; one that is new, or
        asked otherwise, begins anew.
        """
        wanted = {watch.name: watch for watch in watches(config)}
        gone = self._watched.keys() - wanted.keys()
        for name in gone:
            del self._watched[name]
        new = []
        for name, watch in wanted.items():
            before = self._watched.get(name)
            if before and before.watch == watch:
                continue
            if before and _same_question(before.watch, watch):
                before.watch = watch
            else:
                self._watched[name] = _Watched(watch, RiseFall(), now())
            new.append(watch)
        self._checker.watch(gone=gone, new=new)

    def hurry(self, pool: str, backend: str) -> None:
        """Somebody else takes the backend for dead: checks it at once, as often as makes a verdict."""
        self._checker.hurry(f"{pool}/{backend}")

    async def _look_at_the_way(self) -> None:
        while True:
            self._clear(now())
            await asyncio.sleep(LOOK_AT_THE_WAY)

    def _clear(self, began: float) -> bool:
        """Whether the way has been clear from `began` until now."""
        if not self._way_is_clear():
            self._clear_since = None
            return False
        if self._clear_since is None:
            self._clear_since = now()
        return self._clear_since <= began

    def _take(self, news: Seen | Trouble) -> None:
        if isinstance(news, Trouble):
            self._complain(news)
            return
        watched = self._watched.get(news.name)
        if watched is None or news.began < watched.since or not (news.passed or self._clear(news.began)):
            return
        watch, before = watched.watch, watched.state
        settings = watch.check
        watched.state = before.after(news.passed, rise=settings.rise, fall=settings.fall)
        if watched.state.health == before.health:
            return
        count = settings.rise if news.passed else settings.fall
        reason = f"{count} of {count} checks {'passed' if news.passed else 'failed'}: {news.text}"
        self._report(watch.pool, watch.backend, watched.state.health == Health.HEALTHY, reason)

    def _complain(self, trouble: Trouble) -> None:
        """Records that the checks themselves are in trouble, at most once a minute for each trouble."""
        moment = now()
        self._complaints = {
            known: since for known, since in self._complaints.items() if moment - since < COMPLAINT_INTERVAL
        }
        if trouble not in self._complaints:
            self._complaints[trouble] = moment
            self._events.record(Kind.HEALTH, "health checks", trouble.text, trouble.cause, Severity.ERROR)


def _same_question(before: Watch, after: Watch) -> bool:
    """Whether the answers to `before` say something about `after`."""
    return (before.target.address, before.target.port, before.check.type) == (
        after.target.address,
        after.target.port,
        after.check.type,
    )
