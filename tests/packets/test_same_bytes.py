"""The same random packets into the same entries: every switch sends the same bytes out of the same ports.

And counts the same drops, replies and punts. Some packets are only traced. BMv2 is the reference: what it
does with a packet is what P4 on v1model means here.

SLUICE_SOAK=500 runs 500 rounds instead of a few.
"""

import os
import random
from itertools import islice

import pytest

from tests.packets import traffic
from tests.packets.runner import Runner
from tests.packets.same_bytes import compare, sent_at_random

ROUNDS = int(os.environ.get("SLUICE_SOAK", "8"))
FRAMES = 64  # in a round


def _compare(one: Runner, other: Runner, seed: int) -> None:
    rng = random.Random(seed)
    compare(one, other, f"seed {seed}", traffic.tables(rng), islice(sent_at_random(rng, seed), FRAMES))


@pytest.mark.root
@pytest.mark.bmv2
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_the_compiled_program_does_what_bmv2_does(inside: Runner, bmv2: Runner, seed: int) -> None:
    _compare(inside, bmv2, seed)


@pytest.mark.root
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_the_embedded_switch_does_what_the_compiled_program_does(
    inside: Runner, embedded: Runner, seed: int
) -> None:
    _compare(inside, embedded, ROUNDS + seed)  # what BMv2 was asked has left fragments and flows in process
