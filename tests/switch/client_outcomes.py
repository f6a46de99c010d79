"""What comes of each step of the clients: of finsy_steps.py and p4sh_session.py, on either switch."""

from dataclasses import dataclass

from tests.switch.client_steps import AS_WRITTEN, DONE, NOTHING
from tests.switch.differences import Difference

FINSY, SHELL = "finsy", "p4runtime-shell"
CLIENTS = (FINSY, SHELL)

Outcomes = dict[str, dict[str, str]]
"""By kind of entity and step."""

LIFE = {
    "insert": DONE,
    "read": AS_WRITTEN,
    "modify": DONE,
    "read modified": AS_WRITTEN,
    "delete": DONE,
    "read deleted": NOTHING,
}
NEEDY_LIFE = {**LIFE, "tidy up": DONE}
ARRAY = {"modify": DONE, "read": AS_WRITTEN, "read all": "8"}
DIRECT = {
    "insert its entry": DONE,
    "modify": DONE,
    "read": AS_WRITTEN,
    "read all": AS_WRITTEN,
    "delete its entry": DONE,
}

OUTCOMES: Outcomes = {
    "exact entry": LIFE,
    "lpm entry": LIFE,
    "ternary entry": LIFE,
    "range entry": LIFE,
    "range entry of everything": LIFE,
    "optional entry": LIFE,
    "optional entry of everything": LIFE,
    "entry with metadata": LIFE,
    "entry with an idle timeout": LIFE,
    "default entry": {"modify": DONE, "read": AS_WRITTEN, "reset": DONE, "read reset": AS_WRITTEN},
    "constant entry": {"read": AS_WRITTEN, "insert": "PERMISSION_DENIED"},
    "direct counter": DIRECT,
    "direct meter": DIRECT,
    "action profile member": LIFE,
    "action profile group": NEEDY_LIFE,
    "entry of a member": NEEDY_LIFE,
    "entry of a group": NEEDY_LIFE,
    "one-shot entry": LIFE,
    "counter": ARRAY,
    "meter": ARRAY,
    "register": ARRAY,
    "value set": {**ARRAY, "read all": "1"},
    "multicast group": LIFE,
    "multicast group with metadata": {**LIFE, "read deleted": "NOT_FOUND"},
    "clone session": LIFE,
    "digest": {**LIFE, "read deleted": "NOT_FOUND"},
    "every table": {"read": "['fixed']"},
    "messages of the switch": {
        "a packet out and in": "port 255: 00000100000009",
        "a digest, acknowledged": "[[1, 255]]",
        "an idle timeout": "aging: 1",
    },
    "pipeline": {"read": "11 tables"},
}

LACKED: dict[str, set[str]] = {
    FINSY: set(),
    SHELL: {"register", "value set", "multicast group with metadata", "every table"},
}
"""Kinds for which a client has nothing."""


@dataclass(frozen=True)
class Otherwise:
    """What simple_switch_grpc answers to some steps of a kind instead."""

    difference: Difference
    kind: str
    steps: dict[str, str]
    clients: tuple[str, ...] = CLIENTS


OTHERWISE = (
    Otherwise(
        Difference.RANGE_OF_EVERYTHING,
        "range entry of everything",
        {"read": "another match", "read modified": "another match"},
    ),
    # The shell passes over `is_const`, which is younger than it.
    Otherwise(Difference.IS_CONST, "constant entry", {"read": "another is_const"}, (FINSY,)),
    Otherwise(Difference.CONSTANT_TABLE, "constant entry", {"insert": "UNKNOWN"}),
    Otherwise(
        Difference.WATCH_PORT_OF_SOME,
        "action profile group",
        {"read": "another members", "modify": "UNKNOWN"},
    ),
    Otherwise(Difference.REGISTERS, "register", dict.fromkeys(ARRAY, "UNIMPLEMENTED")),
    Otherwise(Difference.VALUE_SETS, "value set", dict.fromkeys(ARRAY, "UNIMPLEMENTED")),
    Otherwise(
        Difference.GROUP_METADATA,
        "multicast group with metadata",
        {"read": "another metadata", "read modified": "another metadata"},
    ),
)


def expected(client: str, bmv2: bool) -> Outcomes:
    """Of all kinds that the client has."""
    outcomes = {kind: dict(steps) for kind, steps in OUTCOMES.items() if kind not in LACKED[client]}
    for each in OTHERWISE if bmv2 else ():
        if client in each.clients and each.kind in outcomes:
            outcomes[each.kind] |= each.steps
    return outcomes
