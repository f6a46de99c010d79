"""Tab, in real shells: the names come from the daemon."""

import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controller.api.client import Remote
from controller.cli import completion
from tests.fakes.cli import Cli
from tests.fakes.controller import DOCUMENT, FakeController
from tests.fakes.tcp import serving_by_tcp

SECONDS = 30.0
"""That a busy machine gets for anything."""

BASH = """
eval "$(sluice --show-completion)"
COMP_WORDS=(sluice LINE "")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_sluice_completion sluice
printf '%s\\n' "${COMPREPLY[@]}"
"""

FISH = """
sluice --show-completion | source
complete -C 'sluice LINE '
"""

DRAIN = "backend drain web"

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


def offered(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, line: str, begun: str, patience: float = SECONDS
) -> list[str]:
    """What the script for bash gets from the command."""
    monkeypatch.setenv("_SLUICE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"sluice {line} {begun}")
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) + 1))
    monkeypatch.setattr(completion, "PATIENCE", patience)
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


def test_a_socket_behind_the_command_counts_more_than_a_server_in_the_environment(
    cli: Cli, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUICE_SERVER", "https://127.0.0.1:1")
    assert offered(cli, monkeypatch, f"pool show --socket {socket_path}", "") == ["dns", "web"]
    monkeypatch.delenv("_SLUICE_COMPLETE")
    assert cli("pool", "list", "--socket", str(socket_path)).code == 0


# A daemon elsewhere: its pool web has servers of other names


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


ELSEWHERE = DOCUMENT.replace("name: b", "name: far")
FAR = ["far1", "far2", "far3"]


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    with serving_by_tcp(FakeController(ELSEWHERE), tmp_path_factory.mktemp("elsewhere")) as remote:
        yield remote


@pytest.fixture
def options(remote: Remote) -> str:
    return f"--server {remote.url} --token-file {remote.token_file} --ca-file {remote.authority}"


@pytest.fixture
def named(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names it."""
    monkeypatch.setenv("SLUICE_SERVER", remote.url)
    monkeypatch.setenv("SLUICE_TOKEN_FILE", str(remote.token_file))
    monkeypatch.setenv("SLUICE_CA_FILE", str(remote.authority))


@needs("openssl")
def test_the_server_on_the_line_is_asked(cli: Cli, monkeypatch: pytest.MonkeyPatch, options: str) -> None:
    assert offered(cli, monkeypatch, f"{options} {DRAIN}", "f") == FAR
    assert offered(cli, monkeypatch, f"{options} events", "web/") == [f"web/{name}" for name in FAR]


@needs("openssl")
def test_or_the_one_in_the_environment(cli: Cli, monkeypatch: pytest.MonkeyPatch, named: None) -> None:
    assert offered(cli, monkeypatch, DRAIN, "f") == FAR


@needs("openssl")
def test_but_not_if_the_line_has_a_socket(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, named: None, socket_path: Path
) -> None:
    assert offered(cli, monkeypatch, f"--socket {socket_path} {DRAIN}", "") == ["b1", "b2", "b3"]


# Why there is nothing to offer, and the options that say so; {} is a folder with an empty file `none`
NOTHING = [
    ("no token", "--server https://127.0.0.1:1"),
    ("a token that is none", "--server https://127.0.0.1:1 --token-file {}/none"),
    ("an address that is none", "--server https://[ --token-file {}/token"),
    ("a port that is none", "--server https://127.0.0.1:99999 --token-file {}/token"),
    ("nobody there", "--server https://127.0.0.1:1 --token-file {}/token"),
]


@pytest.mark.parametrize(("why", "line"), NOTHING)
def test_nothing_is_offered_and_nothing_said(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, why: str, line: str
) -> None:
    for name, text in (("none", ""), ("token", "sluice_0123456789\n")):
        (tmp_path / name).touch(0o600)
        (tmp_path / name).write_text(text)
    assert offered(cli, monkeypatch, f"{line.format(tmp_path)} {DRAIN}", "") == [], why


def test_a_daemon_that_does_not_answer_is_not_waited_for(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent.sock"))
        silent.listen()
        assert offered(cli, monkeypatch, f"--socket {tmp_path}/silent.sock {DRAIN}", "", patience=0.1) == []


# Shells


@pytest.fixture
def on_path(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The command, for shells that know nothing of whoever runs the tests."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    monkeypatch.setenv("HOME", str(tmp_path))


def in_bash(line: str) -> list[str]:
    script = BASH.replace("LINE", line)
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert result.stderr == ""
    return sorted(result.stdout.split())


def in_fish(line: str) -> str:
    script = FISH.replace("LINE", line)
    result = subprocess.run(["fish", "-c", script], capture_output=True, text=True, check=True)
    assert result.stderr == ""
    return result.stdout


@needs("bash")
def test_bash(on_path: None) -> None:
    assert in_bash(DRAIN) == ["b1", "b2", "b3"]


@needs("fish")
def test_fish(on_path: None) -> None:
    assert in_fish(DRAIN) == (
        "b1\t10.0.1.11:8080, active\nb2\t10.0.1.12:8080, active\nb3\t10.0.1.13:8080, drain\n"
    )


@needs("bash")
@needs("openssl")
def test_bash_with_a_server(on_path: None, options: str) -> None:
    assert in_bash(f"{options} {DRAIN}") == FAR


@needs("fish")
@needs("openssl")
def test_fish_with_a_server(on_path: None, options: str) -> None:
    assert [line.split("\t")[0] for line in in_fish(f"{options} {DRAIN}").splitlines()] == FAR


@contextmanager
def zsh() -> Iterator[Callable[[str, str], str]]:
    """Types into a zsh, which completes nothing without a terminal; returns what it shows until a mark."""
    process, terminal = pty.fork()
    if process == 0:
        os.execvp("zsh", ["zsh", "-f", "-i"])

    def typed(keys: str, mark: str) -> str:
        os.write(terminal, keys.encode())
        seen = ""
        while mark not in seen:
            assert select.select([terminal], [], [], SECONDS)[0], f"waiting for {mark}, seen {seen}"
            seen += os.read(terminal, 65536).decode()
        return seen

    try:
        setup = 'PS1=; autoload -U compinit; compinit -u; eval "$(sluice --show-completion)"'
        typed(f"{setup}\necho re''ady\n", "ready")
        yield typed
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(terminal)


@needs("zsh")
def test_zsh(cli: Cli, on_path: None) -> None:
    with zsh() as typed:
        assert "no VIP" not in typed("sluice vip remove w\t; echo do''ne\n", "done")
    assert "web" not in cli("vip", "list", "-o", "json").out, "it was completed, and so removed"


@needs("zsh")
@needs("openssl")
def test_zsh_with_a_server(on_path: None, options: str) -> None:
    with zsh() as typed:
        shown = typed(f"sluice {options} {DRAIN} far\t", "far3")
    assert "far1" in shown and "far2" in shown
