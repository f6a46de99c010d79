"""When checks are made, in virtual time; and what is told of them."""

import asyncio
import heapq
import itertools
import statistics
from collections import Counter
from collections.abc import Callable, Coroutine
from ipaddress import ip_address
from typing import Any

import pytest

from controller.health.checks import CheckFailed, Target, Watch
from controller.health.pulse import BEAT, Pulse
from controller.health.schedule import Schedule, Seen, Trouble, fraction
from controller.health.settings import TcpCheck

HERE = Target(ip_address("127.0.0.1"), 80)


class VirtualTime(asyncio.SelectorEventLoop):
    """A loop whose clock goes from one moment that somebody waits for to the next, at once."""

    _virtual = 0.0

    def time(self) -> float:
        return self._virtual

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            while self._scheduled and self._scheduled[0]._cancelled:  # type: ignore[attr-defined]
                heapq.heappop(self._scheduled)._scheduled = False  # type: ignore[attr-defined]
            if self._scheduled:  # type: ignore[attr-defined]
                self._virtual = max(self._virtual, self._scheduled[0]._when)  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def in_virtual_time(story: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualTime) as runner:
        runner.run(story)


def watch(name: str, **settings: object) -> Watch:
    return Watch("web", name, HERE, TcpCheck.model_validate({"interval": 1, "jitter": 0} | settings))


async def observed(
    watches: list[Watch], seconds: float, ask: Callable[[Watch], Coroutine[Any, Any, str]] | None = None
) -> tuple[list[tuple[float, str]], list[Seen | Trouble]]:
    """When whom was asked, and what was told, within so much time."""
    asked: list[tuple[float, str]] = []
    told: list[Seen | Trouble] = []

    async def note(watch: Watch) -> str:
        asked.append((asyncio.get_running_loop().time(), watch.backend))
        return await ask(watch) if ask else "fine"

    schedule = Schedule(note)
    schedule.watch(gone=(), new=watches)
    try:
        async with asyncio.timeout(seconds):
            await schedule.run(told.append)
    except TimeoutError:
        pass
    return asked, told


def test_a_backend_is_asked_every_interval_from_some_moment_of_the_first_on() -> None:
    async def story() -> None:
        asked, _ = await observed([watch("b1")], 10)
        moments = [moment for moment, _ in asked]
        assert moments[0] == fraction("web/b1", 0)
        assert [b - a for a, b in itertools.pairwise(moments)] == pytest.approx([1.0] * 9)

    in_virtual_time(story())


def test_jitter_varies_each_interval_and_not_their_mean() -> None:
    async def story() -> None:
        asked, _ = await observed([watch("b1", jitter=0.5)], 2000)
        pauses = [b - a for (a, _), (b, _) in itertools.pairwise(asked)]
        assert all(0.5 <= pause <= 1.5 for pause in pauses)
        assert statistics.mean(pauses) == pytest.approx(1.0, abs=0.05)
        assert statistics.stdev(pauses) == pytest.approx(1 / 12**0.5, rel=0.1), "evenly spread"

    in_virtual_time(story())


def test_many_checks_do_not_beat_together() -> None:
    """In each fiftieth of an interval about a fiftieth of them, from the first interval on."""

    async def story() -> None:
        asked, _ = await observed([watch(f"b{n}", jitter=0.1) for n in range(1000)], 2)
        by_moment = Counter(int(moment * 50) for moment, _ in asked)
        assert by_moment.keys() == {*range(100)}
        assert max(by_moment.values()) < 50, "six standard deviations above 20"

    in_virtual_time(story())


def test_schedules_can_be_foretold() -> None:
    moments: list[object] = []

    async def story() -> None:
        moments.append(await observed([watch("b1", jitter=1)], 20))

    in_virtual_time(story())
    in_virtual_time(story())
    assert moments[0] == moments[1]


def test_a_slow_check_is_followed_by_the_next_when_it_is_over() -> None:
    async def story() -> None:
        async def slow(_: Watch) -> str:
            await asyncio.sleep(2.5)
            return "fine, at last"

        asked, _ = await observed([watch("b1")], 10, slow)
        moments = [moment for moment, _ in asked]
        assert [b - a for a, b in itertools.pairwise(moments)] == pytest.approx([2.5] * (len(moments) - 1))

    in_virtual_time(story())


def test_all_failures_are_told_and_of_passes_as_many_as_make_a_verdict() -> None:
    async def story() -> None:
        results = iter("++++--+-++++++")

        async def ask(_: Watch) -> str:
            match next(results, "."):
                case "+":
                    return "fine"
                case "-":
                    raise CheckFailed("connection refused")
            await asyncio.Event().wait()
            return ""

        asked, told = await observed([watch("b1", rise=2)], 20, ask)
        assert len(asked) == 15
        assert "".join("+" if one.passed else "-" for one in told if isinstance(one, Seen)) == "++--+-++"
        first = told[0]
        assert isinstance(first, Seen) and first.began == asked[0][0]

    in_virtual_time(story())


def test_a_pulse_notices_when_the_loop_stood_still() -> None:
    class Stalling(VirtualTime):
        def stall(self, seconds: float) -> None:
            self._virtual += seconds

    async def story() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Stalling)
        pulse = Pulse()
        pulse.start()
        await asyncio.sleep(1)
        assert pulse.longest_stall(since=0) == 0
        loop.stall(0.3)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        after = loop.time()
        assert pulse.longest_stall(since=0) == pytest.approx(0.3, abs=BEAT)
        await asyncio.sleep(1)
        loop.stall(0.1)
        await asyncio.sleep(BEAT)
        assert pulse.longest_stall(since=after + BEAT) == pytest.approx(0.1, abs=BEAT)
        assert pulse.longest_stall(since=0) == pytest.approx(0.3, abs=BEAT)
        assert pulse.longest_stall(since=loop.time() + BEAT) == 0
        pulse.stop()

    with asyncio.Runner(loop_factory=Stalling) as runner:
        runner.run(story())
