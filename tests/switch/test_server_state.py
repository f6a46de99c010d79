"""Counters, registers, packet replication and the configuration of digests, over P4Runtime."""

from collections.abc import Callable

import grpc
import pytest
from finsy.proto import p4r

from switch.ports import Port
from tests.switch.client import Client, Refused
from tests.switch.conftest import Running
from tests.switch.service import (
    ETHERNET_BYTES,
    TYPE_CLONE,
    TYPE_COUNT,
    action,
    bridge,
    counter,
    counts,
    digest,
    direct_counter,
    exact,
    frame,
    group,
    lpm,
    octets,
    optional,
    register,
    replica,
    session,
    table_entry,
)

FORWARD = action("forward", 1)
LENGTH = len(frame(1))


def backed_up(*ports: int) -> p4r.Replica:
    """A replica with instance 0, and backups with 1, 2, ..."""
    first, *others = ports
    backups = [p4r.BackupReplica(port=octets(port), instance=n) for n, port in enumerate(others, start=1)]
    return p4r.Replica(port=octets(first), instance=0, backup_replicas=backups)


def codes(attempt: Callable[[], object]) -> list[str]:
    with pytest.raises(Refused) as caught:
        attempt()
    assert caught.value.code == grpc.StatusCode.UNKNOWN
    return caught.value.codes


# ---- Indirect counters ----


def test_indirect_counters_count(switch: Running, client: Client) -> None:
    for _ in range(3):
        switch.data_plane.receive(1, frame(1, kind=TYPE_COUNT))
    assert client.read(counter("both", 3)) == [counter("both", 3, counts(3, 3 * LENGTH))]
    assert client.read(counter("only_packets", 3)) == [counter("only_packets", 3, counts(3, 0))]


def test_a_counter_without_index_is_all_of_its_cells(client: Client) -> None:
    client.modify(counter("both", 2, counts(5, 6)))
    cells = client.read(counter("both"))
    assert [cell.counter_entry.index.index for cell in cells] == list(range(8))
    assert [cell.counter_entry.data for cell in cells] == [
        counts(5, 6) if i == 2 else counts(0, 0) for i in range(8)
    ]


def test_counter_0_is_all_counters(client: Client) -> None:
    assert len(client.read(counter(""))) == 8 + 4
    assert len(client.read(counter("", 1))) == 2


def test_all_cells_can_be_written_at_once(client: Client) -> None:
    client.modify(counter("both", data=counts(1, 2)))
    assert {e.counter_entry.data.byte_count for e in client.read(counter("both"))} == {2}


def test_a_counter_written_without_data_stays(client: Client) -> None:
    client.modify(counter("both", 1, counts(5, 6)))
    client.modify(counter("both", 1))
    assert client.read(counter("both", 1)) == [counter("both", 1, counts(5, 6))]


@pytest.mark.parametrize(
    ("entity", "code"),
    [
        (counter("both", 8, counts(1, 1)), "OUT_OF_RANGE"),
        (counter("both", -1, counts(1, 1)), "INVALID_ARGUMENT"),
        (counter("both", 1, counts(-1, 1)), "INVALID_ARGUMENT"),
        (counter("", 1, counts(1, 1)), "INVALID_ARGUMENT"),
        (p4r.Entity(counter_entry=p4r.CounterEntry(counter_id=99)), "INVALID_ARGUMENT"),
        (register("last_source", 8, 1), "OUT_OF_RANGE"),
        (register("last_source", -1, 1), "INVALID_ARGUMENT"),
        (register("last_source", 1, 1 << 32), "OUT_OF_RANGE"),
        (register("last_source", 1, b""), "OUT_OF_RANGE"),
        (register("last_source", 1), "INVALID_ARGUMENT"),
        (p4r.Entity(register_entry=p4r.RegisterEntry(register_id=99)), "INVALID_ARGUMENT"),
    ],
)
def test_wrong_cells_are_refused(entity: p4r.Entity, code: str, client: Client) -> None:
    assert codes(lambda: client.modify(entity)) == [code]


@pytest.mark.parametrize("entity", [counter("both", 1, counts(1, 1)), register("last_source", 1, 1)])
def test_cells_can_only_be_modified(entity: p4r.Entity, client: Client) -> None:
    assert codes(lambda: client.insert(entity)) == ["INVALID_ARGUMENT"]
    assert codes(lambda: client.delete(entity)) == ["INVALID_ARGUMENT"]


@pytest.mark.parametrize(
    ("entity", "code"),
    [
        (counter("both", 8), "OUT_OF_RANGE"),
        (counter("both", -1), "INVALID_ARGUMENT"),
        (counter("", 5), "OUT_OF_RANGE"),  # only_packets has 4
        (p4r.Entity(counter_entry=p4r.CounterEntry(counter_id=99)), "INVALID_ARGUMENT"),
        (register("wide", 4), "OUT_OF_RANGE"),
        (p4r.Entity(register_entry=p4r.RegisterEntry(register_id=99)), "INVALID_ARGUMENT"),
    ],
)
def test_cells_that_do_not_exist_cannot_be_read(entity: p4r.Entity, code: str, client: Client) -> None:
    assert codes(lambda: client.read(entity)) == [code]


# ---- Direct counters ----


def test_a_direct_counter_counts_hits(switch: Running, client: Client) -> None:
    entry = bridge(1, FORWARD)
    client.insert(entry, bridge(2, FORWARD))
    for _ in range(3):
        switch.data_plane.receive(1, frame(1))
    assert client.read(direct_counter(bridge(1))) == [direct_counter(bridge(1), counts(3, 3 * LENGTH))]
    with_counter = bridge(1, FORWARD, counter_data=counts(3, 3 * LENGTH))
    assert client.read(bridge(1, counter_data=p4r.CounterData())) == [with_counter]
    assert client.read(bridge(1)) == [entry]


def test_only_what_a_counter_is_declared_to_count_is_told(switch: Running, client: Client) -> None:
    route = table_entry("routes", lpm(1, 0, 8))
    rule = table_entry("acl", optional(2, 0x88B5), priority=1)
    client.insert(
        table_entry("routes", lpm(1, 0, 8), do=action("mark", 1)),
        table_entry("acl", optional(2, 0x88B5), do=action("mark", 1), priority=1),
    )
    switch.data_plane.receive(1, frame(1, source=1))
    assert client.read(direct_counter(route)) == [direct_counter(route, counts(1, 0))]
    assert client.read(direct_counter(rule)) == [direct_counter(rule, counts(0, LENGTH))]


def test_direct_counters_of_a_table_and_of_all_tables(client: Client) -> None:
    client.insert(bridge(1, FORWARD), bridge(2, FORWARD))
    assert client.read(direct_counter(table_entry("bridge"))) == [
        direct_counter(bridge(n), counts(0, 0)) for n in (1, 2)
    ]
    everything = client.read(p4r.Entity(direct_counter_entry=p4r.DirectCounterEntry()))
    assert len(everything) == 2 + 2  # bridge's, and those of the constant table


def test_a_direct_counter_can_be_set(client: Client) -> None:
    client.insert(bridge(1, FORWARD, counter_data=counts(10, 20)))
    assert client.read(direct_counter(bridge(1))) == [direct_counter(bridge(1), counts(10, 20))]
    client.modify(direct_counter(bridge(1), counts(1, 2)))
    assert client.read(direct_counter(bridge(1))) == [direct_counter(bridge(1), counts(1, 2))]
    client.modify(bridge(1, action("forward", 2)))
    assert client.read(direct_counter(bridge(1))) == [direct_counter(bridge(1), counts(1, 2))]
    client.modify(bridge(1, counter_data=counts(3, 4)))
    assert client.read(direct_counter(bridge(1))) == [direct_counter(bridge(1), counts(3, 4))]
    client.modify(direct_counter(bridge(1)))
    assert client.read(direct_counter(bridge(1))) == [direct_counter(bridge(1), counts(3, 4))]


def test_a_direct_counter_belongs_to_an_entry(client: Client) -> None:
    assert codes(lambda: client.read(direct_counter(bridge(1)))) == ["NOT_FOUND"]
    assert codes(lambda: client.modify(direct_counter(bridge(1), counts(1, 1)))) == ["NOT_FOUND"]
    assert codes(lambda: client.modify(direct_counter(bridge(1)))) == ["NOT_FOUND"]
    client.insert(bridge(1, FORWARD))
    assert codes(lambda: client.insert(direct_counter(bridge(1), counts(1, 1)))) == ["INVALID_ARGUMENT"]
    assert codes(lambda: client.modify(direct_counter(bridge(1), counts(1, -1)))) == ["INVALID_ARGUMENT"]
    assert codes(lambda: client.modify(bridge(1, counter_data=counts(-1, 1)))) == ["INVALID_ARGUMENT"]
    small = table_entry("small", exact(1, 1))
    assert codes(lambda: client.modify(direct_counter(small, counts(1, 1)))) == ["INVALID_ARGUMENT"]
    assert codes(lambda: client.read(direct_counter(small))) == ["INVALID_ARGUMENT"]


# ---- Registers ----


def test_registers_are_read_as_packets_left_them(switch: Running, client: Client) -> None:
    switch.data_plane.receive(1, frame(1, source=0x0203_0405_0607, kind=TYPE_COUNT))
    assert client.read(register("last_source", 3)) == [register("last_source", 3, 0x0405_0607)]
    assert client.read(register("wide", 3)) == [register("wide", 3, 0x0203_0405_0607)]
    assert client.read(register("wide", 0)) == [register("wide", 0, 0)]


def test_registers_can_be_written(client: Client) -> None:
    client.modify(register("wide", 1, (1 << 64) - 1))
    assert client.read(register("wide", 1)) == [register("wide", 1, (1 << 64) - 1)]
    client.modify(register("wide", value=7))
    assert client.read(register("wide")) == [register("wide", i, 7) for i in range(4)]


def test_register_0_is_all_registers(client: Client) -> None:
    assert len(client.read(register(""))) == 8 + 4


# ---- Packet replication ----


def test_a_multicast_group_sends_copies(switch: Running, client: Client) -> None:
    client.insert(group(5, replica(2), replica(3, 1), replica(3, 2)), bridge(1, action("flood", 5)))
    packet = frame(1)
    assert sorted(switch.data_plane.receive(1, packet)) == [(2, packet), (3, packet), (3, packet)]
    client.modify(group(5, replica(4)))
    assert switch.data_plane.receive(1, packet) == [(4, packet)]
    client.delete(group(5))
    assert switch.data_plane.receive(1, packet) == []


def test_a_clone_session_sends_copies(switch: Running, client: Client) -> None:
    client.insert(session(7, replica(2), replica(3)), bridge(1, FORWARD))
    packet = frame(1, kind=TYPE_CLONE)
    assert sorted(switch.data_plane.receive(1, packet)) == [(1, packet), (2, packet), (3, packet)]
    client.delete(session(7))
    assert switch.data_plane.receive(1, packet) == [(1, packet)]


@pytest.mark.parametrize("kind", ["group", "session"])
def test_a_replica_moves_to_its_backups_and_back(kind: str, switch: Running, client: Client) -> None:
    """Also when the ports changed before there was a group."""
    ports = switch.data_plane.ports
    for number in (2, 3, 4, 5):
        ports.add(Port(number, f"eth{number}"))
    ports.set_up(2, False)
    replicas = (backed_up(2, 3, 4), replica(5))
    if kind == "group":
        client.insert(bridge(1, action("flood", 1)), group(1, *replicas))
        packet, others = frame(1), []
    else:
        client.insert(bridge(1, action("forward", 1)), session(7, *replicas))
        packet, others = frame(1, kind=TYPE_CLONE), [1]

    def receivers() -> list[int]:
        return sorted(port for port, _ in switch.data_plane.receive(1, packet))

    assert receivers() == sorted([*others, 3, 5])
    ports.set_up(3, False)
    assert receivers() == sorted([*others, 4, 5])
    ports.set_up(4, False)
    assert receivers() == sorted([*others, 5])
    ports.set_up(5, False)
    assert receivers() == sorted([*others, 5]), "without backups a port's state does not matter"
    ports.set_up(2, True)
    assert receivers() == sorted([*others, 2, 5])
    entry = group(1, *replicas) if kind == "group" else session(7, *replicas)
    assert client.read(entry) == [entry]
    client.delete(entry)
    ports.set_up(2, False)


@pytest.mark.parametrize("kind", [group, session])
def test_replicas_are_read_as_they_were_written(kind: Callable[..., p4r.Entity], client: Client) -> None:
    one, two = kind(1, replica(2), replica(3, 9)), kind(2)
    client.insert(one, two)
    assert client.read(kind(1)) == [one]
    assert client.read(kind(0)) == [one, two]
    assert codes(lambda: client.read(kind(3))) == ["NOT_FOUND"]


def test_groups_and_sessions_have_numbers_of_their_own(client: Client) -> None:
    client.insert(group(1, replica(2)), session(1, replica(3)))
    assert client.read(group(0)) == [group(1, replica(2))]
    assert client.read(session(0)) == [session(1, replica(3))]


def test_metadata_and_old_port_numbers_come_back(client: Client) -> None:
    entity = group(1, p4r.Replica(egress_port=3), metadata=b"mine")
    client.insert(entity)
    assert client.read(group(1)) == [entity]


WRONG_REPLICAS = {
    "group 0": (group(0, replica(1)), "INVALID_ARGUMENT"),
    "group too high": (group(1 << 16, replica(1)), "INVALID_ARGUMENT"),
    "session 0": (session(0, replica(1)), "INVALID_ARGUMENT"),
    "session too high": (session(1 << 15, replica(1)), "INVALID_ARGUMENT"),
    "the same replica twice": (group(1, replica(1, 2), replica(1, 2)), "INVALID_ARGUMENT"),
    "instance too high": (group(1, replica(1, 1 << 16)), "INVALID_ARGUMENT"),
    "port too high": (group(1, replica(512)), "OUT_OF_RANGE"),
    "old port too high": (group(1, p4r.Replica(egress_port=512)), "OUT_OF_RANGE"),
    "empty port": (group(1, p4r.Replica(port=b"")), "OUT_OF_RANGE"),
    "a backup at the same port": (group(1, backed_up(1, 1)), "INVALID_ARGUMENT"),
    "a backup like another replica": (group(1, backed_up(1, 2), replica(2, 1)), "INVALID_ARGUMENT"),
    "port of a backup too high": (group(1, backed_up(1, 512)), "OUT_OF_RANGE"),
    "class of service": (session(1, replica(1), class_of_service=1), "UNIMPLEMENTED"),
    "truncation": (session(1, replica(1), length=100), "UNIMPLEMENTED"),
    "neither": (
        p4r.Entity(packet_replication_engine_entry=p4r.PacketReplicationEngineEntry()),
        "INVALID_ARGUMENT",
    ),
}


@pytest.mark.parametrize(("entity", "code"), WRONG_REPLICAS.values(), ids=WRONG_REPLICAS.keys())
def test_wrong_replicas_are_refused(entity: p4r.Entity, code: str, client: Client) -> None:
    assert codes(lambda: client.insert(entity)) == [code]
    assert client.read(group(0), session(0)) == []


@pytest.mark.parametrize("kind", [group, session])
def test_replicas_are_inserted_once_and_must_exist_to_be_changed(
    kind: Callable[..., p4r.Entity], client: Client
) -> None:
    entity = kind(1, replica(2))
    assert codes(lambda: client.modify(entity)) == ["NOT_FOUND"]
    assert codes(lambda: client.delete(entity)) == ["NOT_FOUND"]
    client.insert(entity)
    assert codes(lambda: client.insert(entity)) == ["ALREADY_EXISTS"]


# ---- The configuration of digests ----


def test_digests_are_enabled_changed_and_disabled(client: Client) -> None:
    assert client.read(p4r.Entity(digest_entry=p4r.DigestEntry())) == []
    client.insert(digest(max_list_size=5))
    assert client.read(digest()) == [digest(max_list_size=5)]
    client.modify(digest(ack_timeout_ns=7))
    assert client.read(p4r.Entity(digest_entry=p4r.DigestEntry())) == [digest(ack_timeout_ns=7)]
    client.delete(digest())
    assert client.read(p4r.Entity(digest_entry=p4r.DigestEntry())) == []


def test_wrong_digests_are_refused(client: Client) -> None:
    unknown = p4r.Entity(digest_entry=p4r.DigestEntry(digest_id=99))
    assert codes(lambda: client.insert(unknown)) == ["INVALID_ARGUMENT"]
    assert codes(lambda: client.modify(digest())) == ["NOT_FOUND"]
    assert codes(lambda: client.delete(digest())) == ["NOT_FOUND"]
    assert codes(lambda: client.insert(digest(max_timeout_ns=-1))) == ["INVALID_ARGUMENT"]
    client.insert(digest())
    assert codes(lambda: client.insert(digest())) == ["ALREADY_EXISTS"]


def test_the_length_that_is_counted_is_that_of_the_packet(switch: Running, client: Client) -> None:
    client.insert(bridge(1, action("to_controller", 5)))
    switch.data_plane.receive(1, frame(1, payload=bytes(100)))
    (found,) = client.read(direct_counter(bridge(1)))
    assert found.direct_counter_entry.data.byte_count == ETHERNET_BYTES + 100
