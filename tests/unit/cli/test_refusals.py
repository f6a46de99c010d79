"""What is wrong with a command, and with which exit code it ends."""

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from controller.api import client
from controller.cli.main import main
from tests.fakes.cli import Cli
from tests.fakes.controller import FakeController

# What it shows, command, exit code, what the message holds
REFUSALS = [
    ("a pool like another", "pool show wbe", 1, "no pool named 'wbe'; there is: dns, web\nDid you mean web?"),
    ("no such backend", "backend drain web b9", 1, "no backend of pool web named 'b9'; there is: b1, b2, b3"),
    ("a VIP that is not there", "vip remove shop", 1, "no VIP named 'shop'; there is: dns, web"),
    (
        "an address out of reach",
        "backend add web b5 192.0.2.1",
        1,
        "pools[web].backends[b5].address: there is no route to 192.0.2.1",
    ),
    ("an odd name", "backend add web b/5 10.0.1.15", 1, "sluice: name: is 'b/5', must be 1 to 63 letters"),
    ("a name with odd letters", "pool show a?b#c%20", 1, "no pool named 'a?b#c%20'"),
    ("a name that would be a path", "pool show ../vips", 1, "nothing can have the name '../vips'"),
    ("no name at all", "backend drain web ..", 1, "nothing can have the name '..'"),
    ("an address that is none", "backend add web b5 server5", 2, "'server5' is not an address"),
    (
        "a port that is none",
        "backend add web b5 10.0.1.15:0",
        2,
        "'10.0.1.15:0' is not an address with a port",
    ),
    ("a port of letters", "backend add web b5 [fd00::1]:http", 2, "'[fd00::1]:http' is not an address"),
    ("text behind the bracket", "backend add web b5 [fd00::1]80", 2, "'[fd00::1]80' is not an address"),
    ("a VIP without a port", "vip add shop 10.0.0.101 web", 2, "'10.0.0.101' has no port"),
    ("a weight too large", "backend weight web b1 1001", 2, "less than or equal to 1000"),
    ("a weight that is none", "backend weight web b1 heavy", 2, "Invalid value for"),
    ("a command that is like another", "pol list", 2, "No such command 'pol'. Did you mean"),
    ("an argument missing", "backend drain web", 2, "Missing argument 'NAME'"),
    ("a file that is not there", "apply -f /nowhere.yaml", 2, "/nowhere.yaml cannot be read: No such file"),
]


@pytest.mark.parametrize(("shows", "command", "code", "message"), REFUSALS)
def test_refusals(
    cli: Cli, controller: FakeController, shows: str, command: str, code: int, message: str
) -> None:
    result = cli(*command.split())
    assert (result.code, result.out) == (code, ""), shows
    assert message in result.err
    assert controller.changes == []


def test_no_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SLUICE_SOCKET", raising=False)
    nowhere = tmp_path / "no.sock"
    assert main(["status", "--socket", str(nowhere)]) == 3
    message = capsys.readouterr().err
    assert message.startswith(f"sluice: no daemon answers at {nowhere}: no such file or directory\n")
    assert "sluice daemon -c FILE" in message


def test_the_socket_may_stand_before_the_command(
    cli: Cli, socket_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUICE_SOCKET", str(tmp_path / "no.sock"))
    assert cli("--socket", str(socket_path), "drops").code == 0


def test_a_daemon_of_another_version(
    cli: Cli, controller: FakeController, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "TypeAdapter", lambda kind: TypeAdapter(int))
    result = cli("pool", "show", "web")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("sluice: the daemon answers in another way than this command knows")
