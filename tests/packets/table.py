"""All of the packet table."""

from tests.packets.case import Case
from tests.packets.cases import (
    answers,
    controller,
    drops,
    dsr,
    exceptions,
    fragments,
    hop_limit,
    modes,
    nat,
    own_addresses,
    quotes,
    routing,
    size,
)

SUBJECTS = (
    own_addresses,
    quotes,
    nat,
    answers,
    dsr,
    fragments,
    hop_limit,
    modes,
    size,
    routing,
    drops,
    exceptions,
    controller,
)
CASES: list[Case] = [case for subject in SUBJECTS for case in subject.CASES]
ON_WIRES = [case for case in CASES if case.in_process_only is None]
