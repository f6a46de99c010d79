"""The units: that systemd takes them, that they confine what they run, and that it takes their options."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from controller.cli.main import main
from switch.options import parse
from tests.fakes.controller import DOCUMENT

UNITS = sorted((Path(__file__).resolve().parents[2] / "contrib" / "systemd").glob("*.service"))
NAMES = [unit.name for unit in UNITS]
PROGRAM = "/opt/sluice/.venv/bin/sluice"

MOST_EXPOSURE = {"sluice.service": 1.5, "sluice-switch.service": 2.5}
"""Of 10, as `systemd-analyze security` counts."""

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is absent")


@pytest.fixture(params=UNITS, ids=NAMES)
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A unit, with the program that runs these tests in the place of the installed one."""
    copy = tmp_path / request.param.name
    text = request.param.read_text()
    assert text.count(PROGRAM) == (2 if request.param.name == "sluice.service" else 1)
    copy.write_text(text.replace(PROGRAM, str(Path(sys.executable).parent / "sluice")))
    return copy


def analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, timeout=60)


def test_systemd_has_nothing_to_say_against_it(unit: Path) -> None:
    done = analyze("verify", "--man=no", unit)
    assert (done.returncode, done.stderr) == (0, "")


def test_it_is_confined(unit: Path) -> None:
    done = analyze("security", "--offline=true", "--no-pager", unit)
    (exposure,) = re.findall(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert float(exposure) <= MOST_EXPOSURE[unit.name], done.stdout


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is absent")
def test_systemd_makes_the_user_of_the_unit(tmp_path: Path) -> None:
    (folder,) = {unit.parent for unit in UNITS}
    (rules := tmp_path / "usr/lib/sysusers.d").mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    shutil.copy(folder / "sysusers.conf", rules / "sluice.conf")
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}", "sluice.conf"], check=True, capture_output=True)
    (user,) = re.findall(r"^User=(\S+)$", (folder / "sluice.service").read_text(), re.MULTILINE)
    name, *_, home, shell = (tmp_path / "etc/passwd").read_text().strip().split(":")
    assert (name, home, Path(shell).name) == (user, "/var/lib/sluice", "nologin")


def test_the_switch_takes_the_flags_of_its_unit() -> None:
    (text,) = [unit.read_text() for unit in UNITS if unit.name == "sluice-switch.service"]
    (command,) = re.findall(r"^ExecStart=((?:.*\\\n)*.*)", text, re.MULTILINE)
    command = command.replace("\\\n", "").replace("$SLUICE_PORTS", "-i 1@lo").replace("$SLUICE_TARGET", "")
    program, name, *flags = shlex.split(command)
    assert (program, name) == (PROGRAM, "switch")
    options = parse(flags)
    assert (options.address, options.interfaces, options.cpu_port) == ("127.0.0.1:9559", {1: "lo"}, 255)


def test_the_daemon_takes_the_options_of_a_pair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As systemd splits them; of the files that they name the first is missed."""
    text = (UNITS[0].parent / "pair.default").read_text()
    (assignment,) = [line for line in text.splitlines() if line.startswith("SLUICE_OPTIONS=")]
    (value,) = shlex.split(assignment)
    config = tmp_path / "sluice.yaml"
    config.write_text(DOCUMENT)
    monkeypatch.setattr("controller.logs.to_stderr", lambda *_: None)  # it would outlive the test
    options = value.removeprefix("SLUICE_OPTIONS=").split()
    assert main(["daemon", "--check", "--config", str(config), *options]) == 2
    missed = "/etc/sluice/ca.pem is no file of certificates (PEM): No such file or directory"
    assert capfd.readouterr().err == f"sluice: --peer: {missed}\n"
