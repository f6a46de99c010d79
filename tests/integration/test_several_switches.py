"""One controller and two embedded switches: each gets all of it, and what becomes of one is no matter to the
other."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from controller.config import parse
from controller.controller import Controller
from controller.model import Config, change_backend, replace
from controller.pair import PeerUnreachable
from controller.program import BACKENDS, BUCKETS
from controller.replica import Bookmark, Replica
from controller.report import Role, SwitchReport
from controller.store import SqliteStore
from controller.wire import SwitchTarget
from tests.fakes.embedded import EmbeddedSwitch
from tests.fakes.proxy import Proxy
from tests.integration.rig import P4INFO, PATIENCE, PIPELINE, Rig

DOCUMENT = """
switch: {mac: "02:00:00:00:00:01"}
switches:
  - {name: a, address: "%s"}
  - {name: b, address: "%s", mac: "02:00:00:00:00:02", interfaces: [
      {name: all, ports: [7], addresses: [10.0.0.2/16]}]}
interfaces: [{name: all, ports: [1, 2], addresses: [10.0.0.1/16]}]
pools:
  - name: web
    buckets: 64
    idle_timeout: 1s
    announcement: 0s
    health: {type: tcp}
    backends: [{name: b1, address: 10.0.1.11}, {name: b2, address: 10.0.1.12}]
vips: [{name: web, address: 10.0.0.100, port: 80, pool: web}]
"""


@pytest.fixture
def switches() -> Iterator[tuple[EmbeddedSwitch, EmbeddedSwitch]]:
    with EmbeddedSwitch() as a, EmbeddedSwitch() as b:
        yield a, b


@pytest.fixture
async def proxy(switches: tuple[EmbeddedSwitch, EmbeddedSwitch]) -> AsyncIterator[Proxy]:
    """The wire to switch b."""
    async with Proxy(switches[1].address) as proxy:
        yield proxy


@pytest.fixture
async def rig(switches: tuple[EmbeddedSwitch, EmbeddedSwitch], proxy: Proxy) -> AsyncIterator[Rig]:
    async with Rig(switches[0], config=parse(DOCUMENT % (switches[0].address, proxy.address))) as rig:
        await rig.synchronized()
        yield rig


def of(rig: Rig, name: str) -> SwitchReport:
    return next(one for one in rig.controller.report().switches if one.name == name)


async def owners(rig: Rig, switch: EmbeddedSwitch) -> list[tuple[int, int]]:
    rig.switch = switch
    return await rig.owners()


async def weigh(rig: Rig, weight: int) -> tuple[bool, str]:
    result = await rig.controller.change(
        "weight", lambda config: change_backend(config, "web", "b1", weight=weight), who="test"
    )
    return result.applied, result.detail


async def test_each_has_the_same_buckets_and_what_is_its_own(
    rig: Rig, switches: tuple[EmbeddedSwitch, EmbeddedSwitch]
) -> None:
    first, second = [await owners(rig, switch) for switch in switches]
    assert first == second
    assert len(first) == 64
    report = rig.controller.report()
    assert [(one.name, one.synchronized) for one in report.switches] == [("a", True), ("b", True)]
    assert report.switch.synchronized
    assert {neighbor.switch for neighbor in report.neighbors} == {"a", "b"}
    for name in ("a", "b"):
        assert f"{name} connected" in rig.events()
        assert f"{name} holds everything that it should" in rig.events()


async def test_who_is_cut_off_holds_up_no_change_and_is_brought_in_line(
    rig: Rig, proxy: Proxy, switches: tuple[EmbeddedSwitch, EmbeddedSwitch]
) -> None:
    before = await owners(rig, switches[1])
    await proxy.cut()
    await rig.until(lambda: not of(rig, "b").connected, "b is away")
    applied, detail = await weigh(rig, 3)
    assert not applied
    assert detail.startswith("stored, but not on the switch yet: b: ")
    assert of(rig, "a").synchronized
    moving = await owners(rig, switches[0])
    assert moving != before
    assert await owners(rig, switches[1]) == before
    await asyncio.sleep(2.5)  # longer than the idle timeout: a alone has nothing to say about b's flows
    assert rig.pool().moving
    await proxy.heal()
    await rig.until(lambda: of(rig, "b").synchronized, "b has what it missed")
    await rig.until(lambda: not rig.pool().moving, "nobody needs the former owners any more")
    await rig.synchronized()
    assert await owners(rig, switches[0]) == await owners(rig, switches[1])


async def test_a_failover_waits_for_nobody(rig: Rig, switches: tuple[EmbeddedSwitch, EmbeddedSwitch]) -> None:
    switches[1].kill()
    rig.controller.set_health("web", "b1", False, "refused")
    await rig.until(lambda: rig.backend("b1").id == 0 and of(rig, "a").synchronized, "a has it")
    rig.switch = switches[0]
    assert len(await rig.rows(BACKENDS)) == 1
    switches[1].start()
    await rig.until(lambda: of(rig, "b").synchronized, "b is given all of it")
    assert await owners(rig, switches[1]) == await owners(rig, switches[0])


async def test_a_switch_leaves_and_comes_while_the_daemon_runs(
    rig: Rig, switches: tuple[EmbeddedSwitch, EmbeddedSwitch]
) -> None:
    both = rig.controller.config
    assert both.switches

    def only_a(config: Config) -> Config:
        return replace(config, switches=config.switches[:1] if config.switches else None)

    assert (await rig.controller.change("without b", only_a, who="test")).applied
    assert [one.name for one in rig.controller.report().switches] == ["a"]
    assert (await weigh(rig, 2))[0]
    rig.switch = switches[1]
    assert len(await rig.rows(BUCKETS)) == 64, "it goes on forwarding"
    with_b = await rig.controller.change(
        "with b", lambda config: replace(config, switches=both.switches), who="test", wait=PATIENCE
    )
    await rig.until(lambda: of(rig, "b").synchronized, f"b is back: {with_b}")
    await rig.synchronized()
    assert {current for current, _ in await owners(rig, switches[1])} == {1, 2}


async def test_the_second_becomes_the_first_and_is_not_said_to_have_gone(rig: Rig) -> None:
    def only_b(config: Config) -> Config:
        return replace(config, switches=config.switches[1:] if config.switches else None)

    await rig.controller.change("without a", only_b, who="test")
    await rig.until(lambda: of(rig, "b").synchronized, "b is in step")
    gone = [event.subject for event in rig.controller.events.since() if "no longer a switch" in event.text]
    assert gone == ["a"]


async def test_what_a_change_would_write_is_told_of_each(rig: Rig) -> None:
    result = await rig.controller.rehearse(lambda config: change_backend(config, "web", "b1", weight=3))
    assert result.plan
    writes = [one for step in result.plan.steps for one in step.writes if one.table == "buckets"]
    assert {one.switch for one in writes} == {"a", "b"}
    assert len({(one.insert, one.modify, one.delete) for one in writes}) == 1
    assert sum(move.count for move in result.plan.moves) == result.moved_buckets


# a second controller


class Other:
    """The peer, in this process."""

    controller: Controller

    async def replica(self, copy: Bookmark, wait: float) -> Replica:
        pair = self.controller.pair
        if pair is None or not hasattr(self, "controller"):
            raise PeerUnreachable("it has not begun")
        return await pair.followers.replica(copy, wait)

    def close(self) -> None: ...


class Detoured(Controller):
    """Reaches the switch named a at another address than the configuration says."""

    way = ""

    def _target_of(self, name: str, config: Config) -> SwitchTarget:
        target = super()._target_of(name, config)
        return dataclasses.replace(target, address=self.way) if name == "a" and self.way else target


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.02)


async def test_who_has_the_first_switch_has_all_of_them(
    switches: tuple[EmbeddedSwitch, EmbeddedSwitch],
) -> None:
    async with Proxy(switches[0].address) as way:
        config = parse(DOCUMENT % (switches[0].address, switches[1].address))
        peers, stores = [Other(), Other()], [SqliteStore(":memory:"), SqliteStore(":memory:")]
        files = {"target": SwitchTarget(""), "p4info": P4INFO, "pipeline": PIPELINE}
        detour = type("Detoured", (Detoured,), {"way": way.address})
        one = detour(config, stores[0], **files, peer=peers[0])
        two = Controller(config, stores[1], **files, peer=peers[1])  # type: ignore[arg-type]
        peers[0].controller, peers[1].controller = two, one
        tasks = [asyncio.create_task(one.run())]
        try:
            await until(lambda: one.report().switch.synchronized)
            tasks.append(asyncio.create_task(two.run()))
            await until(lambda: two.switch_report().role is Role.STANDBY)
            assert [link.primary for link in two._links.values()] == [False, False]
            await way.cut()
            await until(lambda: all(link.primary for link in two._links.values()))
            await until(lambda: not any(link.primary for link in one._links.values()))
            assert two.switch_report().role is Role.ACTIVE
            await way.heal()
            await until(lambda: one.switch_report().role is Role.STANDBY)
            assert all(link.primary for link in two._links.values())
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for store in stores:
                store.close()
