"""What is wrong with an installation, as far as the daemon sees it: `sluice doctor` asks for this.

Each finding says what was looked at, how it is, and what puts it right. `facts` are gathered by whoever has a
connection and a store; the judgement here needs nothing but them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from controller.events import Event, Kind
from controller.model import Config, NoCheck
from controller.model import State as Administrative
from controller.report import (
    BackendReport,
    Fact,
    PoolReport,
    Recorded,
    Report,
    SwitchReport,
    is_overdue,
    way_out,
)
from controller.revision import Revision

HOUR = 3600.0
FULL = 0.8
"""The share of the places for exceptions from which on new flows may find none."""

LITTLE_SPACE = 100 << 20
"""Bytes on the disk of the store."""


class State(StrEnum):
    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"
    NOTE = "note"


class Finding(Fact):
    """`subject` is what was looked at; `remedy` is "" where nothing is to be done."""

    subject: str
    state: State
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """What one switch says. `cookie` is that of its program; `ports` are its own, and whether their link is
    up."""

    report: SwitchReport
    config: Config
    cookie: int | None = None
    ports: Mapping[int, bool] | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known. None is for what nobody can tell now.

    `expected_cookie` is our program's, `switches` are by name. `damage` is
    what is wrong with the store, "" for nothing; `space` is free on its disk, in bytes.
    """

    config: Config
    report: Report
    latest: Revision
    expected_cookie: int
    switches: Mapping[str, Told]
    recorded: Recorded | None = None
    damage: str = ""
    space: int | None = None
    events: list[Event] = field(default_factory=list)


def diagnose(facts: Facts) -> Iterator[Finding]:
    for name, told in facts.switches.items():
        yield from _of_switch(facts, name, told)
    yield from _held_up(facts.report)
    for examine in (_store, _clock, _neighbors, _pools, _exceptions):
        yield from examine(facts)


def _of_switch(facts: Facts, name: str, told: Told) -> Iterator[Finding]:
    found = [*_switch(told), *_program(facts, told), *_drift(facts, name), *_ports(told)]
    for finding in found:
        subject = f"{finding.subject} {name}" if finding.subject == "switch" else f"{name} {finding.subject}"
        yield finding.model_copy(update={"subject": subject}) if name else finding


def _switch(told: Told) -> Iterator[Finding]:
    switch, subject = told.report, "switch"
    if not switch.connected:
        remedy = (
            f"see that a P4Runtime switch listens at {switch.address}; the embedded one is started by "
            f"`sluice switch --no-p4 -- --grpc-server-addr {switch.address} --cpu-port 255`"
        )
        yield Finding(
            subject=subject, state=State.WRONG, text=f"not connected: {switch.error}", remedy=remedy
        )
    elif not switch.primary:
        remedy = "end the other controller, or leave this one as the standby"
        yield Finding(
            subject=subject, state=State.WARNING, text=f"not primary: {switch.error}", remedy=remedy
        )
    elif not switch.synchronized:
        remedy = "`sluice events` says which entries the switch refuses"
        text = f"not in step: {switch.error or 'entries are being written'}"
        yield Finding(
            subject=subject, state=State.WRONG if switch.error else State.WARNING, text=text, remedy=remedy
        )
    else:
        yield Finding(subject=subject, state=State.OK, text=f"{switch.address}: primary, in step")


def _held_up(report: Report) -> Iterator[Finding]:
    if report.held_up:
        subject = f"switch {', '.join(report.away)}"
        text = f"is away, and {report.held_up}"
        yield Finding(subject=subject, state=State.WARNING, text=text, remedy=way_out(report.away))


def _program(facts: Facts, told: Told) -> Iterator[Finding]:
    if told.cookie is None:
        yield Finding(subject="program", state=State.NOTE, text=_untold(told, "the switch does not tell"))
    elif told.cookie != facts.expected_cookie:
        text = (
            f"the switch runs another program (cookie {told.cookie:#x}, ours is {facts.expected_cookie:#x})"
        )
        remedy = "restart the daemon, which loads its own; end whoever loaded the other"
        yield Finding(subject="program", state=State.WRONG, text=text, remedy=remedy)
    else:
        yield Finding(subject="program", state=State.OK, text=f"ours (cookie {told.cookie:#x})")


def _untold(told: Told, otherwise: str) -> str:
    """Why we do not know something about a switch."""
    return otherwise if told.report.connected else "not known: the switch is not connected"


def _drift(facts: Facts, name: str) -> Iterator[Finding]:
    since = facts.report.time - HOUR
    drifts = [
        one
        for one in facts.events
        if one.kind is Kind.SWITCH and one.time >= since and name in ("", one.subject) and _is_drift(one)
    ]
    if drifts:
        text = f"{len(drifts)} time{'s' * (len(drifts) > 1)} in the last hour the switch {drifts[-1].text}"
        remedy = "find who else writes to the switch; the daemon has put it right each time"
        yield Finding(subject="drift", state=State.WARNING, text=text, remedy=remedy)
    else:
        yield Finding(subject="drift", state=State.OK, text="none in the last hour")


def _is_drift(event: Event) -> bool:
    return event.text.startswith(("holds entries that are not as we left them", "holds other entries"))


def _ports(told: Told) -> Iterator[Finding]:
    if told.ports is None:
        text = _untold(told, "the switch does not tell (no gNMI)")
        yield Finding(subject="ports", state=State.NOTE, text=text)
        return
    wrong = False
    for interface in told.config.interfaces:
        absent = [port for port in interface.ports if port not in told.ports]
        down = [port for port in interface.ports if told.ports.get(port) is False]
        wrong |= bool(absent or down)
        if absent:
            text = f"{', '.join(map(str, absent))} of {interface.name}: the switch has no such port"
            remedy = f"start it with `-i {absent[0]}@INTERFACE`, or take it out of the configuration"
            yield Finding(subject="ports", state=State.WRONG, text=text, remedy=remedy)
        if down:
            text = f"{', '.join(map(str, down))} of {interface.name}: no link"
            remedy = "bring the network interface up: `ip link set ... up`"
            yield Finding(subject="ports", state=State.WRONG, text=text, remedy=remedy)
    if not wrong:
        count = sum(len(interface.ports) for interface in told.config.interfaces)
        yield Finding(subject="ports", state=State.OK, text=f"all {count} have a link")


def _store(facts: Facts) -> Iterator[Finding]:
    if facts.damage:
        remedy = "keep a copy of the file, then start the daemon with a new one: --store"
        yield Finding(subject="store", state=State.WRONG, text=facts.damage, remedy=remedy)
    elif facts.space is not None and facts.space < LITTLE_SPACE:
        text = f"only {facts.space >> 20} MB are free on its disk"
        yield Finding(subject="store", state=State.WARNING, text=text, remedy="make room")
    else:
        yield Finding(
            subject="store", state=State.OK, text=f"whole and writable, revision {facts.latest.number}"
        )


def _clock(facts: Facts) -> Iterator[Finding]:
    ahead = facts.latest.time - facts.report.time
    if ahead > 1:
        text = f"the latest change is {ahead:.0f} s in the future: the clock was set back"
        remedy = "set the clock; drain deadlines are counted by it"
        yield Finding(subject="clock", state=State.WARNING, text=text, remedy=remedy)


def _neighbors(facts: Facts) -> Iterator[Finding]:
    bad = [one for one in facts.report.neighbors if one.state in ("failed", "resolving")]
    for one in bad:
        text = f"{one.address} ({one.interface}) {'does not answer' if one.state == 'failed' else 'is asked'}"
        remedy = "see that the host is up and on that network; `sluice events` says since when"
        state = State.WRONG if one.state == "failed" else State.WARNING
        yield Finding(subject="neighbors", state=state, text=text, remedy=remedy)
    if not bad:
        text = f"all {len(facts.report.neighbors)} are known"
        yield Finding(subject="neighbors", state=State.OK, text=text)


def _pools(facts: Facts) -> Iterator[Finding]:
    for pool in facts.report.pools:
        found = [*_backends(facts, pool)]
        serving = [one for one in pool.backends if one.buckets]
        subject = f"pool {pool.name}"
        vips = facts.config.vips_of(pool.name)
        if not serving and vips:
            names = ", ".join(vip.name for vip in vips)
            text = f"nobody serves, clients of {names} are refused"
            remedy = _who_could_serve(pool, bool(found))
            yield Finding(subject=subject, state=State.WRONG, text=text, remedy=remedy)
        if pool.standing_in:
            remedy = (
                f"see why {', '.join(pool.awaited)} cannot be reached; or go back, `sluice history` has the "
                "revisions: `sluice rollback N`. Who must not serve any longer is taken out all the same by "
                "`sluice backend cut`, or `disable` while it is configured"
            )
            yield Finding(subject=subject, state=State.WARNING, text=pool.standing_in, remedy=remedy)
        if pool.unmoved:
            text = f"{pool.unmoved} new flows found no room to be recorded while their bucket moved"
            remedy = "they stayed and did not break; move fewer buckets at once"
            yield Finding(subject=subject, state=State.WARNING, text=text, remedy=remedy)
        yield from found
        if not found and serving and not pool.standing_in:
            text = f"{len(serving)} of {len(pool.backends)} backends serve"
            yield Finding(subject=subject, state=State.OK, text=text)


def _who_could_serve(pool: PoolReport, trouble: bool) -> str:
    add = f"`sluice backend add {pool.name} ...`"
    if trouble:
        return f"{add}, or see below"
    if any(one.state is Administrative.ACTIVE and one.weight for one in pool.backends):
        return "the backends get their buckets when the switch is connected: see above"
    return f"{add}, or `sluice backend enable` one of those that there are" if pool.backends else add


def _backends(facts: Facts, pool: PoolReport) -> Iterator[Finding]:
    checked = not isinstance(facts.config.pool(pool.name).health, NoCheck)
    been_healthy = {
        event.subject for event in facts.events if event.kind is Kind.HEALTH and event.text == "healthy"
    }
    for one in pool.backends:
        if one.state in ("removing", "disabled"):
            continue
        subject = f"{pool.name}/{one.name}"
        if one.health == "down":
            never = "" if subject in been_healthy else ", and was not healthy since the daemon began"
            remedy = f"ask it as the checks do: {_question(facts.config, pool.name, one.address, one.port)}"
            text = f"down: {one.reason}{never}"
            yield Finding(subject=subject, state=State.WRONG, text=text, remedy=remedy)
        elif one.health == "unknown" and checked:
            remedy = "wait for the first checks; without a VIP or a port nobody knows where to ask"
            yield Finding(subject=subject, state=State.WARNING, text="no verdict yet", remedy=remedy)
        if is_overdue(one, facts.report.time):
            text = "still has flows, and the deadline of its drain has passed"
            remedy = (
                f"`sluice backend drain {pool.name} {one.name} --wait` says how many, "
                f"`sluice backend disable {pool.name} {one.name}` cuts them"
            )
            yield Finding(subject=subject, state=State.WARNING, text=text, remedy=remedy)
        if one.suspect:
            text = "does not answer the switch's probes: new connections go to others"
            remedy = (
                "see whether it is overloaded; if probes are blocked on the way, `probe: none` in its pool"
            )
            yield Finding(subject=subject, state=State.WARNING, text=text, remedy=remedy)
        yield from _clients(subject, one)


def _clients(subject: str, one: BackendReport) -> Iterator[Finding]:
    """What clients' connections say of a backend."""
    remedy = (
        "connect to its service as a client; look at its way back to the clients, its backlog, its filter"
    )
    if one.ejected is not None:
        text = f"is ejected, gets no new connections ({one.ejected_for})"
        yield Finding(subject=subject, state=State.WARNING, text=text, remedy=remedy)
    elif one.signal:
        text = f"is {one.signal}: clients' connections are not accepted"
        yield Finding(subject=subject, state=State.WARNING, text=text, remedy=remedy)


def _question(config: Config, pool: str, address: str, port: int | None) -> str:
    health = config.pool(pool).health
    asked = getattr(health, "port", None) or port or "PORT"
    host = f"[{address}]" if ":" in address else address
    if health.type == "http":
        return f"curl -i http://{host}:{asked}{getattr(health, 'path', '/')}"
    return f"nc -vz {address} {asked}"


def _exceptions(facts: Facts) -> Iterator[Finding]:
    recorded = facts.recorded
    if recorded is None:
        text = "the switch does not tell" if len(facts.switches) == 1 else "not every switch tells"
        yield Finding(subject="recorded flows", state=State.NOTE, text=text)
        return
    text = f"{recorded.used} of {recorded.room} places are used"
    if recorded.used > FULL * recorded.room:
        remedy = "a flood of SYNs, or many moves at once: what finds no room stays where it was"
        yield Finding(subject="recorded flows", state=State.WARNING, text=text, remedy=remedy)
    else:
        yield Finding(subject="recorded flows", state=State.OK, text=text)
