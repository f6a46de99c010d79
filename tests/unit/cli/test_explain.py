"""`sluice explain`."""

from ipaddress import ip_address

from controller.model import Protocol
from controller.trace import Flow
from tests.fakes.cli import Cli
from tests.fakes.controller import EXPLANATION, FakeController


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
    assert mixed.code == 1 and "give both of one family" in mixed.err
