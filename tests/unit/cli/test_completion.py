"""Tab, in real shells: the names come from the daemon."""

import os
import pty
import select
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from controller.cli import completion
from tests.fakes.cli import Cli

SECONDS = 30.0
"""That a busy machine gets for anything."""

BASH = """
eval "$(sluice --show-completion)"
COMP_WORDS=(sluice backend drain web "")
COMP_CWORD=4
_sluice_completion sluice
printf '%s\\n' "${COMPREPLY[@]}"
"""

FISH = """
sluice --show-completion | source
complete -C 'sluice backend drain web '
"""


# What is completed, the words before, what is typed of it, what is offered
OFFERS = [
    ("a pool", "pool show", "", ["dns", "web"]),
    ("a backend of the pool before it", "backend drain web", "b", ["b1", "b2", "b3"]),
    ("a VIP", "vip remove", "w", ["web"]),
    ("a pool for a new VIP", "vip add shop 10.0.0.101:443", "d", ["dns"]),
    ("what events are about", "events", "web/", ["web/b1", "web/b2", "web/b3"]),
    ("a new name", "backend add web", "", []),
    ("commands", "backend", "d", ["disable", "drain"]),
]


def offered(cli: Cli, monkeypatch: pytest.MonkeyPatch, line: str, begun: str) -> list[str]:
    """What the script for bash gets from the command."""
    monkeypatch.setenv("_SLUICE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"sluice {line} {begun}")
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) + 1))
    monkeypatch.setattr(completion, "PATIENCE", SECONDS)
    result = cli()
    assert result.err == ""
    return sorted(result.out.split())


@pytest.mark.parametrize(("what", "line", "begun", "names"), OFFERS)
def test_offers(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, what: str, line: str, begun: str, names: list[str]
) -> None:
    assert offered(cli, monkeypatch, line, begun) == names, what


def test_without_a_daemon_nothing_is_offered(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SLUICE_SOCKET", str(tmp_path / "no.sock"))
    assert offered(cli, monkeypatch, "pool show", "") == []


def test_the_socket_on_the_line_is_asked(
    cli: Cli, socket_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SLUICE_SOCKET", str(tmp_path / "no.sock"))
    assert offered(cli, monkeypatch, f"--socket {socket_path} pool show", "") == ["dns", "web"]
    assert offered(cli, monkeypatch, f"pool show --socket {socket_path}", "") == ["dns", "web"]


@pytest.fixture
def on_path(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The command, for shells that know nothing of whoever runs the tests."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    monkeypatch.setenv("HOME", str(tmp_path))


def needs(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed")


@needs("bash")
def test_bash(on_path: None) -> None:
    result = subprocess.run(["bash", "-c", BASH], capture_output=True, text=True, check=True)
    assert sorted(result.stdout.split()) == ["b1", "b2", "b3"]


@needs("fish")
def test_fish(on_path: None) -> None:
    result = subprocess.run(["fish", "-c", FISH], capture_output=True, text=True, check=True)
    assert result.stdout == (
        "b1\t10.0.1.11:8080, active\nb2\t10.0.1.12:8080, active\nb3\t10.0.1.13:8080, drain\n"
    )


@needs("zsh")
def test_zsh(cli: Cli, on_path: None) -> None:
    """It completes nothing without a terminal."""
    process, terminal = pty.fork()
    if process == 0:
        os.execvp("zsh", ["zsh", "-f", "-i"])

    def until(mark: str) -> str:
        seen = ""
        while mark not in seen:
            assert select.select([terminal], [], [], SECONDS)[0], f"waiting for {mark}, seen {seen}"
            seen += os.read(terminal, 65536).decode()
        return seen

    try:
        os.write(terminal, b'PS1=; autoload -U compinit; compinit -u; eval "$(sluice --show-completion)"\n')
        os.write(terminal, b"echo re''ady\n")
        until("ready")
        os.write(terminal, b"sluice vip remove w\t; echo do''ne\n")
        assert "no VIP" not in until("done")
        assert "web" not in cli("vip", "list", "-o", "json").out, "it was completed, and so removed"
    finally:
        os.write(terminal, b"exit\n")
        os.waitpid(process, 0)
        os.close(terminal)
