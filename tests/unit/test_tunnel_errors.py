"""What the underlay says about tunnels: what is believed, how far, and for how long."""

import json
from ipaddress import ip_address

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from controller.assignment import Assignment
from controller.config import parse
from controller.events import EventLog
from controller.model import Mode
from controller.program import MODES, TUNNELS
from controller.tunnel_errors import LIFETIME, OVERHEADS, PathMtus, TooBig, Tunnel, too_big, tunnels_in
from controller.wanted import wanted
from topo.lab import PROJECT

SOURCE, BACKEND = ip_address("10.0.2.1"), ip_address("10.0.2.11")
TUNNEL = Tunnel(7, "web/b1", Mode.IPIP)
KNOWN = {(SOURCE, BACKEND): [TUNNEL]}
NAMES = {7: "web/b1"}


def error4(mtu: int, length: int = 1500, source: str = "10.0.2.1", code: int = 4) -> bytes:
    quote = IP(src=source, dst="10.0.2.11", len=length, proto=4, flags="DF")
    about = ICMP(type=3, code=code, nexthopmtu=mtu) if code == 4 else ICMP(type=3, code=code)
    packet = Ether() / IP(src="10.9.9.9", dst=source) / about / quote / bytes(8)
    return bytes(packet)


def error6(mtu: int) -> bytes:
    quote = IPv6(src="fd00:2::1", dst="fd00:2::11", plen=1460, nh=41)
    packet: Packet = Ether() / IPv6(dst="fd00:2::1") / ICMPv6PacketTooBig(mtu=mtu) / quote / bytes(8)
    return bytes(packet)


@pytest.mark.parametrize(
    ("told", "length", "mtu"),
    ((1400, 1500, 1400), (0, 1500, 1492), (0, 1492, 1006), (0, 600, 576), (1, 1500, 576)),
)
def test_ipv4_tells_an_mtu_or_the_next_plateau(told: int, length: int, mtu: int) -> None:
    assert too_big(error4(told, length)) == TooBig(SOURCE, BACKEND, mtu)


@pytest.mark.parametrize(("told", "mtu"), ((1400, 1400), (1, 1280)))
def test_ipv6(told: int, mtu: int) -> None:
    assert too_big(error6(told)) == TooBig(ip_address("fd00:2::1"), ip_address("fd00:2::11"), mtu)


def test_what_says_nothing() -> None:
    assert too_big(error4(1400, code=3)) is None
    assert too_big(error4(1500, length=1500)) is None
    for whole in (error4(1400), error6(1400)):
        cut = [too_big(whole[:length]) for length in range(len(whole) - 8)]
        assert set(cut) == {None}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_mtu_is_lowered_and_forgotten_after_ten_minutes() -> None:
    clock, events = Clock(), EventLog()
    mtus = PathMtus(events, clock)
    assert mtus.due() is None
    assert mtus.heard(error4(1400), KNOWN)
    assert mtus.present(NAMES) == {7: 1380}
    assert not mtus.heard(error4(1450), KNOWN) and mtus.present(NAMES) == {7: 1380}
    assert mtus.due() == LIFETIME
    clock.now = LIFETIME
    assert mtus.due() == 0 and mtus.present(NAMES) == {}
    assert [event.subject for event in events.since()] == ["web/b1", "web/b1"]


def test_forged_errors_leave_nothing() -> None:
    mtus = PathMtus(EventLog(), Clock())
    for number in range(1, 200):
        assert not mtus.heard(error4(1400, source=f"10.0.3.{number}"), KNOWN)
    assert mtus.present(NAMES) == {}
    mtus.heard(error4(1), KNOWN)
    assert mtus.present(NAMES) == {7: 556}


DOCUMENT = """
switch: {mac: "02:00:00:00:00:01"}
interfaces: [{name: all, ports: [1], addresses: [10.0.2.1/24]}]
pools: [{name: web, mode: gre, buckets: 16, tunnel: {mtu: 1400}, health: {type: none},
         backends: [{name: b1, address: 10.0.2.11}]}]
vips: [{name: web, address: 10.0.0.100, port: 80, pool: web}]
"""


@pytest.mark.parametrize(("learned", "mtu"), (({}, 1400), ({1: 1300}, 1300), ({1: 1450}, 1400)))
def test_the_lower_of_the_configured_and_the_learned_mtu_is_wanted(learned: dict[int, int], mtu: int) -> None:
    config, assignment = parse(DOCUMENT), Assignment()
    assignment.update(config.pools[0], lambda _: True, 0.0)
    assignment.number_vips(["web"], 0.0)
    rows = wanted(config, assignment, {}, path_mtus=learned).rows
    assert rows[TUNNELS][1,].values[-1] == mtu
    assert tunnels_in(rows, assignment, config) == {(SOURCE, BACKEND): [Tunnel(1, "web/b1", Mode.GRE)]}


def test_overheads_are_those_of_the_program() -> None:
    """What is taken off a path's MTU is what the program puts around a packet."""
    compiled = json.loads((PROJECT / "p4src" / "compiled" / "sluice.json").read_text())
    (table,) = (
        table
        for pipeline in compiled["pipelines"]
        for table in pipeline["tables"]
        if table["name"].endswith(".overheads")
    )
    entries = {
        int(entry["match_key"][0]["key"], 16): int(entry["action_entry"]["action_data"][0], 16)
        for entry in table["entries"]
    }
    assert {mode: entries.get(MODES[mode], 0) for mode in OVERHEADS} == OVERHEADS
