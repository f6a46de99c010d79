"""What holds for every apportionment: exact shares, no move too many, and growing that moves no flow."""

from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from controller.apportion import NOBODY, Counts, Identities, apportion, grow, quotas, spread_standbys
from controller.values import LAST_BACKEND

Weights = dict[int, int]

# Few identities and small weights, so that successive weightings share backends and remainders are often
# equal.
weightings = st.dictionaries(
    st.one_of(st.integers(1, 9), st.sampled_from([65536, LAST_BACKEND])),
    st.one_of(st.integers(0, 4), st.integers(0, 1000)),
    max_size=10,
)
sizes = st.sampled_from([16, 32, 64, 256])


def arrays(weights: Weights) -> tuple[Identities, Counts]:
    identities = sorted(weights)
    return np.array(identities, dtype=np.uint32), np.array([weights[i] for i in identities], dtype=np.int64)


@dataclass
class Pool:
    """Buckets as the controller keeps them, moved by whole changes and settled at will."""

    size: int
    current: Identities = field(init=False)
    previous: Identities = field(init=False)
    standby: Identities = field(init=False)

    def __post_init__(self) -> None:
        self.current, self.previous, self.standby = (np.zeros(self.size, np.uint32) for _ in range(3))

    def change(self, weights: Weights) -> None:
        serving = arrays(weights)
        self.current = apportion(self.current, self.previous, self.standby, *serving)
        self.standby = spread_standbys(self.current, self.standby, *serving)
        self.previous = np.where(self.previous == NOBODY, self.current, self.previous)

    def settle(self, buckets: NDArray[np.int64]) -> None:
        self.previous[buckets] = self.current[buckets]


@st.composite
def pools(draw: st.DrawFn) -> Pool:
    """A pool with a past: some changes, and after each some buckets settled."""
    pool = Pool(draw(sizes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    for weights in draw(st.lists(weightings, max_size=4)):
        pool.change(weights)
        pool.settle(rng.permutation(pool.size)[: draw(st.integers(0, pool.size))])
    return pool


def shares(buckets: Identities, weights: Weights) -> dict[int, int]:
    return {identity: int((buckets == identity).sum()) for identity in weights}


def least_moves(current: Identities, weights: Weights) -> int:
    """By trying every way to break the ties of the largest remainder method."""
    total, size = sum(weights.values()), len(current)
    whole = {i: w * size // total for i, w in weights.items()}
    remainder = {i: w * size % total for i, w in weights.items()}
    left = size - sum(whole.values())
    threshold = sorted(remainder.values(), reverse=True)[left - 1] if left else total
    sure = {i for i in weights if remainder[i] > threshold}
    tied = [i for i in weights if remainder[i] == threshold]
    held = shares(current, weights)
    fits = 0
    for lucky in combinations(tied, left - len(sure)):
        quota = {i: whole[i] + (i in sure or i in lucky) for i in weights}
        fits = max(fits, sum(min(held[i], quota[i]) for i in weights))
    return size - fits


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=40), st.integers(1, 65536))
def test_quotas_are_those_of_the_largest_remainder(weights: list[int], total: int) -> None:
    array = np.array(weights, dtype=np.int64)
    quota = quotas(array, total, np.zeros_like(array))
    if not any(weights):
        assert not quota.any()
        return
    assert quota.sum() == total
    extra = quota - array * total // sum(weights)
    remainder = array * total % sum(weights)
    assert set(extra) <= {0, 1}
    assert min(remainder[extra == 1], default=total) >= max(remainder[extra == 0], default=0)


@given(pools(), weightings)
def test_shares_are_exact_to_one_bucket(pool: Pool, weights: Weights) -> None:
    pool.change(weights)
    total = sum(weights.values())
    if total == 0:
        assert (pool.current == NOBODY).all()
        return
    for identity, share in shares(pool.current, weights).items():
        assert abs(share - weights[identity] * pool.size / total) < 1
    assert sum(shares(pool.current, weights).values()) == pool.size


@given(pools(), weightings.filter(lambda weights: any(weights.values())))
def test_a_change_moves_as_few_buckets_as_any_could(pool: Pool, weights: Weights) -> None:
    before = pool.current.copy()
    pool.change(weights)
    assert (pool.current != before).sum() == least_moves(before, weights)


@given(pools(), weightings)
def test_a_moving_bucket_moves_on_only_when_no_settled_one_is_left(pool: Pool, weights: Weights) -> None:
    before, previous = pool.current.copy(), pool.previous.copy()
    pool.change(weights)
    moving, moved = previous != before, pool.current != before
    went_home = pool.current == previous
    for owner in set(before[moving & moved & ~went_home].tolist()) & set(shares(pool.current, weights)):
        if weights[owner]:
            assert moved[(before == owner) & ~moving].all()


@given(pools(), weightings.filter(lambda weights: any(weights.values())))
def test_a_moving_bucket_goes_home_before_another_comes_in_its_place(pool: Pool, weights: Weights) -> None:
    before, previous, standby = pool.current.copy(), pool.previous.copy(), pool.standby.copy()
    pool.change(weights)
    serving = [identity for identity, weight in weights.items() if weight]
    # Buckets without a serving backend are as one owner; a settled one of them has its standby for a home.
    owner = np.where(np.isin(before, list(weights)), before, NOBODY)
    home = np.where(previous != before, previous, np.where(owner == NOBODY, standby, NOBODY))
    for giver in {NOBODY, *weights}:
        for taker in serving:
            stranger_came = (owner == giver) & (pool.current == taker) & (home != taker)
            stayed_out = (owner == giver) & (home == taker) & (pool.current != taker)
            if giver != taker and stranger_came.any():
                assert not stayed_out.any()


@given(pools(), weightings)
def test_the_same_change_again_changes_nothing(pool: Pool, weights: Weights) -> None:
    pool.change(weights)
    before = pool.current.copy(), pool.standby.copy()
    pool.change(weights)
    assert (pool.current == before[0]).all()
    assert (pool.standby == before[1]).all()


@given(pools(), weightings, st.integers(0, 2**32 - 1))
def test_growing_moves_no_flow(pool: Pool, weights: Weights, flow_hash: int) -> None:
    pool.change(weights)
    bucket, grown_bucket = flow_hash % pool.size, flow_hash % (2 * pool.size)
    for owners in (pool.current, pool.previous, pool.standby):
        assert grow(owners)[grown_bucket] == owners[bucket]


@given(pools(), weightings.filter(lambda weights: any(weights.values())))
def test_a_grown_pool_needs_no_more_moves_than_rounding_asks_for(pool: Pool, weights: Weights) -> None:
    pool.change(weights)
    grown = grow(pool.current)
    serving = arrays(weights)
    again = apportion(grown, grown, grow(pool.standby), *serving)
    assert (again != grown).sum() <= len(weights)


@given(pools(), weightings)
def test_standbys_are_shared_by_the_others_exactly_and_with_the_fewest_changes(
    pool: Pool, weights: Weights
) -> None:
    before = pool.standby.copy()
    pool.change(weights)
    serving = {identity: weight for identity, weight in weights.items() if weight}
    if len(serving) < 2:
        assert (pool.standby == pool.current).all()
        return
    for owner in serving:
        mine = pool.current == owner
        held, now = shares(before[mine], serving), shares(pool.standby[mine], serving)
        others = sum(serving.values()) - serving[owner]
        kept, could_keep, size = 0, 0, int(mine.sum())
        left = size
        for other in serving.keys() - {owner}:
            whole, remainder = divmod(serving[other] * size, others)
            assert whole <= now[other] <= whole + (remainder > 0)
            kept += min(held[other], now[other])
            could_keep += min(held[other], whole)
            left -= whole
        one_more = [
            other
            for other in serving.keys() - {owner}
            if held[other] > serving[other] * size // others and serving[other] * size % others
        ]
        could_keep += min(left, len(one_more))
        assert now[owner] == 0
        assert kept == could_keep
        assert (pool.standby[mine] != before[mine]).sum() == size - kept


@given(st.integers(2, 30), st.sampled_from([64, 256, 1024]), st.integers(0, 2**32))
def test_one_that_comes_and_goes_leaves_every_bucket_where_it_was(
    backends: int, size: int, seed: int
) -> None:
    pool = Pool(size)
    pool.change(dict.fromkeys(range(1, backends + 1), 1))
    np.random.default_rng(seed).shuffle(pool.current)
    pool.settle(np.arange(size))
    before = pool.current.copy()
    pool.change(dict.fromkeys(range(1, backends + 2), 1))
    moving = pool.current != before
    pool.change(dict.fromkeys(range(1, backends + 1), 1))
    assert moving.sum() == size // (backends + 1)
    assert (pool.current == before).all()
