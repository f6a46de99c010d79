"""Each thing that can be wrong is found, said, and has a remedy; where nothing is wrong, nothing is found."""

from dataclasses import replace
from typing import Any

import pytest

from controller.diagnosis import HOUR, Facts, Finding, State, Told, diagnose
from controller.events import Event, Kind, Severity
from controller.model import ONLY
from controller.report import Recorded, Report
from tests.fakes.controller import NOW, FakeController

COOKIE = 0x1122334455667788
PORTS = dict.fromkeys(range(1, 7), True)
RECORDED = Recorded(time=NOW, used=12, room=49152, exact=True, by_backend={1: 12})


def healthy(report: Report) -> Report:
    """The fake controller's report without what it has that is not well."""
    pools = [
        pool.model_copy(
            update={
                "backends": tuple(
                    one.model_copy(update={"health": "healthy", "suspect": False}) for one in pool.backends
                )
            }
        )
        for pool in report.pools
    ]
    return report.model_copy(update={"pools": tuple(pools), "neighbors": report.neighbors[:1]})


def facts(**parts: Any) -> Facts:
    controller = FakeController()
    well = Facts(
        controller.config,
        healthy(controller.report()),
        controller.revision,
        COOKIE,
        {ONLY: Told(healthy(controller.report()).switch, controller.config, COOKIE, PORTS)},
        RECORDED,
    )
    told = {part: parts.pop(part) for part in ("cookie", "ports") if part in parts}
    if report := parts.get("report"):
        told["report"] = report.switch
    return replace(well, switches={ONLY: replace(well.switches[ONLY], **told)}, **parts)


def with_switch(**parts: Any) -> Report:
    report = facts().report
    return report.model_copy(update={"switch": report.switch.model_copy(update=parts)})


def with_pool(*, backend: dict[str, Any] | None = None, **parts: Any) -> Report:
    report = facts().report
    web, *others = report.pools
    if backend:
        first, *rest = web.backends
        parts["backends"] = (first.model_copy(update=backend), *rest)
    return report.model_copy(update={"pools": (web.model_copy(update=parts), *others)})


def with_absent_switch(**parts: Any) -> Report:
    """As the report has it; nothing else of the switch is looked at."""
    report = with_pool(**parts)
    a = report.switch.model_copy(update={"name": "a"})
    b = a.model_copy(update={"name": "b", "connected": False})
    return report.model_copy(update={"switches": (a, b)})


def event(kind: Kind, subject: str, text: str, time: float = NOW) -> Event:
    return Event(1, time, kind, Severity.WARNING, subject, text, "")


DRIFT = "holds entries that are not as we left them: 3 of buckets; repairing"


def test_all_is_well() -> None:
    found = [*diagnose(facts())]
    assert {one.state for one in found} == {State.OK}
    assert {one.subject for one in found} == {
        *(
            "switch",
            "program",
            "drift",
            "ports",
            "store",
            "neighbors",
            "pool web",
            "pool dns",
            "recorded flows",
        ),
    }


NOBODY = tuple(one.model_copy(update={"buckets": 0}) for one in facts().report.pools[0].backends)

# What is wrong, the facts, subject and state of the finding, what it says, what its remedy holds
FAULTS: list[tuple[str, Facts, str, State, str, str]] = [
    (
        "no switch",
        facts(report=with_switch(connected=False, error="connection refused")),
        *("switch", State.WRONG, "not connected: connection refused", "--grpc-server-addr 127.0.0.1:9559"),
    ),
    (
        "somebody else has it",
        facts(report=with_switch(primary=False, error="another controller has it")),
        *("switch", State.WARNING, "not primary: another controller has it", "standby"),
    ),
    (
        "it refuses entries",
        facts(report=with_switch(synchronized=False, error="insert in vips: full")),
        *("switch", State.WRONG, "not in step: insert in vips: full", "sluice events"),
    ),
    (
        "it is being written to",
        facts(report=with_switch(synchronized=False)),
        *("switch", State.WARNING, "entries are being written", ""),
    ),
    ("another program", facts(cookie=5), "program", State.WRONG, "another program (cookie 0x5", "restart"),
    ("a program unknown", facts(cookie=None), "program", State.NOTE, "does not tell", ""),
    (
        "drift",
        facts(events=[event(Kind.SWITCH, "s", DRIFT)]),
        *("drift", State.WARNING, "1 time in the last hour the switch holds entries", "who else writes"),
    ),
    (
        "a port down",
        facts(ports=PORTS | {3: False}),
        "ports",
        State.WRONG,
        "3 of servers: no link",
        "up",
    ),
    (
        "a port missing",
        facts(ports={1: True, 2: True, 3: True, 4: True, 5: True}),
        *("ports", State.WRONG, "6 of servers: the switch has no such port", "-i 6@"),
    ),
    ("ports unknown", facts(ports=None), "ports", State.NOTE, "no gNMI", ""),
    (
        "a damaged store",
        facts(damage="the store x is damaged: row 3"),
        *("store", State.WRONG, "damaged: row 3", "--store"),
    ),
    ("no space", facts(space=5 << 20), "store", State.WARNING, "only 5 MB are free", "make room"),
    (
        "the clock went back",
        facts(latest=replace(facts().latest, time=NOW + 90)),
        *("clock", State.WARNING, "90 s in the future", "set the clock"),
    ),
    (
        "a neighbor that is silent",
        facts(report=facts().report.model_copy(update={"neighbors": FakeController().report().neighbors})),
        *("neighbors", State.WRONG, "10.0.1.13 (servers) does not answer", "is up"),
    ),
    (
        "a backend that never was healthy",
        facts(report=with_pool(backend={"health": "down", "reason": "connection refused"})),
        *(
            "web/b1",
            State.WRONG,
            "was not healthy since the daemon began",
            "curl -i http://10.0.1.11:8080/healthz",
        ),
    ),
    (
        "a backend that was",
        facts(
            report=with_pool(backend={"health": "down", "reason": "connection refused"}),
            events=[event(Kind.HEALTH, "web/b1", "healthy")],
        ),
        *("web/b1", State.WRONG, "down: connection refused", "curl"),
    ),
    (
        "no verdict",
        facts(report=with_pool(backend={"health": "unknown"})),
        *("web/b1", State.WARNING, "no verdict yet", "first checks"),
    ),
    (
        "an overdue drain",
        facts(report=with_pool(backend={"state": "drain", "deadline": NOW - 1})),
        *("web/b1", State.WARNING, "still has flows", "sluice backend disable web b1"),
    ),
    (
        "a suspect",
        facts(report=with_pool(backend={"suspect": True})),
        *("web/b1", State.WARNING, "does not answer the switch's probes", "probe: none"),
    ),
    (
        "who is silent to its clients",
        facts(report=with_pool(backend={"signal": "silent"})),
        *("web/b1", State.WARNING, "is silent: clients' connections are not accepted", "as a client"),
    ),
    (
        "an ejected backend",
        facts(report=with_pool(backend={"ejected": NOW + 9, "ejected_for": "refusing: none of 20"})),
        *("web/b1", State.WARNING, "gets no new connections (refusing: none of 20)", "as a client"),
    ),
    (
        "who is to leave serves in the place of others",
        facts(report=with_pool(backend={"state": "drain", "stands_in": True}, awaited=("b7", "b8"))),
        *(
            "pool web",
            State.WARNING,
            "b1 to leave, but still with new connections: none of b7, b8 is up",
            "`sluice rollback N`",
        ),
    ),
    (
        "a switch that is away holds up drains",
        facts(report=with_absent_switch(held_up_buckets=12, held_up_backends=1)),
        *(
            "switch b",
            State.WARNING,
            "is away, and 12 buckets and 1 removed backend wait for it",
            "delete b below `switches`, `sluice apply -f sluice.yaml`",
        ),
    ),
    (
        "nobody serves",
        facts(report=with_pool(backends=NOBODY)),
        *(
            "pool web",
            State.WRONG,
            "nobody serves, clients of web are refused",
            "when the switch is connected",
        ),
    ),
    (
        "no room to move",
        facts(report=with_pool(unmoved=7)),
        *("pool web", State.WARNING, "7 new flows found no room", "fewer buckets"),
    ),
    (
        "exceptions full",
        facts(recorded=RECORDED.model_copy(update={"used": 48000})),
        *("recorded flows", State.WARNING, "48000 of 49152", "flood"),
    ),
    ("exceptions unknown", facts(recorded=None), "recorded flows", State.NOTE, "does not tell", ""),
]


@pytest.mark.parametrize(
    ("what", "planted", "subject", "state", "says", "remedy"), FAULTS, ids=[fault[0] for fault in FAULTS]
)
def test_a_fault_is_found_and_nothing_else(
    what: str, planted: Facts, subject: str, state: State, says: str, remedy: str
) -> None:
    found = [one for one in diagnose(planted) if one.state is not State.OK]
    assert [(one.subject, one.state) for one in found] == [(subject, state)], what
    assert says in found[0].text
    assert remedy in found[0].remedy and bool(found[0].remedy) == (state is not State.NOTE)


def test_old_drift_is_forgotten() -> None:
    old = facts(events=[event(Kind.SWITCH, "s", DRIFT, time=NOW - 2 * HOUR)])
    assert {one.state for one in diagnose(old)} == {State.OK}


def test_a_switch_that_is_away_is_not_blamed_for_what_it_does_not_tell() -> None:
    found = {
        one.subject: one.text
        for one in diagnose(facts(ports=None, cookie=None, report=with_switch(connected=False)))
    }
    assert found["ports"] == found["program"] == "not known: the switch is not connected"


def test_one_that_was_healthy_is_not_told_to_have_never_been() -> None:
    planted = facts(
        report=with_pool(backend={"health": "down", "reason": "refused"}),
        events=[event(Kind.HEALTH, "web/b1", "healthy")],
    )
    texts = [one.text for one in diagnose(planted) if one.subject == "web/b1"]
    assert texts == ["down: refused"]
    assert isinstance(next(diagnose(planted)), Finding)
