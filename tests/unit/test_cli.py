"""The command line against an API with a fake controller behind it: what is asked, printed and returned."""

import json
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import TypeAdapter

from controller.api import client
from controller.api.app import create_app
from controller.cli.main import main
from controller.cli.output import count, size
from controller.config import parse
from controller.controller import ChangeResult
from controller.events import Kind, Severity
from controller.model import Protocol
from controller.trace import Flow
from tests.fakes.controller import DOCUMENT, EXPLANATION, FakeController
from tests.fakes.serving import serving

Cli = Callable[..., "Printed"]


class Printed:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def controller() -> FakeController:
    return FakeController()


@pytest.fixture(scope="module")
def api() -> FastAPI:
    """One for all tests: to start a server takes longer than most of them. `cli` puts the controller in."""
    return create_app(FakeController())


@pytest.fixture(scope="module")
def socket_path(api: FastAPI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("cli") / "sluice.sock"
    with serving(api, path):
        yield path


@pytest.fixture
def cli(
    controller: FakeController,
    api: FastAPI,
    socket_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Cli]:
    """Runs `sluice ...` in this process against the fake controller."""
    monkeypatch.setenv("SLUICE_SOCKET", str(socket_path))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("USER", "alice")
    monkeypatch.setenv("LOGNAME", "alice")

    def run(*arguments: str) -> Printed:
        code = main(arguments)
        captured = capsys.readouterr()
        return Printed(code, captured.out, captured.err)

    api.state.controller = controller
    yield run
    monkeypatch.undo()
    time.tzset()


STATUS = """\
switch     127.0.0.1:9559, device 1: connected, primary, in step
revision   1, 2023-11-14 22:13:20, by root: sluice.yaml
neighbors  1 failed, 1 reachable

VIP  SERVICE             POOL  HEALTHY  MOVING  PACKETS    BYTES
web  10.0.0.100:80/tcp   web    2 of 3      12     123k  98.8 MB
dns  [fd00::100]:53/udp  dns    1 of 1      12     123k  98.8 MB

needs attention
  web/b2 is down: 3 of 3 checks failed: connection refused
  neighbor 10.0.1.13 (servers) does not answer
"""

POOL_LIST = """\
POOL  MODE  VIPS  BUCKETS  MOVING  HEALTHY  CHECK
web   nat   web      1024      12   2 of 3  http /healthz every 1s
dns   nat   dns      1024      12   1 of 1  no checks
"""

POOL_SHOW = """\
pool web: nat, 1024 buckets, 12 of them moving
VIPs web; checks: http /healthz every 1s, rise 2, fall 3

BACKEND  ADDRESS         STATE   HEALTH            WEIGHT  CONNS  PACKETS
b1       10.0.1.11:8080  active  healthy                1   1234    41152
b2       10.0.1.12:8080  active  down                   2   1234    41152
b3       10.0.1.13:8080  drain   healthy, suspect       1   1234    41152

BACKEND  SHARE  WANTED  BUCKETS  WANTED  OLD
b1       33.3%   33.3%      341     341    0
b2       66.7%   66.7%      683     683    0
b3        0.0%    0.0%        0       0   12

b2 is down: 3 of 3 checks failed: connection refused
"""

VIP_LIST = """\
VIP  SERVICE             POOL  PACKETS    BYTES
web  10.0.0.100:80/tcp   web      123k  98.8 MB
dns  [fd00::100]:53/udp  dns      123k  98.8 MB
"""

VIP_SHOW = """\
VIP dns: [fd00::100]:53/udp, served by pool dns
123k packets, 98.8 MB from clients
"""

DROPS = """\
REASON      PACKETS  BYTES
no_service        7  420 B
"""

TABLES = [
    ("status", STATUS),
    ("pool list", POOL_LIST),
    ("pool show web", POOL_SHOW),
    ("vip list", VIP_LIST),
    ("vip show dns", VIP_SHOW),
    ("drops", DROPS),
]


@pytest.mark.parametrize(("command", "printed"), TABLES)
def test_tables(cli: Cli, command: str, printed: str) -> None:
    result = cli(*command.split())
    assert (result.code, result.out, result.err) == (0, printed, "")
    assert max(map(len, printed.splitlines())) <= 80


PATHS = [
    ("status", "status"),
    ("pool list", "pools"),
    ("pool show web", "pools/web"),
    ("vip list", "vips"),
    ("vip show dns", "vips/dns"),
    ("drops", "drops"),
    ("get", "config"),
]


@pytest.mark.parametrize(("command", "path"), PATHS)
def test_json_is_what_the_api_answers(cli: Cli, socket_path: Path, command: str, path: str) -> None:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket_path)), base_url="http://sluice") as api:
        answer = api.get(f"/v1/{path}").json()
    result = cli(*command.split(), "-o", "json")
    assert (result.code, result.json()) == (0, answer)


# What it shows, command, what the controller is asked to do, what is printed
CHANGES = [
    (
        "a backend comes, and waits for its checks",
        "backend add web b5 10.0.1.15:8080 --weight 3",
        ("backend web/b5 added", "alice", True),
        "web/b5 added (revision 2); no buckets moved yet: it gets connections once its health checks have"
        " passed\n",
    ),
    (
        "a backend goes",
        "backend remove web b1",
        ("backend web/b1 removed", "alice", True),
        "web/b1 removed (revision 2); no buckets moved\n",
    ),
    (
        "a backend goes at once",
        "backend remove web b1 --force",
        ("backend web/b1 removed by force", "alice", False),
        "web/b1 removed by force (revision 2); no buckets moved\n",
    ),
    (
        "drain",
        "backend drain web b1",
        ("backend web/b1: state drain", "alice", True),
        "web/b1 drains (revision 2); no buckets moved\n",
    ),
    (
        "enable",
        "backend enable web b3",
        ("backend web/b3: state active", "alice", True),
        "web/b3 enabled (revision 2); no buckets moved\n",
    ),
    (
        "disable",
        "backend disable web b1",
        ("backend web/b1: state disabled", "alice", True),
        "web/b1 disabled (revision 2); no buckets moved\n",
    ),
    (
        "weight",
        "backend weight web b1 5",
        ("backend web/b1: weight 5", "alice", True),
        "weight of web/b1 is 5 (revision 2); no buckets moved\n",
    ),
    (
        "weight 0 is a weight",
        "backend weight web b1 0",
        ("backend web/b1: weight 0", "alice", True),
        "weight of web/b1 is 0 (revision 2); no buckets moved\n",
    ),
    (
        "a VIP comes",
        "vip add shop [fd00::101]:53 dns --protocol tcp",
        ("VIP shop added", "alice", True),
        "VIP shop added (revision 2); no buckets moved\n",
    ),
    (
        "a VIP goes",
        "vip remove dns",
        ("VIP dns removed", "alice", True),
        "VIP dns removed (revision 2); no buckets moved\n",
    ),
]


@pytest.mark.parametrize(("shows", "command", "asked", "printed"), CHANGES)
def test_changes(
    cli: Cli, controller: FakeController, shows: str, command: str, asked: tuple[str, str, bool], printed: str
) -> None:
    result = cli(*command.split())
    assert (result.code, result.out, result.err) == (0, printed, ""), shows
    assert controller.changes == [asked]


def test_the_user_may_have_any_name(
    cli: Cli, controller: FakeController, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "Zoë Müller")
    assert cli("backend", "drain", "web", "b1").code == 0
    assert controller.changes[0][1] == "Zoë Müller"


def test_a_daemon_of_another_version(
    cli: Cli, controller: FakeController, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "TypeAdapter", lambda kind: TypeAdapter(int))
    result = cli("pool", "show", "web")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("sluice: the daemon answers in another way than this command knows")


def test_what_is_so_already_is_no_change(cli: Cli, controller: FakeController) -> None:
    result = cli("backend", "weight", "web", "b1", "1")
    assert (result.code, result.out) == (0, "nothing to change: that is how it is already (revision 1)\n")


def test_moved_buckets_are_told(cli: Cli, controller: FakeController) -> None:
    controller.answer = ChangeResult(0, True, 205, "")
    assert cli("backend", "weight", "web", "b1", "2").out.endswith("205 buckets moved\n")
    controller.answer = ChangeResult(0, True, 1, "")
    assert cli("backend", "add", "web", "b5", "10.0.1.15").out.endswith("1 bucket moved\n")


def test_a_change_that_the_switch_lacks_is_no_success(cli: Cli, controller: FakeController) -> None:
    controller.answer = ChangeResult(0, False, 5, "stored, but not on the switch yet: not reached")
    result = cli("backend", "drain", "web", "b1")
    assert result.code == 1
    assert result.out == "web/b1 drains (revision 2); 5 buckets moved\n"
    assert result.err == "stored, but not on the switch yet: not reached; it follows by itself\n"


def test_a_change_as_json(cli: Cli) -> None:
    assert cli("backend", "weight", "web", "b1", "4", "-o", "json").json() == {
        "revision": 2,
        "applied": True,
        "moved_buckets": 0,
        "detail": "",
        "differences": [{"path": "pools[web].backends[b1].weight", "before": 1, "after": 4}],
    }


CHANGED = DOCUMENT.replace("weight: 2", "weight: 9").replace(
    "      - {name: b1, address: 10.0.1.11, port: 8080}\n",
    "      - {name: b7, address: 10.0.1.17, port: 8080}\n",
)

DIFFERENCES = """\
- pools[web].backends[b1]: {name: b1, address: 10.0.1.11, port: 8080, weight: 1, state: active}
~ pools[web].backends[b2].weight: 2 -> 9
+ pools[web].backends[b7]: {name: b7, address: 10.0.1.17, port: 8080, weight: 1, state: active}
"""


def test_apply_shows_the_difference(
    cli: Cli, controller: FakeController, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("new.yaml").write_text(CHANGED)
    before = controller.config

    controller.answer = ChangeResult(0, False, 410, "")
    dry = cli("apply", "-f", "new.yaml", "--dry-run")
    assert (dry.code, dry.out) == (0, DIFFERENCES + "dry run, nothing was changed; 410 buckets would move\n")
    assert controller.config is before

    controller.answer = ChangeResult(0, True, 410, "")
    real = cli("apply", "-f", "new.yaml")
    assert (real.code, real.out) == (0, DIFFERENCES + "new.yaml applied (revision 2); 410 buckets moved\n")
    assert controller.config == parse(CHANGED)
    assert controller.changes == [("new.yaml applied", "alice", True)]

    again = cli("apply", "-f", "new.yaml")
    assert again.out == "nothing to change: that is how it is already (revision 2)\n"
    assert cli("apply", "-f", "new.yaml", "--dry-run").out == "dry run: nothing would change\n"


def test_get_gives_what_apply_takes(cli: Cli, controller: FakeController, tmp_path: Path) -> None:
    document = tmp_path / "out.yaml"
    document.write_text(cli("get").out)
    assert parse(document.read_text()) == controller.config
    assert cli("apply", "-f", str(document)).out.startswith("nothing to change")
    data = cli("get", "-o", "json").json()
    assert isinstance(data, dict)
    assert data["revision"]["number"] == 1
    assert parse(json.dumps(data["config"])) == controller.config


def test_one_mistake_of_a_file(cli: Cli, tmp_path: Path) -> None:
    document = tmp_path / "bad.yaml"
    document.write_text(DOCUMENT.replace("weight: 2", "weight: -2"))
    result = cli("apply", "-f", str(document))
    assert result.err == "sluice: line 10: pools[web].backends[b2].weight: is -2, must be at least 0\n"


def test_every_mistake_of_a_file_with_its_line(
    cli: Cli, controller: FakeController, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.yaml").write_text(DOCUMENT.replace("weight: 2", "weight: -2").replace("udp: move", "upd: move"))
    result = cli("apply", "-f", "bad.yaml")
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        "sluice: 2 mistakes in bad.yaml\n"
        "  line 10: pools[web].backends[b2].weight: is -2, must be at least 0\n"
        "  line 13: pools[dns].upd: is not a known key; did you mean udp?\n"
    )
    assert controller.changes == []


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
    ("an odd name", "backend add web b/5 10.0.1.15", 1, "sluice: name: is 'b/5', must be at most 63 letters"),
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


def test_events(cli: Cli, controller: FakeController) -> None:
    controller.events.record(Kind.HEALTH, "web/b1", "down", "connection refused", Severity.WARNING)
    controller.events.record(Kind.BUCKETS, "web", "341 buckets moved")
    assert cli("events").out == (
        "11-14 22:13:20  web/b1          down: connection refused\n"
        "11-14 22:13:20  web             341 buckets moved\n"
    )
    assert [json.loads(line)["number"] for line in cli("events", "-o", "json").out.splitlines()] == [1, 2]
    assert cli("events", "-n", "1").out.count("\n") == 1
    assert cli("events", "-n", "0").out == ""


def test_events_follow_until_the_daemon_ends(cli: Cli, controller: FakeController) -> None:
    controller.events.record(Kind.CHANGE, "revision 1", "first")
    controller.events.close()
    result = cli("events", "--follow", "-n", "0")
    assert (result.code, result.out) == (3, "")
    assert result.err.startswith("sluice: the daemon has ended\n")


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


def test_every_command_explains_itself_and_ends_with_an_example(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands are found the way a user finds them: in the help."""
    monkeypatch.setenv("COLUMNS", "80")

    def help_of(*command: str) -> str:
        assert main([*command, "--help"]) == 0
        return capsys.readouterr().out

    def listed(text: str) -> list[str]:
        return re.findall(r"^  (\w+) ", text.partition("Commands:\n")[2].partition("\n\n")[0], re.MULTILINE)

    explained = set()
    for noun in listed(help_of()):
        for command in [(noun, verb) for verb in listed(help_of(noun))] or [(noun,)]:
            text = help_of(*command)
            example = text.strip().splitlines()[-1].strip()
            assert example.startswith(f"Example: sluice {' '.join(command)}")
            assert max(map(len, text.splitlines())) <= 80
            explained.add(" ".join(command))
    assert explained == {
        *("daemon", "status", "drops", "apply", "get", "history", "diff", "rollback", "events"),
        "explain",
        *("vip list", "vip show", "vip add", "vip remove", "pool list", "pool show"),
        *("backend add", "backend remove", "backend drain", "backend enable", "backend disable"),
        "backend weight",
    }


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (99_999, "99999"), (100_000, "100k"), (1_234_567, "1.2M")]
)
def test_counts(number: int, text: str) -> None:
    assert count(number) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_999, "1.0 MB"), (123_456_789_012, "123 GB")],
)
def test_sizes(number: int, text: str) -> None:
    assert size(number) == text


def test_colours_on_a_terminal_only(
    cli: Cli, controller: FakeController, socket_path: Path, tmp_path: Path
) -> None:
    """A real terminal gets colours, 80 columns and complete lines; NO_COLOR and pipes get none."""
    command = [sys.executable, "-m", "sluice.main", "pool", "show", "web"]
    assert "\x1b[" in on_terminal(command, {})
    assert "\x1b[31m" not in on_terminal(command, {"NO_COLOR": "1"})
    piped = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "\x1b[" not in piped


def on_terminal(command: list[str], environment: dict[str, str]) -> str:
    """What a command prints on a pseudo terminal."""
    here, there = os.openpty()
    process = subprocess.Popen(
        command, stdout=there, stderr=there, env={**os.environ, "TERM": "xterm", **environment}
    )
    os.close(there)
    printed = b""
    try:
        while select.select([here], [], [], 20.0)[0]:
            piece = os.read(here, 4096)
            if not piece:
                break
            printed += piece
    except OSError:  # EIO: the other side is closed
        pass
    finally:
        os.close(here)
        assert process.wait(20) == 0
    return printed.decode()


# the configuration as it was


@pytest.fixture
def changed(cli: Cli) -> Cli:
    """Two changes were made."""
    cli("backend", "weight", "web", "b1", "4")
    cli("vip", "remove", "dns")
    return cli


def test_history(changed: Cli) -> None:
    assert (
        changed("history").out
        == """\
REVISION  WHEN                 WHO    WHAT
       1  2023-11-14 22:13:20  root   sluice.yaml
       2  2023-11-14 22:13:20  alice  backend web/b1: weight 4
       3  2023-11-14 22:13:20  alice  VIP dns removed
"""
    )
    assert [one["number"] for one in changed("history", "-n", "1", "-o", "json").json()] == [3]


GONE = "- vips[dns]: {name: dns, address: fd00::100, protocol: udp, port: 53, pool: dns, "


def test_diff(changed: Cli) -> None:
    assert changed("diff").out.startswith(GONE)
    assert changed("diff", "1", "2").out == "~ pools[web].backends[b1].weight: 1 -> 4\n"
    assert changed("diff", "2", "1").out == "~ pools[web].backends[b1].weight: 4 -> 1\n"
    assert changed("diff", "3").out == "no difference\n"
    assert [one["path"] for one in changed("diff", "1", "-o", "json").json()] == [
        "pools[web].backends[b1].weight",
        "vips[dns]",
    ]


def test_rollback(changed: Cli, controller: FakeController) -> None:
    dry = changed("rollback", "1", "--dry-run")
    assert dry.out.startswith("~ pools[web].backends[b1].weight: 4 -> 1\n+ vips[dns]: ")
    assert dry.out.endswith("dry run, nothing was changed; no buckets would move\n")
    assert controller.revision.number == 3

    real = changed("rollback", "1")
    assert (real.code, real.err) == (0, "")
    assert real.out.endswith("back to revision 1 (revision 4); no buckets moved\n")
    assert controller.config == parse(DOCUMENT)
    assert controller.changes[-1] == ("back to revision 1", "alice", True)
    assert changed("rollback", "1").out.startswith("nothing to change")


def test_get_of_a_revision(changed: Cli) -> None:
    assert parse(changed("get", "--revision", "1").out) == parse(DOCUMENT)


@pytest.mark.parametrize("command", ["rollback 9", "diff 9", "diff 1 9", "get --revision 9"])
def test_a_revision_that_there_is_not(cli: Cli, command: str) -> None:
    result = cli(*command.split())
    assert (result.code, result.out) == (1, "")
    assert result.err == "sluice: there is no revision 9; `sluice history` lists those that there are\n"


# explain


def test_explain_shows_the_steps_and_that_the_switch_agrees(cli: Cli, controller: FakeController) -> None:
    printed = cli("explain", "10.0.0.11:40000", "10.0.0.100:80")
    assert printed.code == 0
    assert printed.out.splitlines() == [
        "tcp 10.0.0.11:40000 -> 10.0.0.100:80, a SYN, into port 1",
        "     VIP web 10.0.0.100:80/tcp",
        "  -> bucket 517: settled on b2",
        "  -> out of port 4",
        "the switch says: b2, out of port 4",
    ]
    ends = ip_address("10.0.0.11"), 40000, ip_address("10.0.0.100"), 80
    assert controller.asked == [(Flow(*ends, Protocol.TCP, True), None)]


def test_explain_says_loudly_what_differs(cli: Cli, controller: FakeController) -> None:
    differs = {"differences": ("backend: the model says b2, the switch b3",)}
    controller.explanation = EXPLANATION.model_copy(update=differs)
    printed = cli("explain", "[fd00::9]:1", "[fd00::100]:53", "--protocol", "udp", "--in-port", "2")
    assert "THE SWITCH DIFFERS" in printed.out and "the switch b3" in printed.out
    ((flow, port),) = controller.asked
    assert (flow.protocol, str(flow.client), port) == ("udp", "fd00::9", 2)


def test_explain_without_a_switch(cli: Cli, controller: FakeController) -> None:
    alone = {"switch": None, "unconfirmed": "the switch is not connected"}
    controller.explanation = EXPLANATION.model_copy(update=alone)
    printed = cli("explain", "10.0.0.11:1", "10.0.0.100:80", "--established")
    assert "this is the model alone: the switch is not connected" in printed.out
    assert not controller.asked[0][0].opening


def test_explain_as_json_and_its_mistakes(cli: Cli) -> None:
    answer = cli("explain", "10.0.0.11:1", "10.0.0.100:80", "-o", "json").json()
    assert answer == EXPLANATION.model_dump(mode="json")
    assert cli("explain", "10.0.0.11", "10.0.0.100:80").code == 2
    mixed = cli("explain", "10.0.0.11:1", "[fd00::100]:80")
    assert mixed.code == 1 and "one IP version" in mixed.err
