"""For how long a backend that fails its clients is out, and when that grows."""

from controller.health.ejection import Ejections
from controller.health.settings import Passive

SETTINGS = Passive(ejection=10.0, longest=60.0)
B1, B2 = ("web", "b1"), ("web", "b2")


def test_each_time_is_twice_as_long_up_to_the_longest() -> None:
    ejections, now, lengths = Ejections(), 1000.0, []
    for _ in range(5):
        lengths.append(ejections.eject(B1, now, SETTINGS, "silent"))
        now += lengths[-1]
        ejections.end(B1, now)
    assert lengths == [10, 20, 40, 60, 60]


def test_who_has_served_for_the_longest_time_begins_anew() -> None:
    for served, length in ((60.0, 20.0), (60.1, 10.0)):
        ejections = Ejections()
        ejections.eject(B1, 1000.0, SETTINGS, "silent")
        ejections.end(B1, 1010.0)
        assert ejections.eject(B1, 1010.0 + served, SETTINGS, "silent") == length


def test_who_is_let_back_early_has_served_since_then() -> None:
    ejections = Ejections()
    ejections.eject(B1, 1000.0, SETTINGS, "silent")
    ejections.end(B1, 1001.0)
    assert ejections.eject(B1, 1061.5, SETTINGS, "silent") == 10


def test_a_clock_that_is_set_back_makes_no_ejection_longer() -> None:
    ejections = Ejections()
    ejections.eject(B1, 1000.0, SETTINGS, "silent")
    ejections.eject(B2, 100.0, SETTINGS, "silent")
    assert ejections.set_back(400.0) == {"web"}
    assert (ejections.until(B1), ejections.until(B2)) == (410.0, 110.0)


def test_who_is_out_and_until_when() -> None:
    ejections = Ejections()
    ejections.eject(B1, 1000.0, SETTINGS, "silent")
    ejections.eject(B2, 1005.0, SETTINGS, "silent")
    assert ejections.out("web") == {"b1", "b2"}
    assert ejections.out("other") == frozenset()
    assert (ejections.until(B1), ejections.until(("web", "b3"))) == (1010.0, None)
    assert ejections.ended("web", 1009.9) == []
    assert ejections.ended("web", 1010.0) == ["b1"]
    assert sorted(ejections.due("web")) == [1010.0, 1015.0]
    ejections.end(B1, 1010.0)
    assert (ejections.out("web"), ejections.until(B1)) == ({"b2"}, None)
    ejections.keep({B1})
    assert ejections.out("web") == frozenset()
    assert ejections.eject(B1, 1011.0, SETTINGS, "silent") == 20, "it is remembered"


def test_a_copy_goes_its_own_way() -> None:
    ejections = Ejections()
    ejections.eject(B1, 1000.0, SETTINGS, "silent")
    other = ejections.copy()
    other.end(B1, 1001.0)
    assert (ejections.out("web"), other.out("web")) == ({"b1"}, frozenset())
