"""Which client may write, by the rules of P4Runtime 1.5 ("Client Arbitration")."""

import queue
from typing import Any

import grpc
import pytest
from finsy.proto import p4r

from switch.server.arbitration import MAX_CLIENTS, Arbiter
from switch.server.status import RequestError
from tests.switch import service
from tests.switch.client import (
    DEADLINE,
    DEVICE_ID,
    Client,
    Refused,
    Stream,
    StreamEnded,
    code_name,
    refusals,
    uint128,
)
from tests.switch.conftest import Running


class Listener:
    """A stream that remembers what it was told, as (status, highest election id)."""

    def __init__(self, arbiter: Arbiter) -> None:
        self._arbiter = arbiter
        self.heard: list[tuple[str, int | None]] = []

    def send(self, response: p4r.StreamMessageResponse) -> None:
        update = response.arbitration
        highest = update.election_id.high << 64 | update.election_id.low
        self.heard.append(
            (code_name(update.status.code), highest if update.HasField("election_id") else None)
        )

    def offer_message(self, response: p4r.StreamMessageResponse) -> bool:
        self.send(response)
        return True

    def bid(self, election_id: int | None) -> list[tuple[str, int | None]]:
        """Send an election id; returns what this stream is told then."""
        message = p4r.MasterArbitrationUpdate(device_id=DEVICE_ID)
        if election_id is not None:
            message.election_id.CopyFrom(uint128(election_id))
        self.heard.clear()
        self._arbiter.update(self, message)
        return list(self.heard)

    def news(self) -> list[tuple[str, int | None]]:
        """What it was told since."""
        heard, self.heard = self.heard, []
        return heard


@pytest.fixture
def arbiter() -> Arbiter:
    return Arbiter(DEVICE_ID, finish_writes=lambda: None)


def test_the_first_client_with_an_election_id_is_the_primary(arbiter: Arbiter) -> None:
    one = Listener(arbiter)
    assert one.bid(5) == [("OK", 5)]
    assert arbiter.primary is one
    assert arbiter.is_primary(5)
    assert not arbiter.is_primary(6)
    assert not arbiter.is_primary(None)


def test_a_lower_election_id_makes_a_backup(arbiter: Arbiter) -> None:
    one, two = Listener(arbiter), Listener(arbiter)
    one.bid(5)
    one.news()
    assert two.bid(4) == [("ALREADY_EXISTS", 5)]
    assert one.news() == []
    assert arbiter.primary is one


def test_a_higher_election_id_takes_over_and_all_are_told(arbiter: Arbiter) -> None:
    one, two, three = Listener(arbiter), Listener(arbiter), Listener(arbiter)
    one.bid(5)
    two.bid(4)
    one.news()
    two.news()
    assert three.bid(6) == [("OK", 6)]
    assert one.news() == [("ALREADY_EXISTS", 6)]
    assert two.news() == [("ALREADY_EXISTS", 6)]
    assert not arbiter.is_primary(5)
    assert arbiter.is_primary(6)


def test_election_ids_have_128_bits(arbiter: Arbiter) -> None:
    one, two = Listener(arbiter), Listener(arbiter)
    one.bid((1 << 64) - 1)
    assert two.bid(1 << 64) == [("OK", 1 << 64)]


def test_nobody_is_promoted_when_the_primary_leaves(arbiter: Arbiter) -> None:
    """Before P4Runtime 1.1, and in the reference server, the next highest was."""
    one, two = Listener(arbiter), Listener(arbiter)
    one.bid(5)
    two.bid(4)
    two.news()
    arbiter.leave(one)
    assert two.news() == [("NOT_FOUND", 5)]
    assert arbiter.primary is None
    assert not arbiter.is_primary(5)
    assert two.bid(4) == [("NOT_FOUND", 5)]
    assert two.bid(5) == [("OK", 5)]


def test_the_highest_election_id_is_remembered_when_all_have_left(arbiter: Arbiter) -> None:
    one, two = Listener(arbiter), Listener(arbiter)
    one.bid(5)
    arbiter.leave(one)
    assert two.bid(4) == [("NOT_FOUND", 5)]
    assert two.bid(5) == [("OK", 5)]


def test_without_an_election_id_a_client_is_a_backup(arbiter: Arbiter) -> None:
    one, two = Listener(arbiter), Listener(arbiter)
    assert one.bid(None) == [("NOT_FOUND", None)]
    one.news()
    assert two.bid(0) == [("OK", 0)]
    assert one.news() == [("ALREADY_EXISTS", 0)]


def test_the_primary_may_step_down(arbiter: Arbiter) -> None:
    one, two = Listener(arbiter), Listener(arbiter)
    one.bid(5)
    two.bid(4)
    two.news()
    assert one.bid(3) == [("NOT_FOUND", 5)]
    assert two.news() == [("NOT_FOUND", 5)]
    assert arbiter.primary is None


def test_the_primary_may_raise_its_election_id(arbiter: Arbiter) -> None:
    one, two = Listener(arbiter), Listener(arbiter)
    one.bid(5)
    two.bid(4)
    two.news()
    assert one.bid(9) == [("OK", 9)]
    assert two.news() == [("ALREADY_EXISTS", 9)]
    assert arbiter.is_primary(9) and not arbiter.is_primary(5)


def test_an_election_id_belongs_to_one_client(arbiter: Arbiter) -> None:
    one, two = Listener(arbiter), Listener(arbiter)
    one.bid(5)
    with pytest.raises(RequestError, match="Election id already exists"):
        two.bid(5)
    assert one.bid(5) == [("OK", 5)]


def test_writes_in_progress_are_finished_before_the_next_primary_may_write() -> None:
    def finish_writes() -> None:
        states.append((arbiter.primary, one.news(), list(two.heard)))

    arbiter = Arbiter(DEVICE_ID, finish_writes)
    one, two = Listener(arbiter), Listener(arbiter)
    states: list[object] = []
    one.bid(5)
    states.clear()
    one.news()
    two.bid(6)
    assert states == [(None, [("ALREADY_EXISTS", 6)], [])]


# ---- On the wire ----


def ending(stream: Stream) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(StreamEnded) as caught:
        stream.receive()
    return caught.value.code, caught.value.text


def test_another_device_is_not_found(switch: Running) -> None:
    with switch.client() as client:
        stream = client.open_stream()
        stream.arbitrate(1, device_id=7)
        assert ending(stream) == (
            grpc.StatusCode.NOT_FOUND,
            "no device 7 here; this switch is device 1",
        )


def test_the_device_of_a_stream_cannot_change(switch: Running) -> None:
    with switch.client() as client:
        stream = client.become_primary()
        stream.arbitrate(1, device_id=7)
        assert ending(stream)[0] == grpc.StatusCode.FAILED_PRECONDITION


def test_roles_are_refused(switch: Running) -> None:
    with switch.client() as client:
        stream = client.open_stream()
        stream.arbitrate(1, role="routing")
        code, text = ending(stream)
        assert code == grpc.StatusCode.UNIMPLEMENTED
        assert "leave the role unset" in text


ROLES = {"by name": {"role": "routing"}, "by number": {"role_id": 5}}
"""The number is what they had before P4Runtime 1.4."""


@pytest.mark.parametrize("role", ROLES.values(), ids=ROLES.keys())
def test_requests_of_a_role_are_refused_before_anything_else(role: dict[str, Any], switch: Running) -> None:
    """NOT_FOUND, and not PERMISSION_DENIED: the specification has this check first."""
    with switch.client() as client:
        client.become_primary()
        write = p4r.WriteRequest(device_id=DEVICE_ID, election_id=uint128(9), **role)
        config = p4r.SetForwardingPipelineConfigRequest(device_id=DEVICE_ID, election_id=uint128(9), **role)
        attempts = [
            lambda: client.stub.Write(write, timeout=DEADLINE),
            lambda: client.stub.SetForwardingPipelineConfig(config, timeout=DEADLINE),
        ]
        for attempt in attempts:
            with pytest.raises(Refused) as caught, refusals():
                attempt()
            assert caught.value.code == grpc.StatusCode.NOT_FOUND


def test_the_config_of_a_role_is_refused(switch: Running) -> None:
    """The default role has none that was agreed upon."""
    with switch.client() as client:
        stream = client.open_stream()
        update = p4r.MasterArbitrationUpdate(device_id=DEVICE_ID, election_id=uint128(1))
        update.role.config.type_url = "type.example/Role"
        stream.send(p4r.StreamMessageRequest(arbitration=update))
        assert ending(stream)[0] == grpc.StatusCode.INVALID_ARGUMENT


def test_an_election_id_in_use_ends_the_stream(switch: Running) -> None:
    with switch.client() as one, switch.client() as two:
        one.become_primary()
        stream = two.open_stream()
        stream.arbitrate(1)
        assert ending(stream) == (grpc.StatusCode.INVALID_ARGUMENT, "Election id already exists")


def test_the_number_of_clients_is_limited(switch: Running) -> None:
    clients = [switch.client(election_id) for election_id in range(1, MAX_CLIENTS + 2)]
    try:
        for client in clients[:-1]:
            client.become_primary()
        stream = clients[-1].open_stream()
        stream.arbitrate(clients[-1].election_id)
        assert ending(stream)[0] == grpc.StatusCode.RESOURCE_EXHAUSTED
    finally:
        for client in clients:
            client.__exit__(None, None, None)


def test_a_backup_may_read_but_not_write(switch: Running, client: Client) -> None:
    with switch.client(election_id=0) as backup:
        stream = backup.open_stream()
        stream.arbitrate(0)
        assert stream.verdict() == ("ALREADY_EXISTS", 1)
        with pytest.raises(Refused) as caught:
            backup.insert(service.bridge(1, service.action("forward", 1)))
        assert caught.value.code == grpc.StatusCode.PERMISSION_DENIED
        with pytest.raises(Refused) as caught:
            backup.set_pipeline(service.CONFIG)
        assert caught.value.code == grpc.StatusCode.PERMISSION_DENIED
        assert backup.read(service.table_entry("bridge")) == []


def test_a_client_that_vanishes_is_primary_no_more(switch: Running) -> None:
    with switch.client(1) as backup:
        stream = backup.open_stream()
        with switch.client(2) as primary:
            primary.become_primary()
            stream.arbitrate(1)
            assert stream.verdict() == ("ALREADY_EXISTS", 2)
        assert stream.verdict() == ("NOT_FOUND", 2)


def test_a_take_over_waits_for_the_write_in_progress(switch: Running, client: Client) -> None:
    with switch.client(2) as successor:
        stream = successor.open_stream()
        with switch.device.lock:  # as a write holds it
            stream.arbitrate(2)
            with pytest.raises(queue.Empty):
                stream.receive(timeout=0.2)
        assert stream.verdict() == ("OK", 2)
