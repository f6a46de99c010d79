"""`sluice doctor`: what it prints, and how it ends."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from controller.api.client import Unreachable
from controller.cli import doctor, machine
from controller.diagnosis import Finding, State
from tests.fakes.cli import Cli
from tests.fakes.controller import FakeController

WELL = Finding(subject="switch", state=State.OK, text="primary, in step")
LOOK = Finding(subject="web/b1", state=State.WARNING, text="no verdict yet", remedy="wait")
WRONG = Finding(subject="store", state=State.WRONG, text="damaged", remedy="keep a copy")


@pytest.fixture(autouse=True)
def machine_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        machine, "findings", lambda: [Finding(subject="cc", state=State.OK, text="/usr/bin/cc")]
    )


def test_what_is_well_and_what_is_to_look_at(cli: Cli, controller: FakeController) -> None:
    controller.findings = [WELL, LOOK]
    result = cli("doctor")
    assert result.code == 0
    assert result.out == (
        "ok       cc      /usr/bin/cc\n"
        "ok       daemon  answers\n"
        "ok       switch  primary, in step\n"
        "warning  web/b1  no verdict yet\n"
        "                 wait\n"
        "\n"
        "0 wrong, 1 to look at\n"
    )


def test_something_is_wrong(cli: Cli, controller: FakeController) -> None:
    controller.findings = [WELL, WRONG]
    result = cli("doctor", "-o", "json")
    assert result.code == 1
    assert Finding.model_validate(result.json()[-1]) == WRONG


def test_a_daemon_that_hangs_is_not_to_be_started() -> None:
    def get(*_: object) -> None:
        raise Unreachable("the daemon at /run/sluice/sluice.sock does not answer")

    (finding,) = doctor._of_daemon(SimpleNamespace(get=get))  # type: ignore[arg-type]
    assert (finding.state, finding.remedy) == (State.WRONG, doctor.BUSY)


def test_no_daemon_is_a_finding(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLUICE_SOCKET", str(tmp_path / "no.sock"))
    result = cli("doctor")
    assert (result.code, result.err) == (1, "")
    assert "wrong  daemon  no daemon answers at" in result.out and "sluice daemon -c FILE" in result.out


def test_a_socket_that_is_not_for_this_user(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "os", SimpleNamespace(access=lambda path, mode: False, R_OK=4, W_OK=2))
    result = cli("doctor")
    assert result.code == 1 and "and is not for this user" in " ".join(result.out.split())
    assert result.code == doctor.SOMETHING_IS_WRONG


def test_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    found = {one.subject: one for one in machine.findings()}
    assert found.keys() == {"versions", "cc", "p4c-bm2-ss", "simple_switch_grpc", "rights", "clock"}
    assert "sluice 0.1.0" in found["versions"].text
    monkeypatch.setenv("PATH", "/nowhere")
    without = {one.subject: one for one in machine.findings()}
    assert (without["cc"].state, without["p4c-bm2-ss"].state) == (State.WARNING, State.NOTE)
