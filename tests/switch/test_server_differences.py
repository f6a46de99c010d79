"""The document's table of differences from simple_switch_grpc, against the tests that show them."""

import re

from tests.switch.bmv2_differences import CASES, FRESH_CASES
from tests.switch.client_outcomes import OTHERWISE
from tests.switch.differences import Difference
from tests.switch.test_server_bmv2 import OTHER_INSERTS, OTHER_METERS, OTHER_REPLICAS
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
    assert [name for name, case in {**CASES, **FRESH_CASES}.items() if case.ours == case.theirs] == []
