"""Waiting until nobody has the switch, and bidding higher than anybody did."""

import asyncio
from collections.abc import Callable

import pytest
from finsy.proto import rpc_code

from controller.candidacy import Candidacy
from controller.errors import ElectionIdInUse, Unreachable
from controller.wire import Pipeline, SwitchTarget
from tests.fakes.server import ScriptedSwitch, serving
from tests.integration.rig import P4INFO, PIPELINE

TOLD_ONLY = 0
"""The election id of who bids none."""


class Witness:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def stands_by(self) -> None:
        self.notes.append("stands by")

    async def may_bid(self, highest: int) -> None:
        self.notes.append(f"may bid more than {highest}")

    def won(self, election_id: int) -> None:
        self.notes.append(f"won with {election_id}")


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline.load(P4INFO, PIPELINE)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_who_finds_nobody_is_primary_at_once(pipeline: Pipeline) -> None:
    switch, witness = ScriptedSwitch(), Witness()
    switch.arbitrate = lambda bid: (rpc_code.OK, bid) if bid else (rpc_code.NOT_FOUND, 0)
    async with serving(switch) as address, Candidacy(SwitchTarget(address), pipeline, witness):
        assert switch.bids == [TOLD_ONLY, 100]
    assert witness.notes == ["may bid more than 0", "won with 100"]


async def test_who_finds_somebody_waits_and_bids_higher(pipeline: Pipeline) -> None:
    switch, witness = ScriptedSwitch(), Witness()
    switch.arbitrate = lambda bid: (rpc_code.OK, bid) if bid else (rpc_code.ALREADY_EXISTS, 107)
    switch.cookie = 1
    async with serving(switch) as address:
        entering = asyncio.create_task(Candidacy(SwitchTarget(address), pipeline, witness).__aenter__())
        await until(lambda: witness.notes == ["stands by"])
        switch.tell(rpc_code.ALREADY_EXISTS, 108)  # another one has become it meanwhile
        await until(lambda: witness.notes == ["stands by", "stands by"])
        assert not entering.done()
        switch.tell(rpc_code.NOT_FOUND, 108)
        candidacy = await entering
        await candidacy.__aexit__(None, None, None)
    assert switch.bids == [TOLD_ONLY, 109]
    assert witness.notes[2:] == ["may bid more than 108", "won with 109"]


async def test_one_that_a_switch_promotes_by_itself_bids_higher_all_the_same(pipeline: Pipeline) -> None:
    switch, witness = ScriptedSwitch(), Witness()
    switch.arbitrate = lambda bid: (rpc_code.OK, bid or 100)
    async with serving(switch) as address, Candidacy(SwitchTarget(address), pipeline, witness):
        assert switch.bids == [TOLD_ONLY, 101]


async def test_who_comes_second_waits_on(pipeline: Pipeline) -> None:
    switch, witness = ScriptedSwitch(), Witness()
    answers = iter([(rpc_code.NOT_FOUND, 5), (rpc_code.ALREADY_EXISTS, 200), (rpc_code.OK, 201)])
    switch.arbitrate = lambda bid: next(answers)
    async with serving(switch) as address:
        entering = asyncio.create_task(Candidacy(SwitchTarget(address), pipeline, witness).__aenter__())
        await until(lambda: "stands by" in witness.notes)
        switch.tell(rpc_code.NOT_FOUND, 200)
        candidacy = await entering
        await candidacy.__aexit__(None, None, None)
    assert switch.bids == [TOLD_ONLY, 100, 201]


async def test_two_that_bid_the_same(pipeline: Pipeline) -> None:
    switch = ScriptedSwitch()
    switch.arbitrate = lambda bid: (rpc_code.INVALID_ARGUMENT, 0) if bid else (rpc_code.NOT_FOUND, 0)
    async with serving(switch) as address:
        with pytest.raises(ElectionIdInUse):
            await Candidacy(SwitchTarget(address), pipeline, Witness()).__aenter__()


async def test_a_switch_that_dies_while_we_wait_is_noticed(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its stream stays open, and it answers nothing."""
    monkeypatch.setattr("controller.candidacy.HEARTBEAT", 0.05)
    monkeypatch.setattr("controller.wire.CALL_DEADLINE", 0.2)
    switch, witness = ScriptedSwitch(), Witness()
    switch.arbitrate = lambda bid: (rpc_code.ALREADY_EXISTS, 107)
    async with serving(switch) as address:
        switch.cookie_hangs = True
        with pytest.raises(Unreachable):
            await Candidacy(SwitchTarget(address), pipeline, witness).__aenter__()
    assert witness.notes == ["stands by"]
