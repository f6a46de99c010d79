"""Batches that are done whole or not at all: ROLLBACK_ON_ERROR and DATAPLANE_ATOMIC."""

import threading

import pytest
from finsy.proto import p4r

from tests.switch.client import Client, Refused
from tests.switch.conftest import Running
from tests.switch.service import (
    action,
    bridge,
    counter,
    counts,
    default,
    digest,
    exact,
    frame,
    group,
    lpm,
    optional,
    register,
    replica,
    session,
    table_entry,
)
from tests.switch.test_server_meters import CONFIG as METERS
from tests.switch.test_server_meters import LIMITS, meter

INSERT, MODIFY, DELETE = p4r.Update.INSERT, p4r.Update.MODIFY, p4r.Update.DELETE

HERE, THERE = action("forward", 1), action("forward", 2)
PACKET = frame(1)
FAILS = p4r.Update(type=DELETE, entity=bridge(0xDEAD))

both_atomicities = pytest.mark.parametrize("atomicity", ["ROLLBACK_ON_ERROR", "DATAPLANE_ATOMIC"])


def update(kind: "p4r.Update.Type.ValueType", entity: p4r.Entity) -> p4r.Update:
    return p4r.Update(type=kind, entity=entity)


def refused(client: Client, atomicity: str, *updates: p4r.Update) -> list[str]:
    with pytest.raises(Refused) as caught:
        client.write_updates(*updates, atomicity=atomicity)
    return caught.value.codes


@both_atomicities
def test_what_goes_well_is_done(atomicity: str, switch: Running, client: Client) -> None:
    client.write_updates(
        update(INSERT, bridge(1, HERE)), update(MODIFY, bridge(1, THERE)), atomicity=atomicity
    )
    assert switch.data_plane.receive(3, PACKET) == [(2, PACKET)]


STATE = (
    bridge(1, HERE, metadata=b"mine", counter_data=counts(7, 8)),
    table_entry("routes", do=action("mark", 1)),
    table_entry("routes", lpm(1, 1 << 40, 8), do=action("mark", 2)),
    table_entry("acl", do=action("drop"), priority=5),
    table_entry("acl", optional(2, 9), do=action("drop"), priority=5),
    group(1, replica(1), replica(2)),
    session(7, replica(3)),
    digest(max_timeout_ns=5),
)
CELLS = (counter("both", 3, counts(5, 6)), register("last_source", 3, 11), default("bridge", THERE))
EVERYTHING = (
    table_entry("bridge", counter_data=p4r.CounterData()),
    table_entry("routes"),
    table_entry("acl"),
    table_entry("small"),
    table_entry("fixed", counter_data=p4r.CounterData()),
    default("bridge"),
    default("keyless"),
    default("small"),
    counter("both"),
    register("last_source"),
    group(0),
    session(0),
    p4r.Entity(digest_entry=p4r.DigestEntry()),
)


def state_of(client: Client) -> list[list[bytes]]:
    """Everything; the order of entities says nothing."""
    return [sorted(entity.SerializeToString() for entity in client.read(wanted)) for wanted in EVERYTHING]


CHANGES = {
    "insert": update(INSERT, bridge(2, HERE)),
    "modify": update(MODIFY, bridge(1, THERE, counter_data=counts(1, 1))),
    "delete": update(DELETE, bridge(1)),
    "delete, lpm of everything": update(DELETE, table_entry("routes")),
    "delete, one of several with a priority": update(DELETE, table_entry("acl", priority=5)),
    "the counter of a constant entry": update(
        MODIFY, table_entry("fixed", counter_data=counts(1, 1), priority=(1 << 31) - 3)
    ),
    "a default": update(MODIFY, default("bridge", HERE)),
    "a default, back to the program's": update(MODIFY, default("bridge")),
    "a default without one": update(MODIFY, default("keyless", action("mark", 1))),
    "a cell": update(MODIFY, counter("both", 3, counts(0, 0))),
    "all cells": update(MODIFY, counter("both", None, counts(1, 2))),
    "a register": update(MODIFY, register("last_source", 3, 1)),
    "a whole register": update(MODIFY, register("last_source", None, 1)),
    "insert a group": update(INSERT, group(2, replica(1))),
    "modify a group": update(MODIFY, group(1)),
    "delete a group": update(DELETE, group(1)),
    "delete a session": update(DELETE, session(7)),
    "modify a digest": update(MODIFY, digest(max_timeout_ns=6)),
    "delete a digest": update(DELETE, digest()),
}


@both_atomicities
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_fails_leaves_everything_as_it_was(change: p4r.Update, atomicity: str, client: Client) -> None:
    client.insert(*STATE)
    client.modify(*CELLS)
    before = state_of(client)
    assert refused(client, atomicity, change, FAILS) == ["ABORTED", "NOT_FOUND"]
    assert state_of(client) == before
    client.write_updates(change)
    assert state_of(client) != before


def test_rates_of_a_meter_are_put_back(switch: Running) -> None:
    with switch.client() as client:
        client.become_primary()
        client.set_pipeline(METERS)
        client.modify(meter("packets", 1, LIMITS))
        broken = update(MODIFY, meter("packets", 9))
        codes = refused(client, "ROLLBACK_ON_ERROR", update(MODIFY, meter("packets")), broken)
        assert codes == ["ABORTED", "OUT_OF_RANGE"]
        assert client.read(meter("packets", 1)) == [meter("packets", 1, LIMITS)]


@both_atomicities
def test_updates_are_undone_in_the_order_that_makes_it_possible(atomicity: str, client: Client) -> None:
    """`small` has room for two entries."""
    one, two, three = (table_entry("small", exact(1, n), do=action("mark", n)) for n in (1, 2, 3))
    client.insert(one, two)
    changes = [update(DELETE, one), update(INSERT, three), update(DELETE, two), update(INSERT, one)]
    codes = refused(client, atomicity, *changes, FAILS)
    assert codes == ["ABORTED"] * 4 + ["NOT_FOUND"]
    found = client.read(table_entry("small"))
    assert found in ([one, two], [two, one])


@both_atomicities
def test_updates_after_the_failed_one_are_aborted(atomicity: str, client: Client) -> None:
    codes = refused(client, atomicity, FAILS, update(INSERT, bridge(1, HERE)))
    assert codes == ["NOT_FOUND", "ABORTED"]
    assert client.read(table_entry("bridge")) == []


def test_packets_see_an_atomic_batch_whole(switch: Running, client: Client) -> None:
    """Two entries that always point to the same port; between them lie many others."""
    first, last = 1, 2
    others = [update(INSERT, bridge(1000 + n, HERE)) for n in range(200)]
    client.insert(bridge(first, HERE), bridge(last, HERE))
    stop = threading.Event()
    seen: set[tuple[int, int]] = set()

    def look() -> None:
        while not stop.is_set():
            # Both in one go: `last` first, so that a batch that begins in between would be seen half.
            with switch.data_plane.held():
                ports = [switch.data_plane.receive(3, frame(n))[0][0] for n in (last, first)]
            seen.add((ports[0], ports[1]))

    looking = threading.Thread(target=look)
    looking.start()
    for port in (THERE, HERE) * 10:
        client.write_updates(
            update(MODIFY, bridge(first, port)),
            *others,
            update(MODIFY, bridge(last, port)),
            atomicity="DATAPLANE_ATOMIC",
        )
        client.delete(*(other.entity for other in others))
    stop.set()
    looking.join()
    assert seen == {(1, 1), (2, 2)}
