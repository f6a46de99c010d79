"""`sluice backend drain --wait` and `undrain`: what is said, and how it ends."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from controller.cli import drain as drains
from controller.model import AtDeadline, Deadline, State
from controller.report import DrainReport
from controller.values import parse_moment
from tests.fakes.cli import Cli
from tests.fakes.controller import NOW, FakeController

DRAINING = DrainReport(
    pool="web",
    backend="b1",
    state=State.DRAIN,
    drained=False,
    new_flow_buckets=0,
    buckets=143,
    buckets_at_first=256,
    busy=97,
    unheard=46,
    flows=122,
    recorded=3,
    at_least=100,
    packets=1000,
    counted=NOW,
    began=NOW - 60,
    ends=None,
)
EMPTY = DRAINING.model_copy(
    update={"drained": True, "buckets": 0, "busy": 0, "unheard": 0, "flows": 0, "recorded": 0, "at_least": 0}
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drains, "INTERVAL", 0.0)
    monkeypatch.setattr(drains, "monotonic", lambda: 0.0)


# What is known of the drain, what is said
PROGRESS = [
    (
        {},
        "about 125 flows; 143 of 256 buckets (97 heard, 46 silent so far); 3 recorded",
    ),
    (
        {"buckets": 256, "busy": 256, "unheard": 0, "flows": None, "at_least": 259},
        "at least 259 flows; 256 of 256 buckets (256 heard, 0 silent so far); 3 recorded",
    ),
    (
        {"busy": 0, "unheard": 143, "flows": 0, "recorded": 0, "at_least": 0},
        "no flow that was heard; 143 of 256 buckets (0 heard, 143 silent so far)",
    ),
    ({"buckets": 0, "busy": 0, "unheard": 0, "flows": 0, "recorded": 1}, "1 flow; 1 recorded"),
    ({"buckets": 0, "busy": 0, "unheard": 0, "flows": 0, "recorded": None}, "no flow"),
    ({"new_flow_buckets": 256}, "announced to the switch: 256 buckets move in a few seconds"),
]


@pytest.mark.parametrize(("known", "said"), PROGRESS)
def test_progress(known: dict[str, object], said: str) -> None:
    assert drains.progress([DRAINING.model_copy(update=known)]) == said


def test_how_fast_packets_come_is_over_several_looks() -> None:
    seen = [DRAINING.model_copy(update={"packets": 40 * n, "counted": NOW + n}) for n in range(4)]
    assert drains.progress(seen).endswith("40 packets/s")


def test_it_waits_until_no_flow_is_left(cli: Cli, controller: FakeController) -> None:
    controller.drains = [DRAINING, DRAINING, DRAINING.model_copy(update={"buckets": 20}), EMPTY]
    result = cli("backend", "drain", "web", "b1", "--wait")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines() == [
        "web/b1 drains (revision 2); no buckets moved",
        "web/b1: about 125 flows; 143 of 256 buckets (97 heard, 46 silent so far); 3 recorded",
        "web/b1: about 125 flows; 20 of 256 buckets (97 heard, 46 silent so far); 3 recorded",
        "web/b1 is empty after 0s: no bucket needs it, no flow is left",
    ]


def test_each_look_is_a_json_document(cli: Cli, controller: FakeController) -> None:
    controller.drains = [DRAINING, EMPTY]
    result = cli("backend", "drain", "web", "b1", "--wait", "-o", "json")
    assert [DrainReport.model_validate_json(line) for line in result.out.splitlines()[-2:]] == [
        DRAINING,
        EMPTY,
    ]


OVERDUE = {"deadline": NOW - 1, "overdue": True}


def test_flows_are_kept_at_the_deadline(cli: Cli, controller: FakeController) -> None:
    controller.drains = [DRAINING.model_copy(update=OVERDUE | {"at_deadline": AtDeadline.KEEP})]
    result = cli("backend", "drain", "web", "b1", "--wait")
    assert result.code == 1
    assert result.out.splitlines()[-1] == (
        "The deadline has passed: web/b1 still has about 125 flows. They go on, and so does the drain."
    )
    assert controller.config.pool("web").backend("b1").state == "drain"


def test_or_the_daemon_cuts_them_if_it_was_told_so(cli: Cli, controller: FakeController) -> None:
    cut = {"at_deadline": AtDeadline.CUT}
    overdue = DRAINING.model_copy(update=OVERDUE | cut)
    controller.drains = [overdue, EMPTY.model_copy(update={"state": State.DISABLED})]
    result = cli("backend", "drain", "web", "b1", "--wait")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines()[-2:] == [
        "web/b1: about 125 flows; 143 of 256 buckets (97 heard, 46 silent so far); 3 recorded; cut now",
        "web/b1 was disabled at its deadline, which cut about 125 flows",
    ]


def test_or_somebody_does(cli: Cli, controller: FakeController) -> None:
    controller.drains = [DRAINING, EMPTY.model_copy(update={"state": State.DISABLED})]
    result = cli("backend", "drain", "web", "b1", "--wait")
    assert (result.code, result.out.splitlines()[-1]) == (
        0,
        "web/b1 was disabled by somebody, which cut about 125 flows",
    )


# Options, what the line about the change says, and the deadline after it
DEADLINES = [
    (
        "--deadline 2030-01-01T13:00:00+01:00",
        "with deadline 2030-01-01T13:00:00+01:00, then keep",
        Deadline(at=parse_moment("2030-01-01T12:00:00Z")),
    ),
    (
        "--deadline 2030-01-01T12:00 --at-deadline cut",
        "with deadline 2030-01-01T12:00, then cut",
        Deadline(at=parse_moment("2030-01-01T12:00:00Z"), then=AtDeadline.CUT),
    ),
    ("--deadline none", "without a deadline", None),
]


@pytest.mark.parametrize(("options", "said", "deadline"), DEADLINES)
def test_the_daemon_is_given_the_deadline(
    cli: Cli, controller: FakeController, options: str, said: str, deadline: Deadline | None
) -> None:
    result = cli("backend", "drain", "web", "b1", *options.split())
    assert (result.code, result.out) == (0, f"web/b1 drains {said} (revision 2); no buckets moved\n")
    assert controller.config.pool("web").backend("b1").deadline == deadline


def test_a_deadline_is_so_long_from_now_by_the_daemon_s_clock(cli: Cli, controller: FakeController) -> None:
    before = time.time()
    cli("backend", "drain", "web", "b1", "--deadline", "10m", "--at-deadline", "cut")
    deadline = controller.config.pool("web").backend("b1").deadline
    assert deadline is not None and deadline.then is AtDeadline.CUT
    assert before + 600 <= deadline.at.timestamp() <= time.time() + 601
    shown = cli("pool", "show", "web").out
    assert "b1       10.0.1.11:8080  drain, 10m  " in shown
    assert re.search(r"^b1 drains until 20[-: 0-9]*; what is left then is cut$", shown, re.MULTILINE)
    assert "then: cut" in cli("get", "-o", "yaml").out


def test_a_drain_that_goes_on_keeps_its_deadline_and_undrain_ends_it(
    cli: Cli, controller: FakeController
) -> None:
    cli("backend", "drain", "web", "b1", "--deadline", "10m")
    assert cli("backend", "drain", "web", "b1").out.startswith("nothing to change")
    assert controller.config.pool("web").backend("b1").deadline is not None
    cli("backend", "undrain", "web", "b1")
    assert controller.config.pool("web").backend("b1").deadline is None


def test_somebody_else_calls_it_off(cli: Cli, controller: FakeController) -> None:
    controller.drains = [DRAINING, DRAINING.model_copy(update={"state": State.ACTIVE})]
    result = cli("backend", "drain", "web", "b1", "--wait")
    assert (result.code, result.err) == (1, "web/b1 drains no longer: somebody has called it off\n")


def test_ctrl_c_leaves_the_drain_going(
    cli: Cli, controller: FakeController, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller.drains = [DRAINING]

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(drains, "sleep", interrupt)
    result = cli("backend", "drain", "web", "b1", "--wait")
    assert result.code == 130
    assert result.err == (
        "web/b1 goes on draining. `sluice backend drain web b1 --wait` looks again, `sluice backend undrain"
        " web b1` calls it off.\n"
    )
    assert controller.config.pool("web").backend("b1").state == "drain"


def test_a_signal_is_such_an_interrupt(controller: FakeController, cli: Cli, socket_path: Path) -> None:
    controller.drains = [DRAINING]
    command = [sys.executable, "-m", "sluice.main", "backend", "drain", "web", "b1", "--wait"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout and process.stderr
    while "buckets (" not in process.stdout.readline():
        pass
    process.send_signal(signal.SIGINT)
    assert "goes on draining" in process.stderr.read()
    assert process.wait(20) == 130


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("--deadline soon", "'soon' is neither a duration such as 10m, nor a time such as"),
        ("--deadline=-10m", "'-10m' is neither a duration such as 10m"),
        ("--at-deadline cut", "--at-deadline needs --deadline"),
        ("--deadline none --at-deadline cut", "--at-deadline needs a deadline"),
        ("--wait --at-deadline maybe", "'keep', 'cut'"),
    ],
)
def test_mistakes(cli: Cli, controller: FakeController, command: str, message: str) -> None:
    result = cli("backend", "drain", "web", "b1", *command.split())
    assert result.code == 2 and message in " ".join(result.err.split())
    assert controller.changes == []


def test_undrain(cli: Cli, controller: FakeController) -> None:
    result = cli("backend", "undrain", "web", "b3")
    assert (result.code, result.out) == (0, "web/b3 drains no longer (revision 2); no buckets moved\n")
    assert controller.config.pool("web").backend("b3").state == "active"
    assert cli("backend", "undrain", "web", "b3").out.startswith("nothing to change")


def test_undrain_is_not_enable(cli: Cli, controller: FakeController) -> None:
    cli("backend", "disable", "web", "b3")
    result = cli("backend", "undrain", "web", "b3")
    assert result.code == 1 and "is disabled, and does not drain" in result.err
