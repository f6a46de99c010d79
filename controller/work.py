"""What there is to write to a switch: asked for by whoever changed something, waited for by whoever cares."""

import asyncio


class Work:
    """Of one switch."""

    def __init__(self) -> None:
        self._asked = self._done = 0
        self._news = asyncio.Event()
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
        return self._asked

    async def finish(self, number: int) -> None:
        """All until `number` is on the switch."""
        async with self._progress:
            self._done = max(self._done, number)
            self._progress.notify_all()

    async def wait_for_more(self, timeout: float | None) -> None:
        try:
            async with asyncio.timeout(timeout):
                await self._news.wait()
        except TimeoutError:
            pass

    async def wait_until_done(self, number: int, timeout: float) -> bool:
        try:
            async with asyncio.timeout(timeout), self._progress:
                await self._progress.wait_for(lambda: self._done >= number)
        except TimeoutError:
            return False
        return True
