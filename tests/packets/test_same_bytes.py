"""The same random packets into the same entries: every switch sends the same bytes out of the same ports.

And counts the same drops, replies and punts. Some packets are only traced. BMv2 is the reference: what it
does with a packet is what P4 on v1model means here.

SLUICE_SOAK=500 runs 500 rounds instead of a few.
"""

import itertools
import os
import random

import pytest

from tests.packets import traffic
from tests.packets.case import TRACE
from tests.packets.runner import Runner, by_port, describe, without_ages

ROUNDS = int(os.environ.get("SLUICE_SOAK", "8"))
FRAMES = 64  # in a round
TRACED = 0.1  # of the frames
FIRST_PORT = 1024
PORTS_PER_ROUND = 16  # so that rounds, which time passes between, share no flow
LAST_PORT = 29000  # ports above are the packet table's


def compare(one: Runner, other: Runner, seed: int) -> None:
    """Raises AssertionError with the first frame that the two treat otherwise."""
    entries = traffic.tables(random.Random(seed))
    for runner in (one, other):
        runner.tables.become(entries)
        runner.target.begin()
    before = one.fates(), other.fates()

    rng = random.Random(seed)
    first_port = FIRST_PORT + seed * PORTS_PER_ROUND % (LAST_PORT - FIRST_PORT)
    for number, (port, frame) in enumerate(itertools.islice(traffic.frames(rng, first_port), FRAMES)):
        traced = rng.random() < TRACED
        sent = [
            by_port(
                without_ages(runner.target.packet_out(TRACE, port, frame, 0.0))
                if traced
                else runner.target.send(port, [frame], 0.0)
            )
            for runner in (one, other)
        ]
        how = "traced as if" if traced else "come"
        assert sent[0] == sent[1], "\n".join(
            [f"seed {seed}, frame {number}, {how} into port {port}", describe(port, frame)]
            + [
                f"  {runner.target.name}, out of port {out}:\n{describe(out, bytes_out)}"
                for runner, emitted in zip((one, other), sent, strict=True)
                for out, all_out in sorted(emitted.items())
                for bytes_out in all_out
            ]
        )

    counted = [
        {reason: after[reason] - start[reason] for reason in after}
        for after, start in zip((one.fates(), other.fates()), before, strict=True)
    ]
    assert counted[0] == counted[1], f"seed {seed}: drops, replies and punts"


@pytest.mark.root
@pytest.mark.bmv2
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_the_compiled_program_does_what_bmv2_does(inside: Runner, bmv2: Runner, seed: int) -> None:
    compare(inside, bmv2, seed)


@pytest.mark.root
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_the_embedded_switch_does_what_the_compiled_program_does(
    inside: Runner, embedded: Runner, seed: int
) -> None:
    compare(inside, embedded, ROUNDS + seed)  # what BMv2 was asked has left fragments and flows in process
