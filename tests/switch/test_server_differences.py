"""The document's table of differences from simple_switch_grpc, against the tests that show them."""

import re

from tests.switch.bmv2_differences import CASES, FRESH_CASES
from tests.switch.client_outcomes import OTHERWISE, OUTCOMES
from tests.switch.differences import Difference
from tests.switch.test_server_bmv2 import OTHER_INSERTS, OTHER_METERS, OTHER_REPLICAS
from tests.switch.test_server_meters import WRONG_METERS
from tests.switch.test_server_state import WRONG_REPLICAS
from tests.switch.test_server_tables import WRONG_INSERTS
from topo.lab import PROJECT

DOCUMENT = PROJECT / "docs" / "switch-p4runtime.md"
HEADING = "### Where it differs from simple_switch_grpc"
COLUMNS = ["", "here", "simple_switch_grpc 1.15.5", "clause of the specification"]


def table() -> list[list[str]]:
    """The cells of the rows under the heading, the head first."""
    section = DOCUMENT.read_text().split(f"{HEADING}\n")[1]
    section = re.split(r"^#", section, flags=re.MULTILINE)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in rows if set("".join(row)) != {"-"}]


def test_the_rows_are_the_names_of_the_differences() -> None:
    assert [name for name, *_ in table()[1:]] == [difference.value for difference in Difference]


def test_each_row_says_what_both_do_and_which_clause_decides() -> None:
    head, *rows = table()
    assert head == COLUMNS
    assert [row for row in rows if len(row) != len(COLUMNS) or not all(row)] == []


def test_each_difference_is_shown() -> None:
    """By what the clients see, or by messages of our own."""
    named = [each.difference for each in (*OTHERWISE, *CASES.values(), *FRESH_CASES.values())]
    answers = [*OTHER_INSERTS.values(), *OTHER_REPLICAS.values(), *OTHER_METERS.values()]
    assert {*named, *(difference for difference, _ in answers)} == set(Difference)


def test_what_is_listed_as_different_is() -> None:
    """Each answer beside ours: a case that asked for the same on both would show nothing."""
    pairs = [(name, case.ours, case.theirs) for name, case in {**CASES, **FRESH_CASES}.items()]
    for others, wrong in (
        (OTHER_INSERTS, WRONG_INSERTS),
        (OTHER_REPLICAS, WRONG_REPLICAS),
        (OTHER_METERS, WRONG_METERS),
    ):
        pairs += [(name, wrong[name][1], theirs) for name, (_, theirs) in others.items()]
    for each in OTHERWISE:
        ours = OUTCOMES[each.kind]
        pairs += [(f"{each.kind}: {step}", ours[step], theirs) for step, theirs in each.steps.items()]
    assert [name for name, ours, theirs in pairs if ours == theirs] == []
