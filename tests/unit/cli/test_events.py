"""`sluice events`."""

import json

from controller.events import Kind, Severity
from tests.fakes.cli import Cli
from tests.fakes.controller import FakeController


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
