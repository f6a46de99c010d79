"""The configuration as a whole, now and before: apply, get, history, diff, rollback."""

import json
from pathlib import Path

import pytest

from controller.config import parse
from controller.controller import ChangeResult
from controller.plan import Move, Plan, Step, TableWrites
from tests.fakes.cli import Cli
from tests.fakes.controller import DOCUMENT, FakeController

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


PLAN = Plan(
    steps=(
        Step(after=0.0, writes=(TableWrites(table="buckets", insert=0, modify=1024, delete=0),)),
        Step(after=4.0, writes=(TableWrites(table="buckets", insert=0, modify=1024, delete=0),)),
        Step(
            after=None,
            writes=(
                TableWrites(table="backends", insert=0, modify=0, delete=1),
                TableWrites(table="buckets", insert=0, modify=410, delete=0),
            ),
        ),
    ),
    moves=(
        Move(pool="web", giver="b1", taker="b2", count=400, buckets="0-399"),
        Move(pool="web", giver=None, taker="b7", count=10, buckets="400-409"),
    ),
)

TOLD_PLAN = """\
POOL  FROM    TO  BUCKETS
web   b1      b2      400
web   nobody  b7       10
WRITTEN                    TABLE     INSERT  MODIFY  DELETE
at once                    buckets        0    1024       0
in 4s                      buckets        0    1024       0
when old flows have ended  backends       0       0       1
when old flows have ended  buckets        0     410       0
dry run, nothing was changed; 410 buckets would move
"""


def test_a_dry_run_shows_what_would_be_written(cli: Cli, controller: FakeController, tmp_path: Path) -> None:
    (tmp_path / "new.yaml").write_text(CHANGED)
    controller.answer = ChangeResult(0, False, 410, "", PLAN)
    apply = ("apply", "-f", str(tmp_path / "new.yaml"), "--dry-run")
    assert cli(*apply).out == DIFFERENCES + TOLD_PLAN
    assert cli(*apply, "-o", "json").json()["plan"] == PLAN.model_dump(mode="json")


def test_a_dry_run_without_a_switch_says_so(cli: Cli, controller: FakeController, tmp_path: Path) -> None:
    (tmp_path / "new.yaml").write_text(CHANGED)
    controller.answer = ChangeResult(0, False, 410, "what would be written is not known: not connected yet")
    out = cli("apply", "-f", str(tmp_path / "new.yaml"), "--dry-run").out
    assert out.endswith("what would be written is not known: not connected yet\n")


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
