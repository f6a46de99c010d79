"""What clients' connections say, from the packets through the compiled program and P4Runtime to the buckets.

The test is the clients and the servers. Nobody checks and nobody probes: what is known comes from answers.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from itertools import count

import pytest

from controller.config import parse
from controller.model import Protocol
from controller.trace import Flow
from tests.fakes.compiled import ACK, DESTINATION, RST, SYN, SYN_ACK, tcp_frame
from tests.fakes.embedded import EmbeddedSwitch
from tests.integration.rig import Rig

ROUTER, CLIENT, SERVER = 0x02_00_00_00_00_01, 0x02_00_00_00_01_00, 0x02_00_00_00_02_00
CLIENTS_PORT, SERVERS_PORT = 1, 2
VIP, VIP_PORT, PORT = IPv4Address("10.0.0.100"), 80, 8080
SERVERS = {f"b{n}": IPv4Address("10.1.1.10") + n for n in (1, 2, 3)}
SOMEBODY = IPv4Address("10.0.0.9")

DOCUMENT = """
switch: {{address: "{address}", mac: "02:00:00:00:00:01"}}
interfaces:
  - {{name: clients, ports: [1], addresses: [10.0.0.1/16]}}
  - {{name: servers, ports: [2], addresses: [10.1.1.1/24]}}
neighbors:
  - {{address: 10.0.0.9, mac: "02:00:00:00:01:00", port: 1}}
{neighbors}
pools:
  - name: web
    buckets: 64
    health: {{type: none}}
    probe: none
    passive: {{silent: eject, refusing: eject, connections: 10, window: 500ms, ejection: {ejection}}}
    backends: [{backends}]
vips: [{{name: web, address: 10.0.0.100, port: 80, pool: web}}]
"""


@pytest.fixture
def plane() -> Iterator[EmbeddedSwitch]:
    with EmbeddedSwitch() as switch:
        yield switch


def document(address: str, ejection: str = "1h") -> str:
    neighbors = "\n".join(
        f'  - {{address: {at}, mac: "02:00:00:00:02:00", port: {SERVERS_PORT}}}' for at in SERVERS.values()
    )
    backends = ", ".join(f"{{name: {name}, address: {at}, port: {PORT}}}" for name, at in SERVERS.items())
    longest = ", longest: 2h" if ejection == "1h" else ""
    return DOCUMENT.format(
        address=address, neighbors=neighbors, backends=backends, ejection=ejection + longest
    )


@dataclass
class World:
    """Servers accept, but those in `silent` and `refusing`; clients go no further than their SYN."""

    switch: EmbeddedSwitch
    silent: set[str] = field(default_factory=set)
    refusing: set[str] = field(default_factory=set)
    ports: Iterator[int] = field(default_factory=lambda: count(10_000))

    def send(self, port: int, flags: int, client: IPv4Address = SOMEBODY) -> str | None:
        """A client's segment; returns the server that gets it."""
        frame = tcp_frame((client, VIP), (port, VIP_PORT), flags, (CLIENT, ROUTER))
        for _, sent in self.switch.receive(CLIENTS_PORT, frame):
            at = IPv4Address(sent[DESTINATION])
            return next(name for name, address in SERVERS.items() if address == at)
        return None

    def answer(self, name: str, port: int, flags: int, client: IPv4Address = SOMEBODY) -> None:
        frame = tcp_frame((SERVERS[name], client), (PORT, port), flags, (SERVER, ROUTER))
        self.switch.receive(SERVERS_PORT, frame)

    def connect(self, client: IPv4Address = SOMEBODY) -> tuple[str | None, int]:
        """The server, and the client's port."""
        port = next(self.ports)
        name = self.send(port, SYN, client)
        if name in self.refusing:
            self.answer(name, port, RST | ACK, client)
        elif name and name not in self.silent:
            self.answer(name, port, SYN_ACK, client)
        return name, port

    async def clients(self, rounds: int) -> Counter[str | None]:
        """Thirty connections at a time; who got them."""
        got: Counter[str | None] = Counter()
        for _ in range(rounds):
            got += Counter(self.connect()[0] for _ in range(30))
            await asyncio.sleep(0.02)
        return got

    async def until_out(self, rig: Rig, out: set[str]) -> None:
        async with asyncio.timeout(30):
            while {one.name for one in rig.pool().backends if one.ejected} != out:
                await self.clients(1)
        await rig.synchronized()


async def test_who_falls_silent_gets_no_new_connection_and_keeps_the_old_ones(plane: EmbeddedSwitch) -> None:
    async with Rig(plane, config=parse(document(plane.address))) as rig:
        await rig.synchronized()
        world = World(plane)
        assert {*await world.clients(10)} == {*SERVERS}
        held = [(name, port) for name, port in (world.connect() for _ in range(60))]
        world.silent = {"b2"}
        await world.until_out(rig, {"b2"})
        assert {*await world.clients(10)} == {"b1", "b3"}
        assert [world.send(port, ACK) for _, port in held] == [name for name, _ in held]
        port = next(port for name, port in held if name == "b2")
        found = await rig.controller.explain(Flow(SOMEBODY, port, VIP, VIP_PORT, Protocol.TCP, False))
        assert found.switch == found.model
        (note,) = found.notes
        assert note.startswith("b2 is ejected (silent: none of ")
        b2 = rig.backend("b2")
        assert b2.accepted and b2.syns > b2.accepted and b2.refused == 0
        assert b2.ejected_for.startswith("silent: none of ")


async def test_who_refuses_is_ejected_and_comes_back(plane: EmbeddedSwitch) -> None:
    async with Rig(plane, config=parse(document(plane.address, "1s"))) as rig:
        await rig.synchronized()
        world = World(plane, refusing={"b3"})
        await world.until_out(rig, {"b3"})
        world.refusing.clear()
        await world.until_out(rig, set())
        async with asyncio.timeout(30):
            while "b3" not in await world.clients(1):
                pass
        told = [text for text in rig.events() if text.startswith("web/b3")]
        assert told == [
            "web/b3 refusing: it resets what clients begin",
            "web/b3 is ejected: no new connections for 1s",
            "web/b3 is ejected no longer",
        ]


async def test_a_flood_and_clients_that_give_up_eject_nobody(plane: EmbeddedSwitch) -> None:
    """Forged sources, none of which goes on; and connections that are reset, by clients and by servers."""
    async with Rig(plane, config=parse(document(plane.address))) as rig:
        await rig.synchronized()
        world = World(plane)
        looks = rig.backend("b1").accepted or 0
        for number in range(60):
            for forged in range(20):
                world.connect(IPv4Address("10.0.64.1") + number * 20 + forged)
            name, port = world.connect()
            assert name
            world.send(port, ACK)
            world.send(port, RST)
            world.answer(name, port, RST)
            await asyncio.sleep(0.02)
        await rig.until(lambda: (rig.backend("b1").accepted or 0) > looks + 100, "the counters were read")
        assert [one.signal for one in rig.pool().backends] == ["", "", ""]
        assert not [text for text in rig.events() if text.startswith("web/")]
        assert [one.refused for one in rig.pool().backends] == [0, 0, 0]


async def test_when_no_answer_comes_at_all_nobody_is_ejected(plane: EmbeddedSwitch) -> None:
    """It may be the clients, or the way to them."""
    async with Rig(plane, config=parse(document(plane.address))) as rig:
        await rig.synchronized()
        world = World(plane, silent={*SERVERS})
        async with asyncio.timeout(30):
            while {one.signal for one in rig.pool().backends} != {"silent"}:
                await world.clients(1)
        assert {*await world.clients(10)} == {*SERVERS}
        assert [one.ejected for one in rig.pool().backends] == [None] * 3
