"""P4Runtime: the one module that speaks it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SwitchTarget:
    """Where the switch is, and by which election id we ask to be its primary controller."""

    address: str
    device_id: int = 1
    election_id: int = 1
