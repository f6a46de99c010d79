"""A wire that is cut, slow, or loses answers, and switches that refuse: the controller converges, and its
events tell the story in order.

Between the controller and the embedded switch, which runs in this process, is a proxy of ours.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from finsy.proto import rpc_code

from controller.config import parse
from controller.events import Kind
from controller.model import Config, change_backend
from tests.fakes.embedded import EmbeddedSwitch
from tests.fakes.proxy import (
    Proxy,
    Treatment,
    answer_lost,
    exhausted,
    half_made,
    never_answered,
    refuse_every,
)
from tests.integration.rig import DOCUMENT, Rig
from tests.integration.test_controller import assert_switch_holds_what_is_wanted

LOST, REFUSED = "lost", "does not take everything; trying again"
WHOLE = "holds everything that it should"
EMPTY = "connected: it held nothing and took our program"
AS_IT_WAS = "connected: it runs our program already"
BEGINNING = [EMPTY, WHOLE]


@pytest.fixture
def switch() -> Iterator[EmbeddedSwitch]:
    with EmbeddedSwitch() as switch:
        yield switch


@pytest.fixture
async def proxy(switch: EmbeddedSwitch) -> AsyncIterator[Proxy]:
    async with Proxy(switch.address) as proxy:
        yield proxy


def patient(proxy: Proxy) -> Config:
    """The tests' document, of which no bucket settles while we look."""
    return parse((DOCUMENT % proxy.address).replace("idle_timeout: 1s", "idle_timeout: 300s"))


@pytest.fixture
async def rig(proxy: Proxy) -> AsyncIterator[Rig]:
    """Its controller is synchronized, and its events begin when the test does."""
    async with Rig(proxy, config=patient(proxy)) as rig:
        await rig.synchronized()
        yield rig


def story(rig: Rig) -> list[str]:
    """What the events say about the switch, and what it held when we came."""
    events = [event for event in rig.controller.events.since() if event.kind is Kind.SWITCH]
    return [f"{e.text}: {e.cause}" if e.text == "connected" else e.text for e in events]


async def is_lost(rig: Rig) -> None:
    await rig.until(lambda: story(rig)[-1] in (LOST, "not reached"), "the controller notices")


async def change_weight(rig: Rig, weight: int, wait: float = 5.0) -> bool:
    """A change that moves buckets; whether the switch has it."""
    result = await rig.controller.change(
        "weight", lambda config: change_backend(config, "web", "b1", weight=weight), who="test", wait=wait
    )
    return result.applied


async def is_whole(rig: Rig, switch: EmbeddedSwitch) -> None:
    await rig.synchronized()
    rig.switch = switch  # looked at without the proxy between
    await assert_switch_holds_what_is_wanted(rig)


async def test_a_cut_and_healed_wire(rig: Rig, proxy: Proxy, switch: EmbeddedSwitch) -> None:
    await proxy.cut()
    assert not await change_weight(rig, 3, wait=0.2), "stored, and not on the switch"
    await is_lost(rig)
    await proxy.heal()
    await is_whole(rig, switch)
    assert [line for line in story(rig) if line != "not reached"] == [*BEGINNING, LOST, AS_IT_WAS, WHOLE]


async def test_a_switch_that_begins_anew(rig: Rig, switch: EmbeddedSwitch) -> None:
    owners = await rig.owners()
    switch.kill()
    await is_lost(rig)
    switch.start()
    await is_whole(rig, switch)
    assert await rig.owners() == owners
    assert [line for line in story(rig) if line != "not reached"] == [*BEGINNING, LOST, EMPTY, WHOLE]


async def test_streams_that_end_again_and_again(rig: Rig, proxy: Proxy, switch: EmbeddedSwitch) -> None:
    for weight in (2, 3, 4):
        proxy.end_streams()
        await is_lost(rig)
        await change_weight(rig, weight)
        await is_whole(rig, switch)
    assert story(rig) == [*BEGINNING, *3 * [LOST, AS_IT_WAS, WHOLE]]


async def test_a_change_writes_the_buckets_that_move_and_no_others(proxy: Proxy) -> None:
    backends = ", ".join(f"{{name: b{n}, address: 10.0.1.{10 + n}}}" for n in range(1, 61))
    start, end = DOCUMENT.index("    backends:\n"), DOCUMENT.index("  - {name: dns")
    many = f"{DOCUMENT[:start]}    backends: [{backends}]\n{DOCUMENT[end:]}" % proxy.address
    async with Rig(proxy, config=parse(many.replace("buckets: 256", "buckets: 1024"))) as rig:
        await rig.synchronized()
        proxy.written.clear()
        result = await rig.controller.change(
            "weight", lambda config: change_backend(config, "web", "b7", weight=2), who="test"
        )
        await rig.synchronized()
        assert result.moved_buckets > 10
        assert sum(len(request.updates) for request in proxy.written) == result.moved_buckets


async def test_a_slow_wire(rig: Rig, proxy: Proxy, switch: EmbeddedSwitch) -> None:
    proxy.delay = 0.05
    assert await change_weight(rig, 3)
    proxy.delay = 0.0
    await is_whole(rig, switch)
    assert story(rig) == BEGINNING, "slow is not lost"


@pytest.mark.parametrize(
    ("treatment", "lines"),
    [
        pytest.param(answer_lost, [LOST, AS_IT_WAS, WHOLE], id="made, and the answer is lost"),
        pytest.param(half_made, [LOST, AS_IT_WAS, WHOLE], id="half of it made"),
        pytest.param(exhausted, [LOST, AS_IT_WAS, WHOLE], id="turned away as a whole"),
        pytest.param(never_answered, [LOST, AS_IT_WAS, WHOLE], id="never answered"),
        pytest.param(refuse_every(3), [REFUSED, WHOLE], id="each third refused"),
        pytest.param(refuse_every(1), [REFUSED, WHOLE], id="each refused"),
        pytest.param(
            refuse_every(2, rpc_code.NOT_FOUND, "there is none"),
            ["holds other entries than it should; reading all of them back"],
            id="each second is said not to be there",
        ),
    ],
)
async def test_a_write_that_goes_wrong(
    rig: Rig,
    proxy: Proxy,
    switch: EmbeddedSwitch,
    treatment: Treatment,
    lines: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if treatment is never_answered:
        monkeypatch.setattr("controller.wire.CALL_DEADLINE", 1.0)
    proxy.writes.append(treatment)
    await change_weight(rig, 3)
    await is_whole(rig, switch)
    assert story(rig) == [*BEGINNING, *lines]


async def test_writes_that_go_wrong_one_after_the_other(
    rig: Rig, proxy: Proxy, switch: EmbeddedSwitch
) -> None:
    """In each connection the first write is lost in another way; what was asked meanwhile is done at the
    end."""
    treatments = [answer_lost, half_made, refuse_every(2), exhausted, half_made, answer_lost]
    proxy.writes.extend(treatments)
    for weight in (3, 1, 4):
        await change_weight(rig, weight, wait=0.2)
    await is_whole(rig, switch)
    assert not proxy.writes, "all of them happened"


async def test_the_whole_beginning_with_every_other_answer_lost(switch: EmbeddedSwitch) -> None:
    """An empty switch is filled by a dozen writes; a program pushed twice would wipe what is there."""
    async with Proxy(switch.address) as proxy, Rig(proxy, config=patient(proxy)) as rig:
        proxy.writes.extend(2 * [half_made, answer_lost])
        await is_whole(rig, switch)
        assert [line for line in story(rig) if line != LOST] == [EMPTY, *4 * [AS_IT_WAS], WHOLE]


async def test_the_wire_breaks_while_the_switch_is_gone(
    rig: Rig, proxy: Proxy, switch: EmbeddedSwitch
) -> None:
    await proxy.cut()
    switch.kill()
    await is_lost(rig)
    await change_weight(rig, 5)
    await proxy.heal()
    await asyncio.sleep(0.3)  # the wire is there, and nobody at its other end
    switch.start()
    await is_whole(rig, switch)
    assert story(rig)[-2:] == BEGINNING
