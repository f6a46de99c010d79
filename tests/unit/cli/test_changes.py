"""Commands that change backends and VIPs: what is asked, and what is said about it."""

import pytest

from controller.controller import ChangeResult
from tests.fakes.cli import Cli
from tests.fakes.controller import FakeController

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


def test_a_removed_backend_is_cut_off(cli: Cli, controller: FakeController) -> None:
    controller.answer = ChangeResult(0, True, 341, "web: nobody gets new connections: b5 is not up")
    told = cli("backend", "cut", "web", "gone")
    assert told.out == (
        "web/gone cut off (revision 2); 341 buckets moved\nweb: nobody gets new connections: b5 is not up\n"
    )
    assert controller.changes == [("backend web/gone cut off", "alice", True)]
    assert [*controller.cut[0]] == ["web"]


def test_a_cut_is_tried_out(cli: Cli, controller: FakeController) -> None:
    controller.answer = ChangeResult(0, False, 341, "")
    told = cli("backend", "cut", "web", "gone", "--dry-run")
    assert (told.code, told.out) == (0, "dry run, nothing was changed; 341 buckets would move\n")
    assert controller.changes == []
    assert cli("backend", "cut", "web", "gone", "--dry-run", "-o", "json").json()["moved_buckets"] == 341


def test_a_cut_that_the_switch_lacks_is_no_success(cli: Cli, controller: FakeController) -> None:
    controller.answer = ChangeResult(0, False, 5, "not on the switch yet: not reached")
    told = cli("backend", "cut", "web", "gone")
    assert (told.code, told.err) == (1, "not on the switch yet: not reached; it follows by itself\n")


def test_one_that_is_removed_already_is_not_removed_again_but_cut(cli: Cli) -> None:
    told = cli("backend", "remove", "web", "gone", "--force")
    assert told.code == 1
    assert "is removed already, and still has connections: `sluice backend cut` breaks them" in told.err


def test_what_is_so_already_is_no_change(cli: Cli, controller: FakeController) -> None:
    result = cli("backend", "weight", "web", "b1", "1")
    assert (result.code, result.out) == (0, "nothing to change: that is how it is already (revision 1)\n")


def test_moved_buckets_are_told(cli: Cli, controller: FakeController) -> None:
    controller.answer = ChangeResult(0, True, 205, "")
    assert cli("backend", "weight", "web", "b1", "2").out.endswith("205 buckets moved\n")
    controller.answer = ChangeResult(0, True, 1, "")
    assert cli("backend", "add", "web", "b5", "10.0.1.15").out.endswith("1 bucket moved\n")
    controller.answer = ChangeResult(0, True, 205, "announced to the switch")
    assert cli("backend", "weight", "web", "b1", "3").out.endswith(
        "205 buckets to move\nannounced to the switch\n"
    )


def test_a_change_that_the_switch_lacks_is_no_success(cli: Cli, controller: FakeController) -> None:
    controller.answer = ChangeResult(0, False, 5, "stored, but not on the switch yet: not reached")
    result = cli("backend", "drain", "web", "b1")
    assert result.code == 1
    assert result.out == "web/b1 drains (revision 2); 5 buckets to move\n"
    assert result.err == "stored, but not on the switch yet: not reached; it follows by itself\n"


def test_a_change_as_json(cli: Cli) -> None:
    assert cli("backend", "weight", "web", "b1", "4", "-o", "json").json() == {
        "revision": 2,
        "applied": True,
        "moved_buckets": 0,
        "detail": "",
        "differences": [{"path": "pools[web].backends[b1].weight", "before": 1, "after": 4}],
        "plan": None,
    }
