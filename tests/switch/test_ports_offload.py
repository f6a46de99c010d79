"""What hosts leave to the hardware of their interfaces, the ports do: packets come out as on a wire.

First packets of every kind, as a host hands them over, against what scapy makes of them; then real sockets of
two hosts whose interfaces offload all they can.
"""

import hashlib
import os
import random
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6ExtHdrDestOpt, PadN
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from switch.worker import PortCounters, Worker
from tests.packets.wires import in_namespace
from tests.switch.offload import (
    CHECKSUMS,
    ETHER,
    NEEDS_CHECKSUM,
    PLAIN,
    SEGMENT,
    TCP_HEADER,
    TCPV6,
    TUNNELLED,
    UDP_HEADER,
    V4,
    V6,
    carrying,
    complete,
    cut,
    handed_over,
    joins,
    left,
    packets_of,
)
from tests.switch.patience import eventually
from tests.switch.reflector import Reflector
from tests.switch.wires import Wire, ip, own_network

SOL_UDP, UDP_SEGMENT = 17, 103


@pytest.mark.parametrize("headers", [pytest.param(p, id=name) for name, p in CHECKSUMS.items()])
@pytest.mark.parametrize("length", [0, 1, 1300])
def test_a_checksum_is_completed(headers: Packet, length: int) -> None:
    packet = carrying(random.Random(length).randbytes(length), headers)
    assert complete(*handed_over(packet)) == bytes(packet)


def test_a_udp_checksum_that_comes_to_zero_is_all_ones() -> None:
    """Zero would say that there is none (RFC 768)."""
    checksum = Ether(bytes(carrying(bytes(2), ETHER / V4 / UDP_HEADER)))[UDP].chksum
    packet = carrying(struct.pack("!H", checksum), ETHER / V4 / UDP_HEADER)
    assert Ether(bytes(packet))[UDP].chksum == 0xFFFF
    assert complete(*handed_over(packet)) == bytes(packet)


@pytest.mark.parametrize(("start", "offset"), [(34, 7), (42, 0), (41, 0), (40, 2), (34, 8), (65535, 65535)])
def test_a_checksum_beyond_the_end_is_refused(start: int, offset: int) -> None:
    assert complete(left(NEEDS_CHECKSUM, start=start, offset=offset), bytes(ETHER / V4 / UDP_HEADER)) is None


@pytest.mark.parametrize(
    ("kind", "headers"), [pytest.param(*made, id=name) for name, made in (PLAIN | TUNNELLED).items()]
)
@pytest.mark.parametrize("length", [1, SEGMENT, 3 * SEGMENT + 1])
def test_a_super_packet_is_cut(kind: int, headers: Packet, length: int) -> None:
    payload = random.Random(length).randbytes(length)
    assert cut(*handed_over(carrying(payload, headers), kind)) == packets_of(payload, headers)


MADE = [handed_over(carrying(bytes(1500), headers), kind) for kind, headers in (PLAIN | TUNNELLED).values()]


@given(made=st.sampled_from(MADE), data=st.data())
def test_a_damaged_super_packet_does_no_harm(made: tuple[bytes, bytes], data: st.DataObject) -> None:
    """Whatever a neighbour says of it, and wherever it ends: nothing outside it is written, none grows."""
    what, packet = bytearray(made[0]), bytearray(made[1])
    for damaged, end in ((what, len(what)), (packet, 120)):
        for at in data.draw(st.lists(st.integers(0, end - 1), max_size=3)):
            damaged[at] = data.draw(st.integers(0, 255))
    length = data.draw(st.one_of(st.just(len(packet)), st.integers(14, len(packet))))
    packets = cut(bytes(what), bytes(packet[:length]))
    assert all(len(one) <= length for one in packets)
    complete(bytes(what), bytes(packet[:length]))


IP_FIELDS = ("id", "ttl", "frag", "chksum")
FIRST, SECOND = packets_of(bytes(2 * SEGMENT - 1), ETHER / V4 / TCP_HEADER)


def changed(
    packet: bytes, *, checksums: bool = True, payload: bytes | None = None, **fields: object
) -> bytes:
    """With other fields, of IP or TCP; the checksums right again, unless told otherwise."""
    made = Ether(packet)
    for name, value in fields.items():
        setattr(made[IP] if name in IP_FIELDS else made[TCP], name, value)
    if payload is not None:
        made[TCP].remove_payload()
        made /= Raw(payload)
    if checksums:
        del made[IP].len, made[IP].chksum, made[TCP].chksum
    return bytes(made)


def test_the_next_packet_joins() -> None:
    assert joins(FIRST, SECOND)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(FIRST, changed(SECOND, seq=1), id="a gap"),
        pytest.param(FIRST, changed(SECOND, id=7), id="another identification"),
        pytest.param(FIRST, changed(SECOND, ttl=9), id="another TTL"),
        pytest.param(FIRST, changed(SECOND, dport=81), id="another port"),
        pytest.param(FIRST, changed(SECOND, flags="AC"), id="a flag of the first"),
        pytest.param(FIRST, changed(SECOND, frag=1), id="a fragment"),
        pytest.param(FIRST, changed(SECOND, payload=bytes(SEGMENT + 1)), id="a longer one"),
        pytest.param(FIRST, changed(SECOND, payload=b""), id="without payload"),
        pytest.param(FIRST, SECOND[:-1] + b"\1", id="a wrong checksum"),
        pytest.param(FIRST, changed(SECOND, checksums=False, chksum=1), id="a wrong checksum of IP"),
        pytest.param(FIRST[:-1] + b"\1", SECOND, id="a wrong checksum of the first"),
        pytest.param(changed(FIRST, flags="AP"), SECOND, id="the first was the last"),
        pytest.param(FIRST, SECOND + b"\0", id="bytes behind the packet"),
        pytest.param(FIRST, SECOND[:40], id="half a header"),
    ],
)
def test_what_would_not_be_the_same_leaves_by_itself(first: bytes, second: bytes) -> None:
    assert not joins(first, second)


# ---- On wires ----


@contextmanager
def switch() -> Iterator[Worker]:
    """Ports 1 and 2, reflected into each other."""
    worker = Worker()
    try:
        worker.attach(1, "p1")
        worker.attach(2, "p2")
        worker.run(Reflector({1: 2, 2: 1}))
        worker.start()
        yield worker
    finally:
        worker.close()


@dataclass(frozen=True)
class Crossing:
    """From one end to the other of a switch."""

    one: Wire
    two: Wire
    worker: Worker

    def send(self, left: bytes, packet: bytes, expected: int) -> list[bytes]:
        self.one.send_left(left, packet)
        return [self.two.receive() for _ in range(expected)]

    @property
    def counters(self) -> PortCounters:
        return self.worker.counters(1)


@pytest.fixture(scope="module")
def crossing() -> Iterator[Crossing]:
    """The kernel itself cuts what the switch sends in one, and completes it."""
    with own_network():
        one, two = Wire("p1"), Wire("p2")
        subprocess.run(["ethtool", "-K", "p2", "tx", "off"], check=True, capture_output=True)
        with switch() as worker:
            yield Crossing(one, two, worker)


@pytest.mark.root
@pytest.mark.parametrize("headers", [pytest.param(p, id=name) for name, p in CHECKSUMS.items()])
def test_an_unfinished_packet_arrives_finished(headers: Packet, crossing: Crossing) -> None:
    packet = carrying(b"abc", headers)
    before = crossing.counters.rx_checksums
    assert crossing.send(*handed_over(packet), expected=1) == [bytes(packet)]
    assert crossing.counters.rx_checksums == before + 1


@pytest.mark.root
@pytest.mark.parametrize(("kind", "headers"), [pytest.param(*made, id=name) for name, made in PLAIN.items()])
@pytest.mark.parametrize("length", [1 + SEGMENT, 5 * SEGMENT], ids=["in the ring", "longer than a slot"])
def test_a_super_packet_arrives_as_packets(
    kind: int, headers: Packet, length: int, crossing: Crossing
) -> None:
    payload = random.Random(length).randbytes(length)
    expected = packets_of(payload, headers)
    before = crossing.counters
    got = crossing.send(*handed_over(carrying(payload, headers), kind), expected=len(expected))
    assert got == expected
    after = crossing.counters
    assert after.rx_super_packets == before.rx_super_packets + 1
    assert after.rx_packets == before.rx_packets + len(expected)
    assert after.rx_bytes == before.rx_bytes + sum(map(len, expected))


@pytest.mark.root
@pytest.mark.parametrize(
    ("kind", "headers"),
    [pytest.param(*made, id=name) for name, made in PLAIN.items() if "extension" not in name],
)
def test_its_packets_leave_in_one(kind: int, headers: Packet, crossing: Crossing) -> None:
    """But are counted as what they are."""
    payload = random.Random(5).randbytes(5 * SEGMENT - 1)
    before = crossing.worker.counters(2)
    expected = packets_of(payload, headers)
    assert crossing.send(*handed_over(carrying(payload, headers), kind), expected=5) == expected
    assert eventually(lambda: crossing.worker.counters(2).tx_packets == before.tx_packets + 5)
    after = crossing.worker.counters(2)
    assert after.tx_super_packets == before.tx_super_packets + 1
    assert after.tx_bytes == before.tx_bytes + sum(map(len, expected))


@pytest.mark.root
def test_the_largest_super_packet(crossing: Crossing) -> None:
    headers = ETHER / V6 / TCP_HEADER
    payload = random.Random(9).randbytes(65535 - len(TCP_HEADER))
    expected = packets_of(payload, headers)
    assert crossing.send(*handed_over(carrying(payload, headers), TCPV6), expected=len(expected)) == expected


@pytest.mark.root
def test_what_cannot_be_cut_is_dropped_and_counted(crossing: Crossing) -> None:
    """The kernel looks through such packets itself; but its idea of headers that are too long is another."""
    padding = IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(250))] * 2)
    packet = carrying(bytes(1500), ETHER / V6 / padding / TCP_HEADER)
    before = crossing.counters.rx_malformed
    crossing.one.send_left(*handed_over(packet, TCPV6))
    assert eventually(lambda: crossing.counters.rx_malformed == before + 1)
    after = bytes(ETHER / V4 / UDP_HEADER / b"after")
    crossing.one.send(after)
    assert crossing.two.receive() == after


# ---- Real hosts ----


@dataclass(frozen=True)
class Hosts:
    """Two hosts, one behind each port."""

    one: str
    two: str
    worker: Worker


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    names = [f"sluice-offload-{os.getpid()}-{number}" for number in (1, 2)]
    try:
        with own_network():
            for number, name in enumerate(names, 1):
                ip(f"netns add {name}")
                ip(f"link add p{number} type veth peer name eth0 netns {name}")
                ip(f"link set p{number} up")
                ip(f"-n {name} link set eth0 up")
                ip(f"-n {name} address add 10.0.0.{number}/24 dev eth0")
                ip(f"-n {name} address add fd00::{number}/64 dev eth0 nodad")
            with switch() as worker:
                yield Hosts(names[0], names[1], worker)
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def transfer(hosts: Hosts, address: str, megabytes: int = 4) -> None:
    """Over TCP, from host one to this address of host two. The data are whole, and went in super-packets."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    data = random.Random(megabytes).randbytes(megabytes << 20)
    before = hosts.worker.counters(1)
    with (
        in_namespace(hosts.two, lambda: socket.create_server((address, 0), family=family)) as server,
        in_namespace(hosts.one, lambda: socket.socket(family, socket.SOCK_STREAM)) as client,
    ):
        server.settimeout(10)
        client.settimeout(10)
        client.connect(server.getsockname()[:2])
        connection, _ = server.accept()

        def send() -> None:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        received = hashlib.sha256()
        with connection:
            connection.settimeout(10)
            while part := connection.recv(1 << 16):
                received.update(part)
        sender.join()
    assert received.digest() == hashlib.sha256(data).digest()
    after = hosts.worker.counters(1)
    assert after.rx_super_packets > before.rx_super_packets
    assert after.rx_malformed == 0
    assert after.rx_packets - before.rx_packets > len(data) // 1500, (
        "the program saw none longer than the link allows"
    )


@pytest.mark.parametrize("address", ["10.0.0.2", "fd00::2"])
def test_tcp(hosts: Hosts, address: str) -> None:
    transfer(hosts, address)


@pytest.mark.parametrize(
    ("outer", "checksum"),
    [("10.0.0.{}", "noudpcsum"), ("10.0.0.{}", "udpcsum"), ("fd00::{}", "")],
    ids=["IPv4", "IPv4 with outer checksums", "IPv6"],
)
def test_tcp_in_the_hosts_own_tunnel(hosts: Hosts, outer: str, checksum: str) -> None:
    try:
        for number, name in enumerate((hosts.one, hosts.two), 1):
            ends = f"local {outer.format(number)} remote {outer.format(3 - number)}"
            ip(f"-n {name} link add tunnel type vxlan id 7 dstport 4789 {ends} dev eth0 {checksum}")
            ip(f"-n {name} address add 10.9.0.{number}/24 dev tunnel")
            ip(f"-n {name} link set tunnel up")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no VXLAN in this kernel: {error.stderr.decode().strip()}")
    try:
        transfer(hosts, "10.9.0.2")
    finally:
        for name in (hosts.one, hosts.two):
            ip(f"-n {name} link delete tunnel")


@pytest.mark.parametrize("address", ["10.0.0.2", "fd00::2"])
def test_datagrams_that_the_kernel_sends_as_one(hosts: Hosts, address: str) -> None:
    """UDP segmentation offload, as QUIC servers use it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    data = random.Random(7).randbytes(20 * SEGMENT + 1)
    with (
        in_namespace(hosts.two, lambda: socket.socket(family, socket.SOCK_DGRAM)) as server,
        in_namespace(hosts.one, lambda: socket.socket(family, socket.SOCK_DGRAM)) as client,
    ):
        server.settimeout(10)
        server.bind((address, 0))
        client.setsockopt(SOL_UDP, UDP_SEGMENT, SEGMENT)
        before = hosts.worker.counters(1).rx_super_packets
        client.sendto(data, server.getsockname()[:2])
        got = [server.recv(2000) for _ in range(21)]
    assert got == [data[at : at + SEGMENT] for at in range(0, len(data), SEGMENT)]
    assert hosts.worker.counters(1).rx_super_packets == before + 1
