"""Deadlines of drains: who keeps them, when they have passed, and what happens then."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from controller.config import dump, parse
from controller.controller import Controller
from controller.deadlines import Deadlines, refuse_passed_deadlines, without_passed_deadlines
from controller.draining import without_flows
from controller.errors import InvalidConfig, NotActive, StoreError
from controller.model import AtDeadline, Backend, Config, Deadline, State, change_backend
from controller.report import DrainReport, Role
from controller.store import SqliteStore
from tests.unit.test_controller import DOCUMENT, controller

AT = datetime(2030, 1, 1, 12, 0, 0, tzinfo=UTC)
NOW = AT.timestamp() - 600
KEEP, CUT = Deadline(at=AT), Deadline(at=AT, then=AtDeadline.CUT)


def draining(config: Config, deadline: Deadline | None) -> Config:
    return change_backend(config, "web", "b1", state=State.DRAIN, deadline=deadline)


class Watch:
    """The clock on the wall and the one that only counts, which can be set apart."""

    def __init__(self) -> None:
        self.wall, self.clock = NOW, 1000.0

    def go_on(self, seconds: float) -> None:
        self.wall += seconds
        self.clock += seconds


class World:
    """A controller with a backend that drains until AT, and still has flows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, store: SqliteStore | None = None) -> None:
        self.store = store or SqliteStore(":memory:")
        self.controller: Controller = controller(self.store)
        self.watch, self.drained, self.role = Watch(), False, Role.ALONE
        self.deadlines = Deadlines(
            self.controller, wall=lambda: self.watch.wall, clock=lambda: self.watch.clock
        )
        report = self.controller.switch_report
        monkeypatch.setattr(
            self.controller, "switch_report", lambda: report().model_copy(update={"role": self.role})
        )
        monkeypatch.setattr(self.controller, "draining", self._draining)

    async def _draining(self, pool: str, name: str) -> DrainReport:
        found = without_flows(pool, self.backend, self.watch.wall)
        left: dict[str, Any] = {} if self.drained else {"drained": False, "busy": 5, "buckets": 9, "flows": 7}
        return found.model_copy(update=left)

    async def drain(self, deadline: Deadline | None) -> None:
        await self.change(state=State.DRAIN, deadline=deadline)

    async def change(self, **values: Any) -> None:
        await self.controller.change("…", lambda c: change_backend(c, "web", "b1", **values), who="alice")

    @property
    def backend(self) -> Backend:
        return self.controller.config.pool("web").backend("b1")

    def told(self) -> list[str]:
        events = self.controller.events.since()
        return [f"{e.severity} {e.text}: {e.cause}" for e in events if e.subject == "web/b1"]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


async def test_at_the_deadline_the_backend_is_disabled_and_it_is_told_why(world: World) -> None:
    await world.drain(CUT)
    await world.deadlines.look()
    world.watch.go_on(599)
    await world.deadlines.look()
    assert (world.backend.state, world.told()) == (State.DRAIN, [])
    world.watch.go_on(1)
    await world.deadlines.look()
    assert (world.backend.state, world.backend.deadline) == (State.DISABLED, None)
    assert world.told() == [
        "warning is disabled: the deadline of its drain has passed: this cut about 7 flows"
    ]
    latest = world.controller.revision
    assert (latest.who, latest.what) == ("deadline", "backend web/b1: disabled at its deadline")


async def test_or_its_flows_go_on_which_is_told_once(world: World) -> None:
    await world.drain(KEEP)
    await world.deadlines.look()
    world.watch.go_on(601)
    before = world.controller.revision
    for _ in range(3):
        await world.deadlines.look()
    assert (world.backend.state, world.controller.revision) == (State.DRAIN, before)
    assert world.told() == [
        "warning the deadline of its drain has passed with about 7 flows: they go on, and so does the drain"
    ]


@pytest.mark.parametrize(
    ("deadline", "said"),
    [
        (KEEP, "info the deadline of its drain has passed: it has drained: "),
        (CUT, "info is disabled: the deadline of its drain has passed: it had drained"),
    ],
)
async def test_a_drain_that_is_over_in_time_is_no_warning(
    world: World, deadline: Deadline, said: str
) -> None:
    await world.drain(deadline)
    world.drained = True
    await world.deadlines.look()
    world.watch.go_on(601)
    await world.deadlines.look()
    assert world.told() == [said]


@pytest.mark.parametrize(
    "values",
    [
        {"state": State.ACTIVE},
        {"state": State.DISABLED},
        {"deadline": None},
        {"deadline": Deadline(at=AT.replace(hour=13), then=AtDeadline.CUT)},
    ],
    ids=["called off", "disabled", "taken away", "put off"],
)
async def test_a_deadline_that_is_no_longer_is_not_kept(world: World, values: dict[str, Any]) -> None:
    await world.drain(CUT)
    await world.deadlines.look()
    await world.change(**values)
    before = world.backend
    world.watch.go_on(601)
    await world.deadlines.look()
    assert (world.backend, world.told()) == (before, [])


async def test_nor_if_it_is_called_off_in_the_same_moment(world: World) -> None:
    await world.drain(CUT)
    await world.deadlines.look()
    world.watch.go_on(601)
    draining_now = world._draining

    async def and_is_called_off(pool: str, name: str) -> DrainReport:
        found = await draining_now(pool, name)
        await world.change(state=State.ACTIVE)
        return found

    world.controller.draining = and_is_called_off  # type: ignore[method-assign]
    await world.deadlines.look()
    assert (world.backend.state, world.told()) == (State.ACTIVE, [])


async def test_a_clock_that_is_set_forward_cuts_nothing_early(world: World) -> None:
    await world.drain(CUT)
    await world.deadlines.look()
    world.watch.wall += 3600
    world.watch.go_on(599)
    await world.deadlines.look()
    assert world.backend.state is State.DRAIN
    world.watch.go_on(1)
    await world.deadlines.look()
    assert world.backend.state is State.DISABLED


async def test_one_that_is_set_back_delays(world: World) -> None:
    await world.drain(CUT)
    await world.deadlines.look()
    world.watch.wall -= 300
    world.watch.go_on(899)
    await world.deadlines.look()
    assert world.backend.state is State.DRAIN
    world.watch.go_on(1)
    await world.deadlines.look()
    assert world.backend.state is State.DISABLED


async def test_a_controller_that_starts_later_keeps_it_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.drain(CUT)
    again = World(monkeypatch, world.store)
    again.watch.go_on(700)
    await again.deadlines.look()
    assert again.backend.state is State.DISABLED


async def test_a_standby_leaves_it_to_the_active_until_it_takes_over(world: World) -> None:
    await world.drain(CUT)
    world.role = Role.STANDBY
    await world.deadlines.look()
    world.watch.go_on(700)
    await world.deadlines.look()
    assert (world.backend.state, world.told()) == (State.DRAIN, [])
    world.role = Role.ACTIVE
    await world.deadlines.look()
    assert world.backend.state is State.DISABLED


async def test_a_switch_that_hangs_is_not_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*_: str) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("controller.deadlines.PATIENCE", 0.01)
    monkeypatch.setattr(world.controller, "draining", hang)
    await world.drain(CUT)
    world.watch.go_on(700)
    await world.deadlines.look()
    assert world.backend.state is State.DISABLED
    (told,) = world.told()
    assert told.endswith("this cut what was left (the switch did not say in time how much)")


async def test_what_cannot_be_stored_is_told_and_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreError("the disk is full")

    await world.drain(CUT)
    world.watch.go_on(700)
    with monkeypatch.context() as full:
        full.setattr(world.store, "commit", fail)
        await world.deadlines.look()
        await world.deadlines.look()
    told = ["error its deadline has passed, and could not be kept: the disk is full"]
    assert (world.backend.state, world.told()) == (State.DRAIN, told)
    await world.deadlines.look()
    assert world.backend.state is State.DISABLED


async def test_who_may_not_decide_any_more_does_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise NotActive("the peer may have become active")

    await world.drain(CUT)
    world.watch.go_on(700)
    monkeypatch.setattr(world.controller, "change", refuse)
    await world.deadlines.look()
    assert (world.backend.state, world.told()) == (State.DRAIN, [])


async def test_it_looks_when_a_deadline_comes_and_by_itself_from_then_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.deadlines.LOOK", 0.01)
    running = asyncio.create_task(world.deadlines.run())
    await asyncio.sleep(0)
    await world.drain(CUT)
    world.watch.go_on(700)
    async with asyncio.timeout(20):
        while world.backend.state is State.DRAIN:
            await asyncio.sleep(0.01)
            world.watch.go_on(700)
    running.cancel()


# in the configuration


def test_a_deadline_is_part_of_the_document() -> None:
    config = draining(parse(DOCUMENT), CUT)
    document = dump(config)
    assert "deadline: {at: '2030-01-01T12:00:00Z', then: cut}" in document
    assert parse(document) == config
    assert parse(document.replace("'2030-01-01T12:00:00Z'", "2030-01-01T13:00:00+01:00")) == config


def test_who_does_not_drain_any_more_has_none() -> None:
    config = draining(parse(DOCUMENT), CUT)
    assert change_backend(config, "web", "b1", weight=3).pool("web").backend("b1").deadline == CUT
    assert change_backend(config, "web", "b1", state=State.ACTIVE).pool("web").backend("b1").deadline is None


def test_a_change_must_not_bring_one_that_has_passed() -> None:
    before = parse(DOCUMENT)
    after = draining(before, CUT)
    refuse_passed_deadlines(before, after, AT)
    with pytest.raises(InvalidConfig) as refused:
        refuse_passed_deadlines(before, after, AT.replace(minute=1))
    told = "pools[web].backends[b1].deadline.at: is 2030-01-01T12:00:00Z, which has passed"
    assert str(refused.value) == told
    refuse_passed_deadlines(after, change_backend(after, "web", "b2", weight=3), AT.replace(minute=1))


def test_a_configuration_of_the_past_comes_back_without_those_that_have_passed() -> None:
    config = draining(parse(DOCUMENT), CUT)
    assert without_passed_deadlines(config, AT) == config
    assert without_passed_deadlines(config, AT.replace(minute=1)) == draining(config, None)
