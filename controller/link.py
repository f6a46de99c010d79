"""Keeps one switch connected: a session after the other, for as long as the switch is configured."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from controller.candidacy import Candidacy, Escort
from controller.errors import ElectionIdInUse, NotPrimary, SwitchError
from controller.events import Kind, Severity
from controller.pair import Pair
from controller.report import Role, SwitchReport
from controller.session import Session
from controller.shared import SwitchState
from controller.wire import Connection, Pipeline, SwitchTarget

logger = logging.getLogger("sluice.controller")

FIRST_RECONNECT, LAST_RECONNECT = 0.1, 0.5
"""Seconds between attempts to connect; doubled each time."""


class Link:
    """What we are to one switch.

    With a `pair` the `first` switch decides which controller is active, and that one takes the others: see
    `pair`.
    """

    def __init__(
        self,
        state: SwitchState,
        target: SwitchTarget,
        pipeline: Pipeline,
        *,
        pair: Pair | None,
        first: bool,
        holds_first: Callable[[], bool],
    ) -> None:
        self.state, self.target = state, target
        self.first = first
        self._pipeline, self._pair, self._holds_first = pipeline, pair, holds_first
        self.connected = False
        self.primary = self._was_primary = False
        self.problem = "not connected yet"

    @property
    def label(self) -> str:
        """What events call the switch."""
        return self.state.name or self.target.address

    @property
    def place(self) -> tuple[str, int]:
        return self.target.place

    @property
    def away(self) -> str:
        """Why we are not connected, "" once we are: also while the switch is being given our program."""
        return "" if self.primary else self.problem

    def why(self, waited: float) -> str:
        """Why the switch has not got what it should, after so many seconds."""
        said = self.away or self.state.trouble or f"still being written after {waited:g} s"
        return f"{self.state.name}: {said}" if self.state.name else said

    async def run(self) -> None:
        """Until cancelled: connects, reconciles, settles, keeps neighbors; reconnects by itself."""
        clock, pause = self.state.shared.clock, FIRST_RECONNECT
        while True:
            began = clock()
            try:
                await self._serve()
            except* SwitchError as group:
                self._disconnected(*_causes(group))
                self._bid_higher_than_ourselves(*_causes(group))
            except* Exception as group:
                # A mistake of ours. The switch goes on by itself; we begin anew with what it holds.
                logger.exception("the session with the switch broke")
                self._disconnected(*_causes(group))
            if clock() - began > LAST_RECONNECT:
                pause = FIRST_RECONNECT
            await asyncio.sleep(pause)
            pause = min(2 * pause, LAST_RECONNECT)

    async def _serve(self) -> None:
        """One connection. A further switch of a pair is the active's, and only for as long as it is."""
        if self._pair is None or self.first:
            await self._serve_one_connection()
            return
        await self._pair.until_active()
        serving = asyncio.create_task(self._serve_one_connection())
        yielding = asyncio.create_task(self._pair.until_passive())
        try:
            await asyncio.wait([serving, yielding], return_when=asyncio.FIRST_COMPLETED)
            if yielding.done() and not serving.done():
                raise NotPrimary("another controller is active")
            await serving
        finally:
            for task in (serving, yielding):
                task.cancel()
            await asyncio.gather(serving, yielding, return_exceptions=True)

    async def _serve_one_connection(self) -> None:
        state = self.state
        async with self._connection() as switch:
            state.brought_up = False
            state.work.ask()  # whatever the switch holds, it has not been compared yet
            self.connected = self.primary = self._was_primary = True
            fresh = await switch.install()
            self._record(
                "connected",
                "it held nothing and took our program" if fresh else "it runs our program already",
            )
            self.problem = ""
            await Session(switch, state, fresh=fresh).run()

    def _connection(self) -> Connection:
        if self._pair is None:
            return Connection(self.target, self._pipeline)
        if self.first:
            return Candidacy(self.target, self._pipeline, self._pair)
        return Escort(self.target, self._pipeline, self._holds_first)

    def _bid_higher_than_ourselves(self, error: Exception, *_: Exception) -> None:
        """A switch that has not noticed the end of our last connection takes us for somebody else."""
        if isinstance(error, ElectionIdInUse) and self._was_primary:
            self._was_primary = False
            self.target = replace(self.target, election_id=self.target.election_id + 1)

    def _disconnected(self, error: Exception, *_: Exception) -> None:
        not_ours, text = isinstance(error, NotPrimary), "lost" if self.connected else "not reached"
        self.connected, self.primary = not_ours, False
        text, problem = "not ours" if not_ours else text, str(error) or repr(error)
        if problem != self.problem:
            severity = Severity.WARNING if isinstance(error, SwitchError) else Severity.ERROR
            self._record(text, problem, severity)
        self.problem = problem

    def _record(self, text: str, cause: str, severity: Severity = Severity.INFO) -> None:
        self.state.shared.events.record(Kind.SWITCH, self.label, text, cause, severity)

    @property
    def waits(self) -> bool:
        """It is the active's, which we are not."""
        return self._pair is not None and self._pair.waits

    def report(self) -> SwitchReport:
        """How we stand with the switch."""
        state, counters = self.state, self.state.counters
        vips = counters.vips.values()
        return SwitchReport(
            name=state.name,
            address=self.target.address,
            device_id=self.target.device_id,
            connected=self.connected or self.waits,
            primary=self.primary,
            synchronized=self.primary and not state.work.pending,
            cookie=self._pipeline.cookie if self.primary else None,
            error="" if self.waits else self.away or state.trouble,
            role=self._pair.role if self._pair else Role.ALONE,
            packets=sum(traffic.packets for traffic in vips),
            bytes=sum(traffic.bytes for traffic in vips),
            dropped=sum(traffic.packets for traffic in counters.drops.values()),
            suspects=len(state.silence.suspects),
        )


def _causes(group: BaseExceptionGroup) -> list[Exception]:
    """The exceptions in a group of groups."""
    causes: list[Exception] = []
    for error in group.exceptions:
        causes += _causes(error) if isinstance(error, BaseExceptionGroup) else [error]  # type: ignore[list-item]
    return causes
