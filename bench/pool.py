"""A pool of servers behind the compiled program, with the real controller's decisions and writes, in
virtual time."""

from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import NamedTuple

from controller.assignment import Assignment
from controller.desired import Desired
from controller.events import EventLog
from controller.model import ONLY, Backend, Config
from controller.program import BACKENDS, BUCKETS, MOVING_PREVIOUS, forward, wide
from controller.reconciler import Reconciler
from controller.values import mac_to_int
from controller.wanted import wanted
from p4src import build
from switch.engine import Engine
from tests.fakes.compiled import (
    ACK,
    CLIENTS_PORT,
    DESTINATION,
    FIN_ACK,
    SYN,
    CompiledSwitch,
    Loaded,
    tcp_frame,
)
from tests.fakes.data_plane import EMBRYONIC, TICK_BITS, TICKS, Flow
from tests.fakes.switch import at_once

MAC = "02:00:00:00:00:01"
ROUTER, HOST, CLIENT = (mac_to_int(f"02:00:00:00:00:0{n}") for n in (1, 2, 3))
ADDRESS, PORT = IPv4Address("10.0.0.100"), 80
VIP = (wide(ADDRESS), 6, PORT)
FIRST_SERVER = IPv4Address("10.0.1.1")
WAYS = [f"SluiceIngress.find_owner.way{way}.slots" for way in (1, 2, 3)]
CONFIRMED, CLOSING = 1 << 14, 1 << 15
"""In a slot; see p4src/exceptions.p4."""
EPOCH = 1_000_000.0


class Exceptions(NamedTuple):
    """Of connections that live, of those that have ended in the last idle timeout, and of mere SYNs."""

    live: int
    ended: int
    embryos: int


class _Switch(CompiledSwitch):
    """Without the check after every write that nothing points at something absent: tests make it."""

    def dangling(self) -> list[str]:
        return []


class Pool:
    """`now` is in seconds since the beginning; whoever drives the pool sets it."""

    def __init__(self, buckets: int, idle_timeout: float) -> None:
        pool = {"name": "web", "buckets": buckets, "idle_timeout": idle_timeout, "drain_deadline": "30d"}
        document = {
            "switch": {"mac": MAC},
            "interfaces": [{"name": "all", "ports": [1], "addresses": ["10.0.0.1/16"]}],
            "pools": [pool],
            "vips": [{"name": "web", "address": str(ADDRESS), "port": PORT, "pool": "web"}],
        }
        self.now = 0.0
        self._config = Config.model_validate(document)
        self._switch = _Switch(Loaded.of((build.COMPILED / build.PROGRAM).read_bytes()).start())
        self._desired = Desired(self._config, Assignment(), EventLog(clock=lambda: EPOCH + self.now))
        self._reconciler = Reconciler(self._switch)  # type: ignore[arg-type]

    @property
    def engine(self) -> Engine:
        return self._switch.engine

    @property
    def bucket_writes(self) -> int:
        return sum(change.table is BUCKETS for change in self._switch.log)

    @property
    def unmoved(self) -> int:
        """SYNs that found no room in a moving bucket."""
        name, count = "SluiceIngress.find_owner.moving_unmoved", 0
        for slot in range(self.engine.counters[name].size):
            count += self.engine.counters[name].read(slot)[0]
        return count

    def serve_by(self, servers: Sequence[str]) -> None:
        """These are the servers; those that are no longer among them drain."""
        backends = tuple(Backend(name=name, address=IPv4Address(name), port=PORT) for name in servers)
        pool = self._config.pools[0].model_copy(update={"backends": backends})
        self._config = self._config.model_copy(update={"pools": (pool,)})
        self._desired.configure(self._config, drain=True)
        for backend in backends:
            self._desired.set_health("web", backend.name, True, "checked")
        self._bring_in_line()

    def look_after(self) -> None:
        """What the controller does now and then: look at counters, settle, and make the moves that are
        due."""
        desired, now = self._desired, self.now
        slots = at_once(self._switch.packet_counts(MOVING_PREVIOUS, desired.moving_slots()))
        desired.members[ONLY].slots.observe(slots, now, now)
        traffic = at_once(self._switch.traffic(BACKENDS))
        counts = {number: value.packets for (number,), value in traffic.items()}
        desired.members[ONLY].backends.observe(counts, now, now)
        due = desired.due(EPOCH + now)
        if desired.settle(EPOCH + now) or (due is not None and due <= EPOCH + now):
            self._bring_in_line()

    def _bring_in_line(self) -> None:
        self._desired.refresh(EPOCH + self.now)
        neighbors = {(wide(one),): forward(2, ROUTER, HOST, 0) for one in self._desired.backends()}
        want = wanted(self._config, self._desired.assignment, neighbors, self._desired.announced)
        result = at_once(self._reconciler.apply(want))
        assert result.complete, result
        for pool in self._desired.awaited():
            self._desired.written(pool, EPOCH + self.now)

    # packets

    def records(self, flow: Flow) -> bool:
        """Whether a SYN of the flow would be recorded, if there is room: its bucket moves or soon will."""
        tables = self._switch.tables
        mask = len(self._desired.assignment.pools["web"].buckets) - 1
        number = self._desired.assignment.pools["web"].id
        current, previous, _, announced, _ = tables[BUCKETS][number, flow.hash & mask].values
        return current != previous or bool(announced)

    def owner(self, frame: bytes) -> str:
        """The server that gets a frame of a client."""
        ((_, sent),) = self.engine.process(CLIENTS_PORT, frame, round(self.now * 1e6))
        return str(IPv4Address(sent[DESTINATION]))

    def exceptions(self, idle_ticks: int) -> Exceptions:
        """What the exception table holds that is not void."""
        tick = (round(self.now * 1e6) >> TICK_BITS) % TICKS
        live = ended = embryos = 0
        for way in WAYS:
            for index in range(self.engine.registers[way].size):
                slot = self.engine.registers[way].read(index)
                silent = (tick - slot) % TICKS
                if not slot or silent > (idle_ticks if slot & CONFIRMED else EMBRYONIC):
                    continue
                live += bool(slot & CONFIRMED and not slot & CLOSING)
                ended += bool(slot & CLOSING)
                embryos += not slot & (CONFIRMED | CLOSING)
        return Exceptions(live, ended, embryos)


def frames(flow: Flow) -> tuple[bytes, bytes, bytes]:
    """The SYN, any packet after it, and the FIN of a flow."""
    assert isinstance(flow.source, IPv4Address)
    ends, ports, macs = (flow.source, ADDRESS), (flow.port, PORT), (CLIENT, ROUTER)
    first, later, last = (tcp_frame(ends, ports, flags, macs) for flags in (SYN, ACK, FIN_ACK))
    return first, later, last


def names(count: int) -> list[str]:
    return [str(FIRST_SERVER + n) for n in range(count)]
