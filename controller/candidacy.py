"""A connection in which we wait until nobody is the switch's primary controller, and then become it.

Whoever becomes it bids an election id that nobody had before. So writes of the one before, which may not know
yet, are refused by the switch: no entry is written by both.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from finsy.proto import U128, p4r, rpc_code

from controller.errors import NotPrimary
from controller.wire import CALL_DEADLINE, Connection, Pipeline, SwitchTarget, within

HEARTBEAT = 5.0
"""Seconds between two questions whether a silent switch is still there."""


class Candidate(Protocol):
    """Who wants to be primary."""

    def stands_by(self) -> None:
        """Another controller has the switch."""
        ...

    async def may_bid(self, highest: int) -> None:
        """Nobody has it. Returns when we are ready; `highest` is the largest election id that there was."""
        ...

    def won(self, election_id: int) -> None: ...


class Candidacy(Connection):
    """Entered when we are primary, however long that takes."""

    def __init__(self, target: SwitchTarget, pipeline: Pipeline, candidate: Candidate) -> None:
        super().__init__(target, pipeline)
        self._candidate = candidate

    async def _become_primary(self) -> None:
        answer = await within(CALL_DEADLINE, self._bid(None))
        while True:
            while answer.status.code == rpc_code.ALREADY_EXISTS:
                self._candidate.stands_by()
                answer = await self._while_it_lives(self._next_arbitration())
            highest = U128.decode(answer.election_id)
            await self._candidate.may_bid(highest)
            election_id = max(highest + 1, self.target.election_id)
            self._election_id.CopyFrom(U128.encode(election_id))
            answer = await within(CALL_DEADLINE, self._bid(self._election_id))
            if answer.status.code == rpc_code.OK:
                self._candidate.won(election_id)
                return

    async def _while_it_lives(
        self, news: Awaitable[p4r.MasterArbitrationUpdate]
    ) -> p4r.MasterArbitrationUpdate:
        """What comes next on the stream. A switch that answers nothing meanwhile is as good as lost."""
        waiting = asyncio.ensure_future(news)
        try:
            while not waiting.done():
                await asyncio.wait([waiting], timeout=HEARTBEAT)
                if not waiting.done():
                    await self.cookie()
            return await within(None, waiting)
        finally:
            waiting.cancel()


class Escort(Connection):
    """A connection to a further switch, which the active controller takes.

    Only who has the first switch takes this one from another: so of two that think that they are active, one
    gives way.
    """

    def __init__(self, target: SwitchTarget, pipeline: Pipeline, may_take: Callable[[], bool]) -> None:
        super().__init__(target, pipeline)
        self._may_take = may_take

    async def _become_primary(self) -> None:
        answer = await within(CALL_DEADLINE, self._bid(None))
        highest = U128.decode(answer.election_id)
        taken = answer.status.code == rpc_code.ALREADY_EXISTS
        if taken and not self._may_take():
            raise NotPrimary(f"another controller has the switch, with election id {highest}")
        self._election_id.CopyFrom(U128.encode(max(highest + 1, self.target.election_id)))
        answer = await within(CALL_DEADLINE, self._bid(self._election_id))
        if answer.status.code != rpc_code.OK:
            raise NotPrimary("another controller has just taken the switch")
