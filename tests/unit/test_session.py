"""One connection's work, on a switch in memory: whatever comes, what is wanted reaches the switch."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from typing import cast

import pytest
from finsy.proto import rpc_code
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Ether

from controller import session as sessions
from controller.assignment import Assignment
from controller.config import parse
from controller.desired import Desired
from controller.errors import StoreError, SwitchError
from controller.events import EventLog
from controller.health.settings import Passive, Reaction
from controller.model import ONLY, Config, change_backend, replace, with_pool
from controller.program import (
    BACKEND_ACCEPTS,
    BACKEND_REFUSALS,
    BACKEND_SYNS,
    BACKENDS,
    BUCKETS,
    MACS,
    MOVING_PREVIOUS,
    MOVING_UNMOVED,
    NEIGHBORS,
    PROBE_ANSWERS,
    PROBE_GROUPS,
    ROUTES,
    TABLES,
    VIPS,
    Change,
    Do,
    Order,
    Table,
)
from controller.session import Session
from controller.shared import Shared, SwitchState
from controller.store import SqliteStore
from controller.wire import Connection, PacketIn, Refusal
from controller.work import Work
from tests.fakes.switch import FakeSwitch

DOCUMENT = """
switch: {mac: "02:00:00:00:00:01"}
interfaces: [{name: all, ports: [1, 2], addresses: [10.0.0.1/16]}]
pools:
  - name: web
    buckets: 16
    idle_timeout: 1s
    announcement: 0s
    health: {type: tcp}
    backends: [{name: b1, address: 10.0.1.11}, {name: b2, address: 10.0.1.12}]
vips: [{name: web, address: 10.0.0.100, port: 80, pool: web}]
"""

HOST_MAC = "02:00:00:00:00:aa"
ARP_REPLY, GLEAN = 1, 3


class World:
    """A session that runs until the test ends."""

    def __init__(self) -> None:
        self.switch = FakeSwitch()
        self.suspected: list[tuple[int, bool]] = []
        self.doubted: list[tuple[str, str]] = []
        events = EventLog()
        desired = Desired(parse(DOCUMENT), Assignment(), events)
        self.shared = Shared(desired, SqliteStore(":memory:"), events, time.monotonic)
        self.state = SwitchState(
            self.shared,
            lambda *suspicion: self.suspected.append(suspicion),
            lambda *backend: self.doubted.append(backend),
        )
        self.shared.switches[ONLY] = self.state
        self.state.follow_configuration()

    async def run(self) -> None:
        await Session(cast(Connection, self.switch), self.state, fresh=True).run()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.005)

    async def done(self) -> None:
        """All that was asked for is on the switch."""
        assert await self.state.work.wait_until_done(self.state.work.ask(), 10)

    def configure(self, config: Config) -> None:
        self.shared.desired.configure(config, drain=True)
        self.state.work.ask()

    def told(self) -> list[str]:
        return [f"{event.subject} {event.text}" for event in self.shared.events.since()]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with at_work(World()) as world:
        yield world


@contextlib.asynccontextmanager
async def at_work(world: World) -> AsyncIterator[World]:
    running = asyncio.create_task(world.run())
    await world.until(lambda: world.switch.tables[VIPS])
    yield world
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_a_verdict_reaches_the_switch(world: World) -> None:
    world.shared.desired.set_health("web", "b1", False, "refused")
    await world.done()
    assert {do.values[:2] for do in world.switch.tables[BUCKETS].values()} == {(2, 2)}
    assert world.switch.tables[BACKENDS].keys() == {(2,)}


async def test_the_store_has_it_before_the_switch(world: World) -> None:
    world.shared.desired.set_health("web", "b1", False, "refused")
    stored: list[set[int]] = []
    world.switch.between = lambda: stored.append({*world.shared.store.load().pools["web"].backends})
    await world.done()
    assert stored[0] == {2}
    assert not world.shared.desired.unsaved, "and nothing is stored twice"


async def test_the_switch_counts_as_brought_up_after_its_first_pass() -> None:
    world = World()
    world.switch.between = lambda: brought_up.append(world.state.brought_up)
    brought_up: list[bool] = []
    running = asyncio.create_task(world.run())
    await world.until(lambda: world.state.brought_up)
    assert brought_up
    assert not any(brought_up)
    running.cancel()


async def test_a_store_that_fails_does_not_stop_a_failover(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(world.shared.store, "save", fail)
    world.shared.desired.set_health("web", "b1", False, "refused")
    await world.done()
    assert world.switch.tables[BACKENDS].keys() == {(2,)}
    assert "store the assignment of buckets cannot be stored; going on without" in world.told()
    monkeypatch.undo()
    await world.done()
    assert world.shared.store.load().pools["web"].backends.keys() == {2}, "it is stored as soon as it can be"


async def test_refused_entries_are_told_once_and_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "FIRST_RETRY", 0.01)
    tries = Counter[object]()

    def full(change) -> tuple[int, str] | None:
        tries[change.table] += 1
        return (rpc_code.RESOURCE_EXHAUSTED, "full") if change.table is ROUTES else None

    world.switch.refuse = full
    world.configure(parse(DOCUMENT.replace("[10.0.0.1/16]", "[10.0.0.1/16, 10.9.0.1/16]")))
    await world.until(lambda: tries[ROUTES] >= 6)
    assert world.state.trouble == "insert in routes: full"
    world.switch.refuse = lambda change: None
    await world.done()
    assert world.state.trouble == ""
    told = [line for line in world.told() if line.startswith("in memory")]
    assert told == [
        "in memory holds everything that it should",
        "in memory does not take everything; trying again",
        "in memory holds everything that it should",
    ]


async def test_a_switch_that_lost_entries_is_read_back_and_repaired(world: World) -> None:
    world.switch.tables[VIPS].clear()
    world.switch.tables[MACS].clear()
    world.configure(replace(world.shared.desired.config, vips=()))
    await world.done()
    assert any("holds other entries than it should" in line for line in world.told())
    assert world.switch.tables[MACS], "also what the change had nothing to do with"


async def test_moved_buckets_settle_by_themselves(world: World) -> None:
    world.configure(change_backend(world.shared.desired.config, "web", "b1", weight=3))
    await world.done()
    assert len(world.shared.desired.moving_slots()) == 4
    await world.until(lambda: not world.shared.desired.moving_slots())
    await world.done()
    assert all(do.values[0] == do.values[1] for do in world.switch.tables[BUCKETS].values())
    assert not world.shared.store.load().pools["web"].buckets.moving.any()


async def test_buckets_with_flows_do_not_settle(world: World) -> None:
    world.configure(change_backend(world.shared.desired.config, "web", "b1", weight=3))
    await world.done()
    busy, *_ = world.shared.desired.moving_slots()
    world.switch.cells[MOVING_PREVIOUS] = Counter()

    def packet() -> bool:
        world.switch.cells[MOVING_PREVIOUS][busy] += 1
        return world.shared.desired.moving_slots() == [busy]

    await world.until(packet)


async def test_syns_without_room_are_added_to_their_pool(world: World) -> None:
    world.configure(change_backend(world.shared.desired.config, "web", "b1", weight=3))
    await world.done()
    one, other, *_ = world.shared.desired.moving_slots()
    world.switch.cells[MOVING_UNMOVED] = Counter({one: 3, other: 4})
    await world.until(lambda: world.state.counters.unmoved.get("web") == 7)


async def test_counters_are_read(world: World) -> None:
    world.switch.direct[BACKENDS] = Counter({(1,): 5})
    await world.until(lambda: world.state.counters.backends.get(1))
    assert world.state.counters.backends[1].packets == 5
    assert world.state.counters.drops.keys() == {"malformed", "no_backend"}
    assert world.state.counters.punts.keys() == {"arp_reply", "neighbor_advertisement", "glean"}


def answer(address: str) -> bytes:
    return bytes(Ether(src=HOST_MAC) / ARP(op=2, hwsrc=HOST_MAC, psrc=address, pdst="10.0.0.1"))


async def test_needed_neighbors_are_asked_for_and_their_answers_written(world: World) -> None:
    await world.until(lambda: len(world.switch.sent) >= 4)
    assert {Ether(frame)[ARP].pdst for _, frame in world.switch.sent} == {"10.0.1.11", "10.0.1.12"}
    world.switch.packets.put_nowait(PacketIn(ARP_REPLY, 2, answer("10.0.1.11")))
    await world.until(lambda: world.switch.tables[NEIGHBORS])
    assert [*world.switch.tables[NEIGHBORS].values()] == [
        Do("forward", (2, 0x020000000001, 0x0200000000AA, 0))
    ]


async def test_a_gleaned_packet_makes_us_ask_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "NEIGHBOR_TICK", 1000.0)
    world = World()
    running = asyncio.create_task(world.run())
    await world.until(lambda: len(world.switch.sent) >= 4)
    packet = Ether(dst="02:00:00:00:00:01") / IP(dst="10.0.7.7") / UDP()
    world.switch.packets.put_nowait(PacketIn(GLEAN, 1, bytes(packet)))
    await world.until(lambda: any(Ether(frame)[ARP].pdst == "10.0.7.7" for _, frame in world.switch.sent))
    running.cancel()


async def test_gleaned_packets_are_sent_on_when_the_neighbor_is_found(world: World) -> None:
    await world.until(lambda: len(world.switch.sent) >= 4)
    world.switch.sent.clear()
    packet = Ether(dst="02:00:00:00:00:01") / IP(dst="10.0.7.7") / UDP() / b"kept"
    world.switch.packets.put_nowait(PacketIn(GLEAN, 1, bytes(packet)))
    await world.until(lambda: any(Ether(frame)[ARP].pdst == "10.0.7.7" for _, frame in world.switch.sent))
    world.switch.sent.clear()
    world.switch.packets.put_nowait(PacketIn(ARP_REPLY, 2, answer("10.0.7.7")))
    await world.until(lambda: world.switch.sent)
    (port, frame), *_ = world.switch.sent
    assert (port, Ether(frame).dst, Ether(frame)[IP].dst) == (2, HOST_MAC, "10.0.7.7")
    await world.until(lambda: len(world.switch.tables[NEIGHBORS]) == 1)


async def test_packets_for_unknown_reasons_harm_nobody(world: World) -> None:
    world.switch.packets.put_nowait(PacketIn(99, 1, b"?"))
    world.switch.packets.put_nowait(PacketIn(GLEAN, 1, b""))
    world.switch.packets.put_nowait(PacketIn(ARP_REPLY, 2, answer("10.0.1.11")))
    await world.until(lambda: world.switch.tables[NEIGHBORS])


@pytest.mark.parametrize("end", ["lost", "another program"])
async def test_a_session_ends_with_its_switch(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "HEARTBEAT", 0.01)
    world = World()
    running = asyncio.create_task(world.run())
    await world.until(lambda: world.switch.tables[VIPS])
    if end == "lost":
        world.switch.lost.set()
    else:
        world.switch.program = 43
    with pytest.RaisesGroup(SwitchError):
        await asyncio.wait_for(running, 5)


# who waits for what


async def test_work_is_done_when_all_that_was_asked_before_is_done() -> None:
    work = Work()
    first, second = work.ask(), work.ask()
    assert work.pending
    assert not await work.wait_until_done(first, 0.01)
    await work.finish(first)
    assert await work.wait_until_done(first, 0)
    assert not await work.wait_until_done(second, 0.01)
    await work.finish(work.begin())
    assert await work.wait_until_done(second, 0)
    assert not work.pending


async def test_work_that_is_asked_for_while_other_is_done_is_not_forgotten() -> None:
    work = Work()
    work.ask()
    taken = work.begin()
    later = work.ask()
    await work.finish(taken)
    await asyncio.wait_for(work.wait_for_more(None), 1)
    assert work.begin() == later


# liveness


def found(world: World) -> None:
    """The next hops of both backends answer."""
    for address in ("10.0.1.11", "10.0.1.12"):
        world.switch.packets.put_nowait(PacketIn(ARP_REPLY, 2, answer(address)))


async def test_rounds_begin_once_there_is_somebody_to_ask(world: World) -> None:
    await asyncio.sleep(0.02)
    assert world.switch.orders == []
    found(world)
    await world.until(lambda: len(world.switch.orders) >= 3)
    assert {*world.switch.orders} == {(Order.BEGIN, 1)}
    assert world.switch.tables[PROBE_GROUPS] == {(1,): Do("replicas", (2, 1, 2, 2))}


async def test_who_is_silent_for_too_many_rounds_is_told_and_again_when_he_answers(world: World) -> None:
    found(world)
    answers = world.switch.cells.setdefault(PROBE_ANSWERS, Counter())
    await world.until(lambda: world.suspected == [(1, True), (2, True)])

    async def answers_rounds(number: int) -> None:
        while True:
            answers[number] += 1
            await asyncio.sleep(0.01)

    answering = asyncio.create_task(answers_rounds(2))
    await world.until(lambda: world.suspected[2:] == [(2, False)])
    answering.cancel()
    await world.until(lambda: world.suspected[3:] == [(2, True)])


# clients' connections


@pytest.fixture
def passive() -> Passive:
    return Passive(refusing=Reaction.EJECT, connections=10, window=0.2)


async def test_who_refuses_clients_is_doubted_and_ejected(
    monkeypatch: pytest.MonkeyPatch, passive: Passive
) -> None:
    monkeypatch.setattr(sessions, "LOOK_AT_ANSWERS", 0.02)
    async with at_work(World()) as world:
        web = world.shared.desired.config.pool("web").model_copy(update={"passive": passive})
        world.configure(with_pool(world.shared.desired.config, web))
        await world.done()
        begun = world.switch.cells.setdefault(BACKEND_SYNS, Counter())
        accepted = world.switch.cells.setdefault(BACKEND_ACCEPTS, Counter())
        refused = world.switch.cells.setdefault(BACKEND_REFUSALS, Counter())

        async def connections() -> None:
            while True:
                for number in (1, 2):
                    begun[number] += 10
                accepted[1] += 10
                refused[2] += 10
                await asyncio.sleep(0.01)

        coming = asyncio.create_task(connections())
        await world.until(lambda: world.doubted == [("web", "b2")])
        await world.until(lambda: {do.values[0] for do in world.switch.tables[BUCKETS].values()} == {1})
        coming.cancel()
        assert (2,) in world.switch.tables[BACKENDS], "it keeps the flows that it has"
        assert world.state.counters.handshakes.keys() == {1, 2}
        assert "web/b2 is ejected: no new connections for 10s" in world.told()


async def test_until_the_switch_holds_everything_nothing_is_held_against_anybody(
    monkeypatch: pytest.MonkeyPatch, passive: Passive
) -> None:
    monkeypatch.setattr(sessions, "LOOK_AT_ANSWERS", 0.01)
    async with at_work(World()) as world:
        web = world.shared.desired.config.pool("web").model_copy(update={"passive": passive})
        world.configure(with_pool(world.shared.desired.config, web))
        await world.done()
        world.state.brought_up = False
        begun = world.switch.cells.setdefault(BACKEND_SYNS, Counter())
        for _ in range(60):
            begun[1] += 10
            await world.until(lambda: world.state.counters.handshakes[1].syns == begun[1])
        assert world.doubted == []


# somebody else's writes


async def test_a_verdict_does_not_wait_for_a_look_at_what_the_switch_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sessions, "DRIFT_INTERVAL", 0.05)
    async with at_work(World()) as world:
        await world.done()
        rows, looking, may_end = world.switch.encoded_rows, asyncio.Event(), asyncio.Event()
        looks: list[Table] = []

        async def slow(table: Table) -> AsyncIterator[list[bytes]]:
            looks.append(table)
            async for some in rows(table):
                if table is BUCKETS:  # what it held a moment ago is under way
                    looking.set()
                    await may_end.wait()
                yield some

        monkeypatch.setattr(world.switch, "encoded_rows", slow)
        await looking.wait()
        world.shared.desired.set_health("web", "b1", False, "refused")
        await world.done()
        assert {do.values[:2] for do in world.switch.tables[BUCKETS].values()} == {(2, 2)}
        may_end.set()
        await world.until(lambda: looks.count(BUCKETS) == 3)
        await world.done()
        assert [text for text in world.told() if "not as we left them" in text] == []
        assert {do.values[:2] for do in world.switch.tables[BUCKETS].values()} == {(2, 2)}


async def test_a_look_at_what_the_switch_holds_waits_for_what_is_being_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sessions, "DRIFT_INTERVAL", 0.05)
    async with at_work(World()) as world:
        await world.done()
        rows, write = world.switch.encoded_rows, world.switch.write
        writing, may_write, read = asyncio.Event(), asyncio.Event(), Counter[Table]()

        async def counted(table: Table) -> AsyncIterator[list[bytes]]:
            async for some in rows(table):
                yield some
                read[table] += len(some)
                if table is BUCKETS and read[table] == 5:
                    world.shared.desired.set_health("web", "b1", False, "refused")
                    world.state.work.ask()
                    await writing.wait()

        async def slow(changes: Iterable[Change]) -> list[Refusal]:
            writing.set()
            await may_write.wait()
            return await write(changes)

        monkeypatch.setattr(world.switch, "encoded_rows", counted)
        monkeypatch.setattr(world.switch, "write", slow)
        await writing.wait()
        for _ in range(100):
            await asyncio.sleep(0)
        assert read[BUCKETS] == 5, "the sixth has come, and it does not ask for more"
        may_write.set()
        await world.until(lambda: read[BUCKETS] >= 16)


async def test_a_look_goes_on_after_a_while_though_writing_takes_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sessions, "DRIFT_INTERVAL", 0.05)
    monkeypatch.setattr(sessions, "LOOK_WAITS", 0.001)
    async with at_work(World()) as world:
        await world.done()
        monkeypatch.setattr(world.switch, "write", lambda _: asyncio.Event().wait())
        world.shared.desired.set_health("web", "b1", False, "refused")
        world.state.work.ask()
        looked = asyncio.Event()

        async def last(table: Table) -> AsyncIterator[list[bytes]]:
            if table is TABLES[-1]:
                looked.set()
            for some in ():
                yield some

        monkeypatch.setattr(world.switch, "encoded_rows", last)
        async with asyncio.timeout(10):
            await looked.wait()


async def test_what_others_have_written_is_found_repaired_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "DRIFT_INTERVAL", 0.2)
    async with at_work(World()) as world:
        await world.done()
        tables = [world.switch.tables[table] for table in (BACKENDS, VIPS, BUCKETS)]
        before = [dict(table) for table in tables]
        backends, vips, buckets = tables
        backends[77,] = Do("backend_address", (1, 2))
        vips.clear()
        buckets[1, 3] = Do("owners", (1, 2, 1, 1, 9))
        await world.until(lambda: [dict(table) for table in tables] == before)
        (told,) = [text for text in world.told() if "not as we left them" in text]
    assert told == (
        "in memory holds entries that are not as we left them: "
        "1 of backends, 1 of buckets, 1 of vips; repairing"
    )
