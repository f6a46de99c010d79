"""The monitor: whom it asks, that nobody waits for another, and what it reports."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address

import pytest

from controller.events import EventLog, Severity
from controller.health.checks import CheckFailed, CheckNotMade, Target, Watch
from controller.health.monitor import Monitor, watches
from controller.health.schedule import CONCURRENCY, Schedule
from controller.model import Backend, Config, change_backend, remove_backend

PATIENT = 10.0
"""Seconds; what takes this long will not happen any more."""

Later = asyncio.Future[str]
Verdict = tuple[str, str, bool, str]


def config(*backends: str, check: dict[str, object] | None = None, **more: object) -> Config:
    """A pool `web` of these backends, checked every 10 ms."""
    health = {"type": "tcp", "interval": 0.01, "timeout": 0.5, "rise": 2, "fall": 3} | (check or {})
    return Config.model_validate(
        {
            "switch": {"mac": "02:00:00:00:00:01"},
            "interfaces": [{"name": "servers", "ports": [1], "addresses": ["10.0.1.1/24", "fd00::1/64"]}],
            "pools": [
                {
                    "name": "web",
                    "health": health,
                    "backends": [
                        {"name": name, "address": f"10.0.1.{number}", "port": 8080}
                        for number, name in enumerate(backends, 11)
                    ],
                }
            ],
        }
        | more
    )


class Servers:
    """Backends that answer as they are told: a text (passes), an error (is raised), or one of these later."""

    def __init__(self) -> None:
        self.answers: dict[str, str | Exception | Later] = defaultdict(lambda: "fine")
        self.asked: Counter[str] = Counter()
        self.under_way = 0
        self.most_under_way = 0
        self._news = asyncio.Event()

    async def ask(self, watch: Watch) -> str:
        self.asked[watch.backend] += 1
        self._tell()
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            match self.answers[watch.backend]:
                case str() as text:
                    return text
                case Exception() as error:
                    raise error
                case later:
                    return await asyncio.shield(later)
        finally:
            self.under_way -= 1

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits for a condition that is examined after each check."""
        async with asyncio.timeout(PATIENT):
            while not condition():
                await self._news.wait()

    async def until_asked_again(self, name: str, times: int = 1) -> None:
        """Waits until that many more checks of a backend are over."""
        goal = self.asked[name] + times + 1
        await self.until(lambda: self.asked[name] >= goal)

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class Trial:
    """A monitor, its servers, and what it said."""

    def __init__(
        self,
        start: Config,
        way_is_clear: Callable[[], bool] = lambda: True,
        concurrency: int = CONCURRENCY,
        draw: Callable[[str, int], float] = lambda name, number: 0.0,
    ) -> None:
        self.servers = Servers()
        self.verdicts: list[Verdict] = []
        self.events = EventLog()
        self.monitor = Monitor(
            lambda *verdict: self.verdicts.append(verdict),
            self.events,
            Schedule(self.servers.ask, draw=draw, concurrency=concurrency),
            way_is_clear=way_is_clear,
        )
        self.monitor.update(start)

    async def until_verdicts(self, count: int) -> list[Verdict]:
        await self.servers.until(lambda: len(self.verdicts) >= count)
        return self.verdicts


@asynccontextmanager
async def running(trial: Trial) -> AsyncIterator[Trial]:
    task = asyncio.create_task(trial.monitor.run())
    try:
        yield trial
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_verdicts_come_with_their_reason() -> None:
    async with running(Trial(config("b1", "b2"))) as trial:
        trial.servers.answers["b2"] = CheckFailed("connection refused")
        await trial.until_verdicts(2)
        trial.servers.answers["b2"] = "connected"
        await trial.until_verdicts(3)
        trial.servers.answers["b1"] = CheckFailed("no answer within 500 ms")
        await trial.until_verdicts(4)
    assert trial.verdicts == [
        ("web", "b1", True, "2 of 2 checks passed: fine"),
        ("web", "b2", False, "3 of 3 checks failed: connection refused"),
        ("web", "b2", True, "2 of 2 checks passed: connected"),
        ("web", "b1", False, "3 of 3 checks failed: no answer within 500 ms"),
    ]


async def test_a_verdict_is_reported_once() -> None:
    async with running(Trial(config("b1"))) as trial:
        await trial.servers.until_asked_again("b1", 10)
    assert len(trial.verdicts) == 1


async def test_a_check_that_hangs_delays_nobody() -> None:
    names = [f"b{number}" for number in range(1, 21)]
    async with running(Trial(config(*names))) as trial:
        for name in names[:10]:
            trial.servers.answers[name] = Later()
        await trial.until_verdicts(10)
        await trial.servers.until_asked_again("b20", 5)
        assert {verdict[1] for verdict in trial.verdicts} == set(names[10:])
        assert all(trial.servers.asked[name] == 1 for name in names[:10])


async def test_no_more_checks_at_once_than_allowed_and_it_says_so() -> None:
    async with running(Trial(config("b1", "b2", "b3", "b4"), concurrency=2)) as trial:
        slow = Later()
        for name in ("b1", "b2", "b3", "b4"):
            trial.servers.answers[name] = slow
        await trial.servers.until(lambda: trial.servers.under_way >= 2)
        await asyncio.sleep(0.05)
        assert trial.servers.most_under_way == 2
        slow.set_result("fine, at last")
        await trial.until_verdicts(4)
        assert trial.servers.most_under_way == 2
    late = trial.events.since()
    assert [(event.text, event.cause) for event in late] == [("checks run late", "2 are under way already")]


async def test_what_is_our_own_fault_changes_no_verdict_and_is_told_once() -> None:
    async with running(Trial(config("b1", "b2"))) as trial:
        await trial.until_verdicts(2)
        for name in ("b1", "b2"):
            trial.servers.answers[name] = CheckNotMade("cannot ask from 10.255.0.2: no such address")
        await trial.servers.until_asked_again("b1", 5)
        trial.servers.answers["b1"] = CheckFailed("connection refused")
        await trial.until_verdicts(3)
    assert [verdict[1:3] for verdict in trial.verdicts] == [("b1", True), ("b2", True), ("b1", False)]
    assert [(event.severity, event.text, event.cause) for event in trial.events.since()] == [
        (
            Severity.ERROR,
            "checks cannot be made, the last verdicts stay",
            "cannot ask from 10.255.0.2: no such address",
        )
    ]


async def test_failures_count_for_nothing_while_the_way_is_not_clear() -> None:
    clear = False
    async with running(Trial(config("b1", "b2"), way_is_clear=lambda: clear)) as trial:
        trial.servers.answers["b2"] = CheckFailed("no route to host")
        await trial.until_verdicts(1)
        await trial.servers.until_asked_again("b2", 5)
        assert [verdict[1:3] for verdict in trial.verdicts] == [("b1", True)]
        clear = True
        await trial.until_verdicts(2)
        assert trial.verdicts[1][1:3] == ("b2", False)


async def test_a_check_that_began_before_the_way_was_clear_does_not_count() -> None:
    clear = False
    async with running(Trial(config("b1", check={"fall": 1}), way_is_clear=lambda: clear)) as trial:
        first = trial.servers.answers["b1"] = Later()
        await trial.servers.until(lambda: trial.servers.under_way == 1)
        clear = True
        trial.servers.answers["b1"] = CheckFailed("connection refused")
        first.set_exception(CheckFailed("no route to host"))
        await trial.until_verdicts(1)
    assert trial.verdicts == [("web", "b1", False, "1 of 1 checks failed: connection refused")]


async def test_a_mistake_of_ours_ends_neither_that_check_nor_the_others() -> None:
    async with running(Trial(config("b1", "b2"))) as trial:
        trial.servers.answers["b1"] = KeyError("oops")
        await trial.until_verdicts(1)
        trial.servers.answers["b1"] = "fine"
        await trial.until_verdicts(2)
    assert [verdict[1] for verdict in trial.verdicts] == ["b2", "b1"]
    assert [event.text for event in trial.events.since()] == [
        "the check of web/b1 broke, its last verdict stays"
    ]


async def test_backends_come_and_go() -> None:
    two = config("b1", "b2")
    async with running(Trial(two)) as trial:
        await trial.until_verdicts(2)
        trial.monitor.update(config("b1", "b2", "b3"))
        await trial.until_verdicts(3)
        trial.monitor.update(remove_backend(config("b1", "b2", "b3"), "web", "b2"))
        asked = trial.servers.asked["b2"]
        await trial.servers.until_asked_again("b3", 3)
    assert trial.verdicts[2][1] == "b3"
    assert trial.servers.asked["b2"] == asked


async def test_a_changed_timing_keeps_the_verdict_and_the_count() -> None:
    async with running(Trial(config("b1"))) as trial:
        await trial.until_verdicts(1)
        trial.monitor.update(config("b1", check={"interval": 0.011, "rise": 1, "fall": 1}))
        await trial.servers.until_asked_again("b1", 3)
        assert len(trial.verdicts) == 1
        trial.servers.answers["b1"] = CheckFailed("connection refused")
        await trial.until_verdicts(2)
    assert trial.verdicts[1] == ("web", "b1", False, "1 of 1 checks failed: connection refused")


CHANGES: list[tuple[str, Callable[[Config], Config]]] = [
    ("another address", lambda c: change_backend(c, "web", "b1", address=ip_address("10.0.1.99"))),
    ("another port", lambda c: change_backend(c, "web", "b1", port=9090)),
    ("another kind of check", lambda c: config("b1", check={"type": "http"})),
]


@pytest.mark.parametrize(("shows", "change"), CHANGES)
async def test_a_backend_that_is_asked_otherwise_begins_anew(
    shows: str, change: Callable[[Config], Config]
) -> None:
    before = config("b1")
    async with running(Trial(before)) as trial:
        await trial.until_verdicts(1)
        trial.monitor.update(change(before))
        assert len(await trial.until_verdicts(2)) == 2, shows


async def test_weight_and_state_do_not_disturb_the_checks() -> None:
    before = config("b1")
    async with running(Trial(before)) as trial:
        await trial.until_verdicts(1)
        trial.monitor.update(change_backend(before, "web", "b1", weight=7, state="drain"))
        await trial.servers.until_asked_again("b1", 3)
    assert len(trial.verdicts) == 1


def test_what_is_watched() -> None:
    checked = config(
        "b1", "b2", check={"type": "http", "port": 9000}, health_sources=["fd00::2", "10.255.0.2"]
    )
    assert [(watch.name, watch.target) for watch in watches(checked)] == [
        ("web/b1", Target(ip_address("10.0.1.11"), 9000, ip_address("10.255.0.2"))),
        ("web/b2", Target(ip_address("10.0.1.12"), 9000, ip_address("10.255.0.2"))),
    ]


def test_disabled_backends_are_watched_too() -> None:
    assert list(watches(change_backend(config("b1"), "web", "b1", state="disabled")))


def test_a_pool_without_checks_is_not_watched() -> None:
    unchecked = config("b1").pools[0].model_dump() | {"health": {"type": "none"}}
    assert list(watches(config(pools=[unchecked]))) == []


def test_a_backend_whose_port_nobody_names_is_not_watched() -> None:
    portless = {"name": "web", "backends": [Backend(name="b1", address=ip_address("10.0.1.11"))]}
    assert list(watches(config(pools=[portless]))) == []


async def test_who_is_suspected_is_checked_at_once_and_as_often_as_makes_a_verdict() -> None:
    async with running(Trial(config("b1", check={"interval": 600}))) as trial:
        await trial.servers.until(lambda: trial.servers.asked["b1"] == 1)
        trial.servers.answers["b1"] = CheckFailed("connection refused")
        trial.monitor.hurry("web", "b1")
        await trial.until_verdicts(1)
    assert trial.verdicts == [("web", "b1", False, "3 of 3 checks failed: connection refused")]


async def test_a_suspicion_that_checks_do_not_confirm_costs_a_few_checks() -> None:
    async with running(Trial(config("b1", check={"interval": 600}))) as trial:
        await trial.servers.until(lambda: trial.servers.asked["b1"] == 1)
        trial.monitor.hurry("web", "b1")
        await trial.servers.until(lambda: trial.servers.asked["b1"] == 4)
        await asyncio.sleep(0.2)
    assert trial.servers.asked["b1"] == 4
    assert [verdict[2] for verdict in trial.verdicts] == [True]


def test_a_suspicion_of_whom_nobody_checks_is_ignored() -> None:
    Trial(config("b1")).monitor.hurry("web", "unknown")
