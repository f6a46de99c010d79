"""What there is to write to a switch: asked for by whoever changed something, waited for by whoever cares."""

import asyncio


class Work:
    """Of one switch."""

    def __init__(self) -> None:
        self._asked = self._done = 0
        self._news = asyncio.Event()
        self._resting = asyncio.Event()
        """Nothing is being written."""
        self._progress = asyncio.Condition()

    def ask(self) -> int:
        """Something changed; returns the number to wait for."""
        self._asked += 1
        self._news.set()
        return self._asked

    def wake(self) -> None:
        """There is something to look at, though nothing was asked for."""
        self._news.set()

    @property
    def pending(self) -> bool:
        return self._done < self._asked

    def begin(self) -> int:
        """Takes all that was asked for until now."""
        self._news.clear()
        self._resting.clear()
        return self._asked

    async def finish(self, number: int) -> None:
        """All until `number` is on the switch."""
        async with self._progress:
            self._done = max(self._done, number)
            self._progress.notify_all()

    async def wait_for_more(self, timeout: float | None) -> None:
        self._resting.set()
        await _happens(self._news, timeout)

    async def rest(self, timeout: float) -> None:
        """Waits until whoever writes waits for more, but no longer than `timeout` seconds."""
        await _happens(self._resting, timeout)

    async def wait_until_done(self, number: int, timeout: float) -> bool:
        try:
            async with asyncio.timeout(timeout), self._progress:
                await self._progress.wait_for(lambda: self._done >= number)
        except TimeoutError:
            return False
        return True


async def _happens(event: asyncio.Event, timeout: float | None) -> None:
    """Waits for it, but no longer than `timeout` seconds."""
    try:
        async with asyncio.timeout(timeout):
            await event.wait()
    except TimeoutError:
        pass
