"""The packet table, on every target: in process, on the embedded switch's interfaces, on BMv2's."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packets.case import Case, Change, Out
from tests.packets.runner import Runner
from tests.packets.table import CASES, ON_WIRES
from tests.packets.world import CPU

BY_CASES = Path(__file__).parents[1] / "packets_next"
ELSEWHERE = "\n".join(path.read_text() for path in BY_CASES.glob("test_*.py")).lower()
"""Tests that name a reason, outside of the table."""


def test_every_case_says_what_no_other_says() -> None:
    assert [shows for shows, times in Counter(map(str, CASES)).items() if times > 1] == []


def test_every_drop_reason_has_a_case(inside: Runner) -> None:
    here = {reason for case in CASES for reason in case.drops}
    assert {reason for reason in set(inside.drops()) - here if reason not in ELSEWHERE} == set()


def test_every_punt_reason_has_a_case(inside: Runner) -> None:
    entries = inside.target.read([inside.target.names.direct_counters("punts")])
    reasons = {int.from_bytes(entity.table_entry.match[0].exact.value, "big") for entity in entries}
    here = {bytes(out.packet)[0] for case in CASES for out in outs(case) if out.port == CPU}
    actions = inside.target.names.actions_by_id()
    names = {
        int.from_bytes(entity.table_entry.match[0].exact.value, "big"): actions[
            entity.table_entry.action.action.action_id
        ]
        for entity in entries
    }
    assert {names[reason] for reason in reasons - here if names[reason] not in ELSEWHERE} == set()


def outs(case: Case) -> Iterator[Out]:
    for step in case.steps:
        if not isinstance(step, Change):
            yield from step.out


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
