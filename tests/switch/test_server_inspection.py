"""Counters and traces of a switch that runs: by the commands, and by the service behind them."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from switch import inspection
from switch.server.inspection import SERVICE
from tests.switch import service
from tests.switch.client import DEADLINE, Client
from tests.switch.conftest import Running
from tests.switch.patience import eventually
from tests.switch.service import action, bridge, frame


class Trace:
    """A client's trace. The switch says when it has begun."""

    def __init__(self, address: str, chosen: str = "") -> None:
        self._channel = grpc.insecure_channel(address)
        request = json.dumps({"filter": chosen}).encode()
        self._call: Any = self._channel.unary_stream(f"/{SERVICE}/Trace")(request, timeout=DEADLINE)

    def next(self) -> dict[str, Any]:
        return json.loads(next(self._call))

    def __enter__(self) -> "Trace":
        return self

    def __exit__(self, *_: object) -> None:
        self._call.cancel()
        self._channel.close()


@pytest.fixture
def trace(switch: Running, client: Client) -> Iterator[Trace]:
    """Of frames that come in at port 3."""
    client.insert(bridge(1, action("forward", 2)))
    with Trace(switch.address, "port=3") as trace:
        assert trace.next() == {"note": "tracing"}
        yield trace


def told(traced: dict[str, Any]) -> list[tuple[str, str]]:
    return [(event["kind"], event.get("name", "")) for event in traced["events"]]


def test_a_packet_that_is_chosen_is_told_and_goes_where_it_would(switch: Running, trace: Trace) -> None:
    assert switch.data_plane.receive(1, frame(1)) == [(2, frame(1))]
    assert switch.data_plane.receive(3, frame(1)) == [(2, frame(1))]
    traced = trace.next()
    assert (traced["port"], traced["length"], traced["packet"]) == (3, 60, frame(1).hex())
    assert told(traced)[0] == ("packet", "")
    assert ("action", "ServiceIngress.forward") in told(traced)
    assert told(traced)[-1] == ("emit", "")
    table = next(event for event in traced["events"] if event.get("name") == "ServiceIngress.bridge")
    assert (table["kind"], table["values"]["hit"]) == ("table", True)
    assert table["source"].startswith("service.p4:")


def test_counts_are_those_of_the_switch(switch: Running, client: Client, trace: Trace) -> None:
    """A traced packet counts as any other: it goes through the same state."""
    before = switch.device.drops()
    switch.data_plane.receive(3, frame(9))
    trace.next()
    after = switch.device.drops()
    assert sum(after.values()) == sum(before.values()) + 1


def test_the_switch_is_as_before_when_the_client_has_gone(switch: Running, client: Client) -> None:
    client.insert(bridge(1, action("forward", 2)))
    with Trace(switch.address) as trace:
        trace.next()

    def is_free() -> bool:
        try:
            with Trace(switch.address) as another:
                return another.next() == {"note": "tracing"}
        except grpc.RpcError:
            return False

    assert eventually(is_free)
    assert switch.data_plane.receive(3, frame(1)) == [(2, frame(1))]


def test_one_trace_at_a_time(switch: Running, trace: Trace) -> None:
    with Trace(switch.address) as second, pytest.raises(grpc.RpcError) as refused:
        second.next()
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED  # type: ignore[attr-defined]
    switch.data_plane.receive(3, frame(1))
    assert trace.next()["port"] == 3


def test_a_trace_goes_on_with_the_next_program(switch: Running, client: Client, trace: Trace) -> None:
    client.set_pipeline(service.CONFIG)
    assert [trace.next(), trace.next()] == [{"note": "the program was exchanged"}, {"note": "tracing"}]
    switch.data_plane.receive(3, frame(1))
    assert trace.next()["port"] == 3


def test_before_there_is_a_program(switch: Running) -> None:
    with Trace(switch.address) as trace, switch.client() as client:
        assert trace.next() == {"note": "no program yet: waiting for one"}
        client.become_primary()
        client.set_pipeline(service.CONFIG)
        assert trace.next() == {"note": "tracing"}


@pytest.mark.parametrize("request_", [b"", b"[]", b"{}", b'{"filter": 5}', b'{"filter": "dport=x"}'])
def test_what_is_no_request(switch: Running, request_: bytes) -> None:
    with grpc.insecure_channel(switch.address) as channel, pytest.raises(grpc.RpcError) as refused:
        next(channel.unary_stream(f"/{SERVICE}/Trace")(request_, timeout=DEADLINE))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]


def test_the_command_trace(switch: Running, client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    """Text by default; ends after the packets that were asked for."""
    client.insert(bridge(1, action("forward", 2)))
    sending = threading.Event()

    def send() -> None:
        while not sending.is_set():
            switch.data_plane.receive(3, frame(1))

    with ThreadPoolExecutor(1) as pool:
        pool.submit(send)
        try:
            arguments = ["trace", "port=3", "--count", "1", "--address", switch.address]
            assert inspection.main(arguments) == 0
        finally:
            sending.set()
    printed = capsys.readouterr()
    assert printed.err == "sluice switch: tracing\n"
    first, *events = printed.out.splitlines()
    assert first.endswith(" port 3, 60 bytes")
    assert events[0].split() == ["packet", "type=normal,", "port=0x3,", "length=0x3c"]
    assert any(line.startswith("  table      ") and "hit=True" in line for line in events)


def test_the_command_counters(switch: Running, client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    switch.data_plane.receive(3, frame(9))
    assert inspection.main(["counters", "-o", "json", "--address", switch.address]) == 0
    counted = json.loads(capsys.readouterr().out)
    assert counted["drops"] == dict(switch.device.drops())
    assert sum(counted["drops"].values()) == 1
    assert counted["losses"] == {"cpu_port_full": 0}
    assert inspection.main(["counters", "--address", switch.address]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "dropped by the program"


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(inspection, "CONNECT_TIMEOUT", 0.1)
    assert inspection.main(["counters", "--address", "127.0.0.1:1"]) == 3
    assert "no switch answers at 127.0.0.1:1; --address names another" in capsys.readouterr().err


def test_another_switch_than_ours_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        assert inspection.main(["counters", "--address", f"127.0.0.1:{port}"]) == 1
    finally:
        server.stop(None).wait()
    assert f"the switch at 127.0.0.1:{port} is not the embedded one" in capsys.readouterr().err


def test_a_certificate_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert inspection.main(["counters", "--cacert", "/nowhere/ca.pem"]) == 1
    assert "/nowhere/ca.pem cannot be read: No such file or directory" in capsys.readouterr().err


def test_a_wrong_filter_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        inspection.main(["trace", "dport=http"])
    assert ended.value.code == 2
    assert "should be a number from 0 to 65535" in capsys.readouterr().err
