"""`sluice events`."""

import json

from controller.events import Kind, Severity
from tests.fakes.cli import Cli
from tests.fakes.controller import FakeController


def test_events(cli: Cli, controller: FakeController) -> None:
    controller.events.record(Kind.HEALTH, "web/b1", "down", "connection refused", Severity.WARNING)
    controller.events.record(Kind.BUCKETS, "web", "341 buckets moved")
    assert cli("events").out == (
        "11-14 22:13:20  web/b1          down (connection refused)\n"
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


def test_events_about_a_pool_or_a_backend(cli: Cli, controller: FakeController) -> None:
    record = controller.events.record
    record(Kind.BUCKETS, "web", "341 buckets moved")  # 1
    record(Kind.HEALTH, "web/b1", "down")  # 2
    record(Kind.HEALTH, "web2/b1", "down")  # 3
    record(Kind.CHANGE, "revision 2", "backend web/b1: weight 4")  # 4
    record(Kind.CHANGE, "revision 3", "backend web/b10 added")  # 5
    record(Kind.CHANGE, "revision 4", "VIP web removed")  # 6

    def numbers(*arguments: str) -> list[int]:
        printed = cli("events", *arguments, "-o", "json").out
        return [json.loads(line)["number"] for line in printed.splitlines()]

    assert numbers("web") == [1, 2, 4, 5, 6]
    assert numbers("web/b1") == [2, 4]
    assert numbers("web/b1", "-n", "1") == [4], "the last one of those"
    assert numbers("nobody") == []


def test_events_since(cli: Cli, controller: FakeController) -> None:
    for number in range(30):
        controller.events.record(Kind.BUCKETS, "web", f"moved {number}")
    assert cli("events", "--since", "2023-11-14T22:13:20").out.count("\n") == 30, "all, and not the last 20"
    assert cli("events", "--since", "2023-11-14 22:13:21").out == ""
    assert cli("events", "--since", "10m").out == "", "they are older"
    wrong = cli("events", "--since", "yesterday")
    assert wrong.code == 2 and "neither a duration such as 10m nor a time" in " ".join(wrong.err.split())
