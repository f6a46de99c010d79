"""A store and its copy."""

import json
from ipaddress import ip_address
from pathlib import Path

import pytest

from controller.assignment import Assignment
from controller.config import parse
from controller.health.damping import Flapping, Flaps
from controller.health.ejection import Ejection, Ejections
from controller.model import Pool
from controller.replica import Bookmark, Replica
from controller.store import SqliteStore

NOW = 1_000_000.0


def pool(name: str, count: int) -> Pool:
    backends = [{"name": f"b{n}", "address": str(ip_address("10.0.1.0") + n)} for n in range(1, count + 1)]
    interface = {"name": "all", "ports": [1], "addresses": ["10.0.0.1/16"]}
    document = {
        "switch": {"mac": "02:00:00:00:00:01"},
        "interfaces": [interface],
        "pools": [{"name": name, "buckets": 64, "backends": backends}],
    }
    return parse(json.dumps(document)).pools[0]


class Two:
    """An active's store, a standby's, and what the latter has already."""

    def __init__(self, folder: Path) -> None:
        self.active, self.copy = SqliteStore(folder / "active"), SqliteStore(folder / "copy")
        self.seen = Bookmark()
        self.assignment = Assignment()
        self.flaps = Flaps()
        self.ejections = Ejections()

    def follow(self) -> Replica:
        replica = Replica.model_validate_json(self.active.replica(self.seen).model_dump_json())
        self.copy.take(replica)
        self.seen = replica.bookmark
        return replica

    def keep(self, *pools: Pool) -> None:
        for one in pools:
            self.assignment.update(one, lambda name: True, NOW)
        self.active.save(self.assignment, [one.name for one in pools], self.flaps, self.ejections)

    def assert_equal(self) -> None:
        assert self.copy.revisions() == self.active.revisions()
        for revision in self.active.revisions():
            assert self.copy.document(revision.number) == self.active.document(revision.number)
        assert (self.copy.file(), self.copy.term()) == (self.active.file(), self.active.term())
        here, there = self.active.load(), self.copy.load()
        for name in here.pools:
            assert self.copy.flaps().of(name) == self.active.flaps().of(name)
            assert self.copy.ejections().of(name) == self.active.ejections().of(name)
        assert here.pools.keys() == there.pools.keys()
        for name, assigned in here.pools.items():
            assert there.pools[name].backends == assigned.backends
            assert there.pools[name].buckets.to_bytes() == assigned.buckets.to_bytes()
        for ours, theirs in (
            (here.backend_numbers, there.backend_numbers),
            (here.pool_numbers, there.pool_numbers),
        ):
            assert (ours.last, ours.resting, ours.used) == (theirs.last, theirs.resting, theirs.used)


@pytest.fixture
def two(tmp_path: Path) -> Two:
    two = Two(tmp_path)
    two.active.commit("one", who="file", what="the first", from_file=True)
    two.active.begin_term(100)
    two.keep(pool("web", 4), pool("dns", 2))
    return two


def test_a_copy_is_whole_at_first(two: Two) -> None:
    two.copy.commit("something else", who="nobody", what="of another life")
    assert two.follow().whole
    two.assert_equal()


def test_later_it_gets_what_has_changed(two: Two) -> None:
    two.follow()
    two.active.commit("two", who="somebody", what="the second")
    two.keep(pool("web", 5))
    replica = two.follow()
    assert (replica.whole, [revision.document for revision in replica.revisions]) == (False, ["two"])
    assert [*replica.pools] == ["web"]
    two.assert_equal()


def test_slow_starts_penalties_and_ejections_are_copied(two: Two) -> None:
    two.follow()
    two.flaps = Flaps({"web": {"b1": Flapping(2.5, NOW, True), "b2": Flapping(1.0, NOW)}})
    two.ejections = Ejections({"web": {"b2": Ejection(NOW, NOW + 10, 2, "silent")}})
    two.keep(pool("web", 5))  # the fifth has come to a pool that ran
    two.follow()
    two.assert_equal()
    assert [i.came for i in two.copy.load().pools["web"].backends.values()] == [None] * 4 + [NOW]
    assert two.copy.flaps().held("web") == {"b1"}
    assert two.copy.ejections().out("web") == {"b2"}


def test_a_pool_that_goes_and_numbers_that_rest(two: Two) -> None:
    two.follow()
    two.assignment.forget("dns", NOW)
    two.active.save(two.assignment, ["dns"], two.flaps, two.ejections)
    assert two.follow().pools == {"dns": None}
    two.assert_equal()
    assert len(two.copy.load().backend_numbers.resting) == 2


def test_nothing_new_is_nothing(two: Two) -> None:
    two.follow()
    replica = two.follow()
    assert (replica.whole, replica.revisions, replica.pools) == (False, (), {})


def test_what_followed_another_store_is_copied_as_a_whole(two: Two) -> None:
    """Who copied from us knows another history."""
    two.follow()
    before = two.copy.versions.epoch
    two.copy.take(two.active.replica(Bookmark()))
    assert two.copy.versions.epoch != before
    assert two.copy.replica(Bookmark(before)).whole
