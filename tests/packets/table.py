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
    liveness,
    modes,
    nat,
    own_addresses,
    policy,
    quotes,
    routing,
    size,
    trace,
)

SUBJECTS = (
    own_addresses,
    policy,
    quotes,
    nat,
    answers,
    dsr,
    fragments,
    hop_limit,
    liveness,
    modes,
    size,
    trace,
    routing,
    drops,
    exceptions,
    controller,
)
CASES: list[Case] = [case for subject in SUBJECTS for case in subject.CASES]
ON_WIRES = [case for case in CASES if case.in_process_only is None]
