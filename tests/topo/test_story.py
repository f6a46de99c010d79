"""How the demonstration ends when it cannot go on."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from controller.api.client import Unreachable
from topo import lab, plan, preflight
from topo.demo.observer import Observer
from topo.demo.screen import Screen
from topo.demo.story import Story, StoryFailed, demonstrate
from topo.errors import LabError
from topo.lab import Lab, LabRecord
from topo.processes import Process


@pytest.fixture
def no_lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path, LabRecord("", "none", "", Process(1, 1), config=str(plan.CONFIG)))


def test_a_daemon_that_does_not_answer_ends_it_with_what_helps(
    no_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tell(_story: Story, _screen: Screen) -> None:
        raise Unreachable("the daemon does not answer")

    monkeypatch.setattr(Observer, "following", lambda *_: nullcontext())
    monkeypatch.setattr(Story, "tell", tell)
    monkeypatch.setattr(preflight, "busy", lambda: "This machine is busy.")
    with pytest.raises(StoryFailed, match=r"does not answer\. Logs: .*/none") as failed:
        demonstrate(no_lab)
    assert failed.value.__notes__ == ["This machine is busy."]


def test_a_command_that_hangs_is_named(no_lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = tmp_path / "sluice"
    hanging.write_text("#!/bin/sh\nexec sleep 10\n")
    hanging.chmod(0o755)
    monkeypatch.setattr(lab, "SLUICE", hanging)
    monkeypatch.setattr(lab, "CLI_SECONDS", 0.1)
    with pytest.raises(LabError, match=r"`sluice status` has not ended for 0 s\. Logs: "):
        no_lab.sluice("status")
