"""Operators of many widths: programs/arithmetic.p4, with the model of test_engine_arithmetic.py."""

import random

from tests.switch.language.case import Case, Exchange, same
from tests.switch.test_engine_arithmetic import (
    OPERANDS,
    SIGNED,
    UNSIGNED,
    expected_signed,
    expected_unsigned,
    operands,
)

IN = 1
SEED = 3
PACKETS = 40


def answers(choose: random.Random) -> Exchange:
    given = operands(choose)
    packet = OPERANDS.pack(**given)
    answer = UNSIGNED.pack(**expected_unsigned(given)) + SIGNED.pack(**expected_signed(given))
    return same(IN, packet, answer)


CASES = (
    Case(
        "arithmetic",
        "unsigned, signed and saturating, of 8 to 128 bits",
        tuple(answers(choose) for choose in [random.Random(SEED)] for _ in range(PACKETS)),
    ),
)
