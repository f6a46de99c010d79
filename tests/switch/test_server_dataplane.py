"""Packets and port state by BMv2's packet service, p4.bm.DataplaneInterface."""

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from switch.server.device import Device
from switch.server.packet_messages import OPER_STATUS_DOWN, OPER_STATUS_UP
from switch.server.packet_service import PACKETS_WAITING, PacketServer
from switch.server.server import Server
from tests.switch import service
from tests.switch.client import DEVICE_ID, Client
from tests.switch.packet_client import PacketClient, request
from tests.switch.patience import eventually
from tests.switch.service import (
    CPU_PORT,
    TYPE_CLONE,
    action,
    bridge,
    frame,
    group,
    packet_out,
    replica,
    session,
)


@pytest.fixture
def packet_server() -> Iterator[PacketServer]:
    server = PacketServer(DEVICE_ID, CPU_PORT, "127.0.0.1:0")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def controller(packet_server: PacketServer) -> Iterator[Client]:
    """The primary; no pipeline is set."""
    device = Device(DEVICE_ID, packet_server.plane)
    server = Server(device, "127.0.0.1:0")
    server.start()
    with Client(server.address) as client:
        client.become_primary()
        yield client
    server.stop()
    device.close()


@pytest.fixture
def packets(packet_server: PacketServer, controller: Client) -> Iterator[PacketClient]:
    """A client, with the pipeline of service.p4 set."""
    controller.set_pipeline(service.CONFIG)
    client = PacketClient(packet_server.address)
    yield client
    client.close()


@contextmanager
def refused(code: grpc.StatusCode) -> Iterator[None]:
    with pytest.raises(grpc.RpcError) as caught:
        yield
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() == code


def test_without_a_program_it_is_not_ready(packet_server: PacketServer) -> None:
    client = PacketClient(packet_server.address)
    with refused(grpc.StatusCode.UNAVAILABLE):
        client.exchange(request(1, frame(1)))
    client.close()


def test_a_packet_comes_out_with_its_id(controller: Client, packets: PacketClient) -> None:
    controller.insert(bridge(1, action("forward", 9)))
    assert packets.exchange(request(3, frame(1), id=42)) == [(42, 9, frame(1))]
    assert packets.exchange(request(3, frame(2), id=43)) == []


def test_copies_have_the_id_too(controller: Client, packets: PacketClient) -> None:
    controller.insert(bridge(1, action("flood", 1)), group(1, replica(4), replica(5)), session(7, replica(6)))
    got = packets.exchange(request(3, frame(1, kind=TYPE_CLONE), id=42))
    assert sorted((id, port) for id, port, _ in got) == [(42, 4), (42, 5), (42, 6)]


def test_packets_come_out_in_the_order_in_which_they_came(controller: Client, packets: PacketClient) -> None:
    controller.insert(*(bridge(n, action("forward", n)) for n in range(1, 100)))
    got = packets.exchange(*(request(200, frame(n), id=n) for n in range(1, 100)))
    assert got == [(n, n, frame(n)) for n in range(1, 100)]


def test_other_devices_and_empty_packets_are_passed_over(controller: Client, packets: PacketClient) -> None:
    controller.insert(bridge(1, action("forward", 9)))
    got = packets.exchange(
        request(3, frame(1), id=1, device_id=7),
        request(3, b"", id=2),
        request(512, frame(1), id=3),
        request(3, frame(1), id=4),
    )
    assert got == [(4, 9, frame(1))]


def test_one_client_at_a_time(controller: Client, packets: PacketClient) -> None:
    controller.insert(bridge(1, action("forward", 9)))
    requests: queue.Queue[Any] = queue.Queue()
    first = packets.stream(iter(requests.get, None))
    requests.put(request(3, frame(1), id=1))
    assert next(first).id == 1
    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED):
        packets.exchange(request(3, frame(1)))
    requests.put(None)
    assert list(first) == []
    assert packets.exchange(request(3, frame(1), id=2)) == [(2, 9, frame(1))]


def test_packets_of_the_controller_come_without_an_id(controller: Client, packets: PacketClient) -> None:
    stream = controller.open_stream()
    controller.election_id = 2
    stream.arbitrate(2, DEVICE_ID)
    assert stream.verdict() == ("OK", 2)
    requests: queue.Queue[Any] = queue.Queue()
    got = packets.stream(iter(requests.get, None))
    controller.insert(bridge(1, action("forward", 9)))
    requests.put(request(3, frame(1), id=1))
    assert next(got).id == 1
    stream.send(packet_out(8, frame(5)))
    answer = next(got)
    assert (answer.id, answer.port, answer.packet) == (0, 8, frame(5))
    requests.put(None)
    assert list(got) == []


def test_packets_to_the_controller(controller: Client, packets: PacketClient) -> None:
    controller.election_id = 2
    stream = controller.become_primary()
    controller.insert(bridge(1, action("to_controller", 3)))
    assert packets.exchange(request(3, frame(1), id=1)) == []
    assert stream.receive().packet.payload == frame(1)


@pytest.mark.soak
def test_a_client_that_does_not_read_is_not_read_from(
    packet_server: PacketServer, controller: Client, packets: PacketClient
) -> None:
    """Nothing is lost, nothing piles up, and the controller is served."""
    controller.insert(bridge(1, action("forward", 9)))
    packet = frame(1, payload=bytes(8000))
    sent = 0
    total = 4 * PACKETS_WAITING

    def requests() -> Iterator[Any]:
        nonlocal sent
        for number in range(1, total + 1):
            sent = number
            yield request(3, packet, id=number)

    got = packets.stream(requests())
    before = -1

    def stands_still() -> bool:
        nonlocal before
        still, before = sent == before and sent > 0, sent
        threading.Event().wait(0.2)
        return still

    assert eventually(stands_still)
    assert sent < total
    controller.insert(bridge(2, action("forward", 1)))
    assert [answer.id for answer in got] == list(range(1, total + 1))


@pytest.mark.parametrize(
    ("port", "status", "device_id"),
    [(1, 0, DEVICE_ID), (1, OPER_STATUS_UP, 7)],
    ids=["unknown", "another device"],
)
def test_wrong_states_are_refused(port: int, status: int, device_id: int, packets: PacketClient) -> None:
    with refused(grpc.StatusCode.INVALID_ARGUMENT):
        packets.set_status(port, status, device_id)


def test_a_state_of_a_port_that_cannot_be_is_refused(packets: PacketClient) -> None:
    with refused(grpc.StatusCode.INVALID_ARGUMENT):
        packets.set_status(512, OPER_STATUS_UP)


def test_ports_appear_with_their_first_packet_or_state(
    packet_server: PacketServer, packets: PacketClient
) -> None:
    ports = packet_server.plane.ports
    assert ports.all() == []
    packets.exchange(request(3, frame(1)))
    packets.set_status(5, OPER_STATUS_DOWN)
    assert [(port.number, port.up) for port in ports.all()] == [(3, True), (5, False)]
    packets.set_status(5, OPER_STATUS_UP)
    assert ports.is_up(5)


def test_a_held_plane_takes_no_packets(
    packet_server: PacketServer, controller: Client, packets: PacketClient
) -> None:
    controller.insert(bridge(1, action("forward", 9)))
    got: list[Any] = []
    with packet_server.plane.held():
        sending = threading.Thread(target=lambda: got.extend(packets.exchange(request(3, frame(1), id=1))))
        sending.start()
        sending.join(0.2)
        assert got == []
    sending.join()
    assert got == [(1, 9, frame(1))]


def test_idle_connections_do_not_keep_it_from_stopping() -> None:
    server = PacketServer(DEVICE_ID, CPU_PORT, "127.0.0.1:0")
    device = Device(DEVICE_ID, server.plane)
    device.run_program(service.CONFIG.p4_device_config)
    server.start()
    client = PacketClient(server.address)
    assert client.exchange(request(3, frame(2))) == []
    stream = client.stream(iter(queue.Queue().get, None))
    client.set_status(1, OPER_STATUS_UP)  # behind it on the connection: so it has arrived
    server.stop()
    device.close()
    with refused(grpc.StatusCode.UNAVAILABLE):
        list(stream)
    client.close()
