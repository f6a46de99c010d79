"""What the person in front of the demonstration sees."""

import io
from dataclasses import replace

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

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
    pool="web",
    phase="steady",
    backends=(backend("b1", "healthy", 0.75), backend("b2", "down", 0.25)),
    requests={"b1": 300, "b2": 100},
    recent={"b1": 60, "b2": 20},
    streams={"b1": 5, "b2": 2},
    failed=3,
    broken=1,
    lost=7,
)


BACKENDS = ("b1", "b2", "b3", "b4", "b5")


def terminal(shown: RenderableType, columns: int) -> str:
    console = Console(file=io.StringIO(), width=columns, record=True)
    console.print(shown)
    return "\n".join(one.rstrip() for one in console.export_text().splitlines())


def test_the_table() -> None:
    shown = " ".join(terminal(table(VIEW, recent_seconds=2.0), columns=110).split())
    assert "│ b1 │ healthy │ active │ 2 │ 75.0% │ 300 │ 30 │ 5 │" in shown
    assert "│ b2 │ down │ active │ 2 │ 25.0% │ 100 │ 10 │ 2 │" in shown
    assert "failed 3, broken 1, lost to a death 7" in shown


def test_other_pools_are_lines_of_a_table() -> None:
    other = replace(VIEW, pool="direct6", failed=0, recent={"b1": 10, "b5": 30})
    shown = " ".join(terminal(table(replace(VIEW, others=(other,)), recent_seconds=2.0), columns=80).split())
    assert "web 40 75% 25% 7 3 1 7" in shown
    assert "direct6 20 25% 75% 7 0 1 7" in shown


def test_what_is_live_fits_a_terminal_of_80_columns_in_whole_lines() -> None:
    """Of lines that the terminal breaks `rich` does not know, so rests of them stay."""
    others = tuple(replace(VIEW, pool=f"direct{n}", recent=dict.fromkeys(BACKENDS, 20)) for n in range(4))
    view = replace(VIEW, backends=tuple(backend(name, "healthy", 0.2) for name in BACKENDS), others=others)
    for columns in (60, 80, 100):
        out = io.StringIO()
        console = Console(file=out, width=columns, force_terminal=True, highlight=False)
        with Live(table(view, 2.0), console=console, auto_refresh=False):
            console.print(Text("x" * 3 * columns), soft_wrap=True)
        lines = Text.from_ansi(out.getvalue()).plain.splitlines()
        assert max(len(one) for one in lines if not one.startswith("x")) <= columns
    assert terminal(table(view, 2.0), columns=80) == terminal(table(view, 2.0), columns=200), "nothing is cut"


def test_the_line() -> None:
    said = line(VIEW, recent_seconds=2.0)
    assert "web: 40 requests/s: b1 75%  b2 25% | 7 long-lived | failed 3, broken 1" in said


def test_without_a_terminal_there_are_plain_lines() -> None:
    out = io.StringIO()
    with Screen(lambda: VIEW, 2.0, Console(file=out, width=60)) as screen:
        screen.command("sluice pool show web")
        screen.answer("x" * 100)
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
