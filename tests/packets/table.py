"""All of the packet table."""

from tests.packets.case import Case
from tests.packets.cases import (
    answers,
    controller,
    drops,
    dsr,
    exceptions,
    fragments,
    handshakes,
    hop_limit,
    liveness,
    modes,
    nat,
    own_addresses,
    places,
    policy,
    quotes,
    routing,
    size,
    trace,
)

SUBJECTS = (
    own_addresses,
    modes,
    nat,
    answers,
    handshakes,
    dsr,
    policy,
    exceptions,
    places,
    liveness,
    fragments,
    size,
    hop_limit,
    quotes,
    routing,
    drops,
    controller,
    trace,
)
CASES: list[Case] = [case for subject in SUBJECTS for case in subject.CASES]
ON_WIRES = [case for case in CASES if case.in_process_only is None]
