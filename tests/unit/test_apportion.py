"""Apportionment by example; what holds in general is in tests/property."""

import numpy as np

from controller.apportion import NOBODY, Counts, Identities, apportion, grow, quotas, spread_standbys
from controller.values import LAST_BACKEND


def ids(*numbers: int) -> Identities:
    return np.array(numbers, dtype=np.uint32)


def counts(*numbers: int) -> Counts:
    return np.array(numbers, dtype=np.int64)


def owners(text: str) -> Identities:
    """Buckets by letter: a is backend 1, b is 2 and so on; a dot is nobody."""
    return ids(*(0 if letter == "." else ord(letter) - ord("a") + 1 for letter in text))


def test_remainders_decide_who_gets_one_more() -> None:
    assert quotas(counts(1, 2, 3), 16, counts(0, 0, 0)).tolist() == [3, 5, 8]


def test_equal_remainders_go_to_those_who_have_more_and_then_to_the_first() -> None:
    assert quotas(counts(1, 1, 1), 16, counts(0, 0, 0)).tolist() == [6, 5, 5]
    assert quotas(counts(1, 1, 1), 16, counts(5, 5, 6)).tolist() == [5, 5, 6]


def test_weight_0_gets_nothing() -> None:
    assert quotas(counts(0, 1, 0), 16, counts(8, 8, 0)).tolist() == [0, 16, 0]


def test_without_backends_nobody_serves() -> None:
    for serving, weights in ((ids(), counts()), (ids(1, 2), counts(0, 0))):
        assert (apportion(owners("aabb"), owners("aabb"), owners("bbaa"), serving, weights) == NOBODY).all()


def test_a_new_backend_takes_from_each_only_what_is_too_much() -> None:
    now = apportion(owners("aaaabbbb"), owners("aaaabbbb"), owners("bbbbaaaa"), ids(1, 2, 3), counts(1, 1, 2))
    assert now.tolist() == owners("ccaaccbb").tolist()


def test_the_buckets_of_the_dead_go_to_their_standbys() -> None:
    before, standby = owners("aaaabbbbcccc"), owners("bcbcacacabab")
    now = apportion(before, before, standby, ids(2, 3), counts(1, 1))
    assert now.tolist() == owners("bcbcbbbbcccc").tolist()


def test_a_moving_bucket_goes_home_first() -> None:
    current, previous = owners("ccaaccbb"), owners("aaaabbbb")
    now = apportion(current, previous, owners("bbbbaaaa"), ids(1, 2), counts(1, 1))
    assert now.tolist() == previous.tolist()


def test_settled_buckets_move_before_moving_ones() -> None:
    current, previous = owners("aaaa"), owners("bbaa")
    assert (
        apportion(current, previous, owners("...."), ids(1, 3), counts(1, 1)).tolist()
        == owners("aacc").tolist()
    )


def test_the_standbys_of_each_backend_are_spread_over_the_others() -> None:
    current = np.repeat(ids(1, 2, 3), 100)
    standby = spread_standbys(current, np.zeros_like(current), ids(1, 2, 3), counts(1, 3, 1))
    shares = {owner: np.bincount(standby[current == owner], minlength=4).tolist() for owner in (1, 2, 3)}
    assert shares == {1: [0, 0, 75, 25], 2: [0, 50, 0, 50], 3: [0, 25, 75, 0]}


def test_the_order_of_the_backends_does_not_matter() -> None:
    current, none = owners("aabbccdd" * 8), owners("." * 64)
    one = spread_standbys(current, none, ids(1, 2, 3, 4), counts(1, 2, 3, 4))
    other = spread_standbys(current, one, ids(4, 2, 1, 3), counts(4, 2, 1, 3))
    assert (one == other).all()


def test_a_backend_alone_stands_by_for_itself() -> None:
    assert spread_standbys(owners("aaaa"), owners("bbbb"), ids(1, 2), counts(1, 0)).tolist() == [1, 1, 1, 1]


def test_as_many_backends_and_buckets_as_there_can_be() -> None:
    serving = np.arange(LAST_BACKEND - 16383, LAST_BACKEND + 1, dtype=np.uint32)
    weights = np.ones(16384, dtype=np.int64)
    nobody = np.zeros(65536, dtype=np.uint32)
    now = apportion(nobody, nobody, nobody, serving, weights)
    assert set(np.bincount(now)[serving[0] :]) == {4}


def test_more_backends_than_16_bits_tell_apart_share_what_there_is() -> None:
    """Those who leave may be as many again as those who may be configured."""
    serving = np.arange(1, 70001, dtype=np.uint32)
    weights = np.ones(70000, dtype=np.int64)
    nobody = np.zeros(65536, dtype=np.uint32)
    now = apportion(nobody, nobody, nobody, serving, weights)
    assert len(np.unique(now)) == 65536
    assert (apportion(now, now, nobody, serving, weights) == now).all()


def test_growing_doubles_the_buckets() -> None:
    assert grow(owners("abca")).tolist() == owners("abcaabca").tolist()
