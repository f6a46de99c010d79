"""Probe rounds, their answers, suspicion: all in the data plane, by rounds and not by time.

What a switch has heard of a backend outlives its case, so each case has backends of its own.
"""

from collections.abc import Iterator
from itertools import count

from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest
from scapy.packet import Packet
from scapy.packet import Raw as Payload

from tests.packets import rows
from tests.packets.case import BEGIN, PROBE, Case, Cell, Change, InRound, Order, Out, Send, Step
from tests.packets.cases.exceptions import Client, ticks
from tests.packets.cases.nat import delivered, dns
from tests.packets.cases.own_addresses import advertises, asks, solicits, told
from tests.packets.flows import Flow, flows_where
from tests.packets.frames import ethernet, packet, toward
from tests.packets.rows import NAT, Entry, Group, Row
from tests.packets.world import (
    BACKEND_DNS,
    BACKEND_HTTP,
    CLIENT,
    FAMILIES,
    ONE,
    PAGE,
    ROUTER,
    TAGGED,
    TWO,
    V4,
    Family,
    Station,
)

GROUP = 5
TOLERANCE = 2
HOUR = 3_600_000_000  # microseconds
WINDOW = 1024
PROBERS = {"IPv4": "10.0.1.250", "IPv6": "fd00:1::250"}
MOTION = 80

PAGES = 4
"""Numbers of backends have two bits more than a copy's instance: those of a group have the same ones."""

_identities = count(501, 2)


def _identity_for_a_case() -> int:
    """The first of two numbers, of each page in turn."""
    low = next(_identities)
    return low // 2 % PAGES * PAGE + low


def _port(number: int, identity: int) -> int:
    """The source port of a probe: another one for each round, and for each backend at the same address."""
    return 0x8000 | (number + identity) & 0x7FFF


def _sequence(number: int, identity: int) -> int:
    """The sequence number of a SYN: 14 bits of its round, 18 of its backend."""
    return (number << 18 | identity) & 0xFFFFFFFF


def _echo(number: int, identity: int) -> dict[str, int]:
    """Those of an echo request, of which each has 16 bits: two of the backend's are in the second."""
    return {"id": identity & 0xFFFF, "seq": (number << 2 | identity >> 16) & 0xFFFF}


class Probed:
    """Backends one and two under identities that no other case has, and the probes between them and us.

    port: that SYNs go to; None: they are probed by echo requests. stations: where they are.
    """

    def __init__(
        self,
        family: Family,
        port: int | None = BACKEND_HTTP,
        *,
        stations: tuple[Station, Station] = (ONE, TWO),
        one: int | None = None,
    ) -> None:
        self.family, self.port, self.stations = family, port, stations
        self.one = _identity_for_a_case() if one is None else one
        self.two = self.one + 1
        self.group = self.one // PAGE << 13 | GROUP

    @property
    def rows(self) -> tuple[Entry, ...]:
        """The TCP pool's only bucket belongs to one, with two as its standby."""
        family = self.family
        first, second = self.stations
        return (
            rows.prober(PROBERS[family.name], ROUTER),
            rows.liveness_settings(tolerance=TOLERANCE),
            *rows.probed(self.one),
            *rows.probed(self.two),
            self.target(self.one, first),
            self.target(self.two, second),
            Group(self.group, ((first.port, self.one % PAGE), (second.port, self.two % PAGE))),
            rows.backend(self.one, family.of(first), BACKEND_HTTP),
            rows.backend(self.two, family.of(second), BACKEND_HTTP),
            rows.bucket(family.tcp_pool, 0, self.one, standby=self.two),
        )

    def target(self, identity: int, station: Station) -> Row:
        address = self.family.of(station)
        return rows.probe_target(
            identity, ROUTER, station.mac, PROBERS[self.family.name], address, self.port, vlan=station.vlan
        )

    def identity(self, station: Station) -> int:
        return self.one if station is self.stations[0] else self.two

    def _ip(self, source: str, destination: str) -> Packet:
        header = self.family.header(src=source, dst=destination)
        if isinstance(header, IP):
            header.id, header.flags = 0, "DF"
        return header

    def probe(self, station: Station, number: int) -> Packet:
        """Round and backend are in the sequence number, or in an echo request's."""
        identity = self.identity(station)
        header = self._ip(PROBERS[self.family.name], self.family.of(station))
        if self.port is not None:
            message: Packet = TCP(
                sport=_port(number, identity),
                dport=self.port,
                flags="S",
                seq=_sequence(number, identity),
                window=WINDOW,
            )
        elif self.family is V4:
            message = ICMP(type="echo-request", **_echo(number, identity))
        else:
            message = ICMPv6EchoRequest(**_echo(number, identity))
        return toward(station) / header / message

    def _answer(self, station: Station, number: int) -> Packet:
        """What a live backend says to a probe."""
        address = self.family.of(station)
        identity = self.identity(station)
        header = self.family.header(src=address, dst=PROBERS[self.family.name])
        if self.port is not None:
            message: Packet = TCP(
                sport=self.port,
                dport=_port(number, identity),
                flags="SA",
                seq=31337,
                ack=_sequence(number, identity) + 1,
                options=[("MSS", 1460)],
            )
        elif self.family is V4:
            message = ICMP(type="echo-reply", **_echo(number, identity))
        else:
            message = ICMPv6EchoReply(**_echo(number, identity))
        return ethernet(station) / header / message

    def _reset(self, station: Station, number: int) -> Packet:
        """What the switch says to a SYN-ACK, so that the backend's backlog stays clean."""
        identity = self.identity(station)
        header = self._ip(PROBERS[self.family.name], self.family.of(station))
        segment = TCP(
            sport=_port(number, identity),
            dport=self.port,
            flags="R",
            seq=_sequence(number, identity) + 1,
            window=0,
        )
        return toward(station) / header / segment

    # ---- steps

    def begins(self, at: float = 0.0) -> InRound:
        """A round, with the next number."""
        return InRound(lambda number: self._order(BEGIN, number, at), begins=True)

    def goes_on(self, order: int = PROBE) -> InRound:
        """More probes of the same round."""
        return InRound(lambda number: self._order(order, number))

    def _order(self, order: int, number: int, at: float = 0.0) -> Order:
        probes = tuple(Out(station.port, self.probe(station, number)) for station in self.stations)
        return Order(order, self.group, Payload(b""), probes, at)

    def answers(self, station: Station, late: int = 0) -> InRound:
        """late: rounds that the answered probe is older than the present one."""

        def step(number: int) -> Send:
            asked = number - late
            out = () if self.port is None else (Out(station.port, self._reset(station, asked)),)
            return Send(station.port, self._answer(station, asked), out)

        return InRound(step)


def _probes(family: Family) -> Iterator[Case]:
    name = family.name
    for how, port, ends in (
        ("a SYN", BACKEND_HTTP, {"replies": {"probe_reset": 2}}),
        ("an echo request", None, {"drops": {"probe_answer": 2}}),
    ):
        probed = Probed(family, port)
        yield Case(
            f"{name} probe: {how} to each backend of the group; their answers end here, and are counted",
            (probed.begins(), probed.answers(ONE), probed.answers(TWO)),
            rows=probed.rows,
            counts={Cell("probe_answers", probed.one): 1, Cell("probe_answers", probed.two): 1},
            drops=ends.get("drops", {}),
            replies=ends.get("replies", {}),
        )
        probed = Probed(family, port, stations=(ONE, TAGGED))
        yield Case(
            f"{name} probe: {how} into a VLAN has its tag",
            (probed.begins(), probed.answers(TAGGED)),
            rows=probed.rows,
            drops={"probe_answer": 1} if port is None else {},
            replies={"probe_reset": 1} if port else {},
        )
    probed = Probed(family)
    yield Case(
        f"{name} probe: each round has a number and a source port of its own, which it keeps",
        (probed.begins(), probed.goes_on(), probed.goes_on(), probed.begins(), probed.goes_on()),
        rows=probed.rows,
    )
    probed = Probed(family)
    yield Case(
        f"{name} probe: a round lasts its gap, whatever the controller says",
        (
            probed.begins(),
            Change((rows.liveness_settings(tolerance=TOLERANCE, gap=HOUR),)),
            probed.goes_on(BEGIN),
            probed.goes_on(BEGIN),
            Change((rows.liveness_settings(tolerance=TOLERANCE),)),
            probed.begins(),
        ),
        rows=probed.rows,
    )
    probed = Probed(family)
    yield Case(
        f"{name} probe: a backend of the group that is no target gets none",
        (
            InRound(
                lambda number, probed=probed: Order(
                    BEGIN, probed.group, Payload(b""), (Out(ONE.port, probed.probe(ONE, number)),)
                ),
                begins=True,
            ),
        ),
        rows=tuple(row for row in probed.rows if row != probed.target(probed.two, TWO)),
    )
    for shows, late, heard in (
        ("that was a round on its way is one", 1, 1),
        ("that was 63 rounds on its way is one", 63, 1),
        ("that was longer on its way is none", 64, 0),
        ("to a round long ago is none", 0x2000, 0),
        ("to a round to come is none", -1, 0),
    ):
        probed = Probed(family)
        yield Case(
            f"{name} answer: one {shows}",
            (probed.begins(), probed.answers(ONE, late=late)),
            rows=probed.rows,
            counts={Cell("probe_answers", probed.one): heard},
            replies={"probe_reset": 1},
        )


def _suspicion(family: Family) -> Iterator[Case]:
    name = family.name

    def case(
        shows: str, probed: Probed, *steps: Step, answers: int, suspected: int, all_suspect: int = 0
    ) -> Case:
        return Case(
            f"{name} suspicion: {shows}",
            steps,
            rows=probed.rows,
            counts={Cell("suspected", probed.one): suspected, Cell("all_suspect", probed.one): all_suspect},
            replies={"probe_reset": answers} if answers else {},
        )

    probed, flow = Probed(family), Client(family)
    yield case(
        "of both, since neither was ever heard of: new flows go to `current`",
        probed,
        flow.syn(ONE),
        flow.data(ONE),
        answers=0,
        suspected=0,
        all_suspect=1,
    )
    probed, flow = Probed(family), Client(family)
    yield case(
        "who was never heard of gets no new flow, when the standby was",
        probed,
        probed.begins(),
        probed.answers(TWO),
        flow.syn(TWO),
        flow.data(TWO),
        answers=1,
        suspected=1,
    )
    probed, flow = Probed(family), Client(family)
    behind = [step for _ in range(TOLERANCE) for step in (probed.begins(), probed.answers(TWO))]
    yield case(
        "who is behind, and no more than is tolerated, is not suspect",
        probed,
        probed.begins(),
        probed.answers(ONE),
        *behind,
        flow.syn(ONE),
        answers=1 + TOLERANCE,
        suspected=0,
    )
    probed, old, new, later, stranger = Probed(family), *(Client(family) for _ in range(4))
    silent = [step for _ in range(TOLERANCE + 1) for step in (probed.begins(), probed.answers(TWO))]
    yield case(
        "it moves new flows only, and when it was a false alarm breaks none",
        probed,
        probed.begins(),
        probed.answers(ONE),
        probed.answers(TWO),
        old.syn(ONE),
        *silent,
        old.data(ONE),
        new.syn(TWO),
        new.data(TWO),
        stranger.data(ONE),
        probed.answers(ONE),
        later.syn(ONE),
        new.data(TWO),
        new.syn(TWO),
        old.data(ONE),
        new.fin(TWO),
        new.syn(ONE),
        answers=2 + TOLERANCE + 1 + 1,
        suspected=1,
    )
    probed, flow = Probed(family), Client(family)
    yield case(
        "of both, since both fell silent: new flows go to `current`",
        probed,
        probed.begins(),
        probed.answers(ONE),
        probed.answers(TWO),
        *(probed.begins() for _ in range(TOLERANCE + 1)),
        flow.syn(ONE),
        answers=2,
        suspected=0,
        all_suspect=1,
    )
    probed, flow = Probed(family), Client(family)
    yield Case(
        f"{name} suspicion: where there is no standby, new flows go to `current`",
        (probed.begins(), probed.answers(TWO), flow.syn(ONE)),
        rows=(*probed.rows, rows.bucket(family.tcp_pool, 0, probed.one)),
        counts={Cell("suspected", probed.one): 0, Cell("all_suspect", probed.one): 1},
        replies={"probe_reset": 1},
    )
    probed, flow = Probed(family), Client(family)
    unprobed = rows.probed(probed.one)
    yield Case(
        f"{name} suspicion: never of a backend that is not probed",
        (*(probed.begins() for _ in range(TOLERANCE + 2)), flow.syn(ONE)),
        rows=tuple(row for row in probed.rows if row not in unprobed),
        counts={Cell("suspected", probed.one): 0, Cell("all_suspect", probed.one): 0},
    )
    probed, flow = Probed(family), Client(family)
    refused = packet(
        family,
        TCP(sport=BACKEND_HTTP, dport=0x8001, flags="RA", ack=1),
        source=ONE,
        destination=PROBERS[name],
    )
    yield Case(
        f"{name} suspicion: a port that is closed is no answer",
        (probed.begins(), probed.answers(TWO), Send(ONE.port, refused), flow.syn(TWO)),
        rows=probed.rows,
        counts={Cell("suspected", probed.one): 1, Cell("probe_answers", probed.one): 0},
        drops={"no_service": 1},
        replies={"probe_reset": 1},
    )
    probed, flow, older = Probed(family), Client(family), Client(family)
    yield Case(
        f"{name} suspicion: in a moving bucket, too, older flows stay and new ones go to the standby",
        (probed.begins(), probed.answers(TWO), older.data(TAGGED), flow.syn(TWO), flow.data(TWO)),
        rows=(
            *probed.rows,
            rows.backend(family.tcp_two, family.of(TAGGED), BACKEND_HTTP),
            rows.bucket(family.tcp_pool, 0, probed.one, family.tcp_two, standby=probed.two, motion=MOTION),
        ),
        counts={Cell("suspected", probed.one): 1, Cell("moving_previous", MOTION): 1},
        replies={"probe_reset": 1},
    )


def _pages(family: Family) -> Iterator[Case]:
    """The first and the last backends of a page, the last of all among them."""
    for one in {"IPv4": (PAGE, PAGES * PAGE - 2), "IPv6": (2 * PAGE, 3 * PAGE - 2)}[family.name]:
        probed, flow = Probed(family, one=one), Client(family)
        yield Case(
            f"{family.name} suspicion: backends {probed.one} and {probed.two} are asked, heard and suspected",
            (probed.begins(), probed.answers(TWO), flow.syn(TWO), flow.data(TWO)),
            rows=probed.rows,
            counts={
                Cell("suspected", probed.one): 1,
                Cell("probe_answers", probed.one): 0,
                Cell("probe_answers", probed.two): 1,
                Cell("probe_answers", probed.two % PAGE): 0,
                Cell("backend_syns", probed.two): 1,
                Cell("backend_syns", probed.two % PAGE): 0,
            },
            replies={"probe_reset": 1},
        )
        probed = Probed(family, None, one=one)
        yield Case(
            f"{family.name} probe: echo requests to backends {probed.one} and {probed.two}",
            (probed.begins(), probed.answers(ONE), probed.answers(TWO)),
            rows=probed.rows,
            counts={Cell("probe_answers", probed.one): 1, Cell("probe_answers", probed.two): 1},
            drops={"probe_answer": 2},
        )


def _datagrams(family: Family) -> Iterator[Case]:
    frame = packet(family, dns(32001), destination=family.nat_vip)
    for shows, may_move, owner in (
        ("stays, since none is known to be new", 0, ONE),
        ("moves, if it may", 1, TWO),
    ):
        probed = Probed(family)
        yield Case(
            f"{family.name} suspicion: UDP {shows}",
            (
                probed.begins(),
                probed.answers(TWO),
                Send(CLIENT.port, frame, (delivered(family, frame, owner, BACKEND_DNS),)),
            ),
            rows=(
                *probed.rows,
                rows.pool(family.udp_pool, NAT, udp_move=may_move),
                rows.bucket(family.udp_pool, 0, probed.one, standby=probed.two),
                rows.backend(probed.one, family.of(ONE), BACKEND_DNS),
                rows.backend(probed.two, family.of(TWO), BACKEND_DNS),
            ),
            counts={Cell("suspected", probed.one): may_move},
            replies={"probe_reset": 1},
        )


def _scrubbing(family: Family) -> Iterator[Case]:
    """A round looks at one place of each way, and erases what was silent for longer than any pool allows."""
    late = ticks(2.2)

    for shows, longest_idle, owner in (("void is erased", 0, ONE), ("alive is not", 8192, TWO)):
        probed = Probed(family)

        def flow(number: int) -> Client:
            """Its exception is where the round of this number looks."""
            return _at_place(family, number)

        yield Case(
            f"{family.name} scrubbing: an exception that is {shows}",
            (
                InRound(lambda number, flow=flow: flow(number + 1).syn(TWO)),
                InRound(lambda number, flow=flow: flow(number + 1).data(TWO)),
                probed.begins(at=late),
                InRound(lambda number, flow=flow, owner=owner: flow(number).data(owner, at=late)),
            ),
            rows=(
                *probed.rows,
                rows.bucket(family.tcp_pool, 0, family.tcp_two, family.tcp_one, motion=MOTION),
                rows.liveness_settings(longest_idle=longest_idle),
            ),
        )


SLOTS = 16384
ANY_PLACE = 0x5A5A << 14


def _at_place(family: Family, number: int) -> Client:
    def place(flow: Flow) -> int:
        return flow.place(family.tcp_pool)

    wanted = ANY_PLACE | number % SLOTS
    (flow,) = flows_where(place, wanted & 0xFFFFFFFF, 1, family, family.nat_vip)
    return Client(family, flow)


def _prober(family: Family) -> Iterator[Case]:
    prober = PROBERS[family.name]
    probed = Probed(family)
    question, answer = (
        (asks(prober), told(prober)) if family is V4 else (solicits(prober), advertises(prober))
    )
    yield Case(
        f"{family.name}: whoever asks for the address that probes come from is told",
        (Send(CLIENT.port, question, (Out(CLIENT.port, answer),)),),
        rows=probed.rows,
    )


CASES = [
    *(
        case
        for family in FAMILIES
        for cases in (_probes, _suspicion, _pages, _datagrams, _scrubbing, _prober)
        for case in cases(family)
    ),
    *(
        Case(
            f"bad_packet_out: a {what} without a group",
            (Order(order, 0, Payload(b"")),),
            drops={"bad_packet_out": 1},
        )
        for order, what in ((BEGIN, "round"), (PROBE, "probe"))
    ),
]
