"""The reference switch as an oracle.

What the tests beside this one expect of our service is expected of simple_switch_grpc too, except where it is
listed here that, and how, it differs; docs/switch-p4runtime.md says why.
"""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from finsy.proto import p4r

from tests.switch import service
from tests.switch.client import DEVICE_ID, Client, Refused
from tests.switch.service import (
    CPU_PORT,
    action,
    bridge,
    counter,
    counts,
    default,
    digest,
    direct_counter,
    exact,
    group,
    register,
    replica,
    session,
    table_entry,
    ternary,
)
from tests.switch.test_server_meters import BURSTS, OF_A_BURST, WRONG_METERS, colors_of_a_burst, meter
from tests.switch.test_server_meters import CONFIG as METERS
from tests.switch.test_server_state import WRONG_REPLICAS
from tests.switch.test_server_tables import ENTRIES, FIRST, FORWARD, MARK, SECOND, WRONG_INSERTS

pytestmark = pytest.mark.bmv2

START_TIMEOUT = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def reference_switch(folder: Path, *, packets: bool) -> Iterator[tuple[str, str]]:
    """A running simple_switch_grpc without interfaces. Its addresses: P4Runtime, packets if wanted."""
    address, packet_address = (f"127.0.0.1:{free_port()}" for _ in range(2))
    command = ["simple_switch_grpc", "--no-p4", "--device-id", str(DEVICE_ID)]
    command += ["--notifications-addr", f"ipc://{folder}/notifications.ipc"]
    command += ["--", "--grpc-server-addr", address, "--cpu-port", str(CPU_PORT)]
    if packets:
        command += ["--dp-grpc-server-addr", packet_address]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for(address, process, folder / "log")
        yield address, packet_address
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with reference_switch(tmp_path_factory.mktemp("bmv2"), packets=False) as (address, _):
        yield address


def wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    host, port = address.split(":")
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


_election_ids = iter(range(os.getpid(), 1 << 62))


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    with Client(address, next(_election_ids)) as client:
        client.become_primary()
        client.set_pipeline(service.CONFIG)
        yield client


def outcome(attempt: Callable[[], object]) -> object:
    """What is returned, or the code of the last update, or of the RPC when there are no details."""
    try:
        return attempt()
    except Refused as refused:
        return refused.codes[-1] if refused.codes else refused.code.name


# What simple_switch_grpc answers instead.
OTHER_INSERTS = {
    "no entity": "UNKNOWN",
    "value too wide": "INVALID_ARGUMENT",
    "parameter too wide": "INVALID_ARGUMENT",
    "empty value": None,
    "priority negative": "UNKNOWN",
    "range of everything": None,
    "constant table": "UNKNOWN",
    "keyless table": "UNKNOWN",
    "is_const": None,
    "negative counter": None,
}


@pytest.mark.parametrize("name", WRONG_INSERTS)
def test_wrong_inserts(name: str, client: Client) -> None:
    entity, code = WRONG_INSERTS[name]
    assert outcome(lambda: client.insert(entity)) == OTHER_INSERTS.get(name, code)


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


OTHER_REPLICAS = {
    "group too high": "OUT_OF_RANGE",
    "instance too high": None,
    "port too high": None,
    "old port too high": None,
    "empty port": "INVALID_ARGUMENT",
    "a backup at the same port": None,
    "a backup like another replica": None,
    "port of a backup too high": None,
    "truncation": "UNKNOWN",
}


@pytest.mark.parametrize("name", WRONG_REPLICAS)
def test_wrong_replicas(name: str, client: Client) -> None:
    entity, code = WRONG_REPLICAS[name]
    assert outcome(lambda: client.insert(entity)) == OTHER_REPLICAS.get(name, code)


OTHER_METERS = {
    "index too high": "UNKNOWN",
    "index too high without rates": "UNKNOWN",
    "committed above peak": "UNKNOWN",
    "excess burst": None,
    "counts by colour": None,
}


@pytest.mark.parametrize("name", WRONG_METERS)
def test_wrong_meters(name: str, client: Client) -> None:
    client.set_pipeline(METERS)
    entity, code = WRONG_METERS[name]
    assert outcome(lambda: client.modify(entity)) == OTHER_METERS.get(name, code)


def test_meters(address: str) -> None:
    with Client(address, next(_election_ids)) as client:
        stream = client.become_primary()
        client.set_pipeline(METERS)
        assert client.read(meter("packets", 2)) == [meter("packets", 2)]
        assert colors_of_a_burst(client, stream) == OF_A_BURST
        assert client.read(meter("packets", 2)) == [meter("packets", 2, BURSTS)]
        assert outcome(lambda: client.insert(meter("packets", 2, BURSTS))) == "INVALID_ARGUMENT"
        assert len(client.read(meter("packets"))) == 4
        assert outcome(lambda: client.modify(meter("octets", rates=BURSTS))) == "UNIMPLEMENTED", "all cells"


GOOD = bridge(1, FORWARD)
CONSTANT = table_entry("fixed", ternary(1, 0x0800, 0xFFFF), do=MARK, priority=FIRST)

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


# (what is done, with GOOD in the table; what ours answers; what simple_switch_grpc answers)
DIFFERENT = {
    "table full": (
        lambda c: c.insert(*(table_entry("small", exact(1, n), do=MARK) for n in range(3))),
        "RESOURCE_EXHAUSTED",
        "UNKNOWN",
    ),
    "modify without action": (lambda c: c.modify(bridge(1, metadata=b"x")), None, "INVALID_ARGUMENT"),
    "modify a constant entry": (lambda c: c.modify(CONSTANT), "PERMISSION_DENIED", "NOT_FOUND"),
    "missing direct counter": (lambda c: c.read(direct_counter(bridge(7))), "NOT_FOUND", "INVALID_ARGUMENT"),
    "write all cells": (lambda c: c.modify(counter("both", data=counts(1, 2))), None, "UNIMPLEMENTED"),
    "cell out of range": (lambda c: c.read(counter("both", 8)), "OUT_OF_RANGE", "UNKNOWN"),
    "registers": (
        lambda c: c.read(register("wide", 1)),
        [register("wide", 1, 0)],
        "UNIMPLEMENTED",
    ),
    "all digests": (lambda c: c.read(p4r.Entity(digest_entry=p4r.DigestEntry())), [], "UNIMPLEMENTED"),
    "group metadata": (
        lambda c: (c.insert(group(3, replica(1), metadata=b"m")), c.read(group(3)))[1],
        [group(3, replica(1), metadata=b"m")],
        [group(3, replica(1))],
    ),
    "atomicity": (
        lambda c: c.write_updates(
            p4r.Update(type=p4r.Update.INSERT, entity=bridge(2, FORWARD)), atomicity="ROLLBACK_ON_ERROR"
        ),
        None,
        "UNIMPLEMENTED",
    ),
    "nothing to commit": (lambda c: c.set_pipeline(None, "COMMIT"), "NOT_FOUND", "UNKNOWN"),
    "filter without table": (
        lambda c: len(c.read(p4r.Entity(table_entry=p4r.TableEntry(priority=1)))),
        "INVALID_ARGUMENT",
        3,
    ),
}


@pytest.mark.parametrize(("attempt", "ours", "theirs"), DIFFERENT.values(), ids=DIFFERENT.keys())
def test_where_the_two_differ(
    attempt: Callable[[Client], object],
    ours: object,
    theirs: object,
    client: Client,
    switch_client: Client,
) -> None:
    for each, expected in ((switch_client, ours), (client, theirs)):
        each.insert(GOOD)
        assert outcome(lambda each=each: attempt(each)) == expected


def test_only_ours_reconciles_a_program_with_counters(client: Client, switch_client: Client) -> None:
    """The other then refuses every pipeline until a COMMIT gets it going again."""
    switch_client.set_pipeline(service.CONFIG, "RECONCILE_AND_COMMIT")
    for action_name in ("RECONCILE_AND_COMMIT", "VERIFY_AND_COMMIT"):
        assert (
            outcome(lambda action_name=action_name: client.set_pipeline(service.CONFIG, action_name))
            == "UNKNOWN"
        )
    client.set_pipeline(None, "COMMIT")
    client.set_pipeline(service.CONFIG)


def test_constant_entries_have_the_same_priorities(client: Client, switch_client: Client) -> None:
    """Ours are marked as constant besides, as P4Runtime 1.4 asks."""
    for each in (client, switch_client):
        priorities = [entity.table_entry.priority for entity in each.read(table_entry("fixed"))]
        assert priorities == [FIRST, SECOND]
