"""Clients that flood, stall or lie: the others are served, and memory is bounded."""

import queue
import threading
from typing import Any

import grpc
import pytest
from finsy.proto import p4r

from switch.server import server, service, streams
from switch.server.arbitration import MAX_CLIENTS
from switch.server.listening import MAX_REQUEST_BYTES
from switch.server.outbox import Outbox
from switch.server.service import MAX_STREAMS
from switch.server.watchdog import Watchdog
from tests.switch.client import DEADLINE, DEVICE_ID, Client, Refused, StreamEnded, refusals, uint128
from tests.switch.conftest import Running
from tests.switch.patience import eventually
from tests.switch.service import CONFIG, action, bridge, exact, frame, table_entry

FORWARD = action("forward", 1)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's patience is half a second."""
    monkeypatch.setattr(service, "INTRODUCTION_TIMEOUT", 0.5)
    monkeypatch.setattr(service, "STALL_TIMEOUT", 0.5)
    monkeypatch.setattr(server, "WATCHDOG_INTERVAL", 0.1)


# ---- The bounds themselves ----


def test_an_outbox_drops_what_is_too_many_or_too_long() -> None:
    outbox: Outbox[int] = Outbox(room=3, room_bytes=100)
    assert [outbox.offer(n, 10) for n in range(5)] == [True, True, True, False, False]
    assert outbox.dropped == 2
    taken = outbox.messages()
    assert next(taken) == 0
    assert outbox.offer(5, 1000), "it may be exceeded by one message"
    assert next(taken) == 1
    assert not outbox.offer(6, 1)
    assert [next(taken), next(taken)] == [2, 5]
    assert outbox.offer(7, 1)
    outbox.close()
    assert list(taken) == [7]


def test_an_outbox_makes_who_can_wait_wait() -> None:
    outbox: Outbox[int] = Outbox(room=2, room_bytes=100)
    putting = threading.Thread(target=lambda: [outbox.put(n, 1) for n in range(100)])
    putting.start()
    taken = outbox.messages()
    assert [next(taken) for _ in range(98)] == list(range(98))
    putting.join()
    outbox.close()
    assert list(taken) == [98, 99]


def test_closing_an_outbox_lets_go_of_who_waits() -> None:
    outbox: Outbox[int] = Outbox(room=1, room_bytes=100)
    putting = threading.Thread(target=lambda: [outbox.put(n, 1) for n in range(100)])
    putting.start()
    outbox.close()
    putting.join(DEADLINE)
    assert not putting.is_alive()


def test_a_stream_whose_verdicts_are_not_read_is_cut() -> None:
    cut: list[bool] = []
    stream = streams.ClientStream(lambda: cut.append(True))
    for _ in range(streams.MAX_WAITING + streams.MAX_VERDICTS_WAITING):
        stream.send(p4r.StreamMessageResponse())
    assert not cut and not stream.closed
    stream.send(p4r.StreamMessageResponse())
    assert cut and stream.closed


def test_the_watchdog_calls_what_is_due_once() -> None:
    called: list[str] = []
    watchdog = Watchdog()
    watchdog.start(0.0, lambda: called.append("due"))
    watchdog.start(DEADLINE, lambda: called.append("later"))
    stopped = watchdog.start(0.0, lambda: called.append("stopped"))
    watchdog.stop(stopped)
    with watchdog.limit(0.0, lambda: called.append("over")):
        pass
    watchdog.look()
    watchdog.look()
    assert called == ["due"]


# ---- Streams ----


def test_a_stream_without_an_arbitration_ends(impatient: None, switch: Running) -> None:
    with switch.client() as client:
        stream = client.open_stream()
        with pytest.raises(StreamEnded, match="a stream begins with an arbitration") as caught:
            stream.receive()
        assert caught.value.code == grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_stream_with_an_arbitration_stays(impatient: None, switch: Running) -> None:
    with switch.client() as client, switch.client(2) as other:
        stream = client.become_primary()
        with pytest.raises(StreamEnded):
            other.open_stream().receive()
        stream.arbitrate(1, DEVICE_ID)
        assert stream.verdict() == ("OK", 1)


def test_silent_streams_keep_nobody_out_for_long(impatient: None, switch: Running) -> None:
    with switch.client() as liar, switch.client(2) as honest:
        for _ in range(MAX_STREAMS):
            liar.open_stream()

        def is_served() -> bool:
            stream = honest.open_stream()
            stream.arbitrate(2, DEVICE_ID)
            try:
                return stream.verdict() == ("OK", 2)
            except StreamEnded as ended:
                assert ended.code == grpc.StatusCode.RESOURCE_EXHAUSTED
                return False

        assert eventually(is_served)


def test_requests_are_served_while_all_streams_are_taken(switch: Running) -> None:
    with switch.client() as client:
        held = [client.open_stream() for _ in range(MAX_CLIENTS)]
        for number, stream in enumerate(held, start=1):
            stream.arbitrate(number, DEVICE_ID)
            while stream.verdict() != ("OK", number):
                pass
        extra = client.open_stream()
        extra.arbitrate(99, DEVICE_ID)
        with pytest.raises(StreamEnded) as caught:
            extra.verdict()
        assert caught.value.code == grpc.StatusCode.RESOURCE_EXHAUSTED
        answer = client.stub.Capabilities(p4r.CapabilitiesRequest(), timeout=DEADLINE)
        assert answer.p4runtime_api_version == "1.5.0"


def test_a_primary_that_does_not_read_loses_packets_and_nothing_else(switch: Running, client: Client) -> None:
    """Its own writes go on, packets between ports too, and a reader that comes later gets new packets."""
    client.insert(bridge(1, FORWARD), bridge(2, action("to_controller", 1)))
    lazy = client.stub.StreamChannel(iter([_arbitration(5)]), timeout=DEADLINE)
    client.election_id = 5
    assert next(lazy).arbitration.status.code == 0
    endless: queue.Queue[p4r.StreamMessageRequest] = queue.Queue()
    endless.put(_arbitration(6))
    lazy = client.stub.StreamChannel(iter(endless.get, None), timeout=DEADLINE)
    assert next(lazy).arbitration.status.code == 0
    client.election_id = 6
    for _ in range(3 * streams.MAX_WAITING):
        switch.data_plane.receive(3, frame(2, payload=bytes(1400)))
    assert switch.data_plane.receive(3, frame(1)) == [(1, frame(1))]
    client.insert(bridge(3, FORWARD))
    lazy.cancel()
    with switch.client(7) as other:
        stream = other.become_primary()
        assert eventually(lambda: _hears(switch, stream))


def _arbitration(election_id: int) -> p4r.StreamMessageRequest:
    update = p4r.MasterArbitrationUpdate(device_id=DEVICE_ID, election_id=uint128(election_id))
    return p4r.StreamMessageRequest(arbitration=update)


def _hears(switch: Running, stream: Any) -> bool:
    """Old ones come first, some thousands, and a new one may find no room among them."""
    new = b"new" + bytes(43)
    for _ in range(100):
        switch.data_plane.receive(3, frame(2, payload=new))
        if stream.receive().packet.payload.endswith(new):
            return True
    return False


def test_a_flapping_client_does_not_stop_the_others(switch: Running) -> None:
    """It takes the mastership again and again; who has a higher election id gets and keeps it."""
    with switch.client() as flapping, switch.client() as honest:
        stream = flapping.open_stream()
        for number in range(1, 2000):
            stream.arbitrate(number, DEVICE_ID)
        honest.election_id = 1 << 64
        primary = honest.open_stream()
        primary.arbitrate(honest.election_id, DEVICE_ID)
        while primary.verdict() != ("OK", honest.election_id):
            pass
        honest.set_pipeline(CONFIG)


# ---- Requests ----


def test_readers_that_stall_are_let_go(impatient: None, switch: Running, client: Client) -> None:
    """They keep all of the server's threads; whoever comes next is answered all the same."""
    client.insert(*(bridge(n, FORWARD) for n in range(2000)))
    request = p4r.ReadRequest(device_id=DEVICE_ID, entities=[table_entry("bridge")] * 3)

    def is_answered() -> bool:
        try:
            return len(client.read(bridge(1))) == 1
        except Refused:
            return False  # on a busy machine half a second is short for honest readers too

    with switch.client(2) as liar, switch.client(3) as other:
        stalled = [c.stub.Read(request, timeout=DEADLINE) for c in (liar, other) for _ in range(80)]
        assert len(stalled) > server.THREADS
        assert eventually(is_answered, DEADLINE)
        client.set_pipeline(CONFIG)  # and what they were reading goes


def test_a_message_that_is_too_long_is_refused(client: Client) -> None:
    huge = p4r.WriteRequest(
        device_id=DEVICE_ID,
        election_id=uint128(client.election_id),
        updates=[
            p4r.Update(
                type=p4r.Update.INSERT,
                entity=table_entry("bridge", exact(1, 1), do=FORWARD, metadata=bytes(MAX_REQUEST_BYTES)),
            )
        ],
    )
    with pytest.raises(Refused) as caught, refusals():
        client.stub.Write(huge, timeout=DEADLINE)
    assert caught.value.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert client.read(table_entry("bridge")) == []


def test_many_requests_at_once_are_all_answered(client: Client) -> None:
    client.insert(bridge(1, FORWARD))
    request = p4r.ReadRequest(device_id=DEVICE_ID, entities=[bridge(1)])
    calls = [client.stub.Read(request, timeout=DEADLINE) for _ in range(500)]
    assert all(len(next(iter(call)).entities) == 1 for call in calls)


def test_writes_of_who_is_not_primary_do_not_wait_for_those_of_the_primary(
    switch: Running, client: Client
) -> None:
    with switch.client(9) as other, switch.device.lock, pytest.raises(Refused) as caught:
        other.insert(bridge(1, FORWARD))
    assert caught.value.code == grpc.StatusCode.PERMISSION_DENIED
