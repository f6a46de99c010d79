"""The entries that a configuration asks for, table by table."""

from ipaddress import ip_address

import numpy as np
import pytest

from controller import program
from controller.apportion import NOBODY
from controller.assignment import Assignment
from controller.config import parse
from controller.errors import InvalidConfig
from controller.model import Config, add_backend, make_backend, remove_backend
from controller.program import Do, Key, Rows, Table, serve, wide
from controller.wanted import Wanted, wanted

MAC = 0x020000000001

DOCUMENT = """
switch: {mac: "02:00:00:00:00:01"}
interfaces:
  - {name: clients, ports: [1], addresses: [10.0.0.1/24, "fd00::1/64"]}
  - {name: servers, ports: [2], addresses: [10.0.1.1/24], mtu: 1500}
routes: [{destination: 0.0.0.0/0, gateway: 10.0.0.254}, {destination: "::/0", gateway: "fd00::fe"}]
health_sources: [10.255.0.2]
pools:
  - name: web
    buckets: 16
    idle_timeout: 10s
    backends: [{name: b1, address: 10.0.1.11, port: 8080}, {name: b2, address: 10.0.1.12}]
  - name: dns
    mode: dsr
    udp: move
    buckets: 32
    health: {type: none}
    backends: [{name: d1, address: 10.0.1.53}]
vips:
  - {name: web, address: 10.0.0.100, port: 80, pool: web}
  - {name: dns, address: 10.0.0.100, protocol: udp, port: 53, pool: dns}
"""


def a(address: str) -> int:
    return wide(ip_address(address))


class World:
    def __init__(self, document: str = DOCUMENT) -> None:
        self.config: Config = parse(document)
        self.assignment = Assignment()
        self.up: dict[str, bool] = {}
        self.refresh()

    def refresh(self) -> None:
        for pool in self.config.pools:
            self.assignment.update(pool, self.up.get, 1000.0)
        self.assignment.number_vips((vip.name for vip in self.config.vips), 1000.0)

    def wanted(self) -> Wanted:
        return wanted(self.config, self.assignment, {(a("10.0.1.11"),): Do("forward", (2, MAC, 7, 0))})

    def rows(self, table: Table) -> Rows:
        return self.wanted().rows[table]


@pytest.fixture
def world() -> World:
    return World()


EXPECTED: list[tuple[Table, Rows]] = [
    (program.MACS, {(MAC,): Do("ours")}),
    (
        program.ADDRESSES,
        {(a(own),): Do("own", (MAC,)) for own in ("10.0.0.1", "10.0.1.1", "fd00::1", "10.0.0.100")},
    ),
    (
        program.OWN_SOURCES,
        {(a(own),): Do("from_us") for own in ("10.0.0.1", "10.0.1.1", "fd00::1", "10.0.0.100")},
    ),
    (
        program.INTERFACES,
        {
            (1, 0): Do("reply_from", (int(ip_address("10.0.0.1")), int(ip_address("fd00::1")))),
            (2, 0): Do("reply_from", (int(ip_address("10.0.1.1")), 0)),
        },
    ),
    (program.LINKS, {(2, 0): Do("link", (1500,))}),
    (program.LIVENESS_SETTINGS, {(): Do("settings", (3, 50000, 1145))}),
    (program.NAT_HOSTS, {(a(host),): Do("translated") for host in ("10.0.1.11", "10.0.1.12")}),
    (program.VIP_RATE, {}),
    (program.REPLY_RATE, {(port,): Do("rate", (1000, 100)) for port in (1, 2)}),
    (program.SOURCES, {}),
    (
        program.ROUTES,
        {
            (a("10.0.0.0"), 120): Do("connected"),
            (a("10.0.1.0"), 120): Do("connected"),
            (a("fd00::"), 64): Do("connected"),
            (a("0.0.0.0"), 96): Do("via", (a("10.0.0.254"),)),
            (0, 0): Do("via", (a("fd00::fe"),)),
        },
    ),
    (
        program.HEALTH_CHECKERS,
        {
            (a("10.255.0.2"), 2**128 - 1, 0, 0): Do("untranslated"),
            (0, 0, a("10.255.0.2"), 2**128 - 1): Do("untranslated"),
        },
    ),
    (program.NEIGHBORS, {(a("10.0.1.11"),): Do("forward", (2, MAC, 7, 0))}),
    (
        program.VIPS,
        {(a("10.0.0.100"), 6, 80): serve(1, 1), (a("10.0.0.100"), 17, 53): serve(2, 2)},
    ),
    (
        program.POOLS,
        {(1,): Do("pool_settings", (1, 15, 39, 0)), (2,): Do("pool_settings", (2, 31, 1145, 1))},
    ),
    (
        program.BACKENDS,
        {
            (1,): Do("backend_address", (a("10.0.1.11"), 8080)),
            (2,): Do("backend_address", (a("10.0.1.12"), 0)),
            (3,): Do("backend_address", (a("10.0.1.53"), 0)),
        },
    ),
    (
        program.NAT_ANSWERS,
        {
            (a("10.0.1.11"), 6, 8080): Do("restore", (a("10.0.0.100"), 80, 1)),
            (a("10.0.1.12"), 6, 80): Do("restore", (a("10.0.0.100"), 80, 2)),
        },
    ),
    (
        program.NAT_SERVICES,
        {(a("10.0.1.11"), 6, 8080): Do("direct"), (a("10.0.1.12"), 6, 80): Do("direct")},
    ),
]


@pytest.mark.parametrize(("table", "rows"), EXPECTED, ids=[table.name for table, _ in EXPECTED])
def test_rows(world: World, table: Table, rows: Rows) -> None:
    assert world.rows(table) == rows


def test_no_table_is_forgotten(world: World) -> None:
    assert {*world.wanted().rows, program.BUCKETS} == {*program.TABLES}


def test_buckets_are_rows_of_the_tables_action(world: World) -> None:
    owners = world.wanted().buckets
    assert {pool: len(rows) for pool, rows in owners.items()} == {1: 16, 2: 32}
    assert owners[1][0].tolist() == [1, 1, 2, 0, 0], "current, previous, standby, announced, motion"
    assert owners[2][0].tolist() == [3, 3, 3, 0, 0]


NAT_OF_B1: Key = (a("10.0.1.11"), 6, 8080)


def test_a_backend_that_is_down_keeps_its_service_for_the_vip(world: World) -> None:
    world.up["b1"] = False
    world.refresh()
    assert (1,) not in world.rows(program.BACKENDS)
    assert world.rows(program.NAT_ANSWERS)[NAT_OF_B1] == Do("restore", (a("10.0.0.100"), 80, NOBODY))
    assert NAT_OF_B1 in world.rows(program.NAT_SERVICES)


def test_answers_belong_to_the_number_that_a_backend_has_now(world: World) -> None:
    for up in (False, True):
        world.up["b1"] = up
        world.refresh()
    assert world.rows(program.NAT_ANSWERS)[NAT_OF_B1].values[2] == 4, "a fresh number"


def test_answers_of_a_renamed_backend_belong_to_the_new_one(world: World) -> None:
    """The old one still has flows, but gets no new ones."""
    config = remove_backend(world.config, "web", "b1")
    world.config = add_backend(config, "web", make_backend("again", "10.0.1.11", 8080))
    world.up["again"] = True
    world.refresh()
    assert {1, 4} < {number for (number,) in world.rows(program.BACKENDS)}
    assert world.rows(program.NAT_ANSWERS)[NAT_OF_B1].values[2] == 4


def test_a_removed_backend_is_answered_for_until_it_has_drained(world: World) -> None:
    world.config = remove_backend(world.config, "web", "b1")
    world.refresh()
    assert (1,) in world.rows(program.BACKENDS)
    assert world.rows(program.NAT_ANSWERS)[NAT_OF_B1].values[2] == 1
    world.assignment.settle("web", world.assignment.pools["web"].buckets.moving)
    world.assignment.remove("web", 1, 2000.0)
    assert (1,) not in world.rows(program.BACKENDS)
    assert NAT_OF_B1 not in world.rows(program.NAT_ANSWERS)


def test_a_service_that_was_given_to_another_vip_answers_for_that(world: World) -> None:
    document = DOCUMENT.replace("{name: b1, address: 10.0.1.11, port: 8080}, ", "")
    document = document.replace(
        "pools:",
        "pools:\n  - {name: new, buckets: 16, backends: [{name: n1, address: 10.0.1.11, port: 8080}]}",
    )
    world.config = parse(document + "  - {name: new, address: 10.0.0.101, port: 80, pool: new}\n")
    world.refresh()
    assert world.rows(program.NAT_ANSWERS)[NAT_OF_B1] == Do("restore", (a("10.0.0.101"), 80, 4))


TUNNELLED = DOCUMENT.replace("mode: dsr", "mode: {mode}").replace(
    "udp: move", "udp: move\n    tunnel: {tunnel}"
)


def tunnels(mode: str, tunnel: str, address: str = "10.0.1.53") -> Rows:
    world = World(TUNNELLED.replace("{mode}", mode).replace("{tunnel}", tunnel).replace("10.0.1.53", address))
    return world.rows(program.TUNNELS)


def test_a_tunnel_begins_at_our_address_on_the_backends_network() -> None:
    assert tunnels("ipip", "{}") == {(3,): Do("tunnel", (a("10.0.1.1"), 1, MAC, 0, 0))}


def test_a_tunnel_to_a_far_network_begins_at_our_first_address_of_its_family() -> None:
    assert tunnels("gre", "{mtu: 1400}", "192.0.2.53") == {
        (3,): Do("tunnel", (a("10.0.0.1"), 1, MAC, 0, 1400))
    }


def test_a_tunnel_over_ipv6_carries_ipv4() -> None:
    assert tunnels("gue", "{}", '"fd00::53"') == {(3,): Do("tunnel", (a("fd00::1"), 1, MAC, 0, 0))}


def test_vxlan_has_a_network_and_addresses_inside() -> None:
    settings = '{vni: 77, source: 10.0.0.1, inner_mac: "02:00:00:00:00:99"}'
    assert tunnels("vxlan", settings) == {(3,): Do("tunnel", (a("10.0.0.1"), 77, MAC, 0x020000000099, 0))}


@pytest.mark.parametrize(
    ("mode", "tunnel", "text"),
    [
        ("vxlan", "{}", "inner_mac: is missing"),
        ("dsr", "{vni: 5}", "means nothing in mode dsr"),
        ("gre", "{source: 10.9.9.9}", "is the address of no interface"),
        ("gre", '{source: "fd00::1"}', "needs an address of the switch that is IPv4"),
        ("gre", "{mtu: 100}", "must be at least 576"),
    ],
)
def test_what_a_tunnel_cannot_be(mode: str, tunnel: str, text: str) -> None:
    with pytest.raises(InvalidConfig) as refused:
        tunnels(mode, tunnel)
    assert text in str(refused.value)


def test_announced_buckets_say_so_and_no_others(world: World) -> None:
    announced = np.arange(len(world.assignment.pools["web"].buckets)) % 3 == 0
    found = wanted(world.config, world.assignment, {}, {"web": announced}).buckets
    assert (found[1][:, 3] == announced).all()
    assert not found[2][:, 3].any()
