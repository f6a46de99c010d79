"""The same frames, most of them damaged, into the same entries: both switches send the same bytes.

BMv2 is the reference. SLUICE_SOAK=100 runs a hundred rounds instead of a few.
"""

import os
import random
import shutil
from collections import defaultdict
from collections.abc import Iterator

import pytest
from bmv2 import DEADLINE, SWITCH, Bmv2, Row
from embedded import Embedded
from scapy.layers.inet import ICMP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    PadN,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw
from scene import (
    CLIENT_MAC,
    DSR,
    FAMILIES,
    GRE,
    GUE,
    IPIP,
    NAT,
    ROUTER,
    VXLAN,
    Family,
    balanced,
    bucket,
    interface,
    link,
    network,
    wide,
)

ROUNDS = int(os.environ.get("SLUICE_SOAK", "6"))
FRAMES = 100  # in a round
SETTLED = 0.5  # seconds of silence after which even a busy machine's BMv2 has sent everything
INTACT = 0.3  # of the frames
FLOWS = 16  # in a round, of each transport and family
FIRST_PORT, PORTS = 1024, 60_000
HEADERS = 110  # bytes in which damage matters most
OTHER_MTU = 576


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Bmv2, Bmv2]]:
    if shutil.which(SWITCH) is None:
        pytest.skip(f"{SWITCH} is not on PATH")
    with Bmv2() as reference, Embedded() as embedded:
        yield reference, embedded


def entries(rng: random.Random) -> list[Row]:
    family, mode = rng.choice(FAMILIES), rng.choice((NAT, DSR, IPIP, GRE, VXLAN, GUE))
    rows = [*network(), *balanced(mode, family), interface(1), interface(2)]
    if rng.random() < 0.5:
        rows = [row for row in rows if row.table != "buckets"] + [bucket(1, 2, 1, motion=3)]
    if rng.random() < 0.5:
        rows.append(link(2, OTHER_MTU))
    if mode == NAT:
        rows += [Row("nat_hosts", {"address": wide(a)}, "translated") for a in family.backends]
    return rows


def transport(rng: random.Random, ports: tuple[int, int]) -> Packet:
    source, destination = ports
    payload = Raw(rng.randbytes(rng.choice((0, 1, 20, 700))))
    if rng.random() < 0.5:
        return TCP(sport=source, dport=destination, flags=rng.choice(("S", "A", "PA", "FA", "R"))) / payload
    return UDP(sport=source, dport=destination) / payload


def complaint(rng: random.Random, family: Family, quoted: Packet) -> Packet:
    quote = Raw(bytes(quoted)[: rng.choice((28, 48, 60, 200))])
    if family.version == 4:
        return ICMP(type=rng.choice((3, 11)), code=rng.choice((0, 3, 4))) / quote
    return rng.choice((ICMPv6DestUnreach(code=4), ICMPv6PacketTooBig(mtu=1300))) / quote


def whole_frame(rng: random.Random, seed: int) -> tuple[int, Packet]:
    """(port, frame), of the kinds that the program knows.

    No two rounds share flows or datagrams: what the switches remember of them ends by the clock.
    """
    family = rng.choice(FAMILIES)
    ports = (FIRST_PORT + (seed * FLOWS + rng.randrange(FLOWS)) % PORTS, 80)
    back = (ports[1], ports[0])
    fields: dict[str, object] = {("ttl" if family.version == 4 else "hlim"): rng.choice((0, 1, 2, 64))}
    if family.version == 4:
        fields |= {
            "id": (seed * FLOWS + rng.randrange(4)) % PORTS,
            "flags": rng.choice(("", "DF", "MF")),
            "frag": rng.choice((0, 0, 0, 100)),
        }
        fields["options"] = [IPOption_NOP()] * rng.choice((0, 0, 4))
    kind = rng.randrange(7)
    if kind <= 2:
        packet = family.to_vip(**fields) / transport(rng, ports)
    elif kind == 3:
        packet = family.from_backend(dst=family.client, **fields) / transport(rng, back)
        return 2, packet
    elif kind == 4:
        ours = family.ip(src=family.vip, dst=family.client) / transport(rng, back)
        packet = family.to_vip(**fields) / complaint(rng, family, ours)
    elif kind == 5 and family.version == 6:
        extension = rng.choice(
            (IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 4)]), IPv6ExtHdrFragment(id=seed, m=1))
        )
        packet = family.to_vip(**fields) / extension / transport(rng, ports)
    elif kind == 5:
        packet = Ether(src=CLIENT_MAC, dst="ff:ff:ff:ff:ff:ff") / ARP(
            psrc=family.client, pdst=family.routers[0]
        )
    else:
        echo = ICMP() if family.version == 4 else ICMPv6EchoRequest()
        packet = family.from_client(dst=rng.choice((family.vip, *family.routers)), **fields) / echo / b"ping"
    if rng.random() < 0.1:
        packet = Ether(src=CLIENT_MAC, dst=ROUTER) / Dot1Q(vlan=rng.randrange(3)) / packet.payload
    return 1, packet


def damaged(rng: random.Random, frame: bytes) -> bytes:
    """Some bytes changed, or the end cut off."""
    octets = bytearray(frame)
    for _ in range(rng.choice((0, 1, 1, 2, 5))):
        octets[rng.randrange(min(HEADERS, len(octets)))] = rng.choice((0, 1, 255, rng.randrange(256)))
    if rng.random() < 0.3:
        del octets[rng.randrange(1, len(octets)) :]
    return bytes(octets)


def frames(rng: random.Random, seed: int) -> list[tuple[int, bytes]]:
    made = []
    for _ in range(FRAMES):
        port, packet = whole_frame(rng, seed)
        frame = bytes(packet)
        made.append((port, frame if rng.random() < INTACT else damaged(rng, frame)))
    return made


def by_port(sent: list[tuple[int, bytes]]) -> dict[int, list[bytes]]:
    """Order is kept within a port only."""
    found = defaultdict(list)
    for port, frame in sent:
        found[port].append(frame)
    return found


def through(switch: Bmv2, given: list[tuple[int, bytes]]) -> tuple[object, object, object]:
    """(what was sent, what the controller got, drops by reason)."""
    before = switch.reasons("drops")
    for port, frame in given:
        switch.inject(port, frame)
    first = switch.received.get(timeout=DEADLINE)
    sent, told = by_port([first, *switch.collect(SETTLED)]), switch.punted()
    after = switch.reasons("drops")
    return sent, told, {reason: after[reason] - before[reason] for reason in after}


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_both_send_the_same(both: tuple[Bmv2, Bmv2], seed: int) -> None:
    rng = random.Random(seed)
    rows, given = entries(rng), frames(rng, seed)
    outcomes = []
    for switch in both:
        switch.insert(*rows)
        outcomes.append(through(switch, given))
        switch.clear()
    reference, embedded = outcomes
    for one, other in zip(reference, embedded, strict=True):
        assert one == other
