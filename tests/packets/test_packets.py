"""The packet table, on every target: in process, on the embedded switch's interfaces, on BMv2's."""

from collections import Counter

import pytest

from tests.packets.case import Case
from tests.packets.packet_in import Decision, Fate, PacketIn, Punt
from tests.packets.runner import Runner
from tests.packets.table import CASES, ON_WIRES
from tests.packets.world import CPU


def test_every_case_says_what_no_other_says() -> None:
    assert [shows for shows, times in Counter(map(str, CASES)).items() if times > 1] == []


def test_every_drop_reason_has_a_case(inside: Runner) -> None:
    assert inside.by_action("drops").keys() == {reason for case in CASES for reason in case.drops}


def test_every_kind_of_reply_has_a_case(inside: Runner) -> None:
    assert inside.by_action("replies").keys() == {kind for case in CASES for kind in case.replies}


def test_every_reason_for_the_controller_has_a_case(inside: Runner) -> None:
    """The answer to a trace is one, too, that nothing counts."""
    entries = inside.target.read([inside.target.names.direct_counters("punts")])
    counted = {int.from_bytes(entity.table_entry.match[0].exact.value, "big") for entity in entries}
    told = {PacketIn(packet).reason for packet in to_controller()}
    assert told == counted | {Punt.TRACE} == set(Punt)


def test_every_fate_and_decision_has_a_case() -> None:
    traced = [told for packet in to_controller() if (told := PacketIn(packet)).reason == Punt.TRACE]
    assert {told.fate for told in traced} == set(Fate)
    assert {told.decision for told in traced} == set(Decision)


def to_controller() -> list[bytes]:
    return [out.octets for case in CASES for step in case.packets for out in step.out if out.port == CPU]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_in_process(inside: Runner, case: Case) -> None:
    inside.run(case)


@pytest.mark.root
@pytest.mark.parametrize("case", ON_WIRES, ids=str)
def test_embedded_switch(embedded: Runner, case: Case) -> None:
    embedded.run(case)


@pytest.mark.root
@pytest.mark.bmv2
@pytest.mark.parametrize("case", ON_WIRES, ids=str)
def test_bmv2(bmv2: Runner, case: Case) -> None:
    bmv2.run(case)
