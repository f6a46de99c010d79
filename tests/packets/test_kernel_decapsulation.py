"""What the switch puts into a tunnel, Linux takes out: it reaches a socket that listens on the VIP."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from scapy.packet import Packet

from tests.packets import rows
from tests.packets.case import Case, Send
from tests.packets.cases.nat import dns
from tests.packets.rows import GRE, IPIP, VXLAN
from tests.packets.runner import Runner
from tests.packets.ways import MODES, TUNNELLED, Way
from tests.packets.world import CLIENT, DNS, ONE, V4, V6

KERNEL_MODES = (VXLAN, IPIP, GRE)
SOURCE_PORT = 4242

# Runs inside the namespace: sends the frame into a veth pair and receives what comes out of the tunnel.
RECEIVE = """
import socket, sys
frame, address, port = bytes.fromhex(sys.argv[1]), sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
server = socket.socket(family, socket.SOCK_DGRAM)
server.bind((address, port))
server.settimeout(10)
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
    wire.bind(("near", 0))
    wire.send(frame)
data, sender = server.recvfrom(2000)
print(sender[0], sender[1], data.decode())
"""


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@pytest.fixture
def namespace() -> Iterator[str]:
    """Backend one, at the far end of a veth pair."""
    name = f"sluice-decap-{os.getpid()}"
    ip("netns", "add", name)
    try:
        ip("-n", name, "link", "add", "near", "type", "veth", "peer", "name", "far", "address", ONE.mac)
        for device in ("lo", "near", "far"):
            ip("-n", name, "link", "set", device, "up")
        ip("-n", name, "address", "add", f"{ONE.v4}/24", "dev", "far")
        ip("-n", name, "address", "add", f"{ONE.v6}/64", "dev", "far", "nodad")
        yield name
    finally:
        ip("netns", "delete", name)


def device(way: Way) -> list[str]:
    """The end of the tunnel, as `ip link add` has it."""
    assert way.underlay is not None
    local = ["local", way.underlay.of(ONE)]
    if way.mode == VXLAN:
        address = ["address", rows.INNER_DESTINATION_MAC]
        return [*address, "type", "vxlan", "id", str(rows.VNI), *local, "dstport", "4789", "udp6zerocsumrx"]
    if way.underlay is V6:
        return ["type", "ip6gre" if way.mode == GRE else "ip6tnl", *local]
    if way.mode == GRE:
        return ["type", "gre", *local]
    return ["type", "ipip" if way.family is V4 else "sit", *local]


def sent(runner: Runner, way: Way, frame: Packet) -> bytes:
    """What the switch makes of the client's frame, which is what the table says that it is."""
    expected = way.delivered(frame)
    runner.run(Case(str(way), (Send(CLIENT.port, frame, (expected,)),), rows=way.rows))
    return bytes(expected.packet)


@pytest.mark.root
@pytest.mark.parametrize("way", [way for way in TUNNELLED if way.mode in KERNEL_MODES], ids=str)
def test_the_kernel_finds_the_packet(inside: Runner, namespace: str, way: Way) -> None:
    try:
        ip("-n", namespace, "link", "add", "tunnel", *device(way))
    except subprocess.CalledProcessError as error:
        pytest.skip(f"this kernel has no {MODES[way.mode]} device: {error.stderr.strip()}")
    ip("-n", namespace, "link", "set", "tunnel", "up")
    host = ["nodad"] if way.family is V6 else []
    bits = 32 if way.family is V4 else 128
    ip("-n", namespace, "address", "add", f"{way.vip}/{bits}", "dev", "tunnel", *host)
    ip("-n", namespace, "route", "add", way.family.of(CLIENT), "dev", "tunnel")

    frame = sent(inside, way, way.to_vip(dns(SOURCE_PORT, b"hello")))
    command = ["ip", "netns", "exec", namespace, sys.executable, "-c", RECEIVE]
    heard = subprocess.run(
        [*command, frame.hex(), way.vip, str(DNS)], check=True, capture_output=True, text=True
    )
    assert heard.stdout.split() == [way.family.of(CLIENT), str(SOURCE_PORT), "hello"]
