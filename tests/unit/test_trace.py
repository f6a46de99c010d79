"""Traces: one at a time, and no answer is taken for another's."""

import asyncio
import re
from enum import IntEnum
from ipaddress import ip_address
from typing import cast

import pytest

from controller import trace
from controller.errors import Unreachable
from controller.model import Protocol
from controller.program import PACKET_IN, TRACED, Order
from controller.trace import Decision, Fate, Flow, Reply, Tracer
from controller.wire import Connection, PacketIn
from topo.lab import PROJECT

FLOW = Flow(ip_address("10.0.0.9"), 7, ip_address("10.0.0.100"), 80, Protocol.TCP)


def answer(payload: bytes, **told: int) -> PacketIn:
    fields = dict.fromkeys((field.name for field in PACKET_IN), 0) | {"fate": 1, **told}
    return PacketIn(TRACED, 1, payload, fields)


class Echo:
    """A switch that answers each trace with `before`, and then with the frame itself, unless it is silent."""

    def __init__(self, tracer: Tracer, silent: bool = False) -> None:
        self.tracer, self.silent = tracer, silent
        self.before: list[PacketIn] = []

    async def send(self, port: int, payload: bytes, order: Order) -> None:
        assert order is Order.TRACE
        for packet in self.before:
            self.tracer.answered(packet)
        if not self.silent:
            self.tracer.answered(answer(payload, fate=3, why=9, owner=4, decision=5, known=1))


async def ask(tracer: Tracer, switch: Echo) -> trace.Traced:
    async with tracer.connected(cast(Connection, switch)):
        return await tracer.ask(FLOW, port=1, mac=1, vlan=0)


async def test_the_answer_in_words() -> None:
    tracer = Tracer()
    tracer.reasons = {Fate.DROPPED: {9: "no_service"}}
    traced = await ask(tracer, Echo(tracer))
    assert (traced.fate, traced.why, traced.owner) == (Fate.DROPPED, "no_service", 4)
    assert traced.decision is Decision.PREVIOUS and traced.known


async def test_an_earlier_trace_s_answer_is_not_taken() -> None:
    tracer = Tracer()
    switch = Echo(tracer)
    switch.before = [answer(trace.build(FLOW, 2, 1, 0), owner=99)]
    assert (await ask(tracer, switch)).owner == 4


async def test_silence_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "TIMEOUT", 0.01)
    tracer = Tracer()
    with pytest.raises(Unreachable, match="has not answered"):
        await ask(tracer, Echo(tracer, silent=True))
    with pytest.raises(Unreachable, match="not connected"):
        await tracer.ask(FLOW, port=1, mac=1, vlan=0)


async def test_a_lost_connection_ends_the_wait() -> None:
    tracer = Tracer()
    async with tracer.connected(cast(Connection, Echo(tracer, silent=True))):
        waiting = asyncio.create_task(tracer.ask(FLOW, port=1, mac=1, vlan=0))
        await asyncio.sleep(0)
    with pytest.raises(Unreachable, match="lost"):
        await waiting


NEVER_TRACED = {"UNDECIDED": 0, "AGAIN": 4}
"""Fates with which no trace ends."""


@pytest.mark.parametrize(("name", "ours"), [("fate_t", Fate), ("decision_t", Decision), ("reply_t", Reply)])
def test_the_numbers_are_those_of_the_program(name: str, ours: type[IntEnum]) -> None:
    text = (PROJECT / "p4src" / "metadata.p4").read_text()
    (body,) = re.findall(rf"enum bit<8> {name} {{(.*?)}}", text, re.DOTALL)
    theirs = {member: int(number) for member, number in re.findall(r"^ +(\w+) += (\d+)", body, re.MULTILINE)}
    left_out = NEVER_TRACED if ours is Fate else {}
    assert {member.name: member.value for member in ours} | left_out == theirs
