"""All of the packet table."""

from tests.packets.case import Case
from tests.packets.cases import (
    answers,
    controller,
    drops,
    dsr,
    exceptions,
    modes,
    nat,
    own_addresses,
    routing,
    size,
)

SUBJECTS = (
    own_addresses,
    nat,
    answers,
    dsr,
    modes,
    size,
    routing,
    drops,
    exceptions,
    controller,
)
CASES: list[Case] = [case for subject in SUBJECTS for case in subject.CASES]
ON_WIRES = [case for case in CASES if case.in_process_only is None]
