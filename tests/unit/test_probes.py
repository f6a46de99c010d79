"""Whom the switch asks in each round, in which group, and what the answers say."""

from collections.abc import Callable
from ipaddress import ip_address

import pytest

from controller.assignment import Assignment
from controller.config import parse
from controller.desired import Desired
from controller.events import EventLog
from controller.model import Config, make_backend, remove_backend, with_backends
from controller.probes import Probes, Silence
from controller.program import (
    ADDRESSES,
    CURRENT_PROBED,
    GROUP_BITS,
    INSTANCE_BITS,
    PROBE_GROUPS,
    PROBE_TARGETS,
    PROBES_AT_ONCE,
    STANDBY_PROBED,
    Do,
    wide,
)
from controller.values import LAST_BACKEND, Address

MAC, THEIRS, VLAN = 0x020000000001, 0x0200000000AA, 7
HOP = Do("forward", (3, MAC, THEIRS, VLAN))
NOW = 1_000_000.0
PAGE = 1 << INSTANCE_BITS

DOCUMENT = """
switch: {{mac: "02:00:00:00:00:01"}}
interfaces:
  - {{name: clients, ports: [1], addresses: [10.0.0.1/24]}}
  - {{name: servers, ports: [3], addresses: [10.0.1.1/24, "fd00:1::1/64"]}}
pools:
  - {{name: web, buckets: 256, announcement: 0s, backends: [{{name: b1, address: 10.0.1.11{port}}}], {pool}}}
vips: [{{name: web, address: 10.0.0.100, port: {ports}, pool: web, {vip}}}]
"""


def known(address: Address) -> Do | None:
    return HOP


def unknown(address: Address) -> Do | None:
    return None


class World:
    def __init__(self, pool: str = "", vip: str = "", port: str = ", port: 8080", ports: str = "80") -> None:
        document = DOCUMENT.format(pool=pool, vip=vip, port=port, ports=ports)
        self.desired = Desired(parse(document), Assignment(), EventLog())
        self.probes = Probes()
        self.refresh()

    def refresh(self, way_to: Callable[[Address], Do | None] = known) -> None:
        self.desired.refresh(NOW)
        self.probes.update(self.desired.config, self.desired.assignment, way_to)

    def configure(self, config: Config) -> None:
        self.desired.configure(config, drain=True)

    @property
    def groups(self) -> dict[int, tuple[int, ...]]:
        return {group: do.values for (group,), do in self.probes.rows(MAC)[PROBE_GROUPS].items()}


def at(address: str) -> int:
    return wide(ip_address(address))


FRAME = (MAC, THEIRS, VLAN)

QUESTIONS: dict[str, tuple[World, Do]] = {
    "nat: a SYN to the backend's port": (
        World(),
        Do("syn", (*FRAME, at("10.0.1.1"), at("10.0.1.11"), 8080)),
    ),
    "nat: to the VIP's port, if the backend has none of its own": (
        World(port=""),
        Do("syn", (*FRAME, at("10.0.1.1"), at("10.0.1.11"), 80)),
    ),
    "dsr: for the VIP, as clients ask": (
        World(pool="mode: dsr", port=""),
        Do("syn", (*FRAME, at("10.0.1.1"), at("10.0.0.100"), 80)),
    ),
    "a tunnel: past it": (
        World(pool="mode: ipip", port=""),
        Do("syn", (*FRAME, at("10.0.1.1"), at("10.0.1.11"), 80)),
    ),
    "icmp: an echo request": (
        World(pool="probe: icmp"),
        Do("echo", (*FRAME, at("10.0.1.1"), at("10.0.1.11"))),
    ),
    "icmp, dsr: to the VIP": (
        World(pool="probe: icmp, mode: dsr", port=""),
        Do("echo", (*FRAME, at("10.0.1.1"), at("10.0.0.100"))),
    ),
    "icmp, for UDP": (
        World(pool="probe: icmp", vip="protocol: udp"),
        Do("echo", (*FRAME, at("10.0.1.1"), at("10.0.1.11"))),
    ),
}


@pytest.mark.parametrize("shows", QUESTIONS)
def test_a_backend_is_asked(shows: str) -> None:
    world, target = QUESTIONS[shows]
    rows = world.probes.rows(MAC)
    assert rows == {
        PROBE_TARGETS: {(1,): target},
        PROBE_GROUPS: {(1,): Do("replicas", (3, 1))},
        CURRENT_PROBED: {(1,): Do("current.is_probed")},
        STANDBY_PROBED: {(1,): Do("standby.is_probed")},
        ADDRESSES: {(at("10.0.1.1"),): Do("prober", (MAC,))},
    }


UNASKED = {
    "the pool says so": World(pool="probe: none"),
    "it has no health checks, and nothing is said": World(pool="health: {type: none}"),
    "it serves UDP, and nothing is said": World(vip="protocol: udp"),
    "TCP, but only UDP is served": World(pool="probe: tcp", vip="protocol: udp"),
    "it keeps any of several ports": World(ports="8000-8099", port="", pool="health: {type: tcp, port: 1}"),
}


@pytest.mark.parametrize("because", UNASKED)
def test_a_backend_is_not_asked(because: str) -> None:
    assert not any(UNASKED[because].probes.rows(MAC).values())


def test_whose_next_hop_is_not_known_yet_is_not_asked_and_not_suspect() -> None:
    world = World()
    world.probes = Probes()
    world.refresh(unknown)
    assert not any(world.probes.rows(MAC).values())


def test_whose_next_hop_is_lost_is_asked_there_still() -> None:
    world = World()
    before = world.probes.rows(MAC)
    world.refresh(unknown)
    assert world.probes.rows(MAC) == before


def test_who_is_on_the_way_out_is_not_asked() -> None:
    world = World()
    world.configure(remove_backend(world.desired.config, "web", "b1"))
    world.refresh()
    assert not any(world.probes.rows(MAC).values())


def many(world: World, count: int) -> None:
    backends = [make_backend(f"b{n}", f"10.0.1.{10 + n}", 8080) for n in range(1, count + 1)]
    world.configure(with_backends(world.desired.config, "web", backends))
    for name in (backend.name for backend in backends):
        world.desired.set_health("web", name, True, "checked")
    world.refresh()


def test_groups_are_small_and_hold_everybody_once() -> None:
    world = World()
    many(world, 40)
    sizes = [len(copies) // 2 for copies in world.groups.values()]
    assert sizes == [PROBES_AT_ONCE, PROBES_AT_ONCE, 8]
    asked = [number for copies in world.groups.values() for number in copies[1::2]]
    assert sorted(asked) == sorted(world.probes.targets)


def test_who_leaves_changes_one_group_and_who_comes_takes_the_place() -> None:
    world = World()
    many(world, 40)
    before = world.groups
    world.configure(remove_backend(world.desired.config, "web", "b5"))
    world.refresh()
    changed = [group for group in before if world.groups[group] != before[group]]
    assert len(changed) == 1
    again = Probes()
    again.adopt(world.probes.rows(MAC)[PROBE_GROUPS])
    again.update(world.desired.config, world.desired.assignment, known)
    assert {*again.rows(MAC)[PROBE_GROUPS]} == {*world.probes.rows(MAC)[PROBE_GROUPS]}


def test_a_group_is_of_one_page_since_a_copy_tells_16_bits_of_its_backend() -> None:
    """The upper bits of its number are in the group's, and what a switch holds is read back as it was."""
    world = World()
    world.desired.assignment.backend_numbers.last = 2 * PAGE - 20
    many(world, 40)
    sizes = {group: len(copies) // 2 for group, copies in world.groups.items()}
    second, third = (page << GROUP_BITS for page in (1, 2))
    assert sizes == {1: 1, second + 1: 16, second + 2: 3, third + 1: 16, third + 2: 4}
    asked = [
        (group >> GROUP_BITS) * PAGE + instance
        for group, copies in world.groups.items()
        for instance in copies[1::2]
    ]
    assert sorted(asked) == sorted(world.probes.targets)
    assert 2 * PAGE in asked
    again = Probes()
    again.adopt(world.probes.rows(MAC)[PROBE_GROUPS])
    again.update(world.desired.config, world.desired.assignment, known)
    assert again.rows(MAC) == world.probes.rows(MAC)


def test_a_page_has_groups_for_all_its_backends_and_bmv2_has_them_all() -> None:
    needed = PAGE // PROBES_AT_ONCE
    assert needed < 1 << GROUP_BITS
    assert (LAST_BACKEND // PAGE << GROUP_BITS) + needed <= 32767


# what the answers say


def test_who_answers_is_never_suspect() -> None:
    silence = Silence()
    for round_ in range(100):
        assert silence.observe({1: round_}, round_, misses=3) == frozenset()


def test_who_falls_silent_is_suspect_after_more_rounds_than_may_be_missed() -> None:
    silence = Silence()
    silence.observe({1: 10, 2: 10}, 10, misses=3)
    assert silence.observe({1: 10, 2: 13}, 13, misses=3) == frozenset()
    assert silence.observe({1: 10, 2: 14}, 14, misses=3) == {1}
    assert silence.suspects == {1}
    assert silence.observe({1: 11, 2: 15}, 15, misses=3) == {1}
    assert silence.suspects == frozenset()


def test_while_no_rounds_begin_nobody_grows_suspect() -> None:
    silence = Silence()
    for _ in range(100):
        assert silence.observe({1: 10}, 10, misses=3) == frozenset()


def test_who_is_asked_no_more_is_suspect_no_more() -> None:
    silence = Silence()
    silence.observe({1: 0}, 0, misses=1)
    silence.observe({1: 0}, 5, misses=1)
    assert silence.observe({}, 6, misses=1) == {1}
    assert (silence.suspects, silence.answers(1)) == (frozenset(), None)
