"""Random cases for two targets to be compared by: tables that are valid, and packets.

Half of them begin as a case of the packet table, with its rows and its packets, so that what random packets
find once in a million is looked at as often as the rest.
"""

import random
from collections.abc import Iterable, Iterator
from itertools import chain, cycle, islice

from tests.packets import random_rows, rows, traffic
from tests.packets.case import Case, Order, Send
from tests.packets.p4runtime import Names
from tests.packets.rows import Entry, Group, Row
from tests.packets.same_bytes import Arrival, sent_at_random
from tests.packets.table import ON_WIRES
from tests.packets.world import BASE, FAMILIES, ONE, PORTS, ROUTER, TWO

DAMAGED = 0.5
"""Of the packets that a case of the table sends."""


def entries_and_packets(seed: int, names: Names, packets: int) -> tuple[list[Entry], list[Arrival]]:
    """What one seed stands for."""
    rng = random.Random(seed)
    random_packets = sent_at_random(rng, seed)
    if rng.random() < 0.5:
        sound: Iterable[Entry] = (*traffic.tables(rng), *_liveness(rng))
        coming = random_packets
    else:
        case = rng.choice(ON_WIRES)
        sound = _rows_of(case)
        own = [
            step
            for step in case.packets
            if isinstance(step, Order) or (isinstance(step, Send) and step.port in PORTS)
        ]
        coming = _mixed(rng, own, random_packets) if own else random_packets
    entries: list[Entry] = [*random_rows.changed(rng, names, (row for row in sound if isinstance(row, Row)))]
    entries += [group for group in sound if isinstance(group, Group)]
    return entries, list(islice(coming, packets))


def _rows_of(case: Case) -> list[Entry]:
    """Without meters, which fill as time passes."""
    without = {row.key for row in case.without}
    held = {row.key: row for row in (*BASE, *case.rows)}
    return [row for key, row in held.items() if key not in without]


def _mixed(rng: random.Random, steps: list[Send | Order], others: Iterator[Arrival]) -> Iterator[Arrival]:
    own = cycle(_arrival(rng, step) for step in steps)
    return chain.from_iterable(zip(own, others, strict=False))


def _arrival(rng: random.Random, step: Send | Order) -> Arrival:
    frame = step.octets if isinstance(step, Send) else bytes(step.payload)
    if rng.random() < DAMAGED:
        frame = traffic.perhaps_damaged(rng, frame)
    return Arrival(step.port, frame, step.order if isinstance(step, Order) else None)


def _liveness(rng: random.Random) -> Iterator[Row]:
    """Standbys, and backends that are asked whether they live; nothing whose time could pass unseen."""
    yield rows.liveness_settings(tolerance=rng.choice((0, 1, 3)))
    for family in FAMILIES:
        yield rows.prober(family.of(ONE).replace("11", "99"), ROUTER)
        for station, number in ((ONE, family.tcp_one), (TWO, family.tcp_two)):
            if rng.random() < 0.5:
                yield from rows.probed(number)
            target = family.of(station)
            yield rows.probe_target(number, ROUTER, station.mac, family.server_router, target, 8080)
        for number in range(traffic.BUCKET_MASK + 1):
            if rng.random() < 0.3:
                owners = rng.choices((family.tcp_one, family.tcp_two, 0), k=3)
                yield rows.bucket(family.tcp_pool, number, *owners[:2], standby=owners[2], motion=number)
