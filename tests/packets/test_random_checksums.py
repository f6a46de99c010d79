"""Whatever a switch sends because of a sound packet has right checksums, whichever entries it has."""

import itertools
import random

import pytest

from tests.packets import traffic
from tests.packets.checksums import wrong_checksums
from tests.packets.runner import Runner, check_checksums

ROUNDS = 20
FRAMES = 100  # in a round
FIRST_PORT = 28000  # of no other test: what is left of fragments and flows stays in process
PORTS_PER_ROUND = 16


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_sound_packets_leave_sound(inside: Runner, seed: int) -> None:
    inside.tables.become(traffic.tables(random.Random(seed)))
    inside.target.begin()
    left = 0
    frames = traffic.frames(random.Random(seed), FIRST_PORT + seed * PORTS_PER_ROUND)
    for number, (port, frame) in enumerate(itertools.islice(frames, FRAMES)):
        emitted = inside.target.send(port, [frame], 0.0)
        if not wrong_checksums(frame):
            check_checksums(emitted, f"seed {seed}, frame {number}")
            left += len(emitted)
    assert left > FRAMES / 10, "hardly a packet left: the frames show nothing"
