"""What is said of a drain, against the flows that there really are: the compiled program, in virtual time."""

from functools import cache
from math import exp

import pytest

from controller import recorded
from controller.draining import drain_report
from controller.model import State
from controller.report import DrainReport
from p4src import build
from tests.fakes.compiled import CompiledSwitch, Loaded
from tests.fakes.data_plane import Flow
from tests.fakes.switch import at_once
from tests.property import clients
from tests.property.clients import ANNOUNCEMENT, IDLE, Kind
from tests.property.history import History

KIND = Kind(16384, orderly=True, tiers=False)
BUCKETS, FLOWS = 256, 240


@cache
def program() -> Loaded:
    return Loaded.of((build.COMPILED / build.PROGRAM).read_bytes())


def error(flows: int, buckets: int) -> float:
    """Four standard deviations of linear counting (Whang and others, 1990, theorem 3.2)."""
    load = flows / buckets
    return 4 * (buckets * (exp(load) - load - 1)) ** 0.5


class Drain:
    """A pool of four backends with many flows, the first of which is to drain."""

    def __init__(self, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(clients, "MOST_FLOWS", 2 * FLOWS)
        self.history = History(KIND, seed, program())
        self.history.switch.between = lambda: None
        self.history.configure(buckets=BUCKETS)
        self.history.bring_in_line()
        self.settle()
        self.begin_flows(FLOWS)
        self.identity = next(iter(self.history.desired.assignment.pools["web"].backends.values()))

    def settle(self) -> None:
        for _ in range(3):
            self.history.wait_for(IDLE + 1)
            self.history.look_at_counters()

    def begin_flows(self, count: int) -> None:
        for _ in range(count):
            self.history.open()
        self.everybody_sends()

    def everybody_sends(self) -> None:
        for flow in [*self.history.flows]:
            self.history.send(flow)

    def set_state(self, state: State) -> None:
        h = self.history
        h.configure(
            backends=tuple(
                one.model_copy(update={"state": state}) if one.name == self.identity.name else one
                for one in h.pool.backends
            )
        )
        h.bring_in_line()

    def mine(self) -> list[Flow]:
        """The flows that the backend has."""
        return [flow for flow, one in self.history.flows.items() if one.owner == self.identity.id]

    def end(self, flows: list[Flow]) -> None:
        for flow in flows:
            self.history.send(flow, fin=True)

    def pass_time(self, seconds: float) -> None:
        """In pieces, so that counters are looked at as the controller does; live flows are never silent."""
        while seconds > 0:
            piece = min(seconds, IDLE / 4)
            self.history.wait_for(piece)
            self.history.look_at_counters()
            seconds -= piece

    def report(self) -> DrainReport:
        h = self.history
        self.history.look_at_counters()
        assert isinstance(h.switch, CompiledSwitch)
        self.history.probe(all_answer=True)  # a round's beginning is the clock
        slots = at_once(recorded.read(h.switch, clocked=True))  # type: ignore[arg-type]
        assert slots
        counted = recorded.count(slots, recorded.idle_ticks(h.config, h.desired.assignment), h.now)
        return drain_report(
            h.pool,
            h.desired.assignment.pools["web"],
            self.identity,
            h.pool.backend(self.identity.name),
            h.desired.settling,
            h.desired.peaks,
            recorded=counted.by_backend.get(self.identity.id, 0),
            packets=0,
            counted=h.now,
            now=h.now,
        )


@pytest.mark.parametrize("seed", range(4))
def test_a_drain_from_its_beginning_to_its_end(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    drain = Drain(seed, monkeypatch)
    h = drain.history
    drain.set_state(State.DRAIN)
    assert drain.report().new_flow_buckets > 0, "it is only announced"
    drain.begin_flows(60)  # these are recorded, some of them with the backend that is about to drain
    h.wait_for(ANNOUNCEMENT)
    h.bring_in_line()

    begun = drain.report()
    assert begun.new_flow_buckets == 0 < begun.buckets == begun.unheard == begun.buckets_at_first
    recorded_flows = [flow for flow in drain.mine() if h.model.is_recorded(flow)]
    assert begun.recorded == len(recorded_flows) > 0

    drain.everybody_sends()
    heard = drain.report()
    old = [flow for flow in drain.mine() if flow not in recorded_flows]
    assert heard.busy == len({flow.hash % BUCKETS for flow in old}), "each has a flow, and no other has"
    assert heard.at_least <= len(drain.mine())
    assert heard.flows == pytest.approx(len(old), abs=error(len(old), heard.buckets_at_first))

    drain.end(old[::2])
    drain.pass_time(2 * IDLE)
    half = drain.report()
    alive = [flow for flow in drain.mine() if flow not in recorded_flows]
    assert half.unheard == 0 and half.busy == half.buckets == len({flow.hash % BUCKETS for flow in alive})
    assert half.flows == pytest.approx(len(alive), abs=error(len(alive), half.buckets_at_first))
    assert not half.drained

    drain.end(alive)
    drain.pass_time(2 * IDLE)
    last = drain.report()
    assert (last.buckets, last.flows, last.recorded) == (0, 0, len(recorded_flows))
    assert not last.drained, "the recorded ones go on"

    drain.end(recorded_flows)
    drain.pass_time(2 * IDLE)
    over = drain.report()
    assert (over.drained, over.at_least) == (True, 0)
    assert sum("has drained" in event.text for event in h.events.since()) == 1
    h.close()


def test_a_drain_that_is_called_off_gives_the_buckets_back(monkeypatch: pytest.MonkeyPatch) -> None:
    drain = Drain(0, monkeypatch)
    h = drain.history
    before = h.desired.assignment.pools["web"].buckets
    drain.set_state(State.DRAIN)
    h.wait_for(ANNOUNCEMENT)
    h.bring_in_line()
    drain.begin_flows(60)  # recorded elsewhere: they stay there
    drain.set_state(State.ACTIVE)
    h.wait_for(ANNOUNCEMENT)
    h.bring_in_line()
    after = h.desired.assignment.pools["web"].buckets
    assert (after.current == before.current).all() and not after.moving.any()
    drain.everybody_sends()  # and whoever went elsewhere would be noticed here
    h.close()
