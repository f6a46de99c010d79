"""What is shown of several switches: each has its line, its writes, its label."""

import pytest
from prometheus_client import generate_latest

from controller.api.limits import Connections, Followers
from controller.api.metrics import registry
from controller.cli.changes import print_plan
from controller.events import EventLog
from controller.plan import Plan, Step, TableWrites, joined
from controller.report import SwitchReport
from tests.fakes.cli import Cli
from tests.fakes.controller import FakeController

A = SwitchReport(
    name="a",
    address="10.9.0.1:9559",
    device_id=1,
    connected=True,
    primary=True,
    synchronized=True,
    cookie=1,
    error="",
    packets=1000,
    suspects=1,
)
B = A.model_copy(
    update={
        "name": "b",
        "address": "10.9.0.2:9559",
        "connected": False,
        "primary": False,
        "synchronized": False,
        "error": "no connection to the switch: Connection refused",
    }
)


@pytest.fixture
def controller() -> FakeController:
    controller = FakeController()
    controller.switches = (A, B)
    return controller


def test_status_has_a_line_for_each(cli: Cli) -> None:
    lines = cli("status").out.splitlines()
    assert lines[:2] == [
        "switch a   10.9.0.1:9559, device 1: connected, primary, in step",
        "switch b   10.9.0.2:9559, device 1: not connected",
    ]
    assert "  switch b: no connection to the switch: Connection refused" in lines


def test_status_says_what_waits_for_a_switch_that_is_away_and_the_way_out(
    cli: Cli, controller: FakeController, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = controller.report()
    pools = tuple(pool.model_copy(update={"held_up_buckets": 4}) for pool in report.pools)
    waiting = report.model_copy(update={"pools": pools})
    monkeypatch.setattr(controller, "report", lambda: waiting)
    (said,) = [line for line in cli("status").out.splitlines() if "8 buckets wait for it" in line]
    assert said.startswith("  switch b: ")
    assert said.endswith(
        "`sluice get > sluice.yaml`, delete b below `switches`, `sluice apply -f sluice.yaml`"
    )


def test_top_has_a_line_for_each(cli: Cli) -> None:
    lines = [line.split() for line in cli("top").out.splitlines()]
    assert ["SWITCH", "STATE", "SUSPECT", "DROPPED/s", "PACKETS/s", "BYTES/s"] in lines
    assert any(line[:4] == ["a", "in", "step", "1"] for line in lines)


def test_explain_asks_the_one_that_is_named(cli: Cli) -> None:
    told = cli("explain", "10.0.0.11:40000", "10.0.0.100:80", "--switch", "b").out
    assert told.startswith("tcp 10.0.0.11:40000 -> 10.0.0.100:80, a SYN, into port 1 of switch b\n")


def test_a_dry_run_counts_what_each_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    def plan(switch: str, modify: int) -> Plan:
        writes = (TableWrites(table="buckets", insert=0, modify=modify, delete=0, switch=switch),)
        return Plan(steps=(Step(after=None, writes=writes), Step(after=0.0, writes=writes)), moves=())

    print_plan(joined([plan("a", 10), plan("b", 12)]))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["WRITTEN", "SWITCH", "TABLE", "INSERT", "MODIFY", "DELETE"]
    assert lines[1:3] == [
        ["at", "once", "a", "buckets", "0", "10", "0"],
        ["at", "once", "b", "buckets", "0", "12", "0"],
    ]
    assert [line[-5] for line in lines[3:]] == ["a", "b"]


def test_what_each_counts_has_its_label(controller: FakeController) -> None:
    made = registry(controller.report, controller.reports, EventLog(), Followers(), Connections())
    lines = generate_latest(made).decode().splitlines()
    for line in (
        'sluice_switch_connected{switch="a"} 1.0',
        'sluice_switch_connected{switch="b"} 0.0',
        'sluice_vip_packets_total{switch="b",vip="web"} 123456.0',
        'sluice_dropped_packets_total{reason="no_service",switch="a"} 7.0',
        'sluice_pool_buckets{pool="web"} 1024.0',
        'sluice_backend_syns_total{address="10.0.1.11:8080",backend="b1",pool="web",switch="a"} 1234.0',
        'sluice_backend_buckets{address="10.0.1.11:8080",backend="b1",pool="web"} 341.0',
    ):
        assert line in lines
