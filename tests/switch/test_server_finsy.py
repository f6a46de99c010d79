"""finsy, a client that others wrote, against the service: everything a controller does with it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import finsy as fy
import pytest

from tests.switch.client import PROGRAMS
from tests.switch.conftest import Running
from tests.switch.service import TYPE_LEARN, frame

PATIENCE = 30.0  # seconds; everything here is done in a few milliseconds


TO_CONTROLLER = fy.P4TableEntry(
    "bridge", match=fy.Match(destination=1), action=fy.Action("to_controller", reason=5)
)


def options(**more: object) -> fy.SwitchOptions:
    return fy.SwitchOptions(
        p4info=PROGRAMS / "service.p4info.txtpb",
        p4blob=PROGRAMS / "service.json",
        fail_fast=True,
        **more,  # type: ignore[arg-type]
    )


@asynccontextmanager
async def controlled(switch: Running, **more: object) -> AsyncIterator[fy.Switch]:
    """The switch as finsy sees it, once finsy is ready."""
    ready = asyncio.Event()

    async def on_ready(_: fy.Switch) -> None:
        ready.set()

    subject = fy.Switch("subject", switch.address, options(ready_handler=on_ready, **more))
    async with fy.Controller([subject]):
        await asyncio.wait_for(ready.wait(), PATIENCE)
        yield subject


async def all_of(subject: fy.Switch, *entities: Any) -> list[Any]:
    return [entity async for entity in subject.read(entities)]  # type: ignore[misc]


async def test_it_becomes_primary_and_sets_the_pipeline(switch: Running) -> None:
    async with controlled(switch) as subject:
        assert subject.is_primary
        assert str(subject.p4runtime_version) == "1.5.0"
        assert switch.device.config is not None
        assert switch.device.config.p4_device_config == (PROGRAMS / "service.json").read_bytes()


async def test_entries_are_written_and_read(switch: Running) -> None:
    async with controlled(switch) as subject:
        entries = [
            fy.P4TableEntry("bridge", match=fy.Match(destination=n), action=fy.Action("forward", port=2))
            for n in range(5)
        ]
        await subject.insert(entries)
        assert await all_of(subject, fy.P4TableEntry("bridge")) == entries
        await subject.modify(
            [fy.P4TableEntry("bridge", match=fy.Match(destination=1), action=fy.Action("forward", port=3))]
        )
        packet = frame(1)
        assert switch.data_plane.receive(1, packet) == [(3, packet)]
        await subject.delete(entries)
        assert await all_of(subject, fy.P4TableEntry("bridge")) == []


async def test_every_kind_of_match(switch: Running) -> None:
    entry = fy.P4TableEntry(
        "acl",
        match=fy.Match(source="00:00:00:00:0a:00/&00:00:00:00:ff:00", type=0x800, port="1...5"),
        action=fy.Action("mark", value=7),
        priority=5,
    )
    route = fy.P4TableEntry(
        "routes", match=fy.Match(source="0xaabb00000000/16"), action=fy.Action("mark", value=1)
    )
    async with controlled(switch) as subject:
        await subject.insert([entry, route])
        (found,) = await all_of(subject, fy.P4TableEntry("acl"))
        assert found.match == {"source": (0x0A00, 0xFF00), "type": 0x800, "port": (1, 5)}
        assert found.priority == 5
        (found,) = await all_of(subject, fy.P4TableEntry("routes"))
        assert found.match == {"source": (0xAABB00000000, 16)}


async def test_errors_name_the_update(switch: Running) -> None:
    entry = fy.P4TableEntry("bridge", match=fy.Match(destination=1), action=fy.Action("forward", port=2))
    async with controlled(switch) as subject:
        await subject.insert([entry])
        with pytest.raises(fy.P4ClientError) as caught:
            await subject.insert(
                [fy.P4TableEntry("bridge", match=fy.Match(destination=2), action=fy.Action("drop")), entry]
            )
        assert caught.value.code == fy.GRPCStatusCode.UNKNOWN
        assert {i: error.canonical_code for i, error in caught.value.details.items()} == {
            1: fy.GRPCStatusCode.ALREADY_EXISTS
        }
        absent = fy.P4TableEntry("bridge", match=fy.Match(destination=9))
        with pytest.raises(fy.P4ClientError) as caught:
            await subject.delete([absent])
        assert caught.value.is_not_found_only
        await subject.delete([absent], strict=False)


async def test_counters_registers_and_groups(switch: Running) -> None:
    async with controlled(switch) as subject:
        await subject.insert(
            [
                fy.P4TableEntry("bridge", match=fy.Match(destination=1), action=fy.Action("forward", port=2)),
                fy.P4MulticastGroupEntry(5, replicas=[1, 2]),
                fy.P4CloneSessionEntry(7, replicas=[1]),
            ]
        )
        switch.data_plane.receive(1, frame(1, source=5, kind=0x2222))
        (counter,) = await all_of(subject, fy.P4CounterEntry("both", index=3))
        assert counter.data == fy.P4CounterData(packet_count=1, byte_count=len(frame(1)))
        (direct,) = await all_of(
            subject, fy.P4DirectCounterEntry("bridge_counter", table_entry=fy.P4TableEntry("bridge"))
        )
        assert direct.packet_count == 1
        (register,) = await all_of(subject, fy.P4RegisterEntry("wide", index=3))
        assert register.data == 5
        (group,) = await all_of(subject, fy.P4MulticastGroupEntry())
        assert (group.multicast_group_id, group.replicas) == (5, (1, 2))


async def test_delete_all_leaves_the_constant_entries_only(switch: Running) -> None:
    """finsy 0.30 passes over groups and sessions when the program has a constant table, as this one has."""
    async with controlled(switch) as subject:
        await subject.insert(
            [
                fy.P4TableEntry("bridge", match=fy.Match(destination=1), action=fy.Action("forward", port=2)),
                fy.P4TableEntry("acl", match=fy.Match(type=1), action=fy.Action("drop"), priority=1),
                fy.P4DigestEntry("learned_t", max_list_size=1),
            ]
        )
        changed_default = fy.P4TableEntry(
            "bridge", action=fy.Action("forward", port=4), is_default_action=True
        )
        await subject.modify([changed_default])
        await subject.delete_all()
        assert {entry.table_id for entry in await all_of(subject, fy.P4TableEntry())} == {"fixed"}
        assert switch.data_plane.receive(1, frame(7)) == []


async def test_packets_in_and_out(switch: Running) -> None:
    async with controlled(switch) as subject:
        await subject.insert([TO_CONTROLLER])

        async def next_packet() -> fy.P4PacketIn:
            async for packet in subject.read_packets():
                return packet
            raise AssertionError("no packet")

        reader = asyncio.create_task(next_packet())
        await asyncio.sleep(0)
        switch.data_plane.receive(3, frame(1))
        packet = await asyncio.wait_for(reader, PATIENCE)
        assert packet.payload == frame(1)
        assert packet["ingress_port"] == 3
        assert packet["reason"] == 5

        await subject.write([fy.P4PacketOut(frame(9), unused=0, egress_port=4)])
        while not switch.data_plane.sent:
            await asyncio.sleep(0.01)
        assert switch.data_plane.sent == [(4, frame(9))]


async def test_digests(switch: Running) -> None:
    async with controlled(switch) as subject:

        async def next_list() -> fy.P4DigestList:
            async for digests in subject.read_digests("learned_t"):
                return digests
            raise AssertionError("no digest list")

        reader = asyncio.create_task(next_list())
        await subject.insert([fy.P4DigestEntry("learned_t", max_list_size=1, ack_timeout_ns=10**9)])
        switch.data_plane.receive(3, frame(1, source=5, kind=TYPE_LEARN))
        received = await asyncio.wait_for(reader, PATIENCE)
        assert received.data == [{"source": 5, "port": 3}]
        await subject.write([received.ack()])


async def test_a_second_controller_is_the_backup_and_takes_over(switch: Running) -> None:
    """finsy asks for mastership when it hears that there is no primary any more."""
    promoted = asyncio.Event()

    async with AsyncExitStack() as second_runs:
        async with controlled(switch) as first:
            second = await second_runs.enter_async_context(controlled(switch))
            second.ee.add_listener(fy.SwitchEvent.BECOME_PRIMARY, lambda _: promoted.set())
            assert first.is_primary
            assert not second.is_primary
        await asyncio.wait_for(promoted.wait(), PATIENCE)
        await second.insert([fy.P4MulticastGroupEntry(5, replicas=[1])])


async def test_the_pipeline_is_not_pushed_again_when_it_runs_already(switch: Running) -> None:
    async with controlled(switch) as subject:
        await subject.insert(
            [fy.P4TableEntry("bridge", match=fy.Match(destination=1), action=fy.Action("forward", port=2))]
        )
    async with controlled(switch) as subject:
        assert len(await all_of(subject, fy.P4TableEntry("bridge"))) == 1
