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
)

CASES: list[Case] = [
    *own_addresses.CASES,
    *nat.CASES,
    *answers.CASES,
    *dsr.CASES,
    *modes.CASES,
    *routing.CASES,
    *drops.CASES,
    *exceptions.CASES,
    *controller.CASES,
]
ON_WIRES = [case for case in CASES if case.in_process_only is None]
