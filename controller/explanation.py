"""What is said about a packet: apart from `explain`, which finds it out, for those who only print it."""

from controller.report import Fact


class Side(Fact):
    """What becomes of the packet, in the model or in the switch; what does not apply is None or "".

    `fate` is sent, punted, dropped or replied, or "" for what the model does not follow. `reason` says why it
    is dropped or punted, or what is replied.
    """

    vip: str | None
    pool: str | None
    bucket: int | None
    backend: str | None
    decision: str
    fate: str
    reason: str
    port: int | None


class Explanation(Fact):
    """`switch` is None when it was not asked, or did not answer: `unconfirmed` says why.

    `differences` are contradictions between model and switch, `notes` what else is good to know.
    """

    packet: str
    in_port: int
    steps: tuple[str, ...]
    model: Side
    switch: Side | None
    unconfirmed: str
    notes: tuple[str, ...]
    differences: tuple[str, ...]
    at: str = ""
    """Which of several switches this is about."""


PUNTED = {"glean": "glean, the MAC address of its next hop is not known yet"}


def ending(side: Side) -> str:
    """`out of port 4`, `dropped: no_service`."""
    match side.fate:
        case "sent":
            return f"out of port {side.port}"
        case "replied":
            return f"answered with {side.reason}, out of port {side.port}"
        case "punted":
            return f"handed to the controller: {PUNTED.get(side.reason, side.reason)}"
        case "dropped":
            return f"dropped: {side.reason}"
        case _:
            return "not followed by the model"
