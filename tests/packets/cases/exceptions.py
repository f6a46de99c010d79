"""Moving buckets and the exceptions of the flows in them: who owns a flow, packet by packet.

Every pool of the base network has one bucket; here it moves from backend one to backend two, mostly. An
exception outlives its case in a switch whose registers nobody can clear, so each case has ports of its own.
"""

from collections.abc import Iterator
from itertools import count

from scapy.layers.l2 import Ether
from scapy.packet import Packet

from tests.packets import rows
from tests.packets.case import Case, Cell, Change, Out, Send, Step
from tests.packets.cases.nat import delivered, dns, http
from tests.packets.cases.routing import NO_MAC, UNRESOLVED
from tests.packets.flows import Flow
from tests.packets.frames import hop, packet
from tests.packets.packet_in import Punt, packet_in
from tests.packets.rows import NAT, Row
from tests.packets.world import (
    BACKEND_HTTP,
    CLIENT,
    FAMILIES,
    HTTP,
    ONE,
    TWO,
    Family,
    Station,
)

MOTION = 77
TICK = (1 << 18) / 1_000_000  # seconds
EMBRYONIC = 57  # ticks for which an exception lives of which only a SYN was seen
IDLE = 40  # the pool's idle timeout in the cases about time
LONGEST_IDLE = 1 << 13
MINUTE = 60.0

_ports = count(50001)


class Client:
    """One flow, and its packets as steps: `flow.syn(ONE)` is its SYN, and that backend one gets it."""

    def __init__(self, family: Family, flow: Flow | None = None) -> None:
        self.family = family
        self.flow = flow
        self.source = flow.source if flow else None
        self.port = flow.source_port if flow else next(_ports)

    def frame(self, flags: str) -> Packet:
        return packet(
            self.family, http(self.port, flags), address=self.source, destination=self.family.nat_vip
        )

    def _step(self, flags: str, owner: Station | None, at: float) -> Send:
        frame = self.frame(flags)
        return Send(CLIENT.port, frame, (delivered(self.family, frame, owner),) if owner else (), at)

    def syn(self, owner: Station | None, at: float = 0.0) -> Send:
        return self._step("S", owner, at)

    def data(self, owner: Station | None, at: float = 0.0) -> Send:
        return self._step("PA", owner, at)

    def fin(self, owner: Station | None, at: float = 0.0) -> Send:
        return self._step("FA", owner, at)

    def rst(self, owner: Station | None, at: float = 0.0) -> Send:
        return self._step("R", owner, at)


def settled(family: Family, backend: int) -> Row:
    return rows.bucket(family.tcp_pool, 0, backend)


def moving(family: Family, current: int, previous: int) -> Row:
    return rows.bucket(family.tcp_pool, 0, current, previous, motion=MOTION)


def announced(family: Family, backend: int) -> Row:
    return rows.bucket(family.tcp_pool, 0, backend, announced=1)


def to(*changed: Row) -> Change:
    return Change(changed)


def ticks(number: float) -> float:
    return number * TICK


PREVIOUS = Cell("moving_previous", MOTION)
UNMOVED = Cell("moving_unmoved", MOTION)


def _rule(family: Family) -> Iterator[Case]:
    """The one rule: the exception's owner; else a SYN's pick, recorded; else `previous`."""
    one, two = family.tcp_one, family.tcp_two
    name = family.name

    flow = Client(family)
    yield Case(
        f"{name} moving: a SYN goes to `current`, and so does all that follows it",
        (flow.syn(TWO), flow.data(TWO), flow.data(TWO), flow.fin(TWO)),
        rows=(moving(family, two, one),),
        counts={PREVIOUS: 0, UNMOVED: 0, Cell("backend_syns", two): 1, Cell("backend_syns", one): 0},
    )
    flow = Client(family)
    yield Case(
        f"{name} moving: a flow that began before the move stays with `previous`, and is counted",
        (flow.syn(ONE), flow.data(ONE), to(moving(family, two, one)), flow.data(ONE), flow.fin(ONE)),
        counts={PREVIOUS: 2, UNMOVED: 0},
    )
    flow = Client(family)
    yield Case(
        f"{name} moving: what nobody knows and is no SYN stays with `previous`",
        (flow.data(ONE), flow.rst(ONE)),
        rows=(moving(family, two, one),),
        counts={PREVIOUS: 2},
    )
    flow = Client(family)
    yield Case(
        f"{name} moving: a SYN that arrives twice goes to one backend",
        (flow.syn(TWO), flow.syn(TWO), flow.data(TWO)),
        rows=(moving(family, two, one),),
    )
    flow, other = Client(family), Client(family)
    yield Case(
        f"{name} settled on `current`: exceptions and all others agree",
        (flow.syn(TWO), to(settled(family, two)), flow.data(TWO), other.syn(TWO), other.data(TWO)),
        rows=(moving(family, two, one),),
    )
    flow, other = Client(family), Client(family)
    yield Case(
        f"{name} moved back: flows that began during the move stay where they began",
        (
            flow.syn(TWO),
            to(moving(family, one, two)),
            flow.data(TWO),
            other.syn(ONE),
            flow.data(TWO),
            to(settled(family, one)),
            flow.data(TWO),
            other.data(ONE),
        ),
        rows=(moving(family, two, one),),
    )
    flow = Client(family)
    yield Case(
        f"{name} announced: a SYN is recorded, so that it stays when it comes again after the move",
        (flow.syn(ONE), to(moving(family, two, one)), flow.syn(ONE), flow.data(ONE)),
        rows=(announced(family, one),),
        counts={PREVIOUS: 0, UNMOVED: 0},
    )
    flow = Client(family)
    yield Case(
        f"{name} not announced: a SYN that comes again after the move, moves (the documented residue)",
        (flow.syn(ONE), to(moving(family, two, one)), flow.syn(TWO), flow.data(TWO)),
    )
    flow, known = Client(family), Client(family)
    yield Case(
        f"{name} moving to nobody: new flows are refused, never sent to `previous`; the others go on",
        (
            known.syn(TWO),
            to(moving(family, 0, one)),
            flow.syn(None),
            flow.data(ONE),
            known.data(TWO),
            known.syn(TWO),
        ),
        rows=(moving(family, two, one),),
        drops={"no_backend": 1},
        counts={PREVIOUS: 1, UNMOVED: 0},
    )
    flow = Client(family)
    yield Case(
        f"{name}: a flow refused once is not remembered for it",
        (flow.syn(None), to(moving(family, two, one)), flow.syn(TWO), flow.data(TWO)),
        rows=(moving(family, 0, one),),
        drops={"no_backend": 1},
    )
    flow = Client(family)
    elsewhere = family.udp_pool
    yield Case(
        f"{name}: an exception is its pool's; the same flow in another pool is another",
        (
            flow.syn(TWO),
            to(
                rows.vip(family.nat_vip, rows.TCP, HTTP, elsewhere),
                rows.bucket(elsewhere, 0, two, one, motion=MOTION),
                rows.backend(one, family.of(ONE), BACKEND_HTTP),
            ),
            flow.data(ONE),
            to(rows.vip(family.nat_vip, rows.TCP, HTTP, family.tcp_pool)),
            flow.data(TWO),
        ),
        rows=(moving(family, two, one),),
        counts={PREVIOUS: 1},
    )


def _closing(family: Family) -> Iterator[Case]:
    """A FIN or RST marks an exception: the next SYN is a new flow."""
    one, two = family.tcp_one, family.tcp_two
    for how in ("fin", "rst"):
        flow = Client(family)
        end = getattr(flow, how)
        yield Case(
            f"{family.name} closing by {how.upper()}: a SYN is a new flow, and goes where new flows go",
            (
                flow.syn(TWO),
                end(TWO),
                flow.data(TWO),
                to(moving(family, one, two)),
                flow.syn(ONE),
                flow.data(ONE),
            ),
            rows=(moving(family, two, one),),
        )
        flow = Client(family)
        end = getattr(flow, how)
        yield Case(
            f"{family.name} closing by {how.upper()}: in a settled bucket a SYN needs no exception any more",
            (flow.syn(TWO), end(TWO), to(settled(family, one)), flow.syn(ONE), flow.data(ONE)),
            rows=(moving(family, two, one),),
        )
    flow = Client(family)
    yield Case(
        f"{family.name}: a SYN on an exception that is not closing is the same flow, not a new one",
        (flow.syn(TWO), flow.data(TWO), to(moving(family, one, two)), flow.syn(TWO), flow.data(TWO)),
        rows=(moving(family, two, one),),
    )
    flow = Client(family)
    yield Case(
        f"{family.name} closing: the new flow's exception is not closing",
        (
            flow.syn(TWO),
            flow.fin(TWO),
            flow.syn(TWO),
            flow.data(TWO),
            to(moving(family, one, two)),
            flow.syn(TWO),
            flow.data(TWO),
        ),
        rows=(moving(family, two, one),),
    )


def _time(family: Family) -> Iterator[Case]:
    one, two = family.tcp_one, family.tcp_two
    name = family.name
    idle = rows.pool(family.tcp_pool, NAT, idle=IDLE)

    def timed(shows: str, *steps: Step, pool: Row = idle) -> Case:
        return Case(f"{name} {shows}", steps, rows=(pool, moving(family, two, one)))

    # The clock ticks 262 ms at a time, so that "for 57 ticks" ends somewhere in the tick after.
    flow = Client(family)
    yield timed("SYN alone: known for 15 s", flow.syn(TWO), flow.data(TWO, ticks(EMBRYONIC)))
    flow = Client(family)
    yield timed(
        "SYN alone: forgotten after 15 s and a tick", flow.syn(TWO), flow.data(ONE, ticks(EMBRYONIC + 1))
    )
    flow = Client(family)
    yield timed(
        "SYN alone: each further SYN keeps it for 15 s more",
        flow.syn(TWO),
        *(flow.syn(TWO, ticks(EMBRYONIC * n)) for n in (1, 2, 3)),
        flow.data(TWO, ticks(EMBRYONIC * 4)),
    )
    flow = Client(family)
    yield timed(
        "confirmed: known for the idle timeout, longer than 15 s or not",
        flow.syn(TWO),
        flow.data(TWO, ticks(1)),
        flow.data(TWO, ticks(1 + IDLE)),
    )
    flow = Client(family)
    yield timed(
        "confirmed: forgotten after the idle timeout and a tick",
        flow.syn(TWO),
        flow.data(TWO, ticks(1)),
        flow.data(ONE, ticks(1 + IDLE + 1)),
        flow.data(ONE, ticks(1 + IDLE + 2)),
    )
    flow = Client(family)
    yield timed(
        "confirmed: a flow that sends often enough is known forever",
        flow.syn(TWO),
        *(flow.data(TWO, ticks(IDLE * n)) for n in range(1, 30)),
    )
    flow = Client(family)
    yield timed(
        "confirmed: a pool's longest idle timeout outlasts 15 s by far",
        flow.syn(TWO),
        flow.data(TWO, ticks(1)),
        flow.data(TWO, ticks(1 + LONGEST_IDLE)),
        flow.data(ONE, ticks(1 + 2 * LONGEST_IDLE + 1)),
        pool=rows.pool(family.tcp_pool, NAT, idle=LONGEST_IDLE),
    )
    flow = Client(family)
    yield timed(
        "confirmed: the clock turns over every 71 minutes, and nothing happens",
        flow.syn(TWO),
        *(flow.data(TWO, 30 * MINUTE * n) for n in range(12)),
        pool=rows.pool(family.tcp_pool, NAT, idle=LONGEST_IDLE),
    )
    flow = Client(family)
    yield timed(
        "expired: a SYN is a new flow",
        flow.syn(TWO),
        flow.data(TWO),
        to(moving(family, one, two)),
        flow.syn(ONE, ticks(IDLE + 2)),
        flow.data(ONE, ticks(IDLE + 3)),
    )
    flow = Client(family)
    yield timed(
        "expired: what was forgotten does not come back when the clock has turned",
        flow.syn(TWO),
        flow.data(TWO),
        flow.data(ONE, ticks(IDLE + 2)),
        flow.data(ONE, ticks((1 << 14) + 2)),
    )


def _gone(family: Family) -> Iterator[Case]:
    """An exception whose owner is in no table any more: erased, and the packet decided afresh."""
    one, two = family.tcp_one, family.tcp_two
    backend_two = rows.backend(two, family.of(TWO), BACKEND_HTTP)
    vip = rows.vip(family.nat_vip, rows.TCP, HTTP, family.tcp_pool)
    dies = Change((settled(family, one),), gone=(backend_two,))

    flow = Client(family)
    yield Case(
        f"{family.name} gone: data goes where its bucket says, counted twice by the VIP",
        (flow.syn(TWO), dies, flow.data(ONE), flow.data(ONE)),
        rows=(moving(family, two, one),),
        counts={vip: 4},
    )
    flow = Client(family)
    yield Case(
        f"{family.name} gone: a SYN is a new flow",
        (flow.syn(TWO), flow.data(TWO), dies, flow.syn(ONE), flow.data(ONE)),
        rows=(moving(family, two, one),),
    )
    flow = Client(family)
    yield Case(
        f"{family.name} gone: a backend that returns under its old number is not remembered",
        (flow.syn(TWO), dies, flow.data(ONE), Change((backend_two,)), flow.data(ONE)),
        rows=(moving(family, two, one),),
    )
    flow = Client(family)
    yield Case(
        f"{family.name} gone: nobody left",
        (flow.syn(TWO), Change((settled(family, 0),), gone=(backend_two,)), flow.data(None), flow.syn(None)),
        rows=(moving(family, two, one),),
        drops={"no_backend": 2},
    )
    flow = Client(family)
    yield Case(
        f"{family.name} gone: a SYN whose pick is not there either is refused, again and again",
        (
            flow.syn(TWO),
            Change(gone=(backend_two,)),
            flow.syn(None),
            flow.syn(None),
            Change((backend_two,)),
            flow.syn(TWO),
        ),
        rows=(moving(family, two, one),),
        drops={"no_backend": 2},
    )
    flow = Client(family)
    unresolved = UNRESOLVED[family.name]
    frame = packet(family, http(flow.port, "PA"), destination=family.nat_vip)
    punted = delivered(family, frame, Station(0, NO_MAC, unresolved, unresolved)).packet
    punted[Ether].src = NO_MAC
    yield Case(
        f"{family.name} gone: the controller still learns which port the packet came from",
        (
            flow.syn(TWO),
            Change((settled(family, one), rows.backend(one, unresolved, BACKEND_HTTP)), gone=(backend_two,)),
            Send(CLIENT.port, frame, (packet_in(Punt.GLEAN, CLIENT.port, punted),)),
        ),
        rows=(moving(family, two, one),),
    )


def _datagrams(family: Family) -> Iterator[Case]:
    """UDP has no SYN, and no exceptions."""
    one, two = family.udp_one, family.udp_two
    move = rows.bucket(family.udp_pool, 0, two, one, motion=MOTION)
    frame = packet(family, dns(next(_ports)), destination=family.nat_vip)
    to_one, to_two = (
        Send(CLIENT.port, frame, (delivered(family, frame, station),)) for station in (ONE, TWO)
    )
    yield Case(
        f"{family.name} UDP stays with `previous` until the bucket settles",
        (to_one, to(move), to_one, to_one, to(rows.bucket(family.udp_pool, 0, two)), to_two),
        counts={PREVIOUS: 2, UNMOVED: 0},
    )
    yield Case(
        f"{family.name} UDP of a pool that says so moves at once, and holds nothing back",
        (to_one, to(move), to_two, to_two),
        rows=(rows.pool(family.udp_pool, NAT, udp_move=1),),
        counts={PREVIOUS: 0, UNMOVED: 0},
    )


def _dsr(family: Family) -> Iterator[Case]:
    one, two = family.dsr_one, family.dsr_two
    port = next(_ports)
    began = next(_ports)

    def step(port: int, flags: str, station: Station) -> Send:
        frame = packet(family, http(port, flags), destination=family.dsr_vip)
        return Send(CLIENT.port, frame, (Out(station.port, hop(station, frame)),))

    yield Case(
        f"{family.name} dsr: a bucket moves as in any pool",
        (
            step(began, "S", ONE),
            to(rows.bucket(family.dsr_pool, 0, two, one, motion=MOTION)),
            step(port, "S", TWO),
            step(port, "A", TWO),
            step(began, "A", ONE),
        ),
        counts={PREVIOUS: 1},
    )


CASES = [
    *(
        case
        for family in FAMILIES
        for cases in (_rule, _closing, _time, _gone, _datagrams, _dsr)
        for case in cases(family)
    ),
]
