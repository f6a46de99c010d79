"""ICMP errors that quote a balanced flow reach its backend or its client, translated where the flow is."""

import pytest
from bmv2 import Bmv2
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6PacketTooBig, ICMPv6TimeExceeded
from scapy.layers.l2 import Ether
from scapy.packet import Packet
from scene import (
    BACKEND_MAC,
    CLIENT_MAC,
    DSR,
    FAMILIES,
    NAT,
    ROUTER,
    V4,
    VXLAN,
    Family,
    balanced,
    checked,
    network,
)

TRANSPORTS = {
    "tcp": lambda **ports: TCP(**ports, seq=99, flags="A"),
    "udp": lambda **ports: UDP(**ports),
    "udp without checksum": lambda **ports: UDP(**ports, chksum=0),
}
LENGTHS = (8, 16, 20, 37, 500)  # of what is quoted after the IP header


def error(family: Family, kind: str) -> Packet:
    if family.version == 4:
        return {
            "unreachable": ICMP(type=3, code=3),
            "too big": ICMP(type=3, code=4, nexthopmtu=1300),
            "expired": ICMP(type=11),
        }[kind]
    return {
        "unreachable": ICMPv6DestUnreach(code=4),
        "too big": ICMPv6PacketTooBig(mtu=1300),
        "expired": ICMPv6TimeExceeded(),
    }[kind]


def built(packet: Packet) -> bytes:
    return bytes(packet)


def reference(
    family: Family, source: str, destination: str, kind: str, quote: bytes, **fields: object
) -> bytes:
    """The whole IP packet of an ICMP error."""
    return built(family.ip(src=source, dst=destination, **fields) / error(family, kind) / quote)


@pytest.mark.parametrize("kind", ("unreachable", "too big", "expired"))
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f"v{f.version}")
def test_a_router_towards_the_client_complains_about_an_answer(
    switch: Bmv2, family: Family, transport: str, kind: str
) -> None:
    """The error is for the VIP, and quotes VIP -> client. The nat backend sees backend -> client."""
    switch.insert(*network(), *balanced(NAT, family, port=8080))
    router = "192.0.2.7" if family.version == 4 else "2001:db8::7"
    seen = built(
        family.ip(src=family.vip, dst=family.client)
        / TRANSPORTS[transport](sport=80, dport=1234)
        / bytes(range(100))
        / bytes(500)
    )
    own = built(
        family.ip(src=family.backends[0], dst=family.client)
        / TRANSPORTS[transport](sport=8080, dport=1234)
        / bytes(range(100))
        / bytes(500)
    )
    start = 20 if family.version == 4 else 40
    for length in LENGTHS:
        sent = bytes(
            Ether(src=CLIENT_MAC, dst=ROUTER, type=0x800 if family.version == 4 else 0x86DD)
        ) + reference(family, router, family.vip, kind, seen[: start + length])
        ((port, frame),) = switch.send(1, sent)
        assert port == 2
        checked(frame)
        lower = {"ttl": 63} if family.version == 4 else {"hlim": 63}
        assert frame[14:] == reference(
            family, router, family.backends[0], kind, own[: start + length], **lower
        )


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("by", ("backend", "router"))
@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f"v{f.version}")
def test_a_backend_or_a_router_before_it_complains_to_the_client(
    switch: Bmv2, family: Family, transport: str, by: str
) -> None:
    """The error quotes client -> backend; the client sees client -> VIP from the VIP if the backend spoke."""
    switch.insert(*network(), *balanced(NAT, family, port=8080))
    source = family.backends[0] if by == "backend" else family.routers[1].replace("1", "3")
    seen = built(
        family.ip(src=family.client, dst=family.backends[0])
        / TRANSPORTS[transport](sport=1234, dport=8080)
        / bytes(300)
    )
    own = built(
        family.ip(src=family.client, dst=family.vip)
        / TRANSPORTS[transport](sport=1234, dport=80)
        / bytes(300)
    )
    start = 20 if family.version == 4 else 40
    for length in LENGTHS[:-1]:
        packet = reference(family, source, family.client, "unreachable", seen[: start + length])
        sent = (
            bytes(Ether(src=BACKEND_MAC, dst=ROUTER, type=0x800 if family.version == 4 else 0x86DD)) + packet
        )
        ((port, frame),) = switch.send(2, sent)
        assert port == 1
        checked(frame)
        lower = {"ttl": 63} if family.version == 4 else {"hlim": 63}
        speaker = family.vip if by == "backend" else source
        assert frame[14:] == reference(
            family, speaker, family.client, "unreachable", own[: start + length], **lower
        )


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f"v{f.version}")
def test_dsr_and_tunnels_get_it_as_it_is(switch: Bmv2, family: Family) -> None:
    quote = built(family.ip(src=family.vip, dst=family.client) / UDP(sport=80, dport=7) / b"answer")
    sent = family.to_vip() / error(family, "unreachable") / quote
    for mode in (DSR, VXLAN):
        switch.insert(*network(), *balanced(mode, family))
        ((port, frame),) = switch.send(1, sent)
        assert port == 2
        inner = Ether(frame) if mode == DSR else Ether(frame).getlayer(Ether, 2)
        assert inner is not None
        assert inner.payload.dst == family.vip and bytes(inner.payload.payload) == bytes(sent.payload.payload)
        switch.clear()


def test_options_in_the_quote(switch: Bmv2) -> None:
    switch.insert(*network(), *balanced(NAT, V4, port=8080))
    options = {"options": [IPOption_NOP()] * 8}
    quote = built(IP(src=V4.vip, dst=V4.client, **options) / UDP(sport=80, dport=7) / b"answer")[:36]
    own = built(IP(src=V4.backends[0], dst=V4.client, **options) / UDP(sport=8080, dport=7) / b"answer")[:36]
    ((_, frame),) = switch.send(1, V4.to_vip() / error(V4, "unreachable") / quote)
    checked(frame)
    assert frame[14:] == reference(V4, V4.client, V4.backends[0], "unreachable", own, ttl=63)


def test_a_quote_that_the_length_denies_is_not_read(switch: Bmv2) -> None:
    """Ports that stand in the frame's padding are nobody's."""
    switch.insert(*network(), *balanced(NAT, V4, port=8080))
    quote = built(IP(src=V4.vip, dst=V4.client) / UDP(sport=80, dport=7) / b"answer")
    short = V4.to_vip() / error(V4, "unreachable") / quote[:27]
    before = switch.reasons("drops")["no_service"]
    assert switch.send(1, bytes(short) + quote[27:]) == []
    assert switch.reasons("drops")["no_service"] == before + 1


def test_a_quote_of_a_stranger_is_nobodys(switch: Bmv2) -> None:
    switch.insert(*network(), *balanced(NAT, V4))
    quote = built(IP(src="192.0.2.1", dst=V4.client) / UDP(sport=80, dport=7))
    before = switch.reasons("drops")["no_service"]
    assert switch.send(1, V4.to_vip() / error(V4, "unreachable") / quote) == []
    assert switch.reasons("drops")["no_service"] == before + 1


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f"v{f.version}")
def test_the_underlay_complains_to_the_controller(switch: Bmv2, family: Family) -> None:
    switch.insert(*network(), *balanced(VXLAN, V4, family))
    outer = (
        family.ip(src=family.routers[1], dst=family.backends[0]) / UDP(sport=0xC123, dport=4789) / bytes(40)
    )
    sent = family.from_backend(dst=family.routers[1]) / error(family, "too big") / built(outer)
    switch.punted()
    assert switch.send(2, sent) == []
    (told,) = switch.punted()
    assert told.fields == {"reason": 4, "ingress_port": 2} | {
        k: 0 for k in told.fields if k not in ("reason", "ingress_port")
    }
    assert told.frame == bytes(sent)
