"""`sluice switch` as a process: packets by gRPC, links by gNMI, recorded packets, certificates."""

import re
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from finsy.proto import gnmi, gnmi_grpc

from switch.recorder import FILE_HEADER
from tests.switch import service
from tests.switch.certificates import make_certificate
from tests.switch.client import DEADLINE, Client
from tests.switch.packet_client import PacketClient, request
from tests.switch.patience import eventually
from tests.switch.service import action, bridge, frame
from tests.switch.test_main_switch import Switch, failing, started
from tests.switch.test_server_gnmi import OPER_STATUS, Watch, on_change, status
from tests.switch.test_server_tls import capabilities, channel
from tests.switch.wires import Wire, ip, own_network

COMPILED = 60.0
"""Seconds in which the traced program is surely compiled."""


def test_packets_by_grpc_need_neither_interfaces_nor_rights() -> None:
    with started("--no-p4", "-i", "3@no-such-interface", packets="127.0.0.1:0") as switch:
        assert ", packets on 127.0.0.1:" in switch.ready_line
        assert ", ports 3@no-such-interface," in switch.ready_line
        packets = PacketClient(switch.ready_line.split("packets on ")[1].split(",")[0])
        with Client(switch.address) as client:
            client.become_primary()
            client.set_pipeline(service.CONFIG)
            client.insert(bridge(1, action("forward", 9)))
            assert packets.exchange(request(3, frame(1), id=42)) == [(42, 9, frame(1))]
        packets.close()
        assert switch.end() == (0, "")


def test_what_packets_do_is_logged(tmp_path: Path) -> None:
    """Of those that the filter chooses; from the first program, and on with the next."""
    log = tmp_path / "log"
    flags = ("--no-p4", "--trace=port=3", "--log-file", str(log))

    def comes(text: str, times: int = 1) -> bool:
        return eventually(lambda: log.read_text().count(text) == times, COMPILED)

    with started(*flags, packets="127.0.0.1:0") as switch, Client(switch.address) as client:
        packets = PacketClient(switch.ready_line.split("packets on ")[1].split(",")[0])
        client.become_primary()
        assert comes(" INFO no program yet: waiting for one\n")
        for times in (1, 2):
            client.set_pipeline(service.CONFIG)
            client.insert(bridge(1, action("forward", 9)))
            assert comes(" INFO tracing\n", times)
            assert packets.exchange(request(4, frame(1)), request(3, frame(1))) == [(0, 9, frame(1))] * 2
            assert comes("\n  emit       port=0x9, length=0x3c\n", times)
        packets.close()
        assert switch.end() == (0, "")
    told = log.read_text()
    assert re.findall(r" INFO .* port (\d+), 60 bytes\n", told) == ["3", "3"]
    assert " INFO the program was exchanged\n" in told
    assert re.search(r"\n  table      ServiceIngress\.bridge hit=True, .* +\(service\.p4:\d+\)\n", told)


def test_an_address_for_packets_that_is_in_use() -> None:
    with started("--no-p4", packets="127.0.0.1:0") as switch:
        address = switch.ready_line.split("packets on ")[1].split(",")[0]
        code, said = failing("--no-p4", "--", "--dp-grpc-server-addr", address)
    assert code == 5
    assert f"cannot listen on {address}" in said
    assert "-- --dp-grpc-server-addr HOST:PORT" in said


@pytest.mark.root
def test_a_link_that_goes_down_and_comes_up_is_told(tmp_path: Path) -> None:
    address = f"unix:{tmp_path / 'p4runtime'}"
    with own_network():
        one, _ = Wire("p1"), Wire("p2")
        with (
            started("--no-p4", "-i", "1@p1", "-i", "2@p2", address=address),
            grpc.insecure_channel(address) as channel,
        ):
            watch = Watch(gnmi_grpc.gNMIStub(channel), "STREAM", on_change(OPER_STATUS))
            assert [watch.next(), watch.next()] == [{status("p1"): "UP", status("p2"): "UP"}, "sync"]
            ip(f"link set {one.end} down")
            assert watch.next() == {status("p1"): "DOWN"}
            ip(f"link set {one.end} up")
            assert watch.next() == {status("p1"): "UP"}
            one.remove()
            assert watch.next() == {status("p1"): "DOWN"}
            watch.end()


@pytest.mark.root
def test_a_link_that_is_down_from_the_beginning(tmp_path: Path) -> None:
    address = f"unix:{tmp_path / 'p4runtime'}"
    with own_network():
        wire = Wire("p1")
        ip(f"link set {wire.end} down")
        with started("--no-p4", "-i", "1@p1", address=address), grpc.insecure_channel(address) as channel:
            path = gnmi.Path(elem=[gnmi.PathElem(name="interfaces")])
            answer = gnmi_grpc.gNMIStub(channel).Get(
                gnmi.GetRequest(path=[path], encoding=gnmi.Encoding.PROTO), timeout=DEADLINE
            )
            assert "DOWN" in {update.val.string_val for update in answer.notification[0].update}


def recorded(file: Path) -> Iterator[bytes]:
    """The packets in a pcap file."""
    octets = file.read_bytes()
    assert octets.startswith(FILE_HEADER)
    at = len(FILE_HEADER)
    while at < len(octets):
        _, _, kept, length = struct.unpack_from("=IIII", octets, at)
        assert kept == length
        yield octets[at + 16 : at + 16 + kept]
        at += 16 + kept


@pytest.mark.root
def test_packets_are_recorded_as_they_come_and_go(tmp_path: Path) -> None:
    address, folder = f"unix:{tmp_path / 'p4runtime'}", tmp_path / "new" / "pcaps"
    tagged = frame(1)[:12] + bytes.fromhex("8100 0005") + frame(1)[12:]
    with own_network():
        one, two = Wire("p1"), Wire("p2")
        arguments = ("--no-p4", "-i", "1@p1", "-i", "2@p2", f"--pcap={folder}")
        with started(*arguments, address=address) as switch, Client(switch.address) as client:
            client.become_primary()
            client.set_pipeline(service.CONFIG)
            client.insert(bridge(1, action("forward", 2)))
            for packet in (frame(1), tagged, frame(7)):
                one.send(packet)
            assert [two.receive(), two.receive()] == [frame(1), tagged]
            assert eventually(lambda: len(list(recorded(folder / "p2_out.pcap"))) == 2)
            assert switch.end()[0] == 0
    assert list(recorded(folder / "p1_in.pcap")) == [frame(1), tagged, frame(7)]
    assert list(recorded(folder / "p2_out.pcap")) == [frame(1), tagged]
    assert list(recorded(folder / "p1_out.pcap")) == []
    assert list(recorded(folder / "p2_in.pcap")) == []


@pytest.mark.root
def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with own_network():
        Wire("p1")
        code, said = failing("--no-p4", "-i", "1@p1", f"--pcap={tmp_path / 'file'}")
    assert code == 4
    assert "cannot record packets in" in said


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is absent")
def test_tls_with_certificates_of_clients(tmp_path: Path) -> None:
    make_certificate(tmp_path, "authority")
    certificate, key = make_certificate(tmp_path, "switch", "authority")
    make_certificate(tmp_path, "controller", "authority")
    flags = ["--grpc-server-ssl", "--grpc-server-cert", str(certificate), "--grpc-server-key", str(key)]
    flags += ["--grpc-server-cacert", str(tmp_path / "authority.pem"), "--grpc-server-with-client-auth"]
    switch = Switch(["--no-p4", "--", "--grpc-server-addr", "127.0.0.1:0", *flags], {})
    try:
        assert capabilities(channel(switch.address, tmp_path, "authority", "controller")) == "1.5.0"
        assert capabilities(channel(switch.address, tmp_path, "authority", None)) == "UNAVAILABLE"
        assert switch.end()[0] == 0
    finally:
        switch.process.kill()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is absent")
def test_certificates_that_cannot_be_used(tmp_path: Path) -> None:
    certificate, _ = make_certificate(tmp_path, "one")
    _, key = make_certificate(tmp_path, "two")
    missing = tmp_path / "missing"
    for used in ((certificate, key), (certificate, missing), (missing, key)):
        flags = ("--grpc-server-ssl", "--grpc-server-cert", str(used[0]), "--grpc-server-key", str(used[1]))
        code, said = failing("--no-p4", "--", *flags)
        assert code == 8
        assert said.startswith(f"sluice switch: cannot use {used[0]}, {used[1]}: ")
