"""What the switch puts into a tunnel the kernel takes out: VXLAN, and others where the kernel has them."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from bmv2 import Bmv2
from scapy.layers.inet import UDP
from scene import BACKEND_MAC, FAMILIES, GRE, IPIP, V4, VXLAN, Family, balanced, network

# Runs inside the namespace: sends the frame into a veth pair and receives what comes out of the tunnel.
RECEIVE = """
import socket, sys
frame, address = bytes.fromhex(sys.argv[1]), sys.argv[2]
family = socket.AF_INET6 if ":" in address else socket.AF_INET
server = socket.socket(family, socket.SOCK_DGRAM)
server.bind((address, 80))
server.settimeout(3)
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
    if os.geteuid() != 0:
        pytest.skip("needs root to make a network namespace")
    name = f"sluice-decap-{os.getpid()}"
    ip("netns", "add", name)
    try:
        ip("-n", name, "link", "add", "near", "type", "veth", "peer", "name", "far", "address", BACKEND_MAC)
        for device in ("lo", "near", "far"):
            ip("-n", name, "link", "set", device, "up")
        for family, length in ((FAMILIES[0], "24"), (FAMILIES[1], "64")):
            nodad = ["nodad"] if family.version == 6 else []
            ip("-n", name, "address", "add", f"{family.backends[0]}/{length}", "dev", "far", *nodad)
        yield name
    finally:
        ip("netns", "delete", name)


def tunnel_device(mode: int, outer: Family) -> list[str]:
    local = ["local", outer.backends[0]]
    if mode == VXLAN:
        address = ["address", "02:00:00:00:0a:02"]
        return [*address, "type", "vxlan", "id", str(0x123456), *local, "dstport", "4789", "udp6zerocsumrx"]
    if mode == GRE:
        return ["type", "gre" if outer.version == 4 else "ip6gre", *local]
    return ["type", "ipip" if outer.version == 4 else "ip6tnl", *local]


@pytest.mark.parametrize("outer", FAMILIES, ids=lambda f: f"outer{f.version}")
@pytest.mark.parametrize("inner", FAMILIES, ids=lambda f: f"inner{f.version}")
@pytest.mark.parametrize("mode", (VXLAN, IPIP, GRE), ids=("vxlan", "ipip", "gre"))
def test_the_kernel_finds_the_packet(
    switch: Bmv2, namespace: str, mode: int, inner: Family, outer: Family
) -> None:
    try:
        ip("-n", namespace, "link", "add", "tunnel", *tunnel_device(mode, outer))
    except subprocess.CalledProcessError as error:
        pytest.skip(f"this kernel has no such tunnel device: {error.stderr.strip()}")
    if (mode, inner, outer) == (IPIP, FAMILIES[1], V4):
        pytest.skip("IPv6 in IPv4 is a device of another kind (sit)")
    ip("-n", namespace, "link", "set", "tunnel", "up")
    full, nodad = ("32", []) if inner.version == 4 else ("128", ["nodad"])
    ip("-n", namespace, "address", "add", f"{inner.vip}/{full}", "dev", "tunnel", *nodad)
    ip("-n", namespace, "route", "add", inner.client, "dev", "tunnel")

    switch.insert(*network(), *balanced(mode, inner, outer))
    ((_, frame),) = switch.send(1, inner.to_vip() / UDP(sport=4242, dport=80) / b"hello")
    command = ["ip", "netns", "exec", namespace, sys.executable, "-c", RECEIVE, frame.hex(), inner.vip]
    heard = subprocess.run(command, check=True, capture_output=True, text=True)
    assert heard.stdout.split() == [inner.client, "4242", "hello"]
