"""The reference switch as an oracle.

What the tests beside this one expect of our service is expected of simple_switch_grpc too, except where it is
listed here that, and how, it differs; docs/switch-p4runtime.md says why.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from finsy.proto import p4r

from tests.switch import service
from tests.switch.bmv2_differences import CASES, FRESH_CASES, GOOD, election_ids, outcome
from tests.switch.both_switches import embedded_switch, reference_switch
from tests.switch.client import Client
from tests.switch.differences import Difference
from tests.switch.service import (
    action,
    bridge,
    counter,
    counts,
    default,
    digest,
    direct_counter,
    exact,
    group,
    session,
    table_entry,
)
from tests.switch.test_server_meters import BURSTS, OF_A_BURST, WRONG_METERS, colors_of_a_burst, meter
from tests.switch.test_server_meters import CONFIG as METERS
from tests.switch.test_server_state import WRONG_REPLICAS
from tests.switch.test_server_tables import ENTRIES, FIRST, FORWARD, MARK, SECOND, WRONG_INSERTS

pytestmark = pytest.mark.bmv2


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with reference_switch(tmp_path_factory.mktemp("bmv2"), packets=False) as (address, _):
        yield address


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    with Client(address, next(election_ids)) as client:
        client.become_primary()
        client.set_pipeline(service.CONFIG)
        yield client


Others = dict[str, tuple[Difference, str | None]]
"""What simple_switch_grpc answers instead."""


def theirs(others: Others, name: str, code: str | None) -> str | None:
    return others[name][1] if name in others else code


OTHER_INSERTS: Others = {
    "no entity": (Difference.MALFORMED, "UNKNOWN"),
    "value too wide": (Difference.BYTES, "INVALID_ARGUMENT"),
    "parameter too wide": (Difference.BYTES, "INVALID_ARGUMENT"),
    "empty value": (Difference.BYTES, None),
    "priority negative": (Difference.MALFORMED, "UNKNOWN"),
    "range of everything": (Difference.RANGE_OF_EVERYTHING, None),
    "constant table": (Difference.CONSTANT_TABLE, "UNKNOWN"),
    "keyless table": (Difference.MALFORMED, "UNKNOWN"),
    "is_const": (Difference.IS_CONST_WRITTEN, None),
    "negative counter": (Difference.NEGATIVE_COUNT, None),
}


@pytest.mark.parametrize("name", WRONG_INSERTS)
def test_wrong_inserts(name: str, client: Client) -> None:
    entity, code = WRONG_INSERTS[name]
    assert outcome(lambda: client.insert(entity)) == theirs(OTHER_INSERTS, name, code)


# A range that is left out comes back as the whole range.
WITHOUT_RANGE = {"only optional", "all don't care"}


@pytest.mark.parametrize("name", [name for name in ENTRIES if name not in WITHOUT_RANGE])
def test_an_entry_is_read_as_it_was_written(name: str, client: Client) -> None:
    entry = ENTRIES[name]
    client.insert(entry)
    table = p4r.Entity(table_entry=p4r.TableEntry(table_id=entry.table_entry.table_id))
    assert client.read(table) == [entry]
    client.delete(entry)
    assert client.read(table) == []


OTHER_REPLICAS: Others = {
    "group too high": (Difference.REPLICA_NUMBERS, "OUT_OF_RANGE"),
    "instance too high": (Difference.REPLICA_NUMBERS, None),
    "port too high": (Difference.REPLICA_NUMBERS, None),
    "old port too high": (Difference.REPLICA_NUMBERS, None),
    "empty port": (Difference.BYTES, "INVALID_ARGUMENT"),
    "a backup at the same port": (Difference.BACKUPS, None),
    "a backup like another replica": (Difference.BACKUPS, None),
    "port of a backup too high": (Difference.BACKUPS, None),
    "truncation": (Difference.TRUNCATION, "UNKNOWN"),
}


@pytest.mark.parametrize("name", WRONG_REPLICAS)
def test_wrong_replicas(name: str, client: Client) -> None:
    entity, code = WRONG_REPLICAS[name]
    assert outcome(lambda: client.insert(entity)) == theirs(OTHER_REPLICAS, name, code)


OTHER_METERS: Others = {
    "index too high": (Difference.INDEX, "UNKNOWN"),
    "index too high without rates": (Difference.INDEX, "UNKNOWN"),
    "committed above peak": (Difference.RATES, "UNKNOWN"),
    "excess burst": (Difference.OF_SINGLE_RATE, None),
    "counts by colour": (Difference.OF_SINGLE_RATE, None),
}


@pytest.mark.parametrize("name", WRONG_METERS)
def test_wrong_meters(name: str, client: Client) -> None:
    client.set_pipeline(METERS)
    entity, code = WRONG_METERS[name]
    assert outcome(lambda: client.modify(entity)) == theirs(OTHER_METERS, name, code)


def test_meters(address: str) -> None:
    with Client(address, next(election_ids)) as client:
        stream = client.become_primary()
        client.set_pipeline(METERS)
        assert client.read(meter("packets", 2)) == [meter("packets", 2)]
        assert colors_of_a_burst(client, stream) == OF_A_BURST
        assert client.read(meter("packets", 2)) == [meter("packets", 2, BURSTS)]
        assert outcome(lambda: client.insert(meter("packets", 2, BURSTS))) == "INVALID_ARGUMENT"
        assert len(client.read(meter("packets"))) == 4


# (what is done, with GOOD in the table; what comes of it on both)
BOTH = {
    "insert what exists": (lambda c: c.insert(GOOD), "ALREADY_EXISTS"),
    "modify what is missing": (lambda c: c.modify(bridge(7, FORWARD)), "NOT_FOUND"),
    "delete what is missing": (lambda c: c.delete(bridge(7)), "NOT_FOUND"),
    "read what is missing": (lambda c: c.read(bridge(7)), []),
    "change a constant default": (lambda c: c.modify(default("constant_default", MARK)), "PERMISSION_DENIED"),
    "default out of scope": (lambda c: c.modify(default("scoped", MARK)), "PERMISSION_DENIED"),
    "delete the default": (lambda c: c.delete(default("bridge")), "INVALID_ARGUMENT"),
    "the program's default": (lambda c: c.read(default("bridge")), [default("bridge", action("drop"))]),
    "direct counter": (
        lambda c: c.read(direct_counter(bridge(1))),
        [direct_counter(bridge(1), counts(0, 0))],
    ),
    "set a direct counter": (lambda c: c.modify(direct_counter(bridge(1), counts(1, 2))), None),
    "negative index": (lambda c: c.modify(counter("both", -1, counts(1, 1))), "INVALID_ARGUMENT"),
    "insert a counter": (lambda c: c.insert(counter("both", 1, counts(1, 1))), "INVALID_ARGUMENT"),
    "one counter": (lambda c: c.read(counter("both", 1)), [counter("both", 1, counts(0, 0))]),
    "modify a missing group": (lambda c: c.modify(group(9)), "NOT_FOUND"),
    "read a missing group": (lambda c: c.read(group(9)), "NOT_FOUND"),
    "read a missing session": (lambda c: c.read(session(9)), "NOT_FOUND"),
    "enable a digest": (lambda c: c.insert(digest()), None),
    "disable a digest that is not enabled": (lambda c: c.delete(digest()), "NOT_FOUND"),
    "an unknown table": (
        lambda c: c.read(p4r.Entity(table_entry=p4r.TableEntry(table_id=99))),
        "INVALID_ARGUMENT",
    ),
    "a padded value": (
        lambda c: (c.insert(table_entry("bridge", exact(1, b"\x00\x07"), do=FORWARD)), c.read(bridge(7)))[1],
        [bridge(7, FORWARD)],
    ),
    "no type": (lambda c: c.write_updates(p4r.Update(entity=GOOD)), "INVALID_ARGUMENT"),
    "no action of the pipeline": (
        lambda c: c.set_pipeline(service.CONFIG, "UNSPECIFIED"),
        "INVALID_ARGUMENT",
    ),
    "verify": (lambda c: c.set_pipeline(service.CONFIG, "VERIFY"), None),
}


@pytest.mark.parametrize(("attempt", "expected"), BOTH.values(), ids=BOTH.keys())
def test_both_answer_alike(
    attempt: Callable[[Client], object], expected: object, client: Client, switch_client: Client
) -> None:
    for each in (client, switch_client):
        each.insert(GOOD)
        assert outcome(lambda each=each: attempt(each)) == expected


@pytest.fixture
def switch_client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """Our service's primary."""
    switch = request.getfixturevalue("switch")
    with switch.client() as client:
        client.become_primary()
        client.set_pipeline(service.CONFIG)
        yield client


@pytest.mark.parametrize("name", CASES)
def test_where_the_two_differ(name: str, client: Client, switch_client: Client) -> None:
    case = CASES[name]
    for each, expected in ((switch_client, case.ours), (client, case.theirs)):
        each.insert(GOOD)
        assert outcome(lambda each=each: case.attempt(each)) == expected


@pytest.mark.parametrize("name", FRESH_CASES)
def test_where_the_two_differ_from_the_start(name: str, tmp_path: Path) -> None:
    case = FRESH_CASES[name]
    with embedded_switch() as addresses:
        assert outcome(lambda: case.attempt(addresses)) == case.ours
    with reference_switch(tmp_path, packets=True) as addresses:
        assert outcome(lambda: case.attempt(addresses)) == case.theirs


def test_constant_entries_have_the_same_priorities(client: Client, switch_client: Client) -> None:
    """Ours are marked as constant besides, as P4Runtime 1.4 asks."""
    for each in (client, switch_client):
        priorities = [entity.table_entry.priority for entity in each.read(table_entry("fixed"))]
        assert priorities == [FIRST, SECOND]
