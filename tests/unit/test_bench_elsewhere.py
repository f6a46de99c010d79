"""Whether a machine is too busy for a benchmark to judge."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.command import MOST_ELSEWHERE, NOT_MEASURED, status
from bench.elsewhere import KERNEL_THREAD, Elsewhere, Ticks

BENCH, SWITCH, SHELL, STRANGER, THREAD, PARENT = 100, 101, 102, 103, 104, 1


def process(folder: Path, number: int, parent: int, name: str, *ticks: int, flags: int = 0) -> None:
    """ticks: user, system, and those of children that have ended."""
    (folder / str(number)).mkdir(exist_ok=True)
    before, after = f"S {parent} 1 1 0 -1 {flags} 9 9 9 9", "20 0 1 0 5 6"
    (folder / str(number) / "stat").write_text(
        f"{number} ({name}) {before} {' '.join(map(str, ticks))} {after}\n"
    )


def test_what_is_counted(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu  100 20 30 1000 5 6 7 8 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\n")
    (tmp_path / "self").mkdir()
    process(tmp_path, PARENT, 0, "init", 1000, 1000, 1000, 1000)
    process(tmp_path, BENCH, PARENT, "python -m (bench) 1 2", 1, 2, 3, 4)
    process(tmp_path, SHELL, BENCH, "sh", 10, 0, 0, 0)
    process(tmp_path, SWITCH, SHELL, "switch", 100, 0, 0, 0)
    process(tmp_path, STRANGER, PARENT, "cc1", 500, 0, 0, 0)
    process(tmp_path, THREAD, 2, "ksoftirqd/0", 0, 50, 0, 0, flags=KERNEL_THREAD)
    assert Ticks.now(BENCH, tmp_path) == Ticks(total=1176, busy=150, stolen=8, kernel=50, own=120)


BEFORE = Ticks(total=1000, busy=500, stolen=10, kernel=20, own=300)


@pytest.mark.parametrize(
    ("after", "others", "stolen"),
    [
        (replace(BEFORE, total=2000, busy=1400, own=1200), 0.0, 0.0),
        (replace(BEFORE, total=2000, busy=1400, own=1100, kernel=120), 0.0, 0.0),
        (replace(BEFORE, total=2000, busy=1400, own=1100), 0.1, 0.0),
        (replace(BEFORE, total=2000, busy=1400, own=1200, stolen=110), 0.0, 0.1),
        (replace(BEFORE, total=2000, busy=1400, own=1201), 0.0, 0.0),
        (BEFORE, 0.0, 0.0),
    ],
    ids=["ours", "the kernel's", "another's", "another machine's", "counted late", "no time"],
)
def test_the_share_of_others(after: Ticks, others: float, stolen: float) -> None:
    assert after.others_since(BEFORE) == pytest.approx(others)
    assert after.stolen_since(BEFORE) == pytest.approx(stolen)


def test_this_machine_can_be_asked() -> None:
    for before_others in (False, True):
        with Elsewhere(before_others=before_others) as elsewhere:
            pass
        assert 0 <= elsewhere.share <= 1


@pytest.mark.parametrize(
    ("share", "held", "expected"),
    [
        (0.0, (True, True), 0),
        (0.0, (True, False), 1),
        (MOST_ELSEWHERE, (True, False), 1),
        (MOST_ELSEWHERE * 1.01, (True, True), NOT_MEASURED),
        (MOST_ELSEWHERE * 1.01, (True, False), NOT_MEASURED),
    ],
)
def test_a_busy_machine_is_not_judged(
    share: float, held: tuple[bool, ...], expected: int, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = Elsewhere()
    elsewhere.share = share
    assert status(elsewhere, held) == expected
    said = capsys.readouterr().out
    assert ("Nothing is judged" in said) == (expected == NOT_MEASURED)
