"""Neighbors: what is asked, believed and kept, and for how long. Scapy says what is on the wire."""

from collections.abc import Callable
from ipaddress import ip_address

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet

from controller import neighbors as timers
from controller.events import EventLog
from controller.model import Interface, Route, StaticNeighbor
from controller.neighbors import Neighbors
from controller.program import forward, wide
from controller.values import mac_to_int

MAC = "02:00:00:00:00:01"
HOST_MAC = "02:00:00:00:00:aa"
SERVERS = Interface.model_validate(
    {"name": "servers", "ports": [3, 4], "addresses": ["10.0.1.1/24", "fd00:1::1/64"]}
)
TAGGED = Interface.model_validate({"name": "tagged", "ports": [5], "addresses": ["10.0.2.1/24"], "vlan": 7})


class World:
    """Neighbors with a clock that we turn and a wire that we read."""

    def __init__(
        self, needed: tuple[str, ...] = (), routes: tuple[Route, ...] = (), static=(), switch: str = ""
    ) -> None:
        self.now = 0.0
        self.sent: list[tuple[int, Packet]] = []
        self.changes = 0
        self.events = EventLog()
        self.neighbors = Neighbors(self._send, self._changed, self.events, lambda: self.now, switch)
        self.configure(needed, routes, static)

    def configure(self, needed: tuple[str, ...] = (), routes: tuple[Route, ...] = (), static=()) -> None:
        addresses = [ip_address(one) for one in needed]
        self.neighbors.configure(MAC, (SERVERS, TAGGED), routes, static, addresses)

    def _send(self, port: int, frame: bytes) -> None:
        self.sent.append((port, Ether(frame)))

    def _changed(self) -> None:
        self.changes += 1

    def after(self, seconds: float) -> list[tuple[int, Packet]]:
        """What is sent while time passes."""
        self.sent.clear()
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + 0.25)
            self.neighbors.tick()
        return list(self.sent)

    def arp_answer(self, address: str, port: int = 3, mac: str = HOST_MAC) -> None:
        reply = Ether(dst=MAC, src=mac) / ARP(op=2, hwsrc=mac, psrc=address, hwdst=MAC, pdst="10.0.1.1")
        self.neighbors.answered(port, bytes(reply))

    def state(self, address: str) -> str | None:
        return {one.address: one.state for one in self.neighbors.report()}.get(address)

    def rows(self) -> dict:
        return self.neighbors.rows()


def row(address: str, port: int, vlan: int = 0) -> dict:
    return {(wide(ip_address(address)),): forward(port, mac_to_int(MAC), mac_to_int(HOST_MAC), vlan)}


def test_a_needed_neighbor_is_asked_for_on_every_port_of_its_interface() -> None:
    world = World(needed=("10.0.1.11",))
    asked = world.after(0.25)
    assert [port for port, _ in asked] == [3, 4]
    for _, frame in asked:
        arp = frame[ARP]
        assert (frame.dst, frame.src) == ("ff:ff:ff:ff:ff:ff", MAC)
        assert (arp.op, arp.hwsrc, arp.psrc, arp.pdst) == (1, MAC, "10.0.1.1", "10.0.1.11")


def test_an_ipv6_neighbor_is_solicited_with_a_right_checksum() -> None:
    _, frame = World(needed=("fd00:1::ab:cdef",)).after(0.25)[0]
    solicitation = frame[ICMPv6ND_NS]
    assert frame.dst == "33:33:ff:ab:cd:ef"
    assert (frame[IPv6].dst, frame[IPv6].src, frame[IPv6].hlim) == ("ff02::1:ffab:cdef", "fd00:1::1", 255)
    assert (solicitation.tgt, frame[ICMPv6NDOptSrcLLAddr].lladdr) == ("fd00:1::ab:cdef", MAC)
    said = solicitation.cksum
    del solicitation.cksum
    assert Ether(bytes(frame))[ICMPv6ND_NS].cksum == said


def test_questions_on_a_tagged_interface_carry_its_vlan() -> None:
    port, frame = World(needed=("10.0.2.9",)).after(0.25)[0]
    assert (port, frame[Dot1Q].vlan, frame[ARP].pdst) == (5, 7, "10.0.2.9")


def test_an_answer_becomes_an_entry() -> None:
    world = World(needed=("10.0.1.11",))
    world.after(0.25)
    world.arp_answer("10.0.1.11", port=4)
    assert world.rows() == row("10.0.1.11", 4)
    assert world.state("10.0.1.11") == "reachable"


def test_an_advertisement_becomes_an_entry() -> None:
    world = World(needed=("fd00:1::11",))
    answer = Ether(src=HOST_MAC, dst=MAC) / IPv6(src="fd00:1::11", dst="fd00:1::1", hlim=255)
    answer /= ICMPv6ND_NA(tgt="fd00:1::11", S=1) / ICMPv6NDOptDstLLAddr(lladdr=HOST_MAC)
    world.neighbors.answered(3, bytes(answer))
    assert world.rows() == row("fd00:1::11", 3)


def unasked(world: World) -> None:
    world.arp_answer("10.0.1.77")


def from_another_network(world: World) -> None:
    world.arp_answer("10.0.1.11", port=5)


def from_a_group(world: World) -> None:
    world.arp_answer("10.0.1.11", mac="03:00:00:00:00:01")


def without_its_end(world: World) -> None:
    reply = Ether(dst=MAC) / ARP(op=2, hwsrc=HOST_MAC, psrc="10.0.1.11")
    world.neighbors.answered(3, bytes(reply)[:30])


def routed_advertisement(world: World) -> None:
    answer = Ether() / IPv6(src="fd00:1::11", dst="fd00:1::1", hlim=254)
    answer /= ICMPv6ND_NA(tgt="fd00:1::11") / ICMPv6NDOptDstLLAddr(lladdr=HOST_MAC)
    world.neighbors.answered(3, bytes(answer))


@pytest.mark.parametrize(
    "lie", [unasked, from_another_network, from_a_group, without_its_end, routed_advertisement]
)
def test_what_is_not_believed(lie: Callable[[World], None]) -> None:
    world = World(needed=("10.0.1.11", "fd00:1::11"))
    world.after(0.25)
    lie(world)
    assert world.rows() == {}


def test_who_does_not_answer_fails_after_three_questions_and_is_asked_again_later() -> None:
    world = World(needed=("10.0.1.11",))
    assert len(world.after(3.5)) == 3 * 2
    assert world.state("10.0.1.11") == "failed"
    assert world.after(timers.RETRY_INTERVAL - 0.5) == []
    assert world.after(1.0)
    assert [event.text for event in world.events.since()] == ["not found"]
    world.after(60)
    assert len(world.events.since()) == 1, "a failure that lasts is told once"


def test_a_reachable_neighbor_is_asked_again_and_lost_when_silent() -> None:
    world = World(needed=("10.0.1.11",))
    world.arp_answer("10.0.1.11")
    assert world.after(timers.REACHABLE_TIME - 0.5) == []
    assert [(port, frame.dst) for port, frame in world.after(1.0)] == [(3, HOST_MAC)], "it alone"
    assert [port for port, _ in world.after(3.0)] == [3, 3, 3, 4], "then everybody: it may have moved"
    assert world.rows(), "while it is asked, its entry stands"
    world.arp_answer("10.0.1.11")
    assert world.state("10.0.1.11") == "reachable"
    world.after(timers.REACHABLE_TIME + 2 * timers.QUESTIONS * timers.QUESTION_INTERVAL + 1)
    assert world.rows() == {}
    assert world.events.since()[-1].text == "lost"


def test_a_neighbor_that_moves_gets_a_new_entry() -> None:
    world = World(needed=("10.0.1.11",))
    world.arp_answer("10.0.1.11", port=3)
    changes = world.changes
    world.arp_answer("10.0.1.11", port=3)
    assert world.changes == changes, "the same answer again changes nothing"
    world.arp_answer("10.0.1.11", port=4)
    assert world.rows() == row("10.0.1.11", 4)


def packet_to(address: str, number: int = 0) -> bytes:
    return bytes(
        Ether(src="02:00:00:00:00:bb", dst=MAC) / IP(dst=address, ttl=63) / UDP(dport=number) / b"kept"
    )


def test_gleaned_packets_wait_for_the_answer_and_are_sent_on() -> None:
    world = World()
    for number in range(timers.KEPT_PACKETS + 2):
        world.neighbors.gleaned(packet_to("10.0.1.50", number))
    assert [(port, frame[ARP].pdst) for port, frame in world.sent] == [(3, "10.0.1.50"), (4, "10.0.1.50")]
    world.sent.clear()
    world.arp_answer("10.0.1.50", port=4)
    assert [(port, frame.dst, frame.src, frame[UDP].dport) for port, frame in world.sent] == [
        (4, HOST_MAC, MAC, number) for number in (2, 3, 4)
    ], "the latest ones, in order"
    assert all(frame[IP].ttl == 63 for _, frame in world.sent)
    assert world.rows() == row("10.0.1.50", 4)


def test_a_gleaned_packet_gets_the_vlan_of_its_way_out() -> None:
    world = World()
    world.neighbors.gleaned(packet_to("10.0.2.50"))
    world.after(0.25)
    world.sent.clear()
    world.arp_answer("10.0.2.50", port=5)
    assert [(port, frame[Dot1Q].vlan) for port, frame in world.sent] == [(5, 7)]


def test_a_gleaned_packet_for_a_routed_host_asks_for_the_gateway_of_the_longest_prefix() -> None:
    routes = (
        Route.model_validate({"destination": "0.0.0.0/0", "gateway": "10.0.1.254"}),
        Route.model_validate({"destination": "192.0.2.0/24", "gateway": "10.0.1.253"}),
    )
    world = World(routes=routes)
    world.after(0.25)
    world.neighbors.gleaned(packet_to("192.0.2.5"))
    world.sent.clear()
    world.arp_answer("10.0.1.253")
    assert [frame[IP].dst for _, frame in world.sent] == ["192.0.2.5"]


def test_a_gleaned_neighbor_that_never_answers_is_forgotten() -> None:
    world = World()
    world.neighbors.gleaned(packet_to("10.0.1.50"))
    world.after(4)
    assert world.neighbors.report() == ()
    assert world.events.since() == []


def test_a_scan_of_a_network_makes_us_ask_for_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timers, "GLEANING", 8)
    world = World(needed=("10.0.1.11",))
    for host in range(20, 200):
        world.neighbors.gleaned(packet_to(f"10.0.1.{host}"))
    assert len(world.neighbors.report()) == 9


@pytest.mark.parametrize("frame", [b"", b"\x00" * 14, packet_to("10.9.9.9"), packet_to("10.0.1.50")[:20]])
def test_gleaned_packets_that_lead_nowhere_are_dropped(frame: bytes) -> None:
    world = World()
    world.neighbors.gleaned(frame)
    assert world.neighbors.report() == ()


def test_static_neighbors_are_never_asked_for_and_never_moved() -> None:
    static = StaticNeighbor.model_validate({"address": "10.0.1.9", "mac": HOST_MAC, "port": 4})
    world = World(static=(static,))
    assert world.after(120) == []
    world.arp_answer("10.0.1.9", port=3, mac="02:00:00:00:00:cc")
    assert world.rows() == row("10.0.1.9", 4)


def test_a_new_configuration_keeps_what_is_known() -> None:
    world = World(needed=("10.0.1.11",))
    world.arp_answer("10.0.1.11")
    world.configure(needed=("10.0.1.11", "10.0.1.12"))
    assert world.rows() == row("10.0.1.11", 3)
    assert {frame[ARP].pdst for _, frame in world.after(0.25)} == {"10.0.1.12"}


def test_a_probe_over_ipv6_goes_to_the_neighbor_itself() -> None:
    world = World(needed=("fd00:1::11",))
    answer = Ether(src=HOST_MAC, dst=MAC) / IPv6(src="fd00:1::11", dst="fd00:1::1", hlim=255)
    answer /= ICMPv6ND_NA(tgt="fd00:1::11", S=1) / ICMPv6NDOptDstLLAddr(lladdr=HOST_MAC)
    world.neighbors.answered(3, bytes(answer))
    ((port, frame),) = world.after(timers.REACHABLE_TIME + 0.25)
    assert (port, frame.dst, frame[IPv6].dst) == (3, HOST_MAC, "fd00:1::11")
    said = frame[ICMPv6ND_NS].cksum
    del frame[ICMPv6ND_NS].cksum
    assert Ether(bytes(frame))[ICMPv6ND_NS].cksum == said


def test_entries_of_the_switch_are_taken_over_and_probed_at_once() -> None:
    world = World(needed=("10.0.1.11",))
    held = row("10.0.1.11", 4) | row("10.0.1.60", 3)
    world.neighbors.adopt(held | row("10.0.1.61", 5) | row("192.0.2.1", 3))
    assert world.rows() == held, "but not those that are elsewhere than their network"
    probes = [(port, frame[ARP].pdst) for port, frame in world.after(0.25) if frame.dst == HOST_MAC]
    assert sorted(probes) == [(3, "10.0.1.60"), (4, "10.0.1.11")]


def test_what_was_found_out_is_not_overwritten_by_what_the_switch_holds() -> None:
    world = World(needed=("10.0.1.11",))
    world.arp_answer("10.0.1.11", port=3)
    world.neighbors.adopt(row("10.0.1.11", 4))
    assert world.rows() == row("10.0.1.11", 3)


def test_the_gateway_to_a_needed_address_is_asked_for_in_its_place() -> None:
    route = Route.model_validate({"destination": "192.0.2.0/24", "gateway": "10.0.1.253"})
    world = World(needed=("192.0.2.5",), routes=(route,))
    assert {frame[ARP].pdst for _, frame in world.after(0.25)} == {"10.0.1.253"}


def test_nobody_is_asked_for_our_own_vips() -> None:
    world = World()
    vips = [ip_address("10.0.1.100")]
    world.neighbors.configure(MAC, (SERVERS,), (), (), (), vips)
    world.neighbors.gleaned(packet_to("10.0.1.100"))
    assert world.after(0.25) == []


def test_events_name_the_switch_when_there_are_several() -> None:
    world = World(needed=("10.0.1.11", "10.0.1.12"), switch="s2")
    world.after(0.25)
    world.arp_answer("10.0.1.11")
    world.after(10)
    told = {event.subject: event.text for event in world.events.since()}
    assert told["10.0.1.11"] == f"is {HOST_MAC} on port 3 of s2"
    assert told["10.0.1.12"] == "not found by s2"
