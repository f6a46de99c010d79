"""finsy, a client that others wrote, against the service: what a controller does with it, and packets.

Every kind of entity: test_server_entities.py.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import finsy as fy
import pytest
from finsy.proto import p4r
from google.protobuf import text_format

from switch.ports import Port
from tests.switch import finsy_steps, test_server_profiles
from tests.switch.client import PROGRAMS
from tests.switch.conftest import Running
from tests.switch.finsy_steps import PATIENCE
from tests.switch.service import frame

TO_CONTROLLER = fy.P4TableEntry(
    "bridge", match=fy.Match(destination=1), action=fy.Action("to_controller", reason=5)
)


def controlled(switch: Running, **more: Any) -> AbstractAsyncContextManager[fy.Switch]:
    """The switch as finsy sees it, with the pipeline of service.p4, or another."""
    program = {"p4info": PROGRAMS / "service.p4info.txtpb", "p4blob": PROGRAMS / "service.json"}
    return finsy_steps.controlled(switch.address, **(program | more))


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


async def test_ports_that_go_down_and_come_up(switch: Running) -> None:
    """In the list of ports: finsy 0.30 has events of them too, which it never tells."""
    switch.data_plane.ports.add(Port(1, "eth1"))
    switch.data_plane.ports.add(Port(2, "eth2", up=False))

    async with controlled(switch) as subject:

        async def become(expected: dict[int, tuple[str, bool]]) -> None:
            while {port.id: (port.name, port.up) for port in subject.ports} != expected:
                await asyncio.sleep(0.01)

        await asyncio.wait_for(become({1: ("eth1", True), 2: ("eth2", False)}), PATIENCE)
        switch.data_plane.ports.set_up(1, False)
        await asyncio.wait_for(become({1: ("eth1", False), 2: ("eth2", False)}), PATIENCE)
        switch.data_plane.ports.set_up(2, True)
        await asyncio.wait_for(become({1: ("eth1", False), 2: ("eth2", True)}), PATIENCE)


async def with_program(
    switch: Running, folder: Path, config: p4r.ForwardingPipelineConfig, use: Callable[[fy.Switch], Any]
) -> None:
    """Does something with finsy and another program than service.p4."""
    (folder / "p4info").write_text(text_format.MessageToString(config.p4info))
    (folder / "program.json").write_bytes(config.p4_device_config)
    async with controlled(switch, p4info=folder / "p4info", p4blob=folder / "program.json") as subject:
        await use(subject)


async def test_members_groups_and_one_shot_entries(switch: Running, tmp_path: Path) -> None:
    def entry(to: fy.P4IndirectAction) -> fy.P4TableEntry:
        return fy.P4TableEntry("t", match=fy.Match(a=1), action=to)

    async def use(subject: fy.Switch) -> None:
        actions = {n: fy.Action("set_b", value=n) for n in (1, 2)}
        members = [fy.P4ActionProfileMember("shared", member_id=n, action=a) for n, a in actions.items()]
        chosen = [fy.P4Member(1, weight=3), fy.P4Member(2, weight=(1, 5))]
        group = fy.P4ActionProfileGroup("shared", group_id=4, members=chosen)
        await subject.insert(members)
        await subject.insert([group])
        await subject.insert([entry(fy.P4IndirectAction(group_id=4))])
        assert test_server_profiles.spread(switch, 4) == [1, 1, 1, 2]
        assert await all_of(subject, fy.P4ActionProfileMember()) == members
        assert await all_of(subject, fy.P4ActionProfileGroup()) == [group]
        await subject.delete_all()
        assert await all_of(subject, fy.P4ActionProfileMember()) == []
        one_shot = entry(fy.P4IndirectAction([3 * actions[1], 1 * actions[2]]))
        await subject.insert([one_shot])
        assert test_server_profiles.spread(switch, 4) == [1, 1, 1, 2]
        assert await all_of(subject, fy.P4TableEntry("t")) == [one_shot]

    await with_program(switch, tmp_path, test_server_profiles.config(), use)
