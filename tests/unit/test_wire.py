"""The connection against a server that does what we tell it: arbitration, errors, silence, packets."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest
from finsy.proto import U128, p4r, rpc_code, rpc_status

from controller import wire
from controller.errors import CallFailed, NotPrimary, PipelineRefused, Unreachable
from controller.program import BACKENDS, BUCKETS, MOVING_PREVIOUS, VIPS, Change, Do, Kind
from controller.wire import Connection, PacketIn, Pipeline, SwitchTarget, Traffic
from tests.fakes.server import ScriptedSwitch, serving

COMPILED = Path(__file__).parents[2] / "p4src" / "compiled"
P4INFO, DEVICE_CONFIG = COMPILED / "sluice.p4info.txtpb", COMPILED / "sluice.json"


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline.load(P4INFO, DEVICE_CONFIG)


@pytest.fixture
async def switch() -> AsyncIterator[ScriptedSwitch]:
    script = ScriptedSwitch()
    async with serving(script) as script.address:
        yield script


@asynccontextmanager
async def connected(switch: ScriptedSwitch, pipeline: Pipeline, bid: int = 1) -> AsyncIterator[Connection]:
    async with Connection(SwitchTarget(switch.address, election_id=bid), pipeline) as connection:
        yield connection


def buckets(count: int, kind: Kind = Kind.INSERT) -> list[Change]:
    return [Change(kind, BUCKETS, (1, number), Do("owners", (1, 1, 2, 0, 0))) for number in range(count)]


# becoming primary


async def test_the_bid_is_the_targets_election_id(switch: ScriptedSwitch, pipeline: Pipeline) -> None:
    async with connected(switch, pipeline, bid=7):
        assert switch.bids == [7]


async def test_where_nobody_is_primary_we_bid_what_the_last_one_had(
    switch: ScriptedSwitch, pipeline: Pipeline
) -> None:
    switch.arbitrate = lambda bid: (rpc_code.OK, bid) if bid >= 12 else (rpc_code.NOT_FOUND, 12)
    async with connected(switch, pipeline) as connection:
        assert switch.bids == [1, 12]
        await connection.write(buckets(1))
        assert U128.decode(switch.writes[0].election_id) == 12


async def test_a_switch_that_another_controller_has_is_left_alone(
    switch: ScriptedSwitch, pipeline: Pipeline
) -> None:
    switch.arbitrate = lambda bid: (rpc_code.ALREADY_EXISTS, 9)
    with pytest.raises(NotPrimary, match="another controller has the switch, with election id 9"):
        async with connected(switch, pipeline):
            pass


async def test_our_own_id_in_other_hands_is_another_controller(
    switch: ScriptedSwitch, pipeline: Pipeline
) -> None:
    switch.arbitrate = lambda bid: (rpc_code.INVALID_ARGUMENT, 0)
    with pytest.raises(NotPrimary, match="another controller has the switch: Election id already exists"):
        async with connected(switch, pipeline):
            pass


async def test_nobody_there_is_said_in_plain_words(pipeline: Pipeline) -> None:
    with pytest.raises(Unreachable, match=r"^no connection to the switch: Connection refused$"):
        async with Connection(SwitchTarget("127.0.0.1:1"), pipeline):
            pass


async def test_a_switch_that_does_not_answer_the_bid_is_not_waited_for(
    switch: ScriptedSwitch, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "CALL_DEADLINE", 0.2)
    monkeypatch.setattr(switch, "tell", lambda status, primary: None)
    with pytest.raises(Unreachable, match=r"has not answered for 0.2 s"):
        async with connected(switch, pipeline):
            pass


# losing it


async def test_the_end_of_the_stream_is_the_end_of_the_connection(
    switch: ScriptedSwitch, pipeline: Pipeline
) -> None:
    async with connected(switch, pipeline) as connection:
        switch.to_client.put_nowait(None)
        with pytest.raises(Unreachable, match="closed the connection"):
            await connection.until_lost()
        with pytest.raises(Unreachable, match="was lost"):
            await connection.write(buckets(1))
        assert switch.writes == [], "not even though the channel could connect again"


async def test_a_controller_that_takes_the_switch_ends_the_connection(
    switch: ScriptedSwitch, pipeline: Pipeline
) -> None:
    async with connected(switch, pipeline) as connection:
        switch.tell(rpc_code.ALREADY_EXISTS, 99)
        with pytest.raises(NotPrimary, match="another controller has taken the switch"):
            await connection.until_lost()


async def test_a_write_that_is_denied_is_the_loss_of_the_switch(
    switch: ScriptedSwitch, pipeline: Pipeline
) -> None:
    async def deny(context: grpc.aio.ServicerContext) -> None:
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "Not primary")

    async with connected(switch, pipeline) as connection:
        switch.answer = deny
        with pytest.raises(NotPrimary):
            await connection.write(buckets(1))


async def test_a_write_that_takes_too_long_is_the_loss_of_the_connection(
    switch: ScriptedSwitch, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def sleep(context: grpc.aio.ServicerContext) -> None:
        await asyncio.sleep(30)

    monkeypatch.setattr(wire, "CALL_DEADLINE", 0.2)
    async with connected(switch, pipeline) as connection:
        switch.answer = sleep
        with pytest.raises(Unreachable, match="not answered in time"):
            await connection.write(buckets(1))


# writing


async def test_writes_are_cut_into_batches_in_order(switch: ScriptedSwitch, pipeline: Pipeline) -> None:
    async with connected(switch, pipeline) as connection:
        assert await connection.write(buckets(2500)) == []
    assert [len(request.updates) for request in switch.writes] == [1000, 1000, 500]
    numbers = [
        int.from_bytes(update.entity.table_entry.match[1].exact.value, "big")
        for request in switch.writes
        for update in request.updates
    ]
    assert numbers == [*range(2500)]
    assert {update.type for request in switch.writes for update in request.updates} == {p4r.Update.INSERT}


async def test_one_is_put_together_while_the_switch_works_on_the_one_before(
    switch: ScriptedSwitch, pipeline: Pipeline
) -> None:
    """The first is answered when the second has been made, and the second comes after that answer."""
    made, answered = asyncio.Queue[int](), list[int]()

    async def answer(context: grpc.aio.ServicerContext) -> None:
        assert len(switch.writes) == len(answered) + 1, "one at a time"
        if len(switch.writes) < 3:
            await asyncio.wait_for(made.get(), 10)
        answered.append(len(switch.writes))

    async with connected(switch, pipeline) as connection:
        make, switch.answer = connection._write_request, answer

        def noted(changes: Sequence[Change]) -> bytes:
            if changes[0].key != (1, 0):
                made.put_nowait(len(changes))
            return make(changes)

        connection._write_request = noted
        assert await connection.write(buckets(2500)) == []
    assert answered == [1, 2, 3]


async def test_after_one_that_fails_the_next_is_not_sent(switch: ScriptedSwitch, pipeline: Pipeline) -> None:
    async def abort(context: grpc.aio.ServicerContext) -> None:
        await context.abort(grpc.StatusCode.INTERNAL, "out of order")

    async with connected(switch, pipeline) as connection:
        switch.answer = abort
        with pytest.raises(CallFailed):
            await connection.write(buckets(2500))
        assert len(switch.writes) == 1


async def test_refused_updates_are_named_each(switch: ScriptedSwitch, pipeline: Pipeline) -> None:
    def refuse(request: p4r.WriteRequest) -> rpc_status.Status:
        status = rpc_status.Status(code=rpc_code.UNKNOWN)
        for index in range(len(request.updates)):
            code = rpc_code.ALREADY_EXISTS if index == 3 else rpc_code.OK
            status.details.add().Pack(p4r.Error(canonical_code=code, message="there is one"))
        return status

    async with connected(switch, pipeline) as connection:
        switch.refuse = refuse
        changes = buckets(1000)
        (refusal,) = await connection.write(changes)
    assert (refusal.change, refusal.message) == (changes[3], "there is one")
    assert refusal.exists_already and not refusal.does_not_exist


async def test_a_request_that_fails_as_a_whole_is_an_error(
    switch: ScriptedSwitch, pipeline: Pipeline
) -> None:
    async def abort(context: grpc.aio.ServicerContext) -> None:
        await context.abort(grpc.StatusCode.INTERNAL, "out of order")

    async with connected(switch, pipeline) as connection:
        switch.answer = abort
        with pytest.raises(CallFailed, match="the switch answered INTERNAL: out of order"):
            await connection.write(buckets(1))


# the program


async def test_a_switch_without_a_program_gets_it(switch: ScriptedSwitch, pipeline: Pipeline) -> None:
    async with connected(switch, pipeline) as connection:
        assert await connection.cookie() is None
        assert await connection.install()
    (request,) = switch.pushed
    assert request.action == p4r.SetForwardingPipelineConfigRequest.VERIFY_AND_COMMIT
    assert request.config.cookie.cookie == pipeline.cookie != 0


async def test_a_program_that_runs_already_is_never_pushed_again(
    switch: ScriptedSwitch, pipeline: Pipeline
) -> None:
    switch.cookie = pipeline.cookie
    async with connected(switch, pipeline) as connection:
        assert not await connection.install()
    assert switch.pushed == []


async def test_another_program_is_replaced(switch: ScriptedSwitch, pipeline: Pipeline) -> None:
    switch.cookie = pipeline.cookie + 1
    async with connected(switch, pipeline) as connection:
        assert await connection.install()


async def test_a_program_that_is_refused_is_said_so(switch: ScriptedSwitch, pipeline: Pipeline) -> None:
    async def abort(context: grpc.aio.ServicerContext) -> None:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no such extern")

    async with connected(switch, pipeline) as connection:
        switch.answer = abort
        with pytest.raises(PipelineRefused, match=r"does not take our program: .*no such extern"):
            await connection.install()


def test_equal_programs_have_equal_cookies_and_others_have_not(tmp_path: Path, pipeline: Pipeline) -> None:
    other = tmp_path / "other.json"
    other.write_bytes(DEVICE_CONFIG.read_bytes() + b"\n")
    assert Pipeline.load(P4INFO, DEVICE_CONFIG).cookie == pipeline.cookie
    assert Pipeline.load(P4INFO, other).cookie != pipeline.cookie


def test_a_program_that_cannot_be_read_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(PipelineRefused, match="cannot be read"):
        Pipeline.load(P4INFO, tmp_path / "nowhere.json")


# reading


async def test_rows_are_read_from_any_number_of_answers(switch: ScriptedSwitch, pipeline: Pipeline) -> None:
    rows = {(1, number): Do("owners", (number, 2, 3, 0, 0)) for number in range(5)}
    switch.reads = [pipeline.codec.entry(BUCKETS, key, do) for key, do in rows.items()]
    async with connected(switch, pipeline) as connection:
        assert {key: do async for key, do in connection.rows(BUCKETS)} == rows


async def test_a_switch_that_stalls_while_it_is_read_is_lost(
    switch: ScriptedSwitch, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "READ_DEADLINE", 0.2)

    async def never(_: grpc.aio.ServicerContext) -> None:
        await asyncio.Event().wait()

    switch.answer = never
    async with connected(switch, pipeline) as connection, asyncio.timeout(20):
        with pytest.raises(Unreachable, match=r"not answered for 0\.2 s"):
            _ = [row async for row in connection.rows(BUCKETS)]


async def test_counters_are_read_by_key_and_by_cell(switch: ScriptedSwitch, pipeline: Pipeline) -> None:
    codec = pipeline.codec
    async with connected(switch, pipeline) as connection:
        entry = codec.entry(VIPS, (1, 6, 80)).table_entry
        data = p4r.CounterData(packet_count=3, byte_count=180)
        switch.reads = [p4r.Entity(direct_counter_entry=p4r.DirectCounterEntry(table_entry=entry, data=data))]
        assert await connection.traffic(VIPS) == {(1, 6, 80): Traffic(3, 180)}
        cells = codec.counter_cells(MOVING_PREVIOUS, [0, 65535])
        for cell in cells:
            cell.counter_entry.data.packet_count = cell.counter_entry.index.index + 1
        switch.reads = cells
        assert await connection.packet_counts(MOVING_PREVIOUS, [0, 65535]) == {0: 1, 65535: 65536}
        assert await connection.packet_counts(MOVING_PREVIOUS, []) == {}


async def test_a_deletion_names_only_the_key(switch: ScriptedSwitch, pipeline: Pipeline) -> None:
    async with connected(switch, pipeline) as connection:
        await connection.write([Change(Kind.DELETE, BACKENDS, (9,), None)])
    (update,) = switch.writes[0].updates
    assert update.type == p4r.Update.DELETE
    assert not update.entity.table_entry.HasField("action")


# packets


def packet_in(pipeline: Pipeline, reason: int, port: int, payload: bytes) -> p4r.StreamMessageResponse:
    metadata = [
        p4r.PacketMetadata(metadata_id=1, value=reason.to_bytes(1, "big")),
        p4r.PacketMetadata(metadata_id=2, value=port.to_bytes(2, "big")),
    ]
    return p4r.StreamMessageResponse(packet=p4r.PacketIn(payload=payload, metadata=metadata))


async def test_packets_come_with_their_reason_and_port(switch: ScriptedSwitch, pipeline: Pipeline) -> None:
    async with connected(switch, pipeline) as connection:
        switch.to_client.put_nowait(packet_in(pipeline, 3, 260, b"frame"))
        assert await asyncio.wait_for(connection.packets.get(), 5) == PacketIn(
            3, 260, b"frame", {"reason": 3, "ingress_port": 260}
        )


async def test_of_too_many_packets_the_newest_are_kept(
    switch: ScriptedSwitch, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "PACKETS_WAITING", 4)
    async with connected(switch, pipeline) as connection:
        for number in range(10):
            switch.to_client.put_nowait(packet_in(pipeline, 3, 1, bytes([number])))
        async with asyncio.timeout(5):
            while connection.packets_lost < 6:
                await asyncio.sleep(0.01)
        assert [connection.packets.get_nowait().payload[0] for _ in range(4)] == [6, 7, 8, 9]


async def test_frames_are_sent_as_packet_outs(switch: ScriptedSwitch, pipeline: Pipeline) -> None:
    async with connected(switch, pipeline) as connection:
        await connection.send(300, b"frame")
        async with asyncio.timeout(5):
            while not switch.sent:
                await asyncio.sleep(0.01)
    (packet,) = switch.sent
    assert packet.payload == b"frame"
    assert {item.metadata_id: item.value for item in packet.metadata} == {1: b"\x00", 2: b"\x01\x2c"}


async def test_a_packet_for_a_stream_that_has_just_ended(switch: ScriptedSwitch, pipeline: Pipeline) -> None:
    async with connected(switch, pipeline) as connection:
        switch.to_client.put_nowait(None)
        with pytest.raises(Unreachable):
            await connection.until_lost()
        with pytest.raises(Unreachable, match="its stream has ended"):
            await connection.send(1, b"frame")


async def test_who_asks_something_is_not_cancelled_when_the_connection_is_closed(
    switch: ScriptedSwitch, pipeline: Pipeline
) -> None:
    """The API asks in tasks of its own, which know nothing of the connection's end."""
    asked: asyncio.Queue[None] = asyncio.Queue()

    async def hang(_: grpc.aio.ServicerContext) -> None:
        asked.put_nowait(None)
        await asyncio.Future()

    switch.answer = hang
    async with connected(switch, pipeline) as connection:
        reading = asyncio.create_task(connection.traffic(VIPS))
        await asked.get()
    with pytest.raises(Unreachable, match="was closed"):
        await reading


async def test_who_is_cancelled_while_he_asks_ends(switch: ScriptedSwitch, pipeline: Pipeline) -> None:
    async def hang(_: grpc.aio.ServicerContext) -> None:
        await asyncio.Future()

    switch.answer = hang
    async with connected(switch, pipeline) as connection:
        reading = asyncio.create_task(connection.traffic(VIPS))
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
