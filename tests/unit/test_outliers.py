"""Signals of clients' connections: whose checks hurry, who is ejected and for how long, and what is told."""

from collections import Counter

from controller.assignment import Assignment
from controller.config import parse
from controller.desired import Desired
from controller.events import EventLog
from controller.health.passive import Handshakes, Listening
from controller.model import Config, Pool, change_backend, with_backends, with_pool
from controller.store import SqliteStore

NOW = 1_000_000.0
LOOK = 0.5

DOCUMENT = """
switch: {{mac: "02:00:00:00:00:01"}}
interfaces: [{{name: all, ports: [1], addresses: [10.0.0.1/16]}}]
pools:
  - name: web
    buckets: 64
    announcement: 4s
    health: {health}
    passive: {{connections: 10, window: 1s, {passive}}}
    backends: [{backends}]
    {more}
vips: [{{name: web, address: 10.0.0.100, port: 80, pool: web}}]
"""

EJECT = "silent: eject, refusing: eject"
SECONDS = int(1 / LOOK)


class World:
    """A nat pool of healthy backends named by letters (`c1`: c in tier 1), with ten connections each a look.

    Every server accepts them, but those in `silent` and `refusing`.
    """

    def __init__(
        self, backends: str, passive: str = EJECT, more: str = "", health: str = "{type: tcp, port: 80}"
    ) -> None:
        described = [
            f"{{name: {text[0]}, address: 10.0.1.{number}, tier: {text[1:] or 0}}}"
            for number, text in enumerate(backends.split(), 11)
        ]
        document = DOCUMENT.format(backends=", ".join(described), passive=passive, more=more, health=health)
        self.now = NOW
        self.events = EventLog(clock=lambda: self.now)
        self.desired = Desired(parse(document), Assignment(), self.events)
        self.desired.refresh(self.now)
        self.silent, self.refusing, self.hurried = "", "", Counter[str]()
        self.listening = Listening()
        self.counts: dict[int, Handshakes] = {}
        for text in backends.split():
            self.desired.set_health("web", text[0], True, "checked")
        self.desired.refresh(self.now)
        self.seconds(1)
        self.told()

    def begin_anew(self, config: Config | None = None) -> None:
        """Another controller goes on from the store, with another file, perhaps."""
        before, self.listening = self.desired, Listening()
        store = SqliteStore(":memory:")
        store.save(before.assignment, before.assignment.pools, before.flaps, before.outliers.ejections)
        self.desired = Desired(
            config or before.config, store.load(), self.events, store.flaps(), store.ejections()
        )
        store.close()
        self.desired.refresh(self.now)

    @property
    def pool(self) -> Pool:
        return self.desired.config.pool("web")

    def look(self) -> None:
        """Half a second passes: connections to whoever has buckets, and a look at the counters."""
        for number, identity in self.desired.assignment.pools["web"].backends.items():
            before = self.counts.get(number, Handshakes(0, 0, 0))
            syns = 10 if self.buckets[identity.name] else 0
            answers = (0, 0) if identity.name in self.silent else (syns, 0)
            if identity.name in self.refusing:
                answers = (0, syns)
            self.counts[number] = Handshakes(*(a + b for a, b in zip(before, (syns, *answers), strict=True)))
        self.now += LOOK
        limits = self.desired.outliers.listened(self.desired.config.pools, self.desired.assignment)
        self.listening.observe({n: self.counts[n] for n in limits}, limits, self.now)
        hurry, ejected = self.desired.hear(self.listening, self.now, self.now)
        self.hurried.update(backend for _, backend in hurry)
        due = self.desired.due(self.now)
        if ejected or (due is not None and due <= self.now):
            self.desired.refresh(self.now)

    def seconds(self, number: int) -> None:
        for _ in range(number * SECONDS):
            self.look()

    @property
    def buckets(self) -> Counter[str]:
        assigned = self.desired.assignment.pools["web"]
        names = {number: identity.name for number, identity in assigned.backends.items()} | {0: "nobody"}
        return Counter(names[number] for number in assigned.buckets.current.tolist())

    @property
    def out(self) -> str:
        return "".join(sorted(self.desired.outliers.out("web")))

    def told(self) -> list[str]:
        """What has been told of backends since this was asked last, with its cause."""
        since, self._seen = getattr(self, "_seen", 0), self.events.last
        events = [event for event in self.events.since(since) if event.number > since]
        return [f"{one.subject}: {one.text} ({one.cause})" for one in events if "/" in one.subject]


def test_checks_of_who_is_silent_hurry_once_and_nothing_else_happens() -> None:
    world = World("a b", passive="")
    before = world.buckets
    world.silent = "b"
    world.seconds(10)
    assert (world.hurried, world.buckets, world.out) == ({"b": 1}, before, "")
    world.silent = ""
    world.look()
    first, last = world.told()
    assert first.startswith("web/b: silent: clients' connections are not answered (none of ")
    assert last == "web/b: accepts clients' connections again ()"


def test_a_pool_that_listens_to_nobody_hears_nothing() -> None:
    world = World("a b", passive="silent: none, refusing: none")
    world.silent, world.refusing = "a", "b"
    world.seconds(10)
    assert (world.hurried, world.told()) == ({}, [])


def test_who_is_ejected_gets_no_new_flows_keeps_the_old_ones_and_comes_back() -> None:
    world = World("a b c")
    buckets = world.desired.assignment.pools["web"].buckets
    world.silent = "b"
    while world.out != "b":
        world.look()
    assigned = world.desired.assignment.pools["web"]
    number = next(n for n, one in assigned.backends.items() if one.name == "b")
    assert world.buckets == {"a": 32, "c": 32}, "at once, not announced"
    assert (assigned.buckets.previous == buckets.previous).all(), "for the flows that it has"
    assert world.hurried == {"b": 1}
    silent, ejected = world.told()
    assert silent.startswith("web/b: silent")
    assert ejected.startswith("web/b: is ejected: no new connections for 10s (silent: none of ")
    world.silent = ""
    world.seconds(9)
    assert world.buckets == {"a": 32, "c": 32}
    world.seconds(6)
    assert world.told() == ["web/b: is ejected no longer (its time is over)"]
    assert sorted(world.buckets.values()) == [21, 21, 22], "its buckets were announced, and moved back"
    again = world.desired.assignment.pools["web"]
    assert number in again.backends, "the number that its flows know"
    assert not again.buckets.moving.any(), "those that it had are its own again"


def test_the_cause_of_the_moves_is_told() -> None:
    world = World("a b c")
    world.refusing = "b"
    world.seconds(3)
    *_, moved = [one for one in world.events.since() if "buckets moved" in one.text]
    assert moved.cause == "b is ejected"


def test_each_ejection_is_longer_while_it_does_not_get_better() -> None:
    world = World("a b c", passive=f"{EJECT}, ejection: 2s, longest: 8s")
    world.refusing = "b"
    world.seconds(60)
    times = [text.split("for ")[1].split()[0] for text in world.told() if "is ejected: " in text]
    assert times[:4] == ["2s", "4s", "8s", "8s"]


def test_never_more_than_the_share_of_the_pool() -> None:
    world = World("a b c d", passive=f"{EJECT}, most: 50%")
    world.refusing = "abc"
    world.seconds(8)
    assert len(world.out) == 2
    assert [text for text in world.told() if "is not ejected" in text] == [
        "web/c: is not ejected (2 of 4 are, at most 50% may be)"
    ]
    assert world.hurried == {"a": 1, "b": 1, "c": 1}


def test_one_may_be_ejected_however_small_the_share() -> None:
    world = World("a b c", passive=f"{EJECT}, most: 0%")
    world.refusing = "bc"
    world.seconds(8)
    assert len(world.out) == 1


def test_who_serves_alone_is_not_ejected() -> None:
    world = World("a b")
    world.refusing = "ab"
    world.seconds(8)
    assert world.out == "a"
    assert "web/b: is not ejected (nobody else could serve)" in world.told()
    assert world.buckets == {"b": 64}


def test_when_nobody_accepts_it_may_be_the_clients_and_nobody_is_ejected_for_silence() -> None:
    world = World("a b c")
    world.silent = "abc"
    world.seconds(20)
    assert (world.out, world.hurried) == ("", {"a": 1, "b": 1, "c": 1})
    assert sum("it may be the clients, or the way" in text for text in world.told()) == 3, "told once of each"
    world.silent = "b"
    world.seconds(2)
    assert world.out == "b", "others accept again, so it is b"


def test_all_may_be_refusing_and_some_are_ejected_for_it() -> None:
    """A refusal has come all the way: it is the server that says so."""
    world = World("a b c d")
    world.refusing = "abcd"
    world.seconds(5)
    assert len(world.out) == 2


def test_the_last_ones_that_are_up_serve_though_they_are_ejected() -> None:
    world = World("a b")
    world.refusing = "b"
    world.seconds(3)
    assert world.buckets == {"a": 64}
    world.desired.set_health("web", "a", False, "down")
    world.desired.refresh(world.now)
    assert world.buckets == {"b": 64}


def test_the_next_tier_serves_for_who_is_ejected() -> None:
    world = World("a b1")
    world.refusing = "a"
    world.seconds(3)
    assert (world.out, world.buckets) == ("a", {"b": 64})


def test_who_comes_back_starts_slowly() -> None:
    world = World("a b c", passive=f"{EJECT}, ejection: 2s", more="slow_start: 100s")
    world.refusing = "b"
    while world.out != "b":
        world.look()
    world.refusing = ""
    while world.out:
        world.look()
    world.seconds(5)
    assert 0 < world.buckets["b"] <= 4, "a tenth of its weight"
    world.seconds(120)
    assert world.buckets["b"] == 21


def test_checks_that_pass_again_after_a_death_end_it() -> None:
    world = World("a b c")
    world.refusing = "b"
    world.seconds(2)
    assert world.out == "b"
    for up in (False, True):
        world.desired.set_health("web", "b", up, "checked")
        world.desired.refresh(world.now)
    assert world.out == ""
    assert "web/b: is ejected no longer (its checks pass again)" in world.told()


def test_a_passed_check_of_who_was_not_down_ends_nothing() -> None:
    world = World("a b c")
    world.refusing = "b"
    world.seconds(2)
    world.desired.set_health("web", "b", True, "checked again")
    world.desired.refresh(world.now)
    assert world.out == "b"


def test_a_pool_that_ejects_nobody_any_more_lets_all_back() -> None:
    world = World("a b c")
    world.refusing = "b"
    world.seconds(2)
    passive = world.pool.passive.model_copy(update={"silent": "check", "refusing": "check"})
    config = with_pool(world.desired.config, world.pool.model_copy(update={"passive": passive}))
    world.desired.configure(config, drain=True)
    world.desired.refresh(world.now)
    assert world.out == ""
    assert "web/b: is ejected no longer (the pool ejects nobody)" in world.told()


def test_another_server_of_the_name_is_not_ejected() -> None:
    world = World("a b c")
    world.refusing = "b"
    world.seconds(2)
    config = change_backend(world.desired.config, "web", "b", weight=2)
    world.desired.configure(config, drain=True)
    assert world.out == "b", "the same server"
    world.desired.configure(change_backend(config, "web", "b", address="10.0.2.2"), drain=True)
    assert world.out == ""


def test_who_is_out_is_out_for_another_controller_too_and_for_no_longer() -> None:
    world = World("a b c")
    world.desired.unsaved.clear()
    world.silent = "b"
    while world.out != "b":
        world.look()
    assert world.desired.unsaved == {"web"}, "the store is to know"
    until, why = world.desired.outliers.until("web", "b"), world.desired.outliers.reason("web", "b")
    world.begin_anew()
    assert world.buckets == {"a": 32, "c": 32}
    assert (world.desired.outliers.until("web", "b"), world.desired.outliers.reason("web", "b")) == (
        until,
        why,
    )
    world.silent = ""
    world.desired.unsaved.clear()
    world.seconds(15)
    assert (world.out, world.desired.unsaved) == ("", {"web"})
    assert world.buckets["b"] > 0


def test_how_often_it_was_out_is_remembered() -> None:
    world = World("a b c", passive=f"{EJECT}, ejection: 2s, longest: 8s")
    world.refusing = "b"
    while world.out != "b":
        world.look()
    world.begin_anew()
    world.seconds(10)
    times = [text.split("for ")[1].split()[0] for text in world.told() if "is ejected: " in text]
    assert times == ["2s", "4s"]


def test_at_the_beginning_another_server_of_the_name_is_not_ejected() -> None:
    world = World("a b c")
    world.refusing = "b"
    world.seconds(2)
    assert world.out == "b"
    world.begin_anew(change_backend(world.desired.config, "web", "b", address="10.0.2.2"))
    assert world.out == ""


def test_who_is_no_longer_configured_is_not_judged() -> None:
    """Also before the tables say that it is removed, and while it stands in."""
    world = World("a b c")
    world.silent = "b"
    world.look()
    others = [one for one in world.pool.backends if one.name != "b"]
    world.desired.configure(with_backends(world.desired.config, "web", others), drain=True)
    world.seconds(5)
    assert (world.out, world.told()) == ("", [])


def test_who_is_drained_is_not_judged_by_the_flows_that_it_gets_no_more() -> None:
    world = World("a b c")
    config = change_backend(world.desired.config, "web", "b", state="drain")
    world.desired.configure(config, drain=True)
    world.desired.refresh(world.now)
    world.seconds(5)
    world.silent = "b"
    world.seconds(10)
    assert (world.buckets["b"], world.out, world.hurried) == (0, "", {})


def test_a_pool_without_checks_ejects_and_has_nothing_to_hurry() -> None:
    world = World("a b c", health="{type: none}")
    world.refusing = "b"
    world.seconds(2)
    assert (world.out, world.hurried) == ("b", {})


def test_a_copy_knows_who_is_out_and_tells_others() -> None:
    world = World("a b c")
    world.refusing = "b"
    world.seconds(2)
    events = EventLog()
    copy = world.desired.copy(events)
    copy.refresh(world.now + 60)
    assert (copy.outliers.out("web"), world.out) == (frozenset(), "b")
    assert [event.text for event in events.since() if "/" in event.subject] == ["is ejected no longer"]


def test_what_a_change_would_move_leaves_out_who_is_ejected() -> None:
    world = World("a b c")
    world.refusing = "b"
    world.seconds(2)
    config = change_backend(world.desired.config, "web", "a", weight=3)
    moved, assignment = world.desired.preview(config, world.now)
    assert moved == 16
    names = {n: one.name for n, one in assignment.pools["web"].backends.items()}
    current = assignment.pools["web"].buckets.current.tolist()
    assert {names[number] for number in current} == {"a", "c"}
