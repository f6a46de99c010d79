"""What clients' connections say of a backend: when it is a signal, and what is none."""

from collections.abc import Iterable

import pytest

from controller.config import parse
from controller.health.passive import Handshakes, Kind, Listening, Signal, reaction_to, reactions
from controller.health.settings import Passive, Reaction

LIMITS = Passive(connections=10, window=2.0)
LOOK = 0.5
ONE, TWO = 1, 2
NONE_YET = Handshakes(0, 0, 0)


class Server:
    """One backend's counters, which are looked at every half second."""

    def __init__(self, limits: Passive = LIMITS, counted: Handshakes = NONE_YET) -> None:
        self.listening, self.limits = Listening(), limits
        self.counted, self.now = counted, 100.0
        self.look()

    def look(self, syns: int = 0, accepts: int = 0, refusals: int = 0) -> Signal | None:
        """Half a second passes, with so many connections and answers."""
        before = self.counted
        self.counted = Handshakes(before.syns + syns, before.accepts + accepts, before.refusals + refusals)
        self.now += LOOK
        self.listening.observe({ONE: self.counted}, {ONE: self.limits}, self.now)
        return self.listening.signal(ONE)

    def looks(self, steps: Iterable[tuple[int, ...]]) -> list[Signal | None]:
        return [self.look(*step) for step in steps]


def kind(signal: Signal | None) -> Kind | None:
    return signal.kind if signal else None


def test_nothing_is_accepted_for_a_window_though_enough_came() -> None:
    signals = Server().looks([(5, 5)] + 5 * [(4,)])
    assert [kind(one) for one in signals] == [None] * 4 + [Kind.SILENT] * 2


def test_a_signal_tells_what_it_was_made_of() -> None:
    signal = Server().looks([(5, 5)] + 4 * [(4,)])[-1]
    assert signal == Signal(Kind.SILENT, 16, 0, 2.0)
    assert signal and signal.text == "none of 16 connections accepted in 2.0 s, 0 refused"


def test_connections_of_the_last_look_may_still_be_answered() -> None:
    steps = [(5, 5), (3,), (3,), (3,)]
    assert Server().looks([*steps, (100,)])[-1] is None
    assert kind(Server().looks([*steps, (1,), (0,)])[-1]) is None, "the window begins anew"
    assert kind(Server().looks([(5, 5), (4,), (3,), (3,), (0,)])[-1]) is Kind.SILENT


def test_half_of_them_refused_is_refusing() -> None:
    assert kind(Server().looks([(5, 5)] + 4 * [(4, 0, 2)])[-1]) is Kind.REFUSING
    assert kind(Server().looks([(5, 5)] + 4 * [(4, 0, 1)])[-1]) is Kind.SILENT


NO_SIGNALS = {
    "nobody comes": 20 * [(0,)],
    "too few come within a window": 20 * [(2,)],
    "few, over a long time": 200 * [(1,)],
    "all are accepted": 20 * [(50, 50)],
    "one of many is accepted now and then": 5 * [(50, 0, 50), (50, 1, 49), (50, 0, 50)],
    "a flood: all are accepted, no client goes on": 20 * [(5000, 5000)],
    "a flood, of which the server answers what it can": 20 * [(5000, 100)],
    "SYN-ACKs that are sent again": 20 * [(10, 30)],
    "a burst at the end of a look, answered after it": [(100, 0), (0, 100), (0, 0), (0, 0), (0, 0), (0, 0)],
    "a long way home": [(20, 0), *(20 * [(20, 20)])],
    "refusals without connections of ours": 20 * [(0, 0, 50)],
}


@pytest.mark.parametrize("steps", NO_SIGNALS.values(), ids=NO_SIGNALS)
def test_what_is_no_signal(steps: list[tuple[int, ...]]) -> None:
    assert Server().looks(steps) == [None] * len(steps)


def test_a_pause_shorter_than_the_window_is_no_signal() -> None:
    steps = 3 * [(50, 50)] + 3 * [(50, 0)] + 3 * [(50, 50)]
    assert Server().looks(steps) == [None] * len(steps)


def test_looks_may_be_further_apart_than_the_window() -> None:
    server = Server(Passive(connections=10, window=0.2))
    assert [kind(one) for one in server.looks([(9, 9)] + 2 * [(10,)])] == [None, None, Kind.SILENT]


def test_a_signal_lasts_until_it_accepts_again() -> None:
    server = Server()
    first = server.looks([(5, 5)] + 5 * [(4,)])[-1]
    assert server.looks([(0,), (0,), (9,), (0,)]) == [first] * 4
    assert server.look(1, 1) is None
    assert server.looks(4 * [(1, 1)]) == [None] * 4


def test_a_server_that_is_silent_and_then_refuses_is_refusing() -> None:
    server = Server()
    assert kind(server.looks([(5, 5)] + 5 * [(4,)])[-1]) is Kind.SILENT
    assert kind(server.looks(4 * [(20, 0, 20)])[-1]) is Kind.REFUSING


def test_what_was_counted_before_we_listened_says_nothing() -> None:
    server = Server(counted=Handshakes(1000, 0, 1000))
    assert server.looks(6 * [(1,)]) == [None] * 6


def test_what_is_forgotten_begins_anew() -> None:
    server = Server()
    assert server.looks([(5, 5)] + 5 * [(4,)])[-1]
    server.listening.forget(ONE)
    assert server.looks(3 * [(9,)]) == [None] * 3
    assert server.looks(3 * [(9,)])[-1]


def test_each_backend_is_judged_by_itself_and_by_its_pools_limits() -> None:
    listening = Listening()
    patient = Passive(connections=1000)
    for look in range(7):
        counts = {
            ONE: Handshakes(10 * look, 0, 0),
            TWO: Handshakes(10 * look, look, 0),
            3: Handshakes(10 * look, 0, 0),
        }
        listening.observe(counts, {ONE: LIMITS, TWO: LIMITS, 3: patient}, 100 + look * LOOK)
    assert [kind(listening.signal(n)) for n in (ONE, TWO, 3, 4)] == [Kind.SILENT, None, None, None]
    assert [listening.accepts(n, since=102.5) for n in (ONE, TWO, 4)] == [False, True, False]
    assert not listening.accepts(TWO, since=200.0)


POOL = """
switch: {{mac: "02:00:00:00:00:01"}}
interfaces: [{{name: all, ports: [1], addresses: [10.0.0.1/16]}}]
pools: [{{name: web, buckets: 16, {pool}}}]
"""


@pytest.mark.parametrize(
    ("pool", "silent", "refusing"),
    [
        ("mode: nat", "check", "check"),
        ("mode: nat, health: {type: none}", "none", "none"),
        ("mode: dsr", "none", "none"),
        ("mode: ipip", "none", "none"),
        ("passive: {silent: none}", "none", "check"),
        ("passive: {silent: eject, refusing: none}", "eject", "none"),
        ("health: {type: none}, passive: {refusing: eject}", "none", "eject"),
    ],
)
def test_what_comes_of_a_signal(pool: str, silent: str, refusing: str) -> None:
    (web,) = parse(POOL.format(pool=pool)).pools
    assert (reaction_to(Kind.SILENT, web), reaction_to(Kind.REFUSING, web)) == (silent, refusing)
    assert reactions(web) == {Reaction(one) for one in (silent, refusing)} - {Reaction.NONE}
