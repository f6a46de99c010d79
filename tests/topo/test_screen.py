"""What the person in front of the demonstration sees."""

import io

from rich.console import Console

from controller.model import State
from controller.report import BackendReport
from tests.topo.test_verdict import DEATH, GOOD, PHASE, refused
from topo.demo.screen import Screen, View, line, table
from topo.demo.summary import print_summary
from topo.demo.verdict import judge


def backend(name: str, health: str, share: float) -> BackendReport:
    return BackendReport.model_validate(
        {
            "name": name,
            "address": "10.0.1.11",
            "port": 8080,
            "weight": 2,
            "state": State.ACTIVE,
            "health": health,
            "reason": "",
            "id": 1,
            "buckets": 1,
            "previous_buckets": 0,
            "share_wanted": share,
            "buckets_wanted": 1,
            "share": share,
            "drained": False,
            "packets": 0,
            "bytes": 0,
            "syns": 0,
            "suspect": False,
            "probe_answers": None,
            "suspected": 0,
            "tier": 0,
            "slow_start": 1.0,
            "penalty": 0.0,
            "held_back": False,
        }
    )


VIEW = View(
    phase="steady",
    backends=(backend("b1", "healthy", 0.75), backend("b2", "down", 0.25)),
    requests={"b1": 300, "b2": 100},
    recent={"b1": 60, "b2": 20},
    streams={"b1": 5, "b2": 2},
    failed=3,
    broken=1,
    lost=7,
)


def test_the_table() -> None:
    console = Console(file=io.StringIO(), width=110, record=True)
    console.print(table(VIEW, recent_seconds=2.0))
    shown = " ".join(console.export_text().split())
    assert "│ b1 │ healthy │ active │ 2 │ 75.0% │ 300 │ 30 │ 5 │" in shown
    assert "│ b2 │ down │ active │ 2 │ 25.0% │ 100 │ 10 │ 2 │" in shown
    assert "failed 3, broken 1, lost to a death 7" in shown


def test_the_line() -> None:
    said = line(VIEW, recent_seconds=2.0)
    assert "steady: 40 requests/s: b1 75%  b2 25% | 7 long-lived | failed 3, broken 1" in said


def test_without_a_terminal_there_are_plain_lines() -> None:
    out = io.StringIO()
    with Screen(lambda: VIEW, 2.0, Console(file=out, width=60)) as screen:
        screen.command("sluice pool show web", "x" * 100)
        screen.event("web/b1: down")
    assert "\x1b" not in out.getvalue()
    assert "$ sluice pool show web\n" + "x" * 100 + "\n" in out.getvalue(), "lines are not broken"
    assert "s] web/b1: down\n" in out.getvalue()


def test_the_summary_says_what_did_not_hold() -> None:
    verdict = judge([PHASE], [*GOOD, refused(10.0)], [], [DEATH])
    console = Console(file=io.StringIO(), width=110, record=True)
    print_summary(console, {"web": verdict}, [DEATH])
    shown = console.export_text()
    assert "BROKEN  web: no new connection fails" in shown
    assert "1 x new connection: ConnectionRefusedError" in shown
    assert "the last new connection was sent to it 0.600 s after its death" in shown
    assert "held    web: no long-lived connection" in shown
