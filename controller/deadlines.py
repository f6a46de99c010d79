"""Drains that are to be over at some time: the daemon keeps it, whoever asked for it and has gone.

A deadline is part of the configuration, so it survives restarts, and a standby that takes over has it, too.
It has passed when the clock on the wall says so *and* so much time has gone by, as far as we have seen it: a
clock that is set forward must not cut flows an hour early, and what is late can be done by hand.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from controller.controller import Controller
from controller.errors import InvalidConfig, NotActive, Problem, SluiceError
from controller.events import Kind, Severity
from controller.model import AtDeadline, Backend, Config, Deadline, State, change_backend, with_backends
from controller.report import Role, flows_left
from controller.values import format_moment

LOOK = 1.0
"""Seconds between two looks at the clocks, while there is a deadline."""

PATIENCE = 2.0
"""Seconds that counting the flows that are left may take."""


class Drain(NamedTuple):
    """One that has a deadline."""

    pool: str
    backend: str
    deadline: Deadline

    @property
    def name(self) -> str:
        return f"{self.pool}/{self.backend}"


class Deadlines:
    """Does at each deadline what it asks for, while this controller is the one that decides."""

    def __init__(
        self,
        controller: Controller,
        *,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._controller, self._wall, self._clock = controller, wall, clock
        self._not_before: dict[Drain, float] = {}
        """By `clock`, the time that a deadline had left when it was first seen."""
        self._told: dict[Drain, str] = {}
        self._news = asyncio.Event()
        controller.on_config(lambda _: self._news.set())

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._news.clear()
            await self.look()
            try:
                async with asyncio.timeout(LOOK if self._not_before else None):
                    await self._news.wait()
            except TimeoutError:
                pass

    async def look(self) -> None:
        """Ends the drains whose deadline has passed by now."""
        drains = [*drains_with_deadline(self._controller.config)]
        self._follow(drains)
        if self._controller.switch_report().role not in (Role.ALONE, Role.ACTIVE):
            return
        for drain in drains:
            if self._has_passed(drain):
                try:
                    await self._end(drain)
                except NotActive:
                    return  # the other one of the pair may decide by now
                except SluiceError as error:
                    self._tell(drain, "its deadline has passed, and could not be kept", str(error))

    def _follow(self, drains: list[Drain]) -> None:
        now, ahead = self._clock(), self._wall()
        self._not_before = {
            drain: self._not_before.get(drain, now + drain.deadline.at.timestamp() - ahead)
            for drain in drains
        }
        self._told = {drain: text for drain, text in self._told.items() if drain in self._not_before}

    def _has_passed(self, drain: Drain) -> bool:
        return self._wall() >= drain.deadline.at.timestamp() and self._clock() >= self._not_before[drain]

    async def _end(self, drain: Drain) -> None:
        if drain.deadline.then is AtDeadline.KEEP and drain in self._told:
            return
        drained, left = await self._left(drain)
        if drain.deadline.then is AtDeadline.KEEP:
            kept = "the deadline of its drain has passed: it has drained"
            if not drained:
                kept = f"the deadline of its drain has passed with {left}"
            cause = "" if drained else "they go on, and so does the drain"
            self._tell(drain, kept, cause, Severity.INFO if drained else Severity.WARNING)
            return
        before = self._controller.revision.number
        await self._controller.change(
            f"backend {drain.name}: disabled at its deadline", drain_ended(drain), who="deadline", wait=0
        )
        if self._controller.revision.number != before:
            cause = "it had drained" if drained else f"this cut {left}"
            severity = Severity.INFO if drained else Severity.WARNING
            self._tell(drain, "is disabled: the deadline of its drain has passed", cause, severity)

    async def _left(self, drain: Drain) -> tuple[bool, str]:
        """Whether it has drained, and how many flows are left. A switch that hangs is not waited for."""
        try:
            async with asyncio.timeout(PATIENCE):
                report = await self._controller.draining(drain.pool, drain.backend)
        except TimeoutError:
            return False, "what was left (the switch did not say in time how much)"
        return report.drained, flows_left(report)

    def _tell(self, drain: Drain, text: str, cause: str, severity: Severity = Severity.ERROR) -> None:
        """An event, unless it was the last that was told of this drain."""
        if self._told.get(drain) != text + cause:
            self._told[drain] = text + cause
            self._controller.events.record(Kind.CHANGE, drain.name, text, cause, severity)


def drain_ended(drain: Drain) -> Callable[[Config], Config]:
    """Disables the backend, unless the drain was called off, or has another deadline meanwhile."""

    def edit(config: Config) -> Config:
        if drain not in drains_with_deadline(config):
            return config
        return change_backend(config, drain.pool, drain.backend, state=State.DISABLED)

    return edit


def drains_with_deadline(config: Config) -> list[Drain]:
    return [
        Drain(pool.name, backend.name, backend.deadline)
        for pool in config.pools
        for backend in pool.backends
        if backend.deadline
    ]


def refuse_passed_deadlines(before: Config, after: Config, now: datetime) -> None:
    """Raises InvalidConfig for deadlines that a change brings when they have passed already."""
    known = {*drains_with_deadline(before)}
    problems = [
        Problem(
            f"pools[{drain.pool}].backends[{drain.backend}].deadline.at",
            f"is {format_moment(drain.deadline.at)}, which has passed",
        )
        for drain in drains_with_deadline(after)
        if drain.deadline.at < now and drain not in known
    ]
    if problems:
        raise InvalidConfig(problems)


def without_passed_deadlines(config: Config, now: datetime) -> Config:
    """A configuration of the past, as it can be in force now: drains go on, and nothing is cut at once."""
    for drain in drains_with_deadline(config):
        if drain.deadline.at < now:
            config = _without_deadline(config, drain)
    return config


def _without_deadline(config: Config, drain: Drain) -> Config:
    def freed(backend: Backend) -> Backend:
        return backend.model_copy(update={"deadline": None}) if backend.name == drain.backend else backend

    return with_backends(config, drain.pool, map(freed, config.pool(drain.pool).backends))
