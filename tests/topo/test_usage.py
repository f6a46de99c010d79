"""Bad usage and missing things: the message says what and what to do, and nothing is started."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from topo import install, preflight
from topo.lab import PROJECT

TOPO = [sys.executable, "-m", "topo"]


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=PROJECT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "COMMAND"),
        (("run", "--target", "nonsense"), "'auto', 'bmv2', 'embedded'"),
        (("server", "explode", "b1"), "'start', 'kill'"),
        (("on",), "host"),
        (("up", "--switches", "3"), "choose from 1, 2"),
        (("switch", "explode", "s1"), "'start', 'kill'"),
        (("controller", "explode"), "'start', 'kill'"),
        (("spread",), "SWITCH"),
    ],
)
def test_usage(arguments: tuple[str, ...], said: str) -> None:
    result = run(*TOPO, *arguments)
    assert result.returncode == 2
    assert said in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("on", "c1", "true"),
        ("server", "kill", "b1"),
        ("requests",),
        ("switch", "kill", "s1"),
        ("controller", "kill"),
        ("spread", "s1"),
    ],
)
def test_commands_without_a_lab(command: tuple[str, ...]) -> None:
    result = run(*TOPO, "--name", "sluice-absent", *command)
    assert result.returncode == 2
    assert "`make up` starts it" in result.stderr


@pytest.mark.root
@pytest.mark.parametrize("name", ["Sluice", "../etc", "a b", "", "x" * 31])
def test_bad_names(name: str) -> None:
    result = run(*TOPO, "--name", name, "up")
    assert result.returncode == 2
    assert "is no name for a lab" in result.stderr


def test_make_lists_its_targets() -> None:
    result = run("make", "--no-print-directory")
    assert result.returncode == 0
    for target in ("run", "up", "down", "test", "check", "p4", "clean"):
        assert f"make {target} " in result.stdout


def test_make_without_python() -> None:
    result = run("make", "--no-print-directory", "PYTHON=", "run")
    assert result.returncode != 0
    assert "there is no Python 3.11" in result.stderr
    assert "What to do:" in result.stderr


def test_preflight_without_root(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "argv", ["preflight", "rights"])
    assert preflight.main() == 2
    said = capsys.readouterr().err
    assert "not root" in said and "sudo make" in said


@pytest.mark.parametrize(("load", "said"), [(7.6, "a load of 8 on 2 processors"), (3.9, "")])
def test_a_busy_machine(load: float, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    assert said in preflight.busy() and bool(said) == bool(preflight.busy())


@pytest.mark.root
def test_preflight_without_the_right_to_make_namespaces() -> None:
    result = run(
        "setpriv",
        "--bounding-set=-sys_admin",
        "--inh-caps=-sys_admin",
        sys.executable,
        "-m",
        "topo.preflight",
        "rights",
    )
    assert result.returncode == 2
    assert "no network namespace can be made here" in result.stderr
    assert "CAP_SYS_ADMIN" in result.stderr


def test_preflight_without_vxlan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = tmp_path / "unshare"
    refusing.write_text("#!/bin/sh\necho 'Error: Unknown device type.' >&2\nexit 2\n")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    problem = preflight.vxlan()
    assert problem is not None
    assert "VXLAN" in problem.what and "Unknown device type" in problem.what
    assert "modprobe vxlan" in problem.remedy


def test_preflight_without_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    problem = preflight.compiler()
    assert problem is not None
    assert "no C compiler" in problem.what and "gcc" in problem.remedy


def test_preflight_with_a_compiler_that_does_not_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho stdio.h is missing >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    problem = preflight.compiler()
    assert problem is not None
    assert "stdio.h is missing" in problem.what and "libc6-dev" in problem.remedy


def test_install_without_root_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "NEEDS", (install.Need("no-such-package", program="no-such-program"),))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(install.InstallError, match=r"apt-get install .* no-such-package"):
        install.install_packages()


def test_an_environment_that_cannot_be_completed_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "PROJECT", tmp_path)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "lock.txt").write_text("no-hash==1\n")  # refused before the index is asked
    environment = install.Environment("environment", "lock.txt", with_project=False)
    with pytest.raises(install.InstallError, match="hash"):
        install.install_environment(environment)
    assert not environment.path.exists()


def test_lock_files_name_hashes_and_no_index() -> None:
    for environment in (install.MAIN, install.P4SH):
        text = (PROJECT / environment.lock).read_text()
        pins = [line for line in text.splitlines() if "==" in line]
        assert pins and all(line.endswith("\\") for line in pins), "every pin has hashes behind it"
        assert "index-url" not in text and "://" not in text
