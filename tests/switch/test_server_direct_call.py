"""Write is served on a thread and a completion queue of its own; nobody can tell but by the time it takes."""

import queue
import threading
from collections.abc import Iterator

import grpc
import pytest
from finsy.proto import p4r

from switch.server import direct_call, server
from switch.server.direct_call import DirectCall
from switch.server.service import P4RuntimeService
from tests.switch.client import DEADLINE, Client, Refused
from tests.switch.conftest import Running, running
from tests.switch.in_process import InProcess
from tests.switch.patience import eventually
from tests.switch.service import CONFIG, action, bridge

WRITE = "/p4.v1.P4Runtime/Write"
FORWARD = action("forward", 1)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct_call, "STALL_TIMEOUT", 0.5)
    monkeypatch.setattr(server, "WATCHDOG_INTERVAL", 0.1)


class Silent:
    """A call that has begun and whose message does not come, on a connection of its own."""

    def __init__(self, address: str) -> None:
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._channel = grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        write = self._channel.stream_unary(WRITE)
        self.call = write.future(iter(self._requests.get, None), timeout=DEADLINE)

    def say(self, octets: bytes | None) -> None:
        """None: that was all."""
        self._requests.put(octets)

    @property
    def code(self) -> grpc.StatusCode:
        """Waits for the end of the call."""
        assert self.call.exception(DEADLINE) is not None
        return self.call.code()

    def close(self) -> None:
        self._requests.put(None)
        self._channel.close()


@pytest.fixture
def silent(switch: Running) -> Iterator[Silent]:
    call = Silent(switch.address)
    yield call
    call.close()


def writes(client: Client) -> bool:
    try:
        client.insert(bridge(1, FORWARD))
    except Refused as refused:
        assert refused.code == grpc.StatusCode.RESOURCE_EXHAUSTED
        return False
    client.delete(bridge(1))
    return True


def test_the_grpc_that_is_installed_serves_writes_directly(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []
    write = P4RuntimeService._check_primary

    def noted(self: P4RuntimeService, request: p4r.WriteRequest) -> None:
        threads.append(threading.current_thread().name)
        write(self, request)

    monkeypatch.setattr(P4RuntimeService, "_check_primary", noted)
    client.insert(bridge(1, FORWARD))
    assert set(threads) == {"direct"}


def test_another_grpc_serves_them_as_it_serves_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(direct_call, "_NEEDED", ((direct_call.cygrpc.Server, "what_is_no_longer"),))
    with running(InProcess()) as switch, switch.client() as client:
        client.become_primary()
        client.set_pipeline(CONFIG)
        client.insert(bridge(1, FORWARD))
        assert len(client.read(bridge(1))) == 1
    assert "is not as expected" in caplog.text


def test_a_call_that_stalls_keeps_nobody_waiting(silent: Silent, client: Client) -> None:
    assert writes(client)
    assert not silent.call.done()


def test_a_call_that_stalls_ends(impatient: None, silent: Silent, client: Client) -> None:
    assert silent.code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert silent.call.details() == "the request did not come in time"


def test_calls_that_are_too_many_are_refused_until_others_end(
    switch: Running, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct_call, "MOST_OPEN", 3)
    calls = [Silent(switch.address) for _ in range(4)]
    assert eventually(lambda: any(call.call.done() for call in calls), DEADLINE)
    assert [call.call.code() for call in calls if call.call.done()] == [grpc.StatusCode.RESOURCE_EXHAUSTED]
    assert not writes(client)
    for call in calls:
        call.close()
    assert eventually(lambda: writes(client), DEADLINE)


def test_a_call_without_a_message_is_refused(silent: Silent) -> None:
    silent.say(None)
    assert silent.code == grpc.StatusCode.UNIMPLEMENTED


def test_a_message_that_is_none_is_refused(silent: Silent, client: Client) -> None:
    silent.say(b"\xff\xff")
    assert silent.code == grpc.StatusCode.INTERNAL
    assert writes(client)


def test_what_fails_unexpectedly_fails_alone(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(P4RuntimeService, "_check_primary", lambda *_: 1 // 0)
        with pytest.raises(Refused) as caught:
            client.insert(bridge(1, FORWARD))
    assert caught.value.code == grpc.StatusCode.UNKNOWN
    assert "ZeroDivisionError" in caplog.text
    assert writes(client)


def test_who_is_not_primary_does_not_wait_behind_a_write_that_does(switch: Running, client: Client) -> None:
    with switch.client(9) as other:
        with switch.device.lock:
            waiting = threading.Thread(target=client.insert, args=(bridge(1, FORWARD),))
            waiting.start()
            with pytest.raises(Refused) as caught:
                other.insert(bridge(2, FORWARD))
        assert caught.value.code == grpc.StatusCode.PERMISSION_DENIED
        waiting.join()
    assert len(client.read(bridge(1))) == 1


def test_a_server_stops_while_calls_come_and_others_stall() -> None:
    for _ in range(2):
        with running(InProcess()) as switch:
            silent = [Silent(switch.address) for _ in range(5)]
            writer = threading.Thread(target=_write_until_it_ends, args=(switch,))
            writer.start()
            with switch.client() as client:
                client.become_primary()
        writer.join()
        for call in silent:
            assert call.code == grpc.StatusCode.UNAVAILABLE
            call.close()


def test_a_server_stops_between_a_call_and_the_asking_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, stopping = threading.Event(), threading.Event()
    ask, end_streams = DirectCall._ask_for_next, P4RuntimeService.end_streams

    def ask_late(self: DirectCall) -> None:
        if self._open:
            begun.set()
            assert stopping.wait(DEADLINE)
        ask(self)

    def end_streams_of_a_server_that_stops(self: P4RuntimeService) -> None:
        stopping.set()
        end_streams(self)

    monkeypatch.setattr(DirectCall, "_ask_for_next", ask_late)
    monkeypatch.setattr(P4RuntimeService, "end_streams", end_streams_of_a_server_that_stops)
    with running(InProcess()) as switch:
        silent = Silent(switch.address)
        assert begun.wait(DEADLINE)
    assert silent.code == grpc.StatusCode.UNAVAILABLE
    silent.close()


def _write_until_it_ends(switch: Running) -> None:
    code = grpc.StatusCode.PERMISSION_DENIED
    with switch.client(7) as client:
        while code == grpc.StatusCode.PERMISSION_DENIED:
            with pytest.raises(Refused) as caught:
                client.insert(bridge(1, FORWARD))
            code = caught.value.code
