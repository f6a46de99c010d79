"""Where flows fall: into buckets, and into the slots of the exception table, which may be taken."""

from collections.abc import Iterator, Sequence

from tests.packets import rows
from tests.packets.case import Case, Change, Send
from tests.packets.cases.exceptions import (
    EMBRYONIC,
    MOTION,
    PREVIOUS,
    UNMOVED,
    Client,
    moving,
    settled,
    ticks,
    to,
)
from tests.packets.cases.nat import delivered, dns, http
from tests.packets.flows import Flow, flow_in_bucket, flows_where
from tests.packets.frames import packet
from tests.packets.rows import NAT, UDP, Row
from tests.packets.world import (
    BACKEND_HTTP,
    CLIENT,
    DNS,
    FAMILIES,
    ONE,
    TAGGED,
    TWO,
    V4,
    V6,
    Family,
)


def _full(family: Family, place: int) -> Iterator[Case]:
    """Flows with one place share their slot in each of the three ways: the fourth finds no room."""
    one, two = family.tcp_one, family.tcp_two
    name = family.name
    move = (moving(family, two, one),)

    first, second, third, fourth, fifth = together(family, place)
    yield Case(
        f"{name} full: a flow that finds no room does not move, and does not break",
        (
            *(flow.syn(TWO) for flow in (first, second, third)),
            fourth.syn(ONE),
            fourth.data(ONE),
            fourth.syn(ONE),
            *(flow.data(TWO) for flow in (first, second, third)),
            fourth.data(ONE),
        ),
        rows=move,
        counts={UNMOVED: 2, PREVIOUS: 4},
    )
    first, second, third, fourth, fifth = together(family, place + 1 * ELSEWHERE)
    yield Case(
        f"{name} full: a flow that closed and opens anew has its old room",
        (
            *(flow.syn(TWO) for flow in (first, second, third)),
            second.fin(TWO),
            fourth.syn(ONE),
            second.syn(TWO),
            second.data(TWO),
            fourth.data(ONE),
        ),
        rows=move,
    )
    first, second, third, fourth, fifth = together(family, place + 2 * ELSEWHERE)
    yield Case(
        f"{name} full: a SYN flood frees what it took after 15 s",
        (
            *(flow.syn(TWO) for flow in (first, second, third)),
            fourth.syn(ONE),
            fifth.syn(TWO, ticks(EMBRYONIC + 2)),
            fifth.data(TWO, ticks(EMBRYONIC + 2)),
            fourth.data(ONE, ticks(EMBRYONIC + 2)),
        ),
        rows=move,
    )
    first, second, third, fourth, fifth = together(family, place + 3 * ELSEWHERE)
    yield Case(
        f"{name} full: room that was lost to a flood is not taken from established flows",
        (
            first.syn(TWO),
            first.data(TWO),
            second.syn(TWO),
            third.syn(TWO),
            third.data(TWO),
            fourth.syn(TWO, ticks(EMBRYONIC + 2)),
            fifth.syn(ONE, ticks(EMBRYONIC + 2)),
            *(flow.data(TWO, ticks(EMBRYONIC + 3)) for flow in (first, third, fourth)),
        ),
        rows=move,
    )
    first, second, third, *_ = together(family, place + 4 * ELSEWHERE)
    yield Case(
        f"{name}: with a copy in an earlier way the last way that knows a flow decides; both end together",
        (
            first.syn(TWO),
            second.syn(TWO),  # in the second way, as the first is taken
            first.fin(TWO),
            to(settled(family, one)),
            first.syn(ONE),  # frees the first way
            to(moving(family, one, two)),
            second.syn(TWO),  # recorded once more, in the first way, with another owner
            second.data(TWO),
            second.fin(TWO),
            second.syn(ONE),  # a new flow: both are over
            second.data(ONE),
        ),
        rows=move,
    )
    first, second, third, fourth, fifth = together(family, place + 5 * ELSEWHERE)
    gone_soon = rows.backend(THREE, family.of(TWO), BACKEND_HTTP)
    stays = rows.backend(FOUR, family.of(TAGGED), BACKEND_HTTP)
    late = ticks(EMBRYONIC + 2)  # the switch's clock has gone further than an embryo lives
    yield Case(
        f"{name}: a packet that is decided afresh leaves the exceptions of other flows alone",
        (
            first.syn(TAGGED, late),
            to(moving(family, THREE, one)),
            second.syn(TWO, late),  # in the second way
            Change((moving(family, one, two),), gone=(gone_soon,)),
            second.syn(ONE, late),  # begins anew in the first way, which is taken
            first.data(TAGGED, late),
        ),
        rows=(moving(family, FOUR, one), gone_soon, stays),
    )

    first, second, third, fourth, _ = together(family, place + 8 * ELSEWHERE)
    yield Case(
        f"{name} full: the slot of a flow that began where others stayed before is taken like any",
        (
            *(flow.syn(ONE) for flow in (first, second, third)),
            fourth.syn(TWO),
            *(flow.data(ONE) for flow in (first, second, third)),
            fourth.data(TWO),
        ),
        rows=(moving(family, one, two),),
        counts={UNMOVED: 1, PREVIOUS: 2},
    )
    in_each_way = together(family, place + 7 * ELSEWHERE)[:3]
    began = ticks(1)
    yield Case(
        f"{name} full: each way keeps the time of its flows, and forgets them by it",
        (
            *(flow.syn(TWO) for flow in in_each_way),
            *(flow.data(TWO, began) for flow in in_each_way),
            *(flow.data(TWO, began + ticks(ODD_IDLE * n)) for n in range(1, 5) for flow in in_each_way),
            *(flow.data(ONE, began + ticks(ODD_IDLE * 5 + 1)) for flow in in_each_way),
        ),
        rows=(*move, rows.pool(family.tcp_pool, NAT, idle=ODD_IDLE)),
        counts={UNMOVED: 0, PREVIOUS: 3},
    )

    def apart(*bits: int) -> list[Client]:
        """Flows whose places differ from one another in these bits only."""
        base = place + 6 * ELSEWHERE
        places = [
            base ^ sum((value >> n & 1) << bit for n, bit in enumerate(bits))
            for value in range(1 << len(bits))
        ]
        return [flow for one in places for flow in _placed(family, one, 1)]

    for shows, flows in (
        ("flows that meet in the first and third way are apart in the second", apart(14, 15, 16, 17)),
        ("flows that meet in the first and second way are apart in the third", apart(30, 31)),
        ("flows of one bucket are apart in every way", _of_one_hash(family, place)),
    ):
        yield Case(
            f"{name}: {shows}",
            (*(flow.syn(TWO) for flow in flows), *(flow.data(TWO) for flow in flows)),
            rows=move,
            counts={UNMOVED: 0, PREVIOUS: 0},
        )


THREE, FOUR = 301, 302  # backends of no base row
ODD_IDLE = 41  # ticks, so that odd and even ones are both met


ELSEWHERE = 0x02040801  # added to a hash, it changes the place in every way


def together(family: Family, place: int) -> Sequence[Client]:
    """Five flows that share their slot in every way."""
    return _placed(family, place, 5)


def _placed(family: Family, place: int, number: int) -> list[Client]:
    def place_of(flow: Flow) -> int:
        return flow.place(family.tcp_pool)

    return [Client(family, flow) for flow in flows_where(place_of, place, number, family, family.nat_vip)]


def _of_one_hash(family: Family, hash: int) -> list[Client]:
    """Eight flows that any number of buckets leaves in one bucket."""

    def hash_of(flow: Flow) -> int:
        return flow.hash

    return [Client(family, flow) for flow in flows_where(hash_of, hash, 8, family, family.nat_vip)]


def _spread(family: Family) -> Iterator[Case]:
    """Which bucket a flow falls into: CRC-32 over its fields, masked with the pool's number of buckets."""
    one, two = family.tcp_one, family.tcp_two
    for mask in (1, 7, 1023, 65535):
        steps: list[Send] = []
        taken: dict[int, Row] = {}
        for port in range(51000, 51008):
            flow = Flow(family.of(CLIENT), port, family.nat_vip)
            bucket = flow.bucket(mask)
            odd = bucket & 1
            taken[bucket] = rows.bucket(family.tcp_pool, bucket, two if odd else one)
            frame = packet(family, http(port), destination=family.nat_vip)
            steps.append(Send(CLIENT.port, frame, (delivered(family, frame, TWO if odd else ONE),)))
        yield Case(
            f"{family.name} flows fall into {mask + 1} buckets by CRC-32",
            tuple(steps),
            rows=(rows.pool(family.tcp_pool, NAT, mask=mask), *taken.values()),
            without=() if 0 in taken else (settled(family, one),),
        )
    flow = flow_in_bucket(5, 7, family.of(CLIENT), family.nat_vip, protocol=UDP, port=DNS)
    frame = packet(family, dns(flow.source_port), destination=family.nat_vip)
    yield Case(
        f"{family.name} datagrams fall into buckets in the same way",
        (Send(CLIENT.port, frame, (delivered(family, frame, TWO),)),),
        rows=(rows.pool(family.udp_pool, NAT, mask=7), rows.bucket(family.udp_pool, 5, family.udp_two)),
    )
    wanted = flow_in_bucket(3, 3, family.of(CLIENT), family.nat_vip)
    resting = flow_in_bucket(2, 3, family.of(CLIENT), family.nat_vip)
    steps = []
    for flow, flags, owner in (
        (wanted, "S", TWO),
        (resting, "S", ONE),
        (wanted, "A", TWO),
        (resting, "A", ONE),
    ):
        frame = packet(family, http(flow.source_port, flags), destination=family.nat_vip)
        steps.append(Send(CLIENT.port, frame, (delivered(family, frame, owner),)))
    yield Case(
        f"{family.name} a bucket moves alone",
        tuple(steps),
        rows=(
            rows.pool(family.tcp_pool, NAT, mask=3),
            *(rows.bucket(family.tcp_pool, bucket, one) for bucket in (1, 2)),
            rows.bucket(family.tcp_pool, 3, two, one, motion=MOTION),
        ),
    )


CASES = [
    *(case for family in FAMILIES for case in _spread(family)),
    *_full(V4, 0x13572468),
    *_full(V6, 0x9BDF0123),
]
