"""No flow is broken by anything but its own backend's death: random histories over the model of the data
plane.

`test_program_consistency.py` searches through the compiled program. This one is fast, for tables of any size.
"""

import pytest

from tests.property.history import ANNOUNCEMENT, History, Kind


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("slots", [0, 4, 1024])
@pytest.mark.parametrize("announcement", [0.0, ANNOUNCEMENT])
def test_no_flow_is_broken(seed: int, slots: int, announcement: float) -> None:
    history = History(Kind(slots, announcement), seed)
    for _ in range(400):
        history.step()
    history.close()
    assert history.opened > 50


@pytest.mark.parametrize("seed", range(3))
def test_no_flow_is_broken_when_a_syn_arrives_twice(seed: int) -> None:
    history = History(Kind(1024, orderly=True), seed)
    for _ in range(400):
        history.step()
    history.close()
    assert history.opened > 50
