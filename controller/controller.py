"""The controller: the desired state on one side, the switch on the other, and one path between them.

Whatever changes what should be (a command, a verdict, a neighbor, a settled bucket, a new connection) ends
in the same place: `session.Session` brings the assignment in line, stores it, and writes the difference.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from controller import reporting
from controller.candidacy import Candidacy
from controller.config import document_text
from controller.desired import Desired, refuse_what_cannot_change
from controller.diagnosis import Facts, Finding, diagnose
from controller.draining import DrainReport, drain_report, without_flows
from controller.errors import (
    ElectionIdInUse,
    NotPrimary,
    RevisionConflict,
    StoreError,
    SwitchError,
)
from controller.events import EventLog, Kind, Severity
from controller.explain import Names, arrival, explain
from controller.explanation import Explanation
from controller.identities import Server, server_of
from controller.memory import Memory
from controller.model import Backend, Config
from controller.pair import Pair, Peer
from controller.plan import Plan
from controller.prediction import predict
from controller.program import ROUTES
from controller.recorded import Recorded
from controller.rehearsal import rehearse
from controller.report import Report, Role, SwitchReport
from controller.revision import Revision
from controller.session import Session
from controller.shared import Shared, SwitchState
from controller.store import Store
from controller.trace import Flow
from controller.values import format_duration, mac_to_int
from controller.wanted import refuse_what_has_no_room, wanted
from controller.wire import Connection, Pipeline, SwitchTarget

logger = logging.getLogger("sluice.controller")

CHANGE_WAIT = 5.0
"""Seconds that a change waits for the switch before it answers `applied=False`."""

FIRST_RECONNECT, LAST_RECONNECT = 0.1, 0.5
"""Seconds between attempts to connect; doubled each time."""


@dataclass(frozen=True, slots=True)
class ChangeResult:
    """What became of a change. It is stored in any case; `applied` says whether the switch has it already.

    `moved_buckets` counts buckets that get another backend for new flows. `detail` is for the operator: why
    it is not applied yet, or "".
    """

    revision: int
    applied: bool
    moved_buckets: int
    detail: str
    plan: Plan | None = None
    """Of a rehearsal: what the switch would be given. None while it is away."""


class Controller:
    """Keeps one switch as the configuration, the health of the backends and the neighbors say.

    One event loop; no method may be called from another thread.
    """

    events: EventLog

    def __init__(
        self,
        config: Config,
        store: Store,
        *,
        target: SwitchTarget,
        p4info: Path,
        pipeline: Path,
        clock: Callable[[], float] = time.monotonic,
        peer: Peer | None = None,
    ) -> None:
        """`config` is the operator's file.

        It becomes a revision when it differs from the file of the last start; otherwise the store's latest
        revision stands, with the changes made since. With a `peer` (see `pair`) it does so only if neither of
        the two has a revision yet. Raises InvalidConfig, StoreError, PipelineRefused.
        """
        self.events = EventLog()
        self._store = store
        self._target = target
        self._pipeline = Pipeline.load(p4info, pipeline)
        self._documents = Memory()
        latest = store.latest()
        stored = _stored_config(store, latest.number) if latest else None
        document = document_text(config)
        from_file = stored is None or (peer is None and store.file() != document)
        desired = Desired(config if stored is None or from_file else stored, store.load(), self.events)
        self._shared = Shared(desired, store, self.events, clock)
        self._switch = SwitchState(self._shared, self._suspected, self._doubted)
        self._preview(self.config)
        if from_file and peer is None:
            what = "the configuration file" if latest is None else "the configuration file has changed"
            latest = store.commit(document, who="file", what=what, from_file=True)
        self._revision = latest or Revision(0, 0.0, "file", "not in force yet")
        self.pair = Pair(peer, store, self.events, self._take_up) if peer else None
        self._switch.follow_configuration()
        self._listeners: list[Callable[[Config], None]] = []
        self._suspicious: list[Callable[[str, str], None]] = []
        self._changing = asyncio.Lock()
        self._connected = False
        self._primary = self._was_primary = False
        self._problem = "not connected yet"

    # the switch

    async def run(self) -> None:
        """Until cancelled: connects, reconciles, settles, keeps neighbors; reconnects by itself."""
        if self.pair:
            self.pair.followers.watch()
        try:
            await self._keep_connected()
        finally:
            if self.pair:
                await self.pair.close()

    async def _keep_connected(self) -> None:
        pause = FIRST_RECONNECT
        while True:
            began = self._shared.clock()
            try:
                await self._serve_one_connection()
            except* SwitchError as group:
                self._disconnected(*_causes(group))
                self._bid_higher_than_ourselves(*_causes(group))
            except* Exception as group:
                # A mistake of ours. The switch goes on by itself; we begin anew with what it holds.
                logger.exception("the session with the switch broke")
                self._disconnected(*_causes(group))
            if self._shared.clock() - began > LAST_RECONNECT:
                pause = FIRST_RECONNECT
            await asyncio.sleep(pause)
            pause = min(2 * pause, LAST_RECONNECT)

    async def _serve_one_connection(self) -> None:
        async with self._connection() as switch:
            self._switch.brought_up = False
            self._switch.work.ask()  # whatever the switch holds, it has not been compared yet
            self._connected = self._primary = self._was_primary = True
            fresh = await switch.install()
            state = "it held nothing and took our program" if fresh else "it runs our program already"
            self._record("connected", state)
            self._problem = ""
            await Session(switch, self._switch, fresh=fresh).run()

    def _connection(self) -> Connection:
        if self.pair:
            return Candidacy(self._target, self._pipeline, self.pair)
        return Connection(self._target, self._pipeline)

    def _take_up(self) -> None:
        """Goes on from what the store has: from another controller, or for the first time."""
        latest, shared = self._store.latest(), self._shared
        if latest is None:
            document, what = document_text(self.config), "the configuration file"
            latest = self._store.commit(document, who="file", what=what, from_file=True)
        config = _stored_config(self._store, latest.number)
        desired = Desired(config, self._store.load(), self.events)
        desired.verdicts = shared.desired.verdicts
        desired.verdicts.update(config)
        shared.desired, self._revision = desired, latest
        self._switch.follow_configuration()
        for listener in self._listeners:
            listener(config)

    def _bid_higher_than_ourselves(self, error: Exception, *_: Exception) -> None:
        """A switch that has not noticed the end of our last connection takes us for somebody else."""
        if isinstance(error, ElectionIdInUse) and self._was_primary:
            self._was_primary = False
            self._target = replace(self._target, election_id=self._target.election_id + 1)

    def _disconnected(self, error: Exception, *_: Exception) -> None:
        not_ours, text = isinstance(error, NotPrimary), "lost" if self._connected else "not reached"
        self._connected, self._primary = not_ours, False
        text, problem = "not ours" if not_ours else text, str(error) or repr(error)
        if problem != self._problem:
            severity = Severity.WARNING if isinstance(error, SwitchError) else Severity.ERROR
            self._record(text, problem, severity)
        self._problem = problem

    def _record(self, text: str, cause: str, severity: Severity = Severity.INFO) -> None:
        self.events.record(Kind.SWITCH, self._target.address, text, cause, severity)

    # the configuration

    @property
    def config(self) -> Config:
        return self._shared.desired.config

    @property
    def revision(self) -> Revision:
        return self._revision

    async def revisions(self) -> list[Revision]:
        """All that the store has, oldest first."""
        return await asyncio.to_thread(self._store.revisions)

    async def config_of(self, revision: int) -> Config:
        """The configuration of a revision. Raises UnknownRevision, or StoreError if it is no longer valid."""
        return await asyncio.to_thread(_stored_config, self._store, revision)

    @property
    def way_is_clear(self) -> bool:
        """Whether the switch forwards as it should, so that who does not answer through it has no excuse."""
        return self._primary and self._switch.brought_up

    def on_config(self, listener: Callable[[Config], None]) -> None:
        """`listener` is called with the configuration after every change."""
        self._listeners.append(listener)

    def on_suspicion(self, listener: Callable[[str, str], None]) -> None:
        """`listener` is called with pool and backend when the switch takes a backend for dead, or clients'
        connections say so."""
        self._suspicious.append(listener)

    def _suspected(self, number: int, suspect: bool) -> None:
        for pool, assigned in self._shared.desired.assignment.pools.items():
            if identity := assigned.backends.get(number):
                liveness = self.config.liveness
                silent = format_duration(round(liveness.interval * liveness.misses, 6))
                text = "suspect: new connections go to others" if suspect else "answers probes again"
                cause = f"no answer to probes for more than {silent}" if suspect else ""
                severity = Severity.WARNING if suspect else Severity.INFO
                self.events.record(Kind.HEALTH, f"{pool}/{identity.name}", text, cause, severity)
                if suspect:
                    self._doubted(pool, identity.name)

    def _doubted(self, pool: str, backend: str) -> None:
        for listener in self._suspicious:
            listener(pool, backend)

    async def change(
        self,
        what: str,
        edit: Callable[[Config], Config],
        *,
        who: str,
        expected_revision: int | None = None,
        drain: bool = True,
        from_file: bool = False,
        wait: float = CHANGE_WAIT,
    ) -> ChangeResult:
        """Makes a new revision of what `edit` returns, stores it, and waits until the switch has it.

        With `drain=False` backends that the change takes away leave at once and their connections are cut;
        otherwise they stay, shown as `removing`, until nobody needs them. An `edit` that changes nothing
        makes no revision, unless it is what the operator's file says now (`from_file`). Raises what `edit`
        raises, InvalidConfig, RevisionConflict, StoreError.
        """
        async with self._changing:
            if self.pair:
                self.pair.refuse_unless_active(self._primary)
            config = self._edited(edit)
            if config == self.config and not from_file:
                return ChangeResult(self._revision.number, True, 0, "nothing to change")
            self._refuse_what_is_not_about(expected_revision)
            moved = self._preview(config)
            making = asyncio.create_task(
                self._make(config, who=who, what=what, drain=drain, from_file=from_file)
            )
            try:
                revision = await asyncio.shield(making)
            except asyncio.CancelledError:
                await making  # whoever asked has gone; what the store has must be in force all the same
                raise
            if self.pair:
                await self.pair.confirm()
        work = self._switch.work
        if await work.wait_until_done(work.ask(), wait if self._primary else 0):
            announced = moved and self._shared.desired.announced
            detail = "announced to the switch: the buckets move in a few seconds" if announced else ""
            return ChangeResult(revision, True, moved, detail)
        why = self._away or self._switch.trouble or f"still being written after {wait:g} s"
        return ChangeResult(revision, False, moved, f"stored, but not on the switch yet: {why}")

    async def take_file(self, config: Config) -> ChangeResult | None:
        """The operator's file says `config`: makes it a revision, or returns None if it said so before.

        Raises what `change` does.
        """
        if document_text(config) == await asyncio.to_thread(self._store.file):
            return None
        what = "the configuration file has changed"
        return await self.change(what, lambda _: config, who="file", from_file=True)

    async def _make(self, config: Config, *, who: str, what: str, drain: bool, from_file: bool) -> int:
        """Stores a checked configuration and puts it in force; returns its revision."""
        document = document_text(config, self._documents)
        self._revision = await asyncio.to_thread(
            self._store.commit, document, who=who, what=what, from_file=from_file
        )
        self.events.record(Kind.CHANGE, f"revision {self._revision.number}", what, f"by {who}")
        self._shared.desired.configure(config, drain=drain)
        self._switch.work.ask()
        for listener in self._listeners:
            listener(config)
        return self._revision.number

    def _refuse_what_is_not_about(self, expected_revision: int | None) -> None:
        """Raises RevisionConflict when somebody has changed the configuration since `expected_revision`."""
        if expected_revision not in (None, self._revision.number):
            raise RevisionConflict(expected_revision, self._revision)

    def preview(
        self, edit: Callable[[Config], Config], *, expected_revision: int | None = None
    ) -> ChangeResult:
        """What `change` would do, without doing it."""
        config = self._edited(edit)
        changed = config != self.config
        if changed:
            self._refuse_what_is_not_about(expected_revision)
        moved = self._preview(config) if changed else 0
        detail = "" if changed else "nothing to change"
        return ChangeResult(self._revision.number + changed, False, moved, detail)

    async def rehearse(
        self, edit: Callable[[Config], Config], *, expected_revision: int | None = None
    ) -> ChangeResult:
        """As `preview`, with what would be written to the switch."""
        result = self.preview(edit, expected_revision=expected_revision)
        session = self._switch.session
        if session is None:
            why = f"what would be written is not known: {self._problem or 'the switch is not connected'}"
            return replace(result, detail=result.detail or why)
        return replace(result, plan=await rehearse(session, self._edited(edit), time.time()))

    def _preview(self, config: Config) -> int:
        """How many buckets would move. Raises InvalidConfig when the switch has no room for all of it."""
        moved, assignment = self._shared.desired.preview(config, time.time())
        want = wanted(config, assignment, {}, memory=self._switch.memory)
        refuse_what_has_no_room(want, self._pipeline.codec.sizes)
        return moved

    def _edited(self, edit: Callable[[Config], Config]) -> Config:
        config = edit(self.config)
        pools = self._shared.desired.assignment.pools
        sizes = {name: len(assigned.buckets) for name, assigned in pools.items()}
        refuse_what_cannot_change(self.config, config, sizes)
        return config

    def set_health(self, pool: str, backend: str, healthy: bool, reason: str) -> None:
        """A verdict of the health checks. Names that are no longer configured are ignored."""
        if self._shared.desired.set_health(pool, backend, healthy, reason):
            severity = Severity.INFO if healthy else Severity.WARNING
            text = "healthy" if healthy else "down"
            self.events.record(Kind.HEALTH, f"{pool}/{backend}", text, reason, severity)
            self._switch.work.ask()

    async def explain(self, flow: Flow, in_port: int | None = None) -> Explanation:
        """What should become of a packet of `flow`, and what the switch says about it.

        Without `in_port` it comes in by the route back to its client, or else by the first interface.
        """
        assignment = self._shared.desired.foreseen(time.time())
        want = self._switch.wanted(assignment=assignment)
        interfaces = self.config.interfaces
        if in_port is None:
            interface = arrival(self.config, want.rows[ROUTES], flow.client)
            in_port = (interface or interfaces[0]).ports[0] if interfaces else 1
        vlan = next((one.vlan for one in interfaces if in_port in one.ports), 0)
        predicted = predict(want, flow, in_port, self._switch.silence.suspects)
        traced, unconfirmed = None, ""
        try:
            mac = mac_to_int(self.config.switch.mac)
            traced = await self._switch.tracer.ask(flow, port=in_port, mac=mac, vlan=vlan)
        except SwitchError as error:
            unconfirmed = str(error)
        names = Names(self.config, assignment, self._shared.desired.outliers.reason)
        return explain(flow, in_port, predicted, traced, unconfirmed, names)

    async def recorded(self) -> Recorded | None:
        """The flows that the switch has recorded as exceptions; None while it does not tell."""
        session = self._switch.session
        try:
            return await session.recorded() if session else None
        except SwitchError:
            return None

    async def draining(self, pool: str, backend: str) -> DrainReport:
        """What is known of the flows that a backend still has. Raises UnknownName when it is in no table."""
        recorded = await self.recorded()
        desired, counters = self._shared.desired, self._switch.counters
        configured = self.config.pool(pool)
        assigned = desired.assignment.pools.get(pool)
        backends: dict[Server, Backend] = {server_of(one): one for one in configured.backends}
        identities = [one for one in assigned.backends.values() if one.name == backend] if assigned else []
        if not assigned or not identities:
            return without_flows(pool, configured.backend(backend), time.time())
        # Of two that bear the name, one that is on its way out is meant.
        identity = max(identities, key=lambda one: one.removed or 0.0)
        traffic = counters.backends.get(identity.id)
        return drain_report(
            configured,
            assigned,
            identity,
            backends.get(identity.server),
            desired.settling,
            desired.peaks,
            recorded=recorded.by_backend.get(identity.id, 0) if recorded else None,
            packets=traffic.packets if traffic else 0,
            counted=counters.read,
            now=time.time(),
        )

    async def diagnose(self) -> list[Finding]:
        """What is wrong with the installation, and what is not."""
        session, cookie, ports = self._switch.session, None, None
        if session:
            with contextlib.suppress(SwitchError):
                cookie, ports = await session.told()
        facts = Facts(
            config=self.config,
            report=self.report(),
            latest=self._revision,
            expected_cookie=self._pipeline.cookie,
            cookie=cookie,
            ports=ports,
            recorded=await self.recorded(),
            damage=await asyncio.to_thread(self._store.check),
            space=self._store.space(),
            events=self.events.since(),
        )
        return [*diagnose(facts)]

    @property
    def written(self) -> int:
        """Entries that the switch has taken from us."""
        return self._switch.written

    @property
    def _away(self) -> str:
        """Why we are not connected, "" once we are: also while the switch is being given our program."""
        return "" if self._primary else self._problem

    def switch_report(self) -> SwitchReport:
        """How we stand with the switch."""
        switch, waits = self._switch, self.pair is not None and self.pair.waits
        return SwitchReport(
            address=self._target.address,
            device_id=self._target.device_id,
            connected=self._connected or waits,
            primary=self._primary,
            synchronized=self._primary and not switch.work.pending,
            cookie=self._pipeline.cookie if self._primary else None,
            error="" if waits else self._away or switch.trouble,
            role=self.pair.role if self.pair else Role.ALONE,
        )

    def report(self) -> Report:
        """Everything that is known now."""
        switch = self._switch
        return reporting.report(
            self._revision.number,
            self.switch_report(),
            self._shared.desired,
            switch.neighbors,
            switch.counters,
            switch.silence,
            switch.path_mtus.known(),
        )


def _stored_config(store: Store, revision: int) -> Config:
    try:
        return Config.model_validate_json(store.document(revision))
    except ValidationError as error:
        raise StoreError(f"revision {revision} in the store is not valid any more: {error}") from None


def _causes(group: BaseExceptionGroup) -> list[Exception]:
    """The exceptions in a group of groups."""
    causes: list[Exception] = []
    for error in group.exceptions:
        causes += _causes(error) if isinstance(error, BaseExceptionGroup) else [error]  # type: ignore[list-item]
    return causes
