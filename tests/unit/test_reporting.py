"""What the report says of backends, VIPs and reasons, from the state that is behind it."""

import time
from ipaddress import ip_address
from random import Random

import pytest

from controller import reporting
from controller.assignment import Assignment
from controller.config import parse
from controller.counters import Counters
from controller.desired import Desired
from controller.events import EventLog
from controller.health.passive import Handshakes, Listening
from controller.health.settings import Damping, Passive, Reaction
from controller.model import ONLY, add_backend, change_backend, make_backend, remove_backend, with_pool
from controller.neighbors import Neighbors
from controller.probes import Silence
from controller.program import wide
from controller.report import BackendReport, PoolReport, Report, SwitchReport, Traffic
from controller.wire import Traffic as Counted

NOW = 1_000_000.0

DOCUMENT = """
switch: {mac: "02:00:00:00:00:01"}
interfaces: [{name: all, ports: [1], addresses: [10.0.0.1/16]}]
pools:
  - name: web
    buckets: 16
    idle_timeout: 10s
    announcement: 0s
    health: {type: tcp}
    backends: [{name: b1, address: 10.0.1.11, weight: 3}, {name: b2, address: 10.0.1.12, port: 8080}]
vips: [{name: web, address: 10.0.0.100, port: 80, pool: web}]
"""

SWITCH = SwitchReport(
    address="127.0.0.1:9559",
    device_id=1,
    connected=True,
    primary=True,
    synchronized=True,
    cookie=1,
    error="",
)


class World:
    def __init__(self) -> None:
        events = EventLog()
        self.desired = Desired(parse(DOCUMENT), Assignment(), events)
        self.counters = Counters()
        self.silence = Silence()
        self.path_mtus: dict[int, int] = {}
        self.neighbors = Neighbors(lambda port, frame: None, lambda: None, events, time.monotonic)
        self.desired.refresh(NOW)

    def report(self) -> Report:
        return reporting.report(
            7, SWITCH, self.desired, self.neighbors.report(), self.counters, self.silence, self.path_mtus
        )

    @property
    def pool(self) -> PoolReport:
        return self.report().pools[0]

    def backend(self, name: str) -> BackendReport:
        return next(backend for backend in self.pool.backends if backend.name == name)

    def change(self, name: str, **values: object) -> None:
        self.desired.configure(change_backend(self.desired.config, "web", name, **values), drain=True)
        self.desired.refresh(NOW)

    def still(self, identity: int) -> None:
        """No packet went to it for the idle timeout."""
        for at in (0.0, 10.0):
            self.desired.members[ONLY].backends.observe({identity: 5}, at, at)


@pytest.fixture
def world() -> World:
    return World()


def test_shares_are_by_buckets_and_by_weights(world: World) -> None:
    b1 = world.backend("b1")
    assert (b1.id, b1.buckets, b1.share, b1.share_wanted) == (1, 12, 0.75, 0.75)
    assert (b1.state, b1.health, b1.reason, b1.port) == ("active", "unknown", "", None)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_wanted_is_what_is_handed_out(world: World, seed: int) -> None:
    """To the bucket, whatever the weights: nobody is told of a difference that is none."""
    random = Random(seed)
    names = [f"b{n}" for n in range(1, random.randint(3, 5))]
    for n, name in enumerate(names[2:], 3):
        config = add_backend(world.desired.config, "web", make_backend(name, f"10.0.1.{10 + n}"))
        world.desired.configure(config, drain=True)
        world.desired.set_health("web", name, True, "passed")
    for _ in range(5):
        world.change(random.choice(names[:2]), weight=random.randint(0, 7))
        world.change(random.choice(names), weight=random.randint(1, 1000))
        backends = world.pool.backends
        assert [one.buckets for one in backends] == [one.buckets_wanted for one in backends]
        assert sum(one.buckets_wanted for one in backends) == world.pool.buckets


def test_a_tunnel_that_carries_less_is_shown(world: World) -> None:
    world.path_mtus = {1: 1376}
    assert (world.backend("b1").path_mtu, world.backend("b2").path_mtu) == (1376, None)


def test_one_that_is_down_has_no_share_and_the_reason(world: World) -> None:
    world.desired.set_health("web", "b1", False, "3 of 3 checks failed")
    world.desired.refresh(NOW)
    b1, b2 = world.backend("b1"), world.backend("b2")
    assert (b1.id, b1.buckets, b1.share_wanted, b1.health, b1.reason) == (
        0,
        0,
        0.0,
        "down",
        "3 of 3 checks failed",
    )
    assert (b2.buckets, b2.share_wanted) == (16, 1.0)
    assert not b1.drained, "it is not on its way out"


def test_one_that_drains_is_drained_when_no_bucket_and_no_flow_is_left(world: World) -> None:
    world.change("b1", state="drain")
    assert (world.backend("b1").buckets, world.backend("b1").previous_buckets) == (0, 12)
    assert world.pool.moving == 12
    world.still(1)
    assert not world.backend("b1").drained
    world.desired.assignment.settle("web", world.desired.assignment.pools["web"].buckets.moving)
    assert world.backend("b1").drained


def test_weight_0_drains_too(world: World) -> None:
    world.change("b1", weight=0)
    world.desired.assignment.settle("web", world.desired.assignment.pools["web"].buckets.moving)
    assert not world.backend("b1").drained
    world.still(1)
    assert world.backend("b1").drained


def test_disabled_is_drained_at_once(world: World) -> None:
    world.change("b1", state="disabled")
    assert world.backend("b1").drained


def test_a_removed_one_is_shown_while_it_drains(world: World) -> None:
    world.desired.configure(remove_backend(world.desired.config, "web", "b1"), drain=True)
    world.desired.refresh(NOW)
    removed = world.pool.backends[-1]
    assert (removed.name, removed.state, removed.id, removed.previous_buckets) == ("b1", "removing", 1, 12)


def test_counters_are_those_of_the_present_identity(world: World) -> None:
    world.counters.backends = {1: Counted(10, 640), 2: Counted(1, 64)}
    world.counters.syns = {1: 4}
    world.counters.vips = {(wide(ip_address("10.0.0.100")), 6, 80): Counted(11, 704)}
    world.counters.drops = {"no_backend": Counted(2, 128)}
    world.counters.unmoved = {"web": 3}
    world.counters.read = 5.0
    report, b1 = world.report(), world.backend("b1")
    assert (b1.packets, b1.bytes, b1.syns) == (10, 640, 4)
    assert (world.backend("b2").syns, world.pool.unmoved) == (0, 3)
    assert (report.vips[0].packets, report.vips[0].bytes) == (11, 704)
    assert report.drops == {"no_backend": Traffic(packets=2, bytes=128)}
    assert (report.revision, report.counted, report.switch) == (7, 5.0, SWITCH)


def test_what_clients_connections_came_to_is_told_of_those_that_are_listened_to(world: World) -> None:
    world.counters.handshakes = {1: Handshakes(9, 4, 5)}
    b1, b2 = world.backend("b1"), world.backend("b2")
    assert (b1.accepted, b1.refused, b1.signal, b1.ejected) == (4, 5, "", None)
    assert (b2.accepted, b2.refused) == (None, None)


def test_a_signal_and_an_ejection_are_told() -> None:
    world = World()
    pool = world.desired.config.pool("web")
    passive = Passive(silent=Reaction.EJECT, refusing=Reaction.EJECT, connections=1, window=1.0)
    config = with_pool(world.desired.config, pool.model_copy(update={"passive": passive}))
    world.desired.configure(config, drain=True)
    listening, now = Listening(), time.time()
    for look in range(3):
        counts = {1: Handshakes(9 * look, 0, 0), 2: Handshakes(9 * look, 0, 9 * look)}
        listening.observe(counts, {1: passive, 2: passive}, now + look)
    world.desired.hear(listening, now + 2, now)
    world.desired.refresh(now)
    b1, b2 = world.backend("b1"), world.backend("b2")
    assert (b1.signal, b1.ejected, b1.ejected_for) == ("silent", None, "")
    assert (b2.signal, b2.ejected, b2.share_wanted) == ("", now + 10, 0.0)
    assert b2.ejected_for == "refusing: none of 18 connections accepted in 2.0 s, 18 refused"


def test_tiers_panic_slow_start_and_penalties_are_told() -> None:
    world = World()
    pool = world.desired.config.pool("web")
    backends = (pool.backends[0], pool.backends[1].model_copy(update={"tier": 1}))
    damping = Damping(half_life=60, suppress=1.5, reuse=1)
    changed = {"backends": backends, "panic": 0.4, "slow_start": 600.0, "damping": damping}
    config = with_pool(world.desired.config, pool.model_copy(update=changed))
    world.desired.configure(config, drain=True)
    for healthy in (True, False, True, False):
        world.desired.set_health("web", "b1", healthy, "checked")
        world.desired.refresh(time.time())
    b1, b2 = world.backend("b1"), world.backend("b2")
    assert (world.pool.tier, world.pool.panic) == (1, False)
    assert (b1.tier, b1.held_back, b1.share_wanted) == (0, True, 0.0)
    assert 1.9 < b1.penalty <= 2.0
    assert (b2.tier, b2.held_back, b2.penalty, b2.share_wanted, b2.slow_start) == (1, False, 0.0, 1.0, 1.0)

    world.desired.set_health("web", "b2", False, "checked")
    world.desired.refresh(time.time())
    b1, b2 = world.backend("b1"), world.backend("b2")
    assert (world.pool.panic, b1.slow_start, b2.slow_start) == (True, 0.1, 1.0), "b1 came again"
