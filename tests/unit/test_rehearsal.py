"""A dry run says what the change then writes: no more, no less, and in the same steps."""

from collections import Counter
from collections.abc import Callable
from ipaddress import ip_address
from random import Random
from typing import cast

import pytest

from controller.assignment import Assignment
from controller.config import parse
from controller.desired import Desired
from controller.errors import InvalidConfig
from controller.events import EventLog
from controller.model import (
    Config,
    State,
    Vip,
    add_backend,
    add_vip,
    change_backend,
    make_backend,
    remove_backend,
    remove_vip,
    replace,
    with_backends,
)
from controller.plan import Plan
from controller.program import Change, Kind
from controller.rehearsal import DEADLINES, ranges, rehearse
from controller.session import Session
from controller.shared import Shared, SwitchState
from controller.store import Nowhere
from controller.wire import Connection
from tests.fakes.switch import FakeSwitch

DOCUMENT = """
switch: {mac: "02:00:00:00:00:01"}
interfaces: [{name: all, ports: [1, 2], addresses: [10.0.0.1/16]}]
neighbors: [{address: 10.0.1.12, mac: "02:00:00:00:01:0c", port: 1}]
pools:
  - name: web
    buckets: 64
    announcement: %s
    health: {type: none}
    backends: [{name: b1, address: 10.0.1.11}, {name: b2, address: 10.0.1.12}, {name: b3, address: 10.0.1.13}]
  - {name: spare, buckets: 16, health: {type: none}, backends: [{name: s1, address: 10.0.2.11, port: 80}]}
vips: [{name: web, address: 10.0.0.100, port: 80, pool: web}]
"""
NOW = 1_000_000.0


class World:
    """A session in virtual time, whose switch holds all that it should."""

    def __init__(self, config: Config) -> None:
        self.switch = FakeSwitch()
        self.events = EventLog(clock=lambda: NOW)
        desired = Desired(config, Assignment(), self.events)
        self.shared = Shared(desired, Nowhere(), self.events, lambda: NOW)
        self.state = SwitchState(self.shared, lambda number, suspect: None, lambda pool, backend: None)
        self.state.follow_configuration()
        self.session = Session(cast(Connection, self.switch), self.state, fresh=True)

    async def write(self, now: float) -> list[Change]:
        """What one pass writes."""
        before = len(self.switch.log)
        assert (await self.session.write(now)).complete
        return self.switch.log[before:]

    async def make(self, config: Config, now: float) -> list[tuple[float | None, list[Change]]]:
        """Changes the configuration, and lets all that follows from it happen."""
        desired = self.shared.desired
        desired.configure(config, drain=True)
        steps: list[tuple[float | None, list[Change]]] = [(0.0, await self.write(now))]
        at = now
        while (due := desired.due(at)) is not None:
            at = due
            steps.append((at - now, await self.write(at)))
        desired.settle(now + DEADLINES)
        steps.append((None, await self.write(now + DEADLINES)))
        return steps


def counted(steps: list[tuple[float | None, list[Change]]]) -> list[tuple[float | None, Counter[str]]]:
    return [
        (after, Counter(f"{change.kind} {change.table}" for change in changes))
        for after, changes in steps
        if changes
    ]


def told(plan: Plan) -> list[tuple[float | None, Counter[str]]]:
    return [
        (
            step.after,
            Counter(
                {
                    f"{kind} {one.table}": count
                    for one in step.writes
                    for kind in Kind
                    if (count := getattr(one, kind))
                }
            ),
        )
        for step in plan.steps
    ]


Edit = Callable[[Config, Random], Config]


def vip(random: Random) -> Vip:
    address = ip_address(f"10.0.0.{random.randint(101, 200)}")
    return Vip(name=f"v{random.randint(1, 3)}", address=address, port=443, pool="spare")


def some_backend(config: Config, random: Random) -> str:
    return random.choice(config.pool("web").backends).name


EDITS: list[Edit] = [
    lambda config, random: change_backend(
        config, "web", some_backend(config, random), weight=random.randint(0, 5)
    ),
    lambda config, random: change_backend(
        config, "web", some_backend(config, random), state=random.choice([*State])
    ),
    lambda config, random: remove_backend(config, "web", some_backend(config, random)),
    lambda config, random: add_backend(
        config, "web", make_backend(f"n{random.randint(1, 4)}", f"10.0.3.{random.randint(1, 4)}")
    ),
    lambda config, random: add_vip(config, vip(random)),
    lambda config, random: remove_vip(config, random.choice(config.vips).name),
    lambda config, random: replace(
        config, neighbors=() if config.neighbors else parse(DOCUMENT % "0s").neighbors
    ),
    lambda config, random: replace(
        config,
        pools=[
            pool.model_copy(update={"buckets": min(256, 2 * pool.buckets)}) if pool.name == "web" else pool
            for pool in config.pools
        ],
    ),
]


def edited(config: Config, random: Random) -> Config:
    """With one to three changes that are allowed."""
    for edit in random.choices(EDITS, k=random.randint(1, 3)):
        try:
            config = edit(config, random)
        except (InvalidConfig, IndexError):
            continue
    return config


@pytest.mark.parametrize("announcement", ["0s", "4s"])
@pytest.mark.parametrize("seed", range(12))
async def test_the_plan_is_what_is_then_written(seed: int, announcement: str) -> None:
    random, world = Random(seed), World(parse(DOCUMENT % announcement))
    await world.write(NOW)
    now = NOW
    for _ in range(6):
        now += 2 * DEADLINES
        config = edited(world.shared.desired.config, random)
        log, events = len(world.switch.log), world.events.last
        owners = {name: pool.buckets for name, pool in world.shared.desired.assignment.pools.items()}
        plan = await rehearse(world.session, config, now)
        assert (len(world.switch.log), world.events.last) == (log, events), "nothing has happened yet"
        after = {name: pool.buckets for name, pool in world.shared.desired.assignment.pools.items()}
        assert after == owners

        steps = await world.make(config, now)
        assert told(plan) == counted(steps)
        desired = world.shared.desired
        for move in plan.moves:
            numbers = {i.name: n for n, i in desired.assignment.pools[move.pool].backends.items()}
            current = desired.assignment.pools[move.pool].buckets.current
            named = [n for part in move.buckets.split(", ") for n in spanned(part)]
            assert len(named) == move.count
            assert {int(current[n]) for n in named} == {numbers[move.taker] if move.taker else 0}


def spanned(part: str) -> range:
    first, _, last = part.partition("-")
    return range(int(first), int(last or first) + 1)


async def test_an_announced_move_is_written_in_three_steps() -> None:
    world = World(parse(DOCUMENT % "4s"))
    await world.write(NOW)
    config = change_backend(world.shared.desired.config, "web", "b1", state=State.DRAIN)
    plan = await rehearse(world.session, config, NOW)
    assert [(step.after, step.count) for step in plan.steps] == [(0.0, 43), (4.0, 22), (None, 22)]
    assert [(move.giver, move.taker, move.count) for move in plan.moves] == [
        ("b1", "b2", 11),
        ("b1", "b3", 11),
    ]


async def test_who_is_cut_off_leaves_in_one_step() -> None:
    world = World(parse(DOCUMENT % "4s"))
    await world.write(NOW)
    desired = world.shared.desired
    desired.configure(remove_backend(desired.config, "web", "b1"), drain=True)
    await world.write(NOW)
    plan = await rehearse(world.session, desired.config, NOW, desired.stand_ins.leaving("web", "b1"))
    assert [step.after for step in plan.steps] == [0.0]
    assert {move.giver for move in plan.moves} == {"b1"}
    assert desired.stand_ins.leaving("web", "b1"), "it was only tried out"


def test_numbers_as_ranges() -> None:
    assert ranges([3, 17, 18, 19, 21]) == "3, 17-19, 21"
    assert ranges([]) == ""


async def test_what_waits_for_a_check_is_said_and_not_counted() -> None:
    checked = parse((DOCUMENT % "0s").replace("health: {type: none}", "health: {type: tcp, port: 80}", 1))
    world = World(checked)
    await world.write(NOW)
    others = with_backends(checked, "web", [make_backend("n1", "10.0.3.1"), make_backend("n2", "10.0.3.2")])
    plan = await rehearse(world.session, others, NOW)
    why = "none of n1, n2 is up"
    assert plan.standing_in == (f"web: b1, b2, b3 to leave, but still with new connections: {why}",)
    assert plan.moves == ()
    assert not [one for step in plan.steps for one in step.writes if one.table in ("buckets", "backends")]
    assert told(plan) == counted(await world.make(others, NOW))
