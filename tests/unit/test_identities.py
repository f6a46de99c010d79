"""Numbers are fresh: none comes back while a flow could still mean the one who had it before."""

from collections.abc import Iterator

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


class Watched(set[int]):
    """Counts how often it was looked into."""

    looks = 0

    def __contains__(self, number: object) -> bool:
        self.looks += 1
        return super().__contains__(number)


def all_taken(count: int) -> tuple[Numbers, Watched]:
    used = Watched()
    numbers = Numbers("backend", last_used=count, used=used)
    for _ in range(count):
        numbers.take(0.0)
    with pytest.raises(NoIdentityLeft):
        numbers.take(0.0)
    used.looks = 0
    return numbers, used


def times(numbers: Numbers, *moments: float) -> Iterator[int | None]:
    for now in moments:
        try:
            yield numbers.take(now)
        except NoIdentityLeft:
            yield None


def test_where_none_is_left_it_is_searched_for_once() -> None:
    numbers, used = all_taken(100)
    assert [*times(numbers, 1.0, 2.0, 3.0)] == [None] * 3
    assert used.looks == 0
    numbers.give_up(7, 10.0)
    numbers.give_up(3, 20.0)
    late = 10.0 + QUARANTINE
    assert [*times(numbers, late - 1, late, late, late + 10)] == [None, 7, None, 3]


def test_one_that_is_given_back_is_there_at_once() -> None:
    numbers, _ = all_taken(4)
    numbers.give_back(2)
    assert [*times(numbers, 1.0, 1.0)] == [2, None]
