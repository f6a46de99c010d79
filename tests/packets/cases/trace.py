"""Traced packets: the controller learns what would become of a frame and why, and nothing has changed.

The answer's header is compared to the bit. On a switch whose clock runs by itself the age of an exception is
left out of that.
"""

from collections.abc import Iterator

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet
from scapy.packet import Raw as Payload

from tests.packets import rows
from tests.packets.case import TRACE, Case, Cell, Change, InRound, Order, Out, Send, Step
from tests.packets.cases.exceptions import (
    MOTION,
    Client,
    announced,
    moving,
    settled,
    ticks,
)
from tests.packets.cases.fragments import BODY, Fragmented
from tests.packets.cases.liveness import Probed
from tests.packets.cases.nat import delivered, dns, http
from tests.packets.cases.own_addresses import (
    ADVERTISEMENT,
    advertises,
    asks,
    pings4,
    pings6,
    pongs4,
    pongs6,
    solicits,
    told,
)
from tests.packets.cases.places import together
from tests.packets.cases.policy import nobody, reset, unreachable
from tests.packets.cases.quotes import about_a_segment
from tests.packets.cases.routing import NO_MAC, UNRESOLVED, ssh
from tests.packets.cases.size import dont_fragment, grown
from tests.packets.complaints import complaint, port_unreachable, time_exceeded, too_big
from tests.packets.frames import hop, packet
from tests.packets.packet_in import Decision, Fate, Punt, packet_in
from tests.packets.rows import NAT, RESET, UNREACHABLE, Meter
from tests.packets.ways import WAYS, Way
from tests.packets.world import (
    BACKEND_HTTP,
    CLIENT,
    FAMILIES,
    ONE,
    TAGGED,
    TWO,
    V4,
    V6,
    Family,
    Station,
)

WHY = {
    "malformed": 1,
    "bad_ip_checksum": 2,
    "not_for_us": 3,
    "arp_ignored": 6,
    "fragment": 8,
    "no_service": 9,
    "no_backend": 11,
    "direct_to_backend": 14,
    "ttl_expired": 15,
    "no_route": 16,
    "too_big": 19,
    "bad_flags": 23,
    "source_denied": 26,
    "probe_answer": 28,
}
"""Numbers of drop reasons (p4src/fates.p4)."""
REPLIES = {"time_exceeded": 1, "packet_too_big": 2, "unreachable": 3, "reset": 4, "probe_reset": 5}
"""Numbers of kinds of reply (p4src/metadata.p4)."""


def trace(frame: Packet, shown: Packet, *, port: int = CLIENT.port, at: float = 0.0, **told: int) -> Order:
    """A traced frame, and what the controller gets: the frame as it would leave, and the header's fields."""
    return Order(TRACE, port, frame, (packet_in(Punt.TRACE, port, shown, **told),), at)


def sent(frame: Packet, out: Out, *, port: int = CLIENT.port, **told: int) -> Order:
    return trace(frame, out.packet, port=port, fate=Fate.SENT, egress_port=out.port, **told)


def dropped(frame: Packet, why: str, *, port: int = CLIENT.port, **told: int) -> Order:
    """The frame is shown as it came."""
    return trace(frame, frame, port=port, fate=Fate.DROPPED, why=WHY[why], **told)


def replied(frame: Packet, kind: str, otherwise: str, out: Out, **told: int) -> Order:
    """otherwise: why it would be dropped if nothing might be said about it."""
    return trace(
        frame,
        out.packet,
        port=out.port,
        fate=Fate.REPLIED,
        why=WHY[otherwise],
        reply=REPLIES[kind],
        egress_port=out.port,
        **told,
    )


def _every_way(way: Way) -> Iterator[Case]:
    """What the trace shows is what then leaves."""
    for name, protocol, transport in (("TCP", rows.TCP, http(33001, "S")), ("UDP", rows.UDP, dns(33001))):
        one, _ = way.backends(protocol)
        steps: list[Step] = []
        for station in (CLIENT, TAGGED):
            frame = way.to_vip(transport, source=station)
            out = way.delivered(frame)
            decided = {"vip": 1, "pool": way.pool(protocol), "owner": one, "decision": Decision.SETTLED}
            steps += [sent(frame, out, port=station.port, **decided), Send(station.port, frame, (out,))]
        yield Case(
            f"{way}, {name}: a trace shows what leaves, and counts no new connection",
            tuple(steps),
            rows=way.rows,
            counts={Cell("backend_syns", one): 2 if protocol == rows.TCP else 0},
        )


class Flow(Client):
    """A client's flow to the TCP pool, whose packets are traced."""

    def trace(self, flags: str, station: Station | None, *, at: float = 0.0, **told: int) -> Order:
        """station: who would get the packet; None: nobody, and it is shown as it came."""
        family = self.family
        frame = self.frame(flags)
        where = {"vip": 1, "pool": family.tcp_pool}
        if station is None:
            return trace(frame, frame, at=at, fate=Fate.DROPPED, why=WHY["no_backend"], **where, **told)
        owner = {ONE: family.tcp_one, TWO: family.tcp_two}[station]
        out = delivered(family, frame, station)
        where |= {"egress_port": out.port, "owner": owner}
        return trace(frame, out.packet, at=at, fate=Fate.SENT, **where, **told)


def _decisions(family: Family) -> Iterator[Case]:
    name = family.name
    one, two = family.tcp_one, family.tcp_two
    move = (moving(family, two, one),)
    counted = Cell("moving_previous", MOTION)
    unmoved = Cell("moving_unmoved", MOTION)

    flow = Flow(family)
    yield Case(
        f"{name} trace: `current` and `previous`, and asking records nothing",
        (
            flow.trace("S", TWO, decision=Decision.CURRENT, recorded=1),
            flow.trace("S", TWO, decision=Decision.CURRENT, recorded=1),
            flow.trace("A", ONE, decision=Decision.PREVIOUS),
            flow.data(ONE),
        ),
        rows=move,
        counts={counted: 1, Cell("backend_syns", two): 0},
    )
    flow = Flow(family)
    known = {"decision": Decision.EXCEPTION, "known": 1}
    yield Case(
        f"{name} trace: an exception, and asking neither confirms nor closes it",
        (
            flow.syn(TWO),
            flow.trace("A", TWO, **known),
            flow.trace("A", TWO, **known),
            flow.trace("S", TWO, **known),
            flow.data(TWO),
            flow.trace("FA", TWO, **known, confirmed=1),
            flow.trace("R", TWO, **known, confirmed=1),
            flow.trace("A", TWO, **known, confirmed=1),
            flow.fin(TWO),
            flow.trace("A", TWO, **known, confirmed=1, closing=1),
            flow.trace("S", TWO, decision=Decision.CURRENT, recorded=1),
            flow.data(TWO),
        ),
        rows=move,
        counts={counted: 0},
    )
    flow = Flow(family)
    error = about_a_segment(family, flow.port, TWO)
    yield Case(
        f"{name} trace: an ICMP error about a flow confirms nothing",
        (flow.syn(TWO), error, flow.trace("A", TWO, **known)),
        rows=move,
    )
    flow = Flow(family)
    yield Case(
        f"{name} trace: how long an exception was silent, and asking does not refresh it",
        (
            flow.syn(TWO),
            flow.trace("A", TWO, at=ticks(20), **known, silent=20),
            flow.trace("A", TWO, at=ticks(57), **known, silent=57),
            flow.trace("A", ONE, at=ticks(58), decision=Decision.PREVIOUS),
            flow.data(ONE, at=ticks(58)),
        ),
        rows=move,
        counts={counted: 1},
    )
    flow = Flow(family)
    yield Case(
        f"{name} trace: before an announced move a flow would be recorded where it is",
        (
            flow.trace("S", ONE, decision=Decision.CURRENT, recorded=1),
            Change((moving(family, two, one),)),
            flow.syn(TWO),
        ),
        rows=(announced(family, one),),
    )
    flow = Flow(family)
    gone = rows.backend(two, family.of(TWO), BACKEND_HTTP)
    yield Case(
        f"{name} trace: an exception's backend is gone, and asking does not erase it",
        (
            flow.syn(TWO),
            Change(gone=(gone,)),
            flow.trace("A", None, decision=Decision.GONE, owner=two, known=1),
            flow.trace("A", None, decision=Decision.GONE, owner=two, known=1),
            Change((gone,)),
            flow.data(TWO),
        ),
        rows=move,
    )
    flow = Flow(family)
    yield Case(
        f"{name} trace: nobody serves a new flow",
        (
            flow.trace("S", None, decision=Decision.REFUSED),
            flow.trace("A", ONE, decision=Decision.PREVIOUS),
        ),
        rows=(moving(family, 0, one),),
        counts={counted: 0},
    )
    flow = Flow(family)
    yield Case(
        f"{name} trace: nobody serves an older flow",
        (flow.trace("A", None, decision=Decision.SETTLED),),
        rows=(settled(family, 0),),
    )
    first, second, third, fourth, _ = (Flow(family, one.flow) for one in together(family, PLACES[name]))
    yield Case(
        f"{name} trace: no room",
        (
            *(flow.syn(TWO) for flow in (first, second, third)),
            fourth.trace("S", ONE, decision=Decision.NO_ROOM),
            first.trace("A", TWO, **known),
            third.trace("A", TWO, **known),
        ),
        rows=move,
        counts={unmoved: 0, counted: 0},
    )


PLACES = {"IPv4": 0x2468ACE0, "IPv6": 0x1B2C3D4E}
"""Of exceptions, that no other case fills."""


def _datagrams(family: Family) -> Iterator[Case]:
    name, one, two = family.name, family.udp_one, family.udp_two
    where = {"vip": 1, "pool": family.udp_pool}
    frame = packet(family, dns(33010), destination=family.nat_vip)
    for shows, move, station, owner, decision in (
        ("UDP that may move", 1, TWO, two, Decision.MOVES),
        ("UDP that stays", 0, ONE, one, Decision.PREVIOUS),
    ):
        yield Case(
            f"{name} trace: {shows}",
            (sent(frame, delivered(family, frame, station), **where, owner=owner, decision=decision),),
            rows=(
                rows.pool(family.udp_pool, NAT, udp_move=move),
                rows.bucket(family.udp_pool, 0, two, one, motion=MOTION),
            ),
            counts={Cell("moving_previous", MOTION): 0},
        )
    whole = Fragmented(Way(NAT, family), dns(33011, BODY))
    first, later = whole.part(0), whole.part(1)
    yield Case(
        f"{name} trace: a fragment follows the first, which asking does not remember",
        (
            sent(first.packet, first.out[0], **where, owner=one, decision=Decision.SETTLED),
            dropped(later.packet, "fragment"),
            first,
            sent(later.packet, later.out[0], owner=one, decision=Decision.FRAGMENT),
            later,
        ),
    )
    meter = Meter("vip_rate", 1, burst=2)
    told = {**where, "owner": one, "decision": Decision.SETTLED}
    out = delivered(family, frame)
    yield Case(
        f"{name} trace: no meter is asked",
        (
            *[sent(frame, out, **told)] * 5,
            *[Send(CLIENT.port, frame, (out,))] * 2,
            Send(CLIENT.port, frame),
            sent(frame, out, **told),
        ),
        rows=(meter,),
        drops={"over_vip_rate": 1},
    )


def _liveness(family: Family) -> Iterator[Case]:
    probed, flow = Probed(family), Flow(family)
    frame = flow.frame("S")
    where = {"vip": 1, "pool": family.tcp_pool}
    out = delivered(family, frame, TWO)
    to_one = delivered(family, frame, ONE)
    answer = probed.answers(ONE)

    def traced(number: int) -> Order:
        """The answer to a probe, traced: it would be reset, and is not heard."""
        step = answer.make(number)
        assert isinstance(step, Send)
        return replied(step.packet, "probe_reset", "no_service", step.out[0])

    yield Case(
        f"{family.name} trace: the standby, which asking does not count; nor is a traced answer heard",
        (
            sent(frame, to_one, **where, owner=probed.one, decision=Decision.SETTLED),
            probed.begins(),
            probed.answers(TWO),
            sent(frame, out, **where, owner=probed.two, decision=Decision.STANDBY, recorded=1),
            InRound(traced),
            sent(frame, out, **where, owner=probed.two, decision=Decision.STANDBY, recorded=1),
        ),
        rows=probed.rows,
        counts={
            Cell("suspected", probed.one): 0,
            Cell("all_suspect", probed.one): 0,
            Cell("probe_answers", probed.one): 0,
        },
        replies={"probe_reset": 1},
    )


def _drops(family: Family) -> Iterator[Case]:
    """Nothing is counted, whatever would have been."""
    vip, to_one = family.nat_vip, family.of(ONE)
    pool = family.tcp_pool
    served = {"vip": 1, "pool": pool}
    damaged = packet(family, http(33020), destination=vip)
    if family is V4:
        damaged[IP].len = 300
    else:
        damaged.plen = 300
    stranger = packet(family, http(33021), destination=vip)
    stranger[Ether].dst = "02:00:00:00:0d:01"
    host = f"{family.of(CLIENT)}/{32 if family is V4 else 128}"
    for shows, why, frame, told_, entries in (
        ("no service", "no_service", packet(family, TCP(dport=81), destination=vip), {}, ()),
        ("bad flags", "bad_flags", packet(family, http(33022, "SF"), destination=vip), {}, ()),
        ("too short for its length", "malformed", damaged, {}, ()),
        ("for another station", "not_for_us", stranger, {}, ()),
        ("no route", "no_route", packet(family, ssh(), destination=family.nowhere), {}, ()),
        (
            "past the VIP",
            "direct_to_backend",
            packet(family, TCP(dport=BACKEND_HTTP), destination=to_one),
            {},
            (),
        ),
        (
            "denied",
            "source_denied",
            packet(family, http(33023), destination=vip),
            served,
            (rows.denied(host),),
        ),
        (
            "nobody is told of its size",
            "too_big",
            grown(packet(family, ssh(), destination=to_one, **dont_fragment(family)), 1401),
            {"reply": REPLIES["packet_too_big"]},
            (rows.link(ONE.port, 1400),),
        ),
    ):
        yield Case(f"{family.name} trace: dropped, {shows}", (dropped(frame, why, **told_),), rows=entries)


def _replies(family: Family) -> Iterator[Case]:
    """A reply is shown whole, as it then leaves; asking counts none, and asks no meter."""
    vip = family.nat_vip
    served = {"vip": 1, "pool": family.tcp_pool, "owner": family.tcp_one, "decision": Decision.SETTLED}
    refused = {"vip": 1, "pool": family.tcp_pool, "decision": Decision.REFUSED}
    last = packet(family, http(33030), destination=vip, hops=1)
    large = grown(packet(family, http(33031), destination=vip, **dont_fragment(family)), 1401)
    syn = packet(family, http(33032, "S"), destination=vip)
    for kind, otherwise, frame, out, told_, entries in (
        (
            "time_exceeded",
            "ttl_expired",
            last,
            complaint(last, time_exceeded(family), vip, CLIENT.port),
            served,
            (),
        ),
        (
            "packet_too_big",
            "too_big",
            large,
            complaint(large, too_big(family, 1400), vip, CLIENT.port),
            served,
            (rows.link(ONE.port, 1400),),
        ),
        ("unreachable", "no_backend", syn, unreachable(family, syn), refused, nobody(family, UNREACHABLE)),
        (
            "reset",
            "no_backend",
            syn,
            reset(syn, seq=0, ack=1001, flags="RA"),
            refused,
            nobody(family, RESET),
        ),
    ):
        traced = replied(frame, kind, otherwise, out, **told_)
        really = Send(CLIENT.port, frame, (out,))
        yield Case(
            f"{family.name} trace: replied, {kind.replace('_', ' ')}",
            (traced, traced, really, traced),
            rows=(*entries, Meter("reply_rate", CLIENT.port, burst=1)),
            replies={kind: 1},
        )


def _punts(family: Family) -> Iterator[Case]:
    """What would go to the controller is told, and not counted as gone there."""
    unresolved = UNRESOLVED[family.name]
    frame = packet(family, ssh(), destination=unresolved)
    shown = hop(Station(0, NO_MAC, unresolved, unresolved), frame)
    shown[Ether].src = NO_MAC
    yield Case(
        f"{family.name} trace: punted, since the neighbor is unresolved",
        (trace(frame, shown, fate=Fate.PUNTED, why=Punt.GLEAN),),
    )
    quote = family.header(src=family.server_router, dst=family.of(ONE)) / UDP(sport=0xC123, dport=4789)
    error = packet(
        family,
        port_unreachable(family) / Payload(bytes(quote)),
        source=ONE,
        destination=family.server_router,
    )
    yield Case(
        f"{family.name} trace: punted, since it is about a tunnel",
        (trace(error, error, port=ONE.port, fate=Fate.PUNTED, why=Punt.TUNNEL_ERROR),),
    )


def _own_addresses() -> Iterator[Case]:
    """Our own answers are shown as they then leave."""
    for shows, question, answer in (
        ("ARP", asks(V4.nat_vip), told(V4.nat_vip)),
        ("a neighbor solicitation", solicits(V6.nat_vip), advertises(V6.nat_vip)),
        ("a ping over IPv4", pings4(V4.nat_vip), pongs4(V4.nat_vip)),
        ("a ping over IPv6", pings6(V6.nat_vip), pongs6(V6.nat_vip)),
    ):
        out = Out(CLIENT.port, answer)
        yield Case(
            f"trace: the answer to {shows}",
            (sent(question, out), Send(CLIENT.port, question, (out,))),
        )
    yield Case(
        "trace: punted, since it answers the controller's question",
        (trace(ADVERTISEMENT, ADVERTISEMENT, fate=Fate.PUNTED, why=Punt.NEIGHBOR_ADVERTISEMENT),),
    )
    nobodys = asks("10.0.0.77")
    yield Case("trace: ARP for somebody else", (dropped(nobodys, "arp_ignored"),))


def _orders() -> Iterator[Case]:
    frame = packet(V4, http(33040), destination=V4.nat_vip)
    for shows, port in (("the drop port", 511), ("the controller's own port", 255), ("no port", 65535)):
        yield Case(
            f"bad_packet_out: a trace from {shows}",
            (Order(TRACE, port, frame, ()),),
            drops={"bad_packet_out": 1},
        )


CASES = [
    *(case for way in WAYS for case in _every_way(way)),
    *(
        case
        for family in FAMILIES
        for cases in (_decisions, _datagrams, _liveness, _drops, _replies, _punts)
        for case in cases(family)
    ),
    *_own_addresses(),
    *_orders(),
]
