"""What `sluice explain` says, against the compiled program: deaths, suspects, moves, recorded flows."""

from collections import Counter

import pytest

from controller.explain import Names, explain
from controller.model import Protocol
from controller.prediction import predict
from controller.program import DROPS
from controller.trace import Decision, Fate, Flow, Traced, decode
from controller.wanted import Wanted, wanted
from controller.wire import PacketIn
from tests.fakes import data_plane
from tests.fakes.compiled import ACK, CLIENTS_PORT, SYN, Program
from tests.fakes.switch import REASONS
from tests.property.clients import Kind
from tests.property.history import History
from tests.property.test_draining import program

STEPS, ASKED = 120, 3


def present(h: History) -> Wanted:
    rows = h._neighbors()
    return h._with_probes(wanted(h.config, h.desired.assignment, rows, h.desired.announced))


def traced(h: History, flow: data_plane.Flow, opening: bool) -> Traced:
    assert isinstance(h.plane, Program)
    told = h.plane._trace(h.plane._frame(flow, SYN if opening else ACK))
    drops = {key[0]: do.action for key, do in REASONS[DROPS].items()}
    return decode(PacketIn(5, CLIENTS_PORT, b"", told), {Fate.DROPPED: drops})


@pytest.mark.parametrize("seed", range(4))
def test_the_model_is_right_about_whatever_it_can_know(seed: int) -> None:
    h = History(Kind(16384, tiers=False), seed, program())
    met = Counter[Decision]()
    for _ in range(STEPS):
        h.step()
        asked = h.random.sample([*h.flows], min(ASKED, len(h.flows))) + [h._new_flow() for _ in range(ASKED)]
        numbers = [number for pool in h.desired.assignment.pools.values() for number in pool.backends]
        suspects = frozenset(number for number in numbers if h.model.suspects(number))
        want, names = present(h), Names(h.config, h.desired.assignment)
        for flow in asked:
            opening = flow not in h.flows
            question = Flow(flow.source, flow.port, h.config.vips[0].address, 80, Protocol.TCP, opening)
            seen = traced(h, flow, opening)
            predicted = predict(want, question, CLIENTS_PORT, suspects)
            found = explain(question, CLIENTS_PORT, predicted, seen, "", names)
            assert found.differences == (), found
            known = h.model.is_recorded(flow) and not opening
            assert known == (seen.decision in (Decision.EXCEPTION, Decision.GONE))
            assert known == any("has recorded this flow" in note for note in found.notes)
            if seen.decision is Decision.STANDBY:
                assert any("is suspect" in note for note in found.notes) and found.model == found.switch
            met[seen.decision] += 1
    h.close()
    assert met[Decision.EXCEPTION] and met[Decision.STANDBY] and met[Decision.SETTLED]
