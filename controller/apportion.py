"""Which backend has which bucket: exact shares, fewest moves.

The controller is the only writer of buckets, so the assignment is state that is kept and changed as little as
possible, not a hash that everybody must be able to compute. Shares are those of the largest remainder method
(Hamilton), exact to one bucket. A change moves as many buckets as the new shares demand and not one more.

Everything here is a pure function of arrays, one element per bucket; backends are their identities (0:
nobody).
"""

import numpy as np
from numpy.typing import NDArray

Identities = NDArray[np.uint32]
Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]

NOBODY = 0


def quotas(weights: Counts, total: int, held: Counts) -> Counts:
    """How many of `total` buckets each weight gets; they add up to `total` unless all weights are 0.

    Equal remainders go first to those who hold more than their whole part already, which saves a move, then
    to the earlier one. Integers throughout: no rounding error decides.
    """
    sum_of_weights = int(weights.sum())
    if sum_of_weights == 0:
        return np.zeros_like(weights)
    whole, remainder = np.divmod(weights * total, sum_of_weights)
    left = total - int(whole.sum())
    order = np.lexsort((np.arange(len(weights)), held <= whole, -remainder))
    whole[order[:left]] += 1
    return whole


def apportion(
    current: Identities, previous: Identities, standby: Identities, serving: Identities, weights: Counts
) -> Identities:
    """The new `current` of each bucket, when `serving` backends (distinct) share them by `weights`.

    Of a backend that has too many, buckets are taken in this order: moving ones that can go back to their
    `previous`, which settles them at once; settled ones; other moving ones. Buckets without a serving backend
    go back to `previous`, or to their `standby`, which may have their new flows already, where those lack
    some.
    """
    shares = _Shares(current, serving, weights)
    if not shares.serving:
        return np.full_like(current, NOBODY)

    moving = previous != current
    homeless = np.flatnonzero((shares.owner < 0) | moving)
    preferred = np.where(moving[homeless], previous[homeless], standby[homeless])
    shares.give_back(homeless, shares.index_of(preferred))

    spare = shares.of_the_overloaded()
    spare = spare[np.argsort(moving[spare], kind="stable")]  # settled ones first
    spare = spare[_firsts(shares.owner[spare], shares.surplus)]
    free = np.flatnonzero(shares.owner < 0)
    free = np.sort(np.concatenate([free, spare])) if len(spare) else free
    shares.owner[free] = np.repeat(np.arange(len(serving)), shares.deficit)
    return serving[shares.owner]


class _Positions:
    """Where identities are in an array of distinct ones; -1 for those that are not, and for nobody.

    A table from the lowest to the highest: those of one pool are mostly near to each other.
    """

    def __init__(self, identities: Identities) -> None:
        self._lowest = identities.min(initial=np.iinfo(np.uint32).max)
        self._beyond = identities.max(initial=self._lowest) - self._lowest + np.uint32(1)
        self._table = np.full(int(self._beyond) + 1, -1, dtype=np.int64)
        self._table[identities - self._lowest] = np.arange(len(identities))

    def __call__(self, identities: Identities) -> Counts:
        return self._table[np.minimum(identities - self._lowest, self._beyond)]  # below the lowest it wraps


def _in_order(positions: Counts, count: int) -> Counts:
    """The stable order of positions below `count`; of -1, which is nobody's, at the end."""
    sixteen_bits = count <= np.iinfo(np.uint16).max  # which numpy sorts by radix, several times faster
    return np.argsort(positions.astype(np.uint16 if sixteen_bits else np.uint32), kind="stable")


class _Shares:
    """Who has how many buckets too many or too few, while they are handed over."""

    def __init__(self, current: Identities, serving: Identities, weights: Counts) -> None:
        self.index_of = _Positions(serving)
        self.owner = self.index_of(current)
        held = np.bincount(self.owner[self.owner >= 0], minlength=len(serving))
        quota = quotas(weights, len(current), held)
        self.serving = bool(quota.any())
        self.surplus = np.maximum(held - quota, 0)
        self.deficit = np.maximum(quota - held, 0)

    def of_the_overloaded(self) -> Counts:
        """The buckets whose owner has too many: few, when little changes."""
        too_many = np.append(self.surplus > 0, False)  # the last one is nobody's, -1
        return np.flatnonzero(too_many[self.owner])

    def give_back(self, candidates: Counts, preferred: Counts) -> None:
        """Hands `candidates` whose owner has too many, or none, to their `preferred` if it lacks some."""
        while len(candidates):
            owner = self.owner[candidates]
            fits = (preferred >= 0) & (self.deficit[preferred] > 0)
            fits &= (owner < 0) | (self.surplus[owner] > 0)
            candidates, preferred = candidates[fits], preferred[fits]
            owner = self.owner[candidates]
            allowed = (owner < 0) | _firsts(owner, self.surplus)
            allowed[allowed] = _firsts(preferred[allowed], self.deficit)
            taken, owner = preferred[allowed], owner[allowed]
            self.surplus -= np.bincount(owner[owner >= 0], minlength=len(self.surplus))
            self.deficit -= np.bincount(taken, minlength=len(self.deficit))
            self.owner[candidates[allowed]] = taken
            candidates, preferred = candidates[~allowed], preferred[~allowed]


def _firsts(group: Counts, limit: Counts) -> Mask:
    """Marks the first `limit[g]` elements of each group `g`; elements of group -1 are not marked."""
    shifted = group + 1
    order = _in_order(shifted, len(limit) + 1)
    starts = np.concatenate([[0], np.cumsum(np.bincount(shifted, minlength=len(limit) + 1))])
    rank = np.arange(len(group)) - starts[shifted[order]]
    limit = np.concatenate([[0], limit])
    chosen = np.zeros(len(group), dtype=np.bool_)
    chosen[order] = rank < limit[shifted[order]]
    return chosen


PAIRS_AT_ONCE = 4096
"""Of an owner and a standby: their matrices stay in the processor's cache, and sorting them is fast."""


def spread_standbys(
    current: Identities, standby: Identities, backends: Identities, weights: Counts
) -> Identities:
    """The new `standby` of each bucket: for the buckets of one backend, spread over all the others by weight.

    `backends` are distinct, and have all buckets that anybody has; one of weight 0 is nobody's standby. Each
    of the others gets its share exact to one bucket, and those who have it keep it. Where there is no other,
    the standby is `current` itself.
    """
    if not weights.any():
        return current.copy()
    index_of = _Positions(backends)
    owner, other = index_of(current), index_of(standby)
    other[other == owner] = -1
    rest = weights.sum() - weights

    order = _in_order(owner, len(backends))
    count = np.bincount(owner[owner >= 0], minlength=len(backends))
    mine = np.split(order, np.cumsum(count))
    result = np.where(owner < 0, NOBODY, standby).astype(np.uint32)
    unfair = _unfair(owner, other, weights, count, rest)
    for index in unfair[rest[unfair] == 0].tolist():
        result[mine[index]] = backends[index]
    unfair = unfair[rest[unfair] > 0]
    at_once = max(1, PAIRS_AT_ONCE // len(backends))
    for owners in np.split(unfair, range(at_once, len(unfair), at_once)):
        buckets = np.concatenate([order[:0], *(mine[index] for index in owners.tolist())])
        of = np.repeat(np.arange(len(owners)), count[owners])
        result[buckets] = backends[_standbys_of(owners, of, other[buckets], weights)]
    return result


def _unfair(owner: Counts, other: Counts, weights: Counts, count: Counts, rest: Counts) -> Counts:
    """The backends whose buckets' standbys may be off their shares: with many backends, most are not."""
    # A share of one whole bucket or more can be missed from below; looking closer costs as much as redoing
    # it.
    unfair = count * weights.max() >= rest
    unfair[owner[(other < 0) & (owner >= 0)]] = True
    of, at, held = _pairs(owner, other, len(weights))
    unfair[of[held > -(-count[of] * weights[at] // np.maximum(rest[of], 1))]] = True
    return np.flatnonzero(unfair & (count > 0))


def _pairs(owner: Counts, other: Counts, backends: int) -> tuple[Counts, Counts, Counts]:
    """Each pair of an owner and a standby that occurs, and how often; -1 is nobody, and in no pair."""
    order = np.flatnonzero((other >= 0) & (owner >= 0))
    for key in (other, owner):  # faster than one sort by both
        order = order[_in_order(key[order], backends)]
    owner, other = owner[order], other[order]
    first = np.ones(len(order), dtype=np.bool_)
    first[1:] = (owner[1:] != owner[:-1]) | (other[1:] != other[:-1])
    starts = np.flatnonzero(first)
    return owner[starts], other[starts], np.diff(np.append(starts, len(order)))


def _standbys_of(owners: Counts, owner: Counts, standby: Counts, weights: Counts) -> Counts:
    """The standbys, as positions, of the buckets of some `owners`, which are in order.

    `owner` is the place in `owners` of whom each bucket has, in order, too; -1 in `standby` is one that
    serves no more. A row of the matrices is an owner's, a column a backend that may stand by for him.
    """
    rows, columns = len(owners), len(weights)
    shares = np.tile(weights, (rows, 1))
    shares[np.arange(rows), owners] = 0
    count = np.bincount(owner, minlength=rows)
    standby = np.where(standby == owners[owner], -1, standby)
    pair = np.where(standby < 0, -1, owner * columns + standby)
    held = np.bincount(pair[pair >= 0], minlength=rows * columns).reshape(rows, columns)
    whole, remainder = np.divmod(shares * count[:, None], shares.sum(axis=1)[:, None])
    left = count - whole.sum(axis=1)
    # Who is to get one more: those who have it, then by remainder; from the owner on, so that it is not
    # the same few for every backend.
    rank = np.where((held > whole) & (remainder > 0), np.iinfo(np.int64).max, remainder)
    turned = (np.arange(columns) + owners[:, None]) % columns
    order = np.argsort(-np.take_along_axis(rank, turned, axis=1), axis=1, kind="stable")
    order = np.take_along_axis(turned, order, axis=1)
    row, place = np.nonzero(np.arange(columns) < left[:, None])
    whole[row, order[row, place]] += 1
    free = ~_firsts(pair, whole.ravel())
    standby[free] = np.repeat(np.tile(np.arange(columns), rows), np.maximum(whole - held, 0).ravel())
    return standby


def grow(owners: Identities) -> Identities:
    """The same flows in twice the buckets: bucket b splits into b and b + 2^k with the same owner.

    A flow's bucket is the low k bits of its hash. With one bit more it falls into one of the two halves of
    the bucket that it was in, so no flow changes its owner.
    """
    return np.concatenate([owners, owners])
