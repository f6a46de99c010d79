"""The cases of language/ on a switch in this process."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.switch.both_switches import Addresses
from tests.switch.language import arithmetic, beyond, flow, keys, selection, telling, unions, wide
from tests.switch.language.case import Case, Door, run

CASES = [
    case
    for program in (arithmetic, beyond, flow, keys, selection, telling, unions, wide)
    for case in program.CASES
]

HERE = Path(__file__).parent
DOCUMENTATION = HERE.parents[1] / "docs" / "switch.md"


@pytest.fixture(scope="module")
def door(embedded: Addresses) -> Iterator[Door]:
    with Door.of(embedded) as door:
        yield door


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, door: Door) -> None:
    run(case, door)


def test_the_documentation_names_files_that_are_there() -> None:
    """In its table of what shows which construct."""
    table = DOCUMENTATION.read_text().partition("| construct of v1model |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`([\w/]+\.py)`", table))
    assert named and not [name for name in named if not (HERE / name).exists()]
