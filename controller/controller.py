"""The controller: the desired state on one side, the switch on the other, and one path between them.

Whatever changes what should be (a command, a verdict, a neighbor, a settled bucket, a new connection) ends
in the same place: `session.Session` brings the assignment in line, stores it, and writes the difference.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from controller import reporting
from controller.config import document_text
from controller.counters import Counters
from controller.desired import Desired, refuse_what_cannot_change
from controller.diagnosis import Facts, Finding, Told, diagnose
from controller.draining import drain_report, without_flows
from controller.errors import RevisionConflict, StoreError, SwitchError, UnknownName
from controller.events import EventLog, Kind, Severity
from controller.explain import Names, arrival, explain
from controller.explanation import Explanation
from controller.identities import Server, server_of
from controller.link import Link
from controller.memory import Memory
from controller.model import ONLY, Backend, Config
from controller.pair import Pair, Peer
from controller.plan import Plan, joined
from controller.prediction import predict
from controller.program import ROUTES
from controller.rehearsal import rehearse
from controller.report import ANNOUNCED, DrainReport, Recorded, Report, SwitchReport
from controller.revision import Revision
from controller.shared import Shared, SwitchState
from controller.stand_ins import NOBODY_CUT, Cut
from controller.store import Store
from controller.together import counters_of, mtus_of, recorded_of, report_of, silence_of
from controller.trace import Flow
from controller.values import format_duration, mac_to_int
from controller.wanted import refuse_what_has_no_room, wanted
from controller.wire import Pipeline, SwitchTarget

LATE = "stored, but not on the switch yet"

CHANGE_WAIT = 5.0
"""Seconds that a change waits for the switch before it answers `applied=False`."""


@dataclass(frozen=True, slots=True)
class ChangeResult:
    """What became of a change. It is stored in any case; `applied` says whether the switch has it already.

    `moved_buckets` counts buckets that get another backend for new flows. `detail` is for the operator: why
    it is not applied yet, what is announced, and who goes on serving in whose place; or "".
    """

    revision: int
    applied: bool
    moved_buckets: int
    detail: str
    plan: Plan | None = None
    """Of a rehearsal: what the switch would be given. None while it is away."""


class Controller:
    """Keeps one switch, or several, as the configuration, the health of the backends and the neighbors say.

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
        the two has a revision yet. `target` is the only switch; of several it says what they have in common:
        TLS, and the election id. Raises InvalidConfig, StoreError, PipelineRefused.
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
        desired = _desired(config if stored is None or from_file else stored, store, self.events)
        self._shared = Shared(desired, store, self.events, clock)
        self.pair = Pair(peer, store, self.events, self._take_up) if peer else None
        self._links: dict[str, Link] = {}
        self._relinked = asyncio.Event()
        self._follow_switches()
        self._preview(self.config)
        if from_file and peer is None:
            what = "the configuration file" if latest is None else "the configuration file has changed"
            latest = store.commit(document, who="file", what=what, from_file=True)
        self._revision = latest or Revision(0, 0.0, "file", "not in force yet")
        self._listeners: list[Callable[[Config], None]] = []
        self._checkers: list[Callable[[Config], None]] = []
        desired.on_stand_ins = self._tell_checkers
        self._suspicious: list[Callable[[str, str], None]] = []
        self._changing = asyncio.Lock()
        self._running: dict[Link, asyncio.Task[None]] = {}

    # the switches

    def _follow_switches(self) -> None:
        """A link to each that is configured. One that has changed its place is another one."""
        config, links = self.config, self._links
        self._links = {
            name: links[name]
            if name in links and self._stays(links[name], config)
            else self._linked(name, self._target_of(name, config))
            for name in config.switch_names
        }
        self._shared.switches = {name: link.state for name, link in self._links.items()}
        for state in self._shared.switches.values():
            state.follow_configuration()
        self._relinked.set()

    def _is_same(self, link: Link, config: Config) -> bool:
        """Whether `config` has the switch, and where it is."""
        name = link.state.name
        return name in config.switch_names and self._target_of(name, config).place == link.place

    def _stays(self, link: Link, config: Config) -> bool:
        """Whether the connection goes on: another part of the switch's (see `pair`) takes another one."""
        return self._is_same(link, config) and link.first == (link.state.name == config.switch_names[0])

    def _target_of(self, name: str, config: Config) -> SwitchTarget:
        if name == ONLY:
            return self._target
        switch = config.for_switch(name).switch
        return replace(self._target, address=switch.address, device_id=switch.device_id)

    def _linked(self, name: str, target: SwitchTarget) -> Link:
        def suspected(number: int, suspect: bool) -> None:
            self._suspected(name, number, suspect)

        return Link(
            SwitchState(self._shared, suspected, self._doubted, name),
            target,
            self._pipeline,
            pair=self.pair,
            first=name == self.config.switch_names[0],
            holds_first=lambda: next(iter(self._links.values())).primary,
        )

    async def run(self) -> None:
        """Until cancelled: connects to each switch, reconciles, settles, keeps neighbors; reconnects by
        itself."""
        if self.pair:
            self.pair.followers.watch()
        try:
            await self._keep_linked()
        finally:
            if self.pair:
                await self.pair.close()

    async def _keep_linked(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._relinked.clear()
                for link in self._running.keys() - {*self._links.values()}:
                    self._running.pop(link).cancel()
                for link in self._links.values():
                    if link not in self._running:
                        self._running[link] = tasks.create_task(link.run())
                await self._relinked.wait()

    async def _part_with(self, config: Config) -> None:
        """Ends the connections to switches that `config` has not, has elsewhere, or has made the first."""
        ending: list[asyncio.Task[None]] = []
        for link in self._links.values():
            if not self._is_same(link, config):
                text = "is no longer a switch of ours; it goes on forwarding by what it holds"
                self.events.record(Kind.SWITCH, link.label, text)
            if not self._stays(link, config):
                ending += filter(None, [self._running.pop(link, None)])
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    def _take_up(self) -> None:
        """Goes on from what the store has: from another controller, or for the first time."""
        latest, shared = self._store.latest(), self._shared
        if latest is None:
            document, what = document_text(self.config), "the configuration file"
            latest = self._store.commit(document, who="file", what=what, from_file=True)
        config = _stored_config(self._store, latest.number)
        desired = _desired(config, self._store, self.events)
        desired.verdicts = shared.desired.verdicts
        desired.verdicts.update(config)
        desired.on_stand_ins = self._tell_checkers
        shared.desired, self._revision = desired, latest
        self._follow_switches()
        self._tell_listeners()

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
        """Whether a switch forwards as it should, so that who does not answer has no excuse.

        With several we do not know through which one a check goes. One that is gone must not keep the checks
        of all from counting.
        """
        return any(link.primary and link.state.brought_up for link in self._links.values())

    @property
    def _primary(self) -> bool:
        """Of any switch."""
        return any(link.primary for link in self._links.values())

    def on_config(self, listener: Callable[[Config], None]) -> None:
        """`listener` is called with the configuration after every change."""
        self._listeners.append(listener)

    def on_checked(self, listener: Callable[[Config], None]) -> None:
        """`listener` is called with the configuration and, in it, all backends that are to be checked.

        Those are also removed ones that serve in the place of others, by names that only the checks use.
        """
        self._checkers.append(listener)
        listener(self._shared.desired.stand_ins.checked)

    def _tell_checkers(self) -> None:
        for listener in self._checkers:
            listener(self._shared.desired.stand_ins.checked)

    def _tell_listeners(self) -> None:
        for listener in self._listeners:
            listener(self.config)
        self._tell_checkers()

    def on_suspicion(self, listener: Callable[[str, str], None]) -> None:
        """`listener` is called with pool and backend when the switch takes a backend for dead, or clients'
        connections say so."""
        self._suspicious.append(listener)

    def _suspected(self, switch: str, number: int, suspect: bool) -> None:
        for pool, assigned in self._shared.desired.assignment.pools.items():
            if identity := assigned.backends.get(number):
                liveness = self.config.liveness
                silent = format_duration(round(liveness.interval * liveness.misses, 6))
                text = "suspect: new connections go to others" if suspect else "answers probes again"
                cause = f"no answer to probes for more than {silent}" if suspect else ""
                if switch != ONLY:
                    text = f"{text}, says switch {switch}"
                severity = Severity.WARNING if suspect else Severity.INFO
                self.events.record(Kind.HEALTH, f"{pool}/{identity.name}", text, cause, severity)
                if suspect:
                    self._doubted(pool, self._shared.desired.stand_ins.checked_as(pool, identity))

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
        cut: Cut = NOBODY_CUT,
        wait: float = CHANGE_WAIT,
    ) -> ChangeResult:
        """Makes a new revision of what `edit` returns, stores it, and waits until the switch has it.

        With `drain=False` backends that the change takes away leave at once and their connections are cut;
        otherwise they stay, shown as `removing`, until nobody needs them. Those to `cut` were taken away
        before (see `leaving`), and leave now. An `edit` that changes nothing makes no revision, unless
        somebody is cut, or it is what the operator's file says now (`from_file`). Raises what `edit` raises,
        InvalidConfig, RevisionConflict, StoreError.
        """
        async with self._changing:
            if self.pair:
                self.pair.refuse_unless_active(self._primary)
            config = self._edited(edit)
            if config == self.config and not from_file and not cut:
                return ChangeResult(self._revision.number, True, 0, "nothing to change")
            self._refuse_what_is_not_about(expected_revision)
            moved = self._preview(config, cut)
            making = asyncio.create_task(
                self._make(config, who=who, what=what, drain=drain, from_file=from_file, cut=cut)
            )
            try:
                revision = await asyncio.shield(making)
            except asyncio.CancelledError:
                await making  # whoever asked has gone; what the store has must be in force all the same
                raise
            if self.pair:
                await self.pair.confirm()
        late = await self._wait_for_switches(wait)
        if not late:
            announced = moved and self._shared.desired.announced
            details = [f"{ANNOUNCED}: the buckets move in a few seconds"] if announced else []
            stand_ins = self._shared.desired.stand_ins
            details += [*stand_ins.told(), *stand_ins.unserved(cut)]
            return ChangeResult(revision, True, moved, "; ".join(details))
        what = "not on the switch yet, and forgotten if the daemon ends before" if cut else LATE
        return ChangeResult(revision, False, moved, f"{what}: {'; '.join(late)}")

    async def _wait_for_switches(self, wait: float) -> list[str]:
        """Waits until all switches have what they should, but for those that are away; why some have not."""
        links = [*self._links.values()]
        asked = {link: link.state.work.ask() for link in links}
        present = [link for link in links if link.primary]
        done = await asyncio.gather(*(link.state.work.wait_until_done(asked[link], wait) for link in present))
        have = {link for link, there in zip(present, done, strict=True) if there}
        return [link.why(wait) for link in links if link not in have]

    async def take_file(self, config: Config) -> ChangeResult | None:
        """The operator's file says `config`: makes it a revision, or returns None if it said so before.

        Raises what `change` does.
        """
        if document_text(config) == await asyncio.to_thread(self._store.file):
            return None
        what = "the configuration file has changed"
        return await self.change(what, lambda _: config, who="file", from_file=True)

    def leaving(self, pool: str, backend: str) -> Cut:
        """The backends of that name that were taken out of the configuration and are still in the tables.

        Raises UnknownName, and InvalidConfig when such a backend is configured.
        """
        return self._shared.desired.stand_ins.leaving(pool, backend)

    async def _make(
        self, config: Config, *, who: str, what: str, drain: bool, from_file: bool, cut: Cut
    ) -> int:
        """Stores a checked configuration and puts it in force; returns its revision."""
        document = document_text(config, self._documents)
        self._revision = await asyncio.to_thread(
            self._store.commit, document, who=who, what=what, from_file=from_file
        )
        self.events.record(Kind.CHANGE, f"revision {self._revision.number}", what, f"by {who}")
        await self._part_with(config)
        self._shared.desired.configure(config, drain=drain)
        self._shared.desired.cut(cut)
        self._follow_switches()
        self._shared.ask()
        self._tell_listeners()
        return self._revision.number

    def _refuse_what_is_not_about(self, expected_revision: int | None) -> None:
        """Raises RevisionConflict when somebody has changed the configuration since `expected_revision`."""
        if expected_revision not in (None, self._revision.number):
            raise RevisionConflict(expected_revision, self._revision)

    def preview(
        self,
        edit: Callable[[Config], Config],
        *,
        expected_revision: int | None = None,
        cut: Cut = NOBODY_CUT,
    ) -> ChangeResult:
        """What `change` would do, without doing it."""
        config = self._edited(edit)
        changed = config != self.config or bool(cut)
        if changed:
            self._refuse_what_is_not_about(expected_revision)
        moved = self._preview(config, cut) if changed else 0
        detail = "" if changed else "nothing to change"
        return ChangeResult(self._revision.number + changed, False, moved, detail)

    async def rehearse(
        self,
        edit: Callable[[Config], Config],
        *,
        expected_revision: int | None = None,
        cut: Cut = NOBODY_CUT,
    ) -> ChangeResult:
        """As `preview`, with what would be written to the switch."""
        result = self.preview(edit, expected_revision=expected_revision, cut=cut)
        sessions = [link.state.session for link in self._links.values() if link.state.session]
        if not sessions:
            problems = ", ".join(filter(None, (link.problem for link in self._links.values())))
            why = f"what would be written is not known: {problems or 'the switch is not connected'}"
            return replace(result, detail=result.detail or why)
        config, now = self._edited(edit), time.time()
        plans = [await rehearse(session, config, now, cut) for session in sessions]
        return replace(result, plan=joined(plans))

    def _preview(self, config: Config, cut: Cut = NOBODY_CUT) -> int:
        """How many buckets would move. Raises InvalidConfig when the switch has no room for all of it."""
        moved, assignment = self._shared.desired.preview(config, time.time(), cut)
        for name in config.switch_names:
            link = self._links.get(name)
            memory = link.state.memory if link else None
            want = wanted(config.for_switch(name), assignment, {}, memory=memory)
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
            self._shared.ask()

    async def explain(self, flow: Flow, in_port: int | None = None, switch: str | None = None) -> Explanation:
        """What should become of a packet of `flow`, and what the switch says about it.

        Without `in_port` it comes in by the route back to its client, or else by the first interface. Of
        several switches `switch` names one; without it the first that is connected is asked. Raises
        UnknownName.
        """
        state = self._state_of(switch)
        assignment, config = self._shared.desired.foreseen(time.time()), state.config
        if assignment is self._shared.desired.assignment:
            assignment = self._shared.desired.assignment_of(state.name)
        want = state.wanted(assignment=assignment)
        interfaces = config.interfaces
        if in_port is None:
            interface = arrival(config, want.rows[ROUTES], flow.client)
            in_port = (interface or interfaces[0]).ports[0] if interfaces else 1
        vlan = next((one.vlan for one in interfaces if in_port in one.ports), 0)
        predicted = predict(want, flow, in_port, state.silence.suspects)
        traced, unconfirmed = None, ""
        try:
            mac = mac_to_int(config.switch.mac)
            traced = await state.tracer.ask(flow, port=in_port, mac=mac, vlan=vlan)
        except SwitchError as error:
            unconfirmed = str(error)
        why = self._shared.desired.outliers.reason
        found = explain(flow, in_port, predicted, traced, unconfirmed, Names(config, assignment, why))
        return found.model_copy(update={"at": state.name})

    def _state_of(self, switch: str | None) -> SwitchState:
        """Of the switch of that name; without one, of the first that is connected, or else of the first."""
        states = self._shared.switches
        if switch is not None and switch not in states:
            raise UnknownName("switch", switch, states)
        connected = (state for state in states.values() if state.session)
        return states[switch] if switch is not None else next(connected, next(iter(states.values())))

    async def recorded(self) -> Recorded | None:
        """The flows that the switches have recorded as exceptions; None while some do not tell."""
        return recorded_of([await self._recorded_by(state) for state in self._shared.switches.values()])

    async def _recorded_by(self, state: SwitchState) -> Recorded | None:
        try:
            return await state.session.recorded() if state.session else None
        except SwitchError:
            return None

    async def draining(self, pool: str, backend: str) -> DrainReport:
        """What is known of the flows that a backend still has. Raises UnknownName when it is in no table."""
        recorded = await self.recorded()
        desired, counters = self._shared.desired, self._counters
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
            awaited=desired.stand_ins.awaited_by(pool, identity),
        )

    async def diagnose(self) -> list[Finding]:
        """What is wrong with the installation, and what is not."""
        states = self._shared.switches
        told = {name: await self._told_by(state) for name, state in states.items()}
        facts = Facts(
            config=self.config,
            report=self.report(),
            latest=self._revision,
            expected_cookie=self._pipeline.cookie,
            switches=told,
            recorded=await self.recorded(),
            damage=await asyncio.to_thread(self._store.check),
            space=self._store.space(),
            events=self.events.since(),
        )
        return [*diagnose(facts)]

    async def _told_by(self, state: SwitchState) -> Told:
        """What a switch says of itself, as far as it tells."""
        cookie, ports = None, None
        if state.session:
            with contextlib.suppress(SwitchError):
                cookie, ports = await state.session.told()
        return Told(self._links[state.name].report(), state.config, cookie, ports)

    @property
    def written(self) -> int:
        """Entries that the switches have taken from us."""
        return sum(state.written for state in self._shared.switches.values())

    @property
    def _counters(self) -> Counters:
        return counters_of([state.counters for state in self._shared.switches.values()])

    def switch_report(self) -> SwitchReport:
        """How we stand with the switch, or with all of them."""
        return report_of([link.report() for link in self._links.values()])

    def report(self) -> Report:
        """Everything that is known now."""
        return self._report([*self._links.values()])

    def reports(self) -> dict[str, Report]:
        """The same of each switch alone, by its name."""
        return {name: self._report([link]) for name, link in self._links.items()}

    def _report(self, links: Sequence[Link]) -> Report:
        reports, states = [link.report() for link in links], [link.state for link in links]
        return reporting.report(
            self._revision.number,
            report_of(reports),
            self._shared.desired,
            tuple(neighbor for state in states for neighbor in state.neighbors.report(state.name)),
            counters_of([state.counters for state in states]),
            silence_of([state.silence for state in states]),
            mtus_of([state.path_mtus.known() for state in states]),
            tuple(reports) if self.config.switches else (),
        )


def _desired(config: Config, store: Store, events: EventLog) -> Desired:
    """With `config`, and all else that the store knows."""
    return Desired(config, store.load(), events, store.flaps(), store.ejections())


def _stored_config(store: Store, revision: int) -> Config:
    try:
        return Config.model_validate_json(store.document(revision))
    except ValidationError as error:
        raise StoreError(f"revision {revision} in the store is not valid any more: {error}") from None
