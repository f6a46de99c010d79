"""The ports on real interfaces: what comes in at one goes out at another, whatever happens to them."""

import errno
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from switch.worker import PACKET_ROOM, PortError, Worker
from tests.switch.patience import eventually
from tests.switch.reflector import NOWHERE, Reflector
from tests.switch.wires import Wire, ip, own_network

pytestmark = pytest.mark.root

CPU = 255


def frame(payload: bytes, kind: int = 0x88B5) -> bytes:
    """An Ethernet frame of a type for experiments."""
    return bytes.fromhex("020000000001 020000000002") + kind.to_bytes(2, "big") + payload


@pytest.fixture
def network() -> Iterator[None]:
    with own_network():
        yield


@pytest.fixture
def wires(network: None) -> tuple[Wire, Wire]:
    return Wire("p1"), Wire("p2")


@pytest.fixture
def worker(wires: tuple[Wire, Wire]) -> Iterator[Worker]:
    """Ports 1 and 2, reflected into each other; the CPU port reflected into itself."""
    with running_worker() as worker:
        yield worker


@contextmanager
def running_worker() -> Iterator[Worker]:
    worker = Worker(CPU)
    try:
        worker.attach(1, "p1")
        worker.attach(2, "p2")
        worker.run(Reflector({1: 2, 2: 1, CPU: CPU}))
        worker.start()
        yield worker
    finally:
        worker.close()


def test_packets_cross_unchanged_and_in_order(worker: Worker, wires: tuple[Wire, Wire]) -> None:
    one, two = wires
    generator = random.Random(1)
    packets = [
        frame(i.to_bytes(4, "big") + generator.randbytes(generator.randrange(42, 1480))) for i in range(500)
    ]
    for packet in packets:
        one.send(packet)
    assert [two.receive() for _ in packets] == packets
    two.send(packets[0])
    assert one.receive() == packets[0]
    assert worker.counters(1).rx_packets == len(packets)
    assert worker.counters(1).rx_bytes == sum(map(len, packets))
    assert eventually(lambda: worker.counters(2).tx_packets == len(packets))
    assert worker.counters(2).tx_bytes == sum(map(len, packets))


def test_packets_wait_while_the_worker_is_held(worker: Worker, wires: tuple[Wire, Wire]) -> None:
    one, two = wires
    packets = [frame(i.to_bytes(4, "big") + bytes(60)) for i in range(200)]
    with worker.held():
        for packet in packets:
            one.send(packet)
        assert two.is_silent()
        turned = Reflector({1: 1})
        worker.run(turned)
        assert two.is_silent()
    assert [one.receive() for _ in packets] == packets
    assert worker.counters(1).rx_dropped == 0


def test_packets_that_wait_together_are_sent_by_one_call(worker: Worker, wires: tuple[Wire, Wire]) -> None:
    """They are received without any."""
    one, two = wires
    with worker.held():
        for _ in range(3 * 64 + 1):
            one.send(frame(bytes(60)))
    assert [two.receive() for _ in range(3 * 64 + 1)]
    assert eventually(lambda: worker.counters(2).tx_packets == 3 * 64 + 1)
    assert worker.counters(2).tx_calls == 4


def test_what_the_switch_sends_does_not_come_back_to_it(worker: Worker, wires: tuple[Wire, Wire]) -> None:
    one, two = wires
    one.send(frame(bytes(50)))
    two.receive()
    assert one.is_silent()
    assert worker.counters(2).rx_packets == 0


@pytest.mark.parametrize(
    "tags",
    [
        pytest.param("8100 0005", id="one tag"),
        pytest.param("8100 e064", id="priority and VLAN"),
        pytest.param("8100 0000", id="priority tag, VLAN 0"),
        pytest.param("88a8 0007 8100 0005", id="two tags"),
    ],
)
def test_vlan_tags_stay(tags: str, worker: Worker, wires: tuple[Wire, Wire]) -> None:
    one, two = wires
    plain = frame(bytes(range(60)))
    tagged = plain[:12] + bytes.fromhex(tags) + plain[12:]
    one.send(tagged)
    assert two.receive() == tagged
    assert worker.counters(1).rx_bytes == len(tagged)


def test_packets_longer_than_a_ring_slot_cross_in_their_place(network: None) -> None:
    one, two = Wire("p1", mtu=65535), Wire("p2", mtu=65535)
    generator = random.Random(2)
    sizes = [64, 1900, 1960, 1978, 1979, 2000, 2048, 9014, 100, 65535 + 14, 60]
    packets = [frame(generator.randbytes(size - 14)) for size in sizes]
    tagged = [p[:12] + bytes.fromhex("8100 0009") + p[12:] for p in packets[:-2]]
    with running_worker():
        for packet in (*packets, *tagged):
            one.send(packet)
        assert [two.receive() for _ in packets] == packets
        assert [two.receive() for _ in tagged] == tagged


def test_an_interface_may_go_down_and_come_up(worker: Worker, wires: tuple[Wire, Wire]) -> None:
    one, two = wires
    assert worker.link_is_up(2)
    ip("link set p2 down")
    assert not worker.link_is_up(2)
    one.send(frame(bytes(60)))
    assert eventually(lambda: worker.counters(2).tx_dropped == 1)
    ip("link set p2 up")
    assert eventually(lambda: worker.link_is_up(2))
    one.send(frame(b"again" * 12))
    assert two.receive() == frame(b"again" * 12)


def test_a_link_without_carrier_is_down(worker: Worker, wires: tuple[Wire, Wire]) -> None:
    ip(f"link set {wires[1].end} down")
    assert eventually(lambda: not worker.link_is_up(2))


def test_an_interface_may_vanish_and_return(worker: Worker, wires: tuple[Wire, Wire]) -> None:
    one, two = wires
    two.remove()
    assert eventually(lambda: not worker.link_is_up(2))
    one.send(frame(bytes(60)))
    assert eventually(lambda: worker.counters(2).tx_dropped == 1)
    two = Wire("p2")

    def crosses() -> bool:
        one.send(frame(b"again" * 12))
        return not two.is_silent(0.2)

    assert eventually(crosses)


def test_packets_to_no_port_and_without_a_program_are_counted(
    worker: Worker, wires: tuple[Wire, Wire]
) -> None:
    one, _ = wires
    worker.run(Reflector({1: NOWHERE}))
    one.send(frame(bytes(60)))
    assert eventually(lambda: worker.losses.no_such_port == 1)
    worker.run(None)
    one.send(frame(bytes(60)))
    assert eventually(lambda: worker.losses.no_program == 1)


def test_programs_are_exchanged_under_load(worker: Worker, wires: tuple[Wire, Wire]) -> None:
    """After `run`, the program before is never entered again: its state may be freed."""
    one, two = wires
    stop = threading.Event()

    def flood() -> None:
        while not stop.is_set():
            one.send(frame(bytes(60)))

    sender = threading.Thread(target=flood)
    sender.start()
    try:
        for _ in range(50):
            old, new = Reflector({1: 2}), Reflector({1: 2})
            worker.run(old)
            assert eventually(lambda old=old: old.quiesced > 0)
            worker.run(new)
            at_change = old.quiesced
            assert eventually(lambda new=new: new.quiesced > 1)
            assert old.quiesced == at_change
    finally:
        stop.set()
        sender.join()
    two.receive()


def test_an_idle_worker_still_says_that_it_holds_nothing(wires: tuple[Wire, Wire], worker: Worker) -> None:
    program = Reflector({})
    worker.run(program)
    before = program.quiesced
    assert eventually(lambda: program.quiesced > before + 3)


def test_it_closes_under_load(wires: tuple[Wire, Wire]) -> None:
    one, _ = wires
    stop = threading.Event()

    def flood() -> None:
        while not stop.is_set():
            one.send(frame(bytes(60)))

    sender = threading.Thread(target=flood)
    sender.start()
    try:
        for _ in range(10):
            with running_worker() as worker:
                assert eventually(lambda worker=worker: worker.counters(1).rx_packets > 0)
    finally:
        stop.set()
        sender.join()


def test_a_port_needs_an_interface(network: None) -> None:
    worker = Worker()
    with pytest.raises(PortError, match="cannot find the interface nowhere: No such device") as caught:
        worker.attach(1, "nowhere")
    assert caught.value.errno == errno.ENODEV
    with pytest.raises(PortError, match="cannot find the interface"):
        worker.attach(1, "a-name-that-no-interface-can-have")
    with pytest.raises(PortError, match=r"port number 512 is not in 0\.\.511"):
        worker.attach(512, "lo")
    worker.attach(1, "lo")
    with pytest.raises(PortError, match="port 1 is both lo and lo"):
        worker.attach(1, "lo")
    worker.close()


def test_packets_through_the_cpu_port_keep_order_and_content() -> None:
    """Enough of them for the queues to wrap around many times."""
    worker = Worker(CPU)
    worker.run(Reflector({CPU: CPU}))
    worker.start()
    generator = random.Random(3)
    sizes = [0, 1, 13, 64, 1500, 9000, 65535, PACKET_ROOM]
    packets = [generator.randbytes(generator.choice(sizes)) for _ in range(600)]
    sender = threading.Thread(target=lambda: [send_when_there_is_room(worker, packet) for packet in packets])
    sender.start()
    try:
        for packet in packets:
            assert worker.packet_in(10.0) == packet
    finally:
        sender.join()
        worker.close()


def send_when_there_is_room(worker: Worker, packet: bytes) -> None:
    assert eventually(lambda: worker.packet_out(packet))
    # The way back has no brake: what finds no room there is lost.
    time.sleep(len(packet) / 100e6)


def test_what_nobody_takes_from_the_cpu_port_is_bounded() -> None:
    worker = Worker(CPU)
    worker.run(Reflector({CPU: CPU}))
    worker.start()
    try:
        for _ in range(100):
            send_when_there_is_room(worker, bytes(PACKET_ROOM))
        assert eventually(lambda: worker.losses.cpu_port_full > 0)
        taken = 0
        while worker.packet_in(0.2) is not None:
            taken += 1
        assert taken + worker.losses.cpu_port_full == 100
    finally:
        worker.close()


def test_a_packet_out_may_be_too_long() -> None:
    worker = Worker(CPU)
    assert not worker.packet_out(bytes(PACKET_ROOM + 1))
    worker.close()


def test_without_packets_the_cpu_port_gives_none() -> None:
    worker = Worker(CPU)
    worker.start()
    assert worker.packet_in(0.01) is None
    worker.close()
