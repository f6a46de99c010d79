"""Two people change the configuration at once: who comes second is told, and nothing is lost."""

from pathlib import Path

import pytest

from controller.config import parse
from tests.fakes.cli import Cli
from tests.fakes.controller import FakeController


@pytest.fixture
def edited(cli: Cli, tmp_path: Path) -> Path:
    """A document from `get`, in which somebody has changed a weight."""
    document = tmp_path / "sluice.yaml"
    document.write_text(cli("get").out.replace("weight: 2", "weight: 9"))
    return document


def weights(controller: FakeController) -> list[int]:
    return [backend.weight for backend in controller.config.pool("web").backends]


def test_who_comes_second_is_told_who_was_first(
    cli: Cli, controller: FakeController, edited: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "bob")
    assert cli("backend", "weight", "web", "b1", "5").code == 0
    for dry in ([], ["--dry-run"]):
        late = cli("apply", "-f", str(edited), *dry)
        assert (late.code, late.out) == (1, "")
        assert late.err == (
            f"sluice: {edited} was made for revision 1; since then\n"
            "  revision 2, 2023-11-14 22:13:20, by bob: backend web/b1: weight 5\n"
            "Nothing was changed. `sluice diff 1` shows what that did. Get the document anew and edit that,"
            " or let yours win with --overwrite.\n"
        )
    assert weights(controller) == [5, 2, 1]


def test_the_second_may_insist(cli: Cli, controller: FakeController, edited: Path) -> None:
    cli("backend", "weight", "web", "b1", "5")
    assert cli("apply", "-f", str(edited), "--overwrite").code == 0
    assert weights(controller) == [1, 9, 1]


def test_what_nobody_has_disturbed_is_applied_and_may_be_applied_again(
    cli: Cli, controller: FakeController, edited: Path
) -> None:
    assert cli("apply", "-f", str(edited)).code == 0
    assert cli("apply", "-f", str(edited)).out.startswith("nothing to change")
    assert controller.config == parse(edited.read_text())


def test_a_document_without_a_revision_wins(cli: Cli, controller: FakeController, edited: Path) -> None:
    edited.write_text(edited.read_text().partition("\n")[2])
    cli("backend", "weight", "web", "b1", "5")
    assert cli("apply", "-f", str(edited)).code == 0
    assert cli("apply", "-f", str(edited), "--expect", "2").out.startswith("nothing to change")


@pytest.mark.parametrize("command", ["rollback 1", "rollback 1 --dry-run"])
def test_a_rollback_can_expect_a_revision(cli: Cli, controller: FakeController, command: str) -> None:
    cli("backend", "weight", "web", "b1", "5")
    cli("backend", "weight", "web", "b1", "6")
    late = cli(*command.split(), "--expect", "2")
    assert late.code == 1 and "by alice: backend web/b1: weight 6" in late.err
    assert weights(controller) == [6, 2, 1]
    assert cli(*command.split(), "--expect", "3").code == 0
