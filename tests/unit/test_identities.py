"""Numbers are fresh: none comes back while a flow could still mean the one who had it before."""

import pytest

from controller.identities import QUARANTINE, NoIdentityLeft, Numbers


def test_numbers_begin_at_1_since_0_is_nobody() -> None:
    numbers = Numbers("backend")
    assert [numbers.take(0.0) for _ in range(3)] == [1, 2, 3]


def test_a_number_that_was_given_up_is_not_given_out_next() -> None:
    numbers = Numbers("backend")
    numbers.give_up(numbers.take(0.0), 0.0)
    assert numbers.take(1.0) == 2


def test_numbers_go_round_and_skip_those_in_use_and_at_rest() -> None:
    numbers = Numbers("pool", last_used=4)
    for _ in range(4):
        numbers.take(0.0)
    numbers.give_up(2, 100.0)
    numbers.give_up(3, 200.0)
    with pytest.raises(NoIdentityLeft, match="no number is left for another pool"):
        numbers.take(100.0 + QUARANTINE - 1)
    assert numbers.take(100.0 + QUARANTINE) == 2
    assert numbers.take(200.0 + QUARANTINE) == 3
