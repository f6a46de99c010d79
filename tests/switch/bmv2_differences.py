"""What ours and simple_switch_grpc answer differently: what a primary does, and what each answers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from os import getpid
from typing import Any

import grpc
from finsy.proto import p4r

from switch.server.packet_messages import OPER_STATUS_DOWN
from tests.switch import service
from tests.switch.both_switches import Addresses
from tests.switch.client import (
    DEADLINE,
    Client,
    Refused,
    Stream,
    StreamEnded,
    pipeline_config,
    refusals,
)
from tests.switch.differences import Difference
from tests.switch.packet_client import PacketClient
from tests.switch.packet_client import request as packet_request
from tests.switch.service import (
    CPU_PORT,
    bridge,
    counter,
    counts,
    default,
    direct_counter,
    exact,
    group,
    octets,
    packet_out,
    register,
    replica,
    table_entry,
    ternary,
)
from tests.switch.test_server_meters import BURSTS, meter
from tests.switch.test_server_meters import CONFIG as METERS
from tests.switch.test_server_tables import FIRST, FORWARD, MARK

ENTITIES = pipeline_config("entities")
SMALL_GROUPS = pipeline_config("entities")
for profile in SMALL_GROUPS.p4info.action_profiles:
    profile.max_group_size = 16

IDS = {
    thing.preamble.alias: thing.preamble.id
    for kind in (ENTITIES.p4info.tables, ENTITIES.p4info.actions, ENTITIES.p4info.action_profiles)
    for thing in kind
}

PAYLOAD = bytes([0, 0, 1, 0, 0, 0, 9])
"""entities.p4's request_t: a `value` of 1."""

election_ids: Iterator[int] = count(getpid())
"""Each higher than all before: the reference switch outlives a test."""

GOOD = bridge(1, FORWARD)
CONSTANT = table_entry("fixed", ternary(1, 0x0800, 0xFFFF), do=MARK, priority=FIRST)


def outcome(attempt: Callable[[], object]) -> object:
    """What is returned, or the code of the last update, or of the RPC when there are no details."""
    try:
        return attempt()
    except Refused as refused:
        return refused.codes[-1] if refused.codes else refused.code.name


@dataclass(frozen=True)
class Case:
    """attempt: with GOOD in the table."""

    difference: Difference
    attempt: Callable[[Client], object]
    ours: object
    theirs: object


# ---- Who may speak ----


def arbitrated(client: Client, role: str = "") -> Stream:
    stream = client.open_stream()
    stream.arbitrate(next(election_ids), role=role)
    return stream


def verdict(stream: Stream) -> str:
    """What the switch says of an arbitration."""
    try:
        return stream.verdict()[0]
    except StreamEnded as ended:
        return ended.code.name


def the_primary_leaves(client: Client) -> str:
    """What the next highest hears."""
    backup = arbitrated(client)
    assert verdict(backup) == "OK"
    primary = arbitrated(client)
    assert verdict(primary) == "OK"
    assert verdict(backup) == "ALREADY_EXISTS", "there is another primary"
    primary.close()
    return verdict(backup)


def another_device(client: Client) -> None:
    client.device_id += 1
    client.set_pipeline(service.CONFIG)


# ---- Packets ----


def kind_heard(stream: Stream) -> str | None:
    return stream.receive().WhichOneof("update")


def packet_without_its_port(client: Client) -> str | None:
    """Which of two packets the controller hears of: the second, which is right, comes back to it."""
    client.set_pipeline(ENTITIES)
    stream = arbitrated(client)
    assert verdict(stream) == "OK"
    stream.send(packet_out(None, PAYLOAD))
    stream.send(packet_out(CPU_PORT, PAYLOAD))
    return kind_heard(stream)


def packet_from_a_backup(client: Client) -> str | None:
    """What it hears: of its packet, or of the arbitration that it sends then."""
    backup = client.open_stream()
    first, second = next(election_ids), next(election_ids)
    assert verdict(arbitrated(client)) == "OK"
    backup.arbitrate(first)
    assert verdict(backup) == "ALREADY_EXISTS"
    backup.send(packet_out(CPU_PORT, bytes(60)))
    backup.arbitrate(second)
    return kind_heard(backup)


# ---- Reads ----


def bad_and_good_read(client: Client) -> int:
    """How many entities come before the error."""
    read = 0
    try:
        for message in client.read_messages(counter("both", -1), GOOD):
            read += len(message.entities)
    except Refused:
        return read
    raise AssertionError("a negative index was read")


def messages_of_a_long_answer(client: Client) -> int:
    client.insert(*(bridge(n, FORWARD) for n in range(2, 1502)))
    return len(list(client.read_messages(bridge_entries())))


def bridge_entries() -> p4r.Entity:
    return p4r.Entity(table_entry=p4r.TableEntry(table_id=service.id_of("bridge")))


def marked_constant(wanted: p4r.Entity) -> Callable[[Client], object]:
    return lambda client: [entity.table_entry.is_const for entity in client.read(wanted)]


# ---- Members and groups ----


def mark(value: int) -> p4r.Action:
    return p4r.Action(action_id=IDS["mark"], params=[p4r.Action.Param(param_id=1, value=octets(value))])


def member(number: int) -> p4r.Entity:
    return p4r.Entity(
        action_profile_member=p4r.ActionProfileMember(
            action_profile_id=IDS["members"], member_id=number, action=mark(number)
        )
    )


def members_group(*members: p4r.ActionProfileGroup.Member) -> p4r.Entity:
    return p4r.Entity(
        action_profile_group=p4r.ActionProfileGroup(
            action_profile_id=IDS["members"], group_id=1, members=members
        )
    )


def chosen(do: p4r.TableAction) -> p4r.Entity:
    return p4r.Entity(table_entry=p4r.TableEntry(table_id=IDS["chosen"], match=[exact(1, 1)], action=do))


def with_pipeline(
    config: p4r.ForwardingPipelineConfig, attempt: Callable[[Client], object]
) -> Callable[[Client], object]:
    def attempted(client: Client) -> object:
        client.set_pipeline(config)
        return attempt(client)

    return attempted


def with_member(attempt: Callable[[Client], object]) -> Callable[[Client], object]:
    """With the program entities.p4, and member 1 in group 1."""

    def attempted(client: Client) -> object:
        client.insert(member(1), members_group(p4r.ActionProfileGroup.Member(member_id=1, weight=1)))
        return attempt(client)

    return with_pipeline(ENTITIES, attempted)


def watching(port: int) -> p4r.Entity:
    return members_group(p4r.ActionProfileGroup.Member(member_id=1, weight=1, watch_port=octets(port)))


def one_shot(weight: int) -> p4r.Entity:
    shares = [p4r.ActionProfileAction(action=mark(1), weight=weight)]
    return chosen(
        p4r.TableAction(action_profile_action_set=p4r.ActionProfileActionSet(action_profile_actions=shares))
    )


# ---- Pipelines ----


def broken_program() -> p4r.ForwardingPipelineConfig:
    return p4r.ForwardingPipelineConfig(p4info=service.P4INFO, p4_device_config=b'{"program": "broken"}')


def reconciled_twice(client: Client) -> list[object]:
    """Then a COMMIT, which gets the reference switch going again."""
    found = [
        outcome(lambda name=name: client.set_pipeline(service.CONFIG, name))
        for name in ("RECONCILE_AND_COMMIT", "VERIFY_AND_COMMIT")
    ]
    outcome(lambda: client.set_pipeline(None, "COMMIT"))
    return found


def in_one(atomicity: str) -> Callable[[Client], object]:
    update = p4r.Update(type=p4r.Update.INSERT, entity=bridge(2, FORWARD))
    return lambda client: client.write_updates(update, atomicity=atomicity)


def wrote_and_read(entity: p4r.Entity, wanted: p4r.Entity) -> Callable[[Client], Any]:
    def attempted(client: Client) -> list[p4r.Entity]:
        client.insert(entity)
        return client.read(wanted)

    return attempted


D = Difference
ALL_DIRECT_COUNTERS = p4r.DirectCounterEntry(table_entry=p4r.TableEntry())
MANY = [table_entry("small", exact(1, n), do=MARK) for n in range(3)]

CASES = {
    "the primary leaves": Case(D.PRIMARY_LEAVES, the_primary_leaves, "NOT_FOUND", "OK"),
    "a role": Case(D.ROLES, lambda c: verdict(arbitrated(c, "guest")), "UNIMPLEMENTED", "OK"),
    "unknown device": Case(D.UNKNOWN_DEVICE, another_device, "NOT_FOUND", "PERMISSION_DENIED"),
    "table full": Case(D.TABLE_FULL, lambda c: c.insert(*MANY), "RESOURCE_EXHAUSTED", "UNKNOWN"),
    "modify without action": Case(
        D.NO_ACTION, lambda c: c.modify(bridge(1, metadata=b"x")), None, "INVALID_ARGUMENT"
    ),
    "modify a constant entry": Case(
        D.CONSTANT_TABLE, lambda c: c.modify(CONSTANT), "PERMISSION_DENIED", "NOT_FOUND"
    ),
    "constant entries read": Case(
        D.IS_CONST, marked_constant(table_entry("fixed")), [True, True], [False, False]
    ),
    "a constant default read": Case(
        D.IS_CONST, marked_constant(default("constant_default")), [True], [False]
    ),
    "all direct counters": Case(
        D.DIRECT_COUNTERS,
        lambda c: len(c.read(p4r.Entity(direct_counter_entry=ALL_DIRECT_COUNTERS))),
        3,
        "UNIMPLEMENTED",
    ),
    "missing direct counter": Case(
        D.DIRECT_COUNTERS, lambda c: c.read(direct_counter(bridge(7))), "NOT_FOUND", "INVALID_ARGUMENT"
    ),
    "write all cells": Case(
        D.ALL_CELLS, lambda c: c.modify(counter("both", data=counts(1, 2))), None, "UNIMPLEMENTED"
    ),
    "write all cells of a meter": Case(
        D.ALL_CELLS,
        with_pipeline(METERS, lambda c: c.modify(meter("octets", rates=BURSTS))),
        None,
        "UNIMPLEMENTED",
    ),
    "cell out of range": Case(D.INDEX, lambda c: c.read(counter("both", 8)), "OUT_OF_RANGE", "UNKNOWN"),
    "registers": Case(
        D.REGISTERS, lambda c: c.read(register("wide", 1)), [register("wide", 1, 0)], "UNIMPLEMENTED"
    ),
    "all digests": Case(
        D.ALL_DIGESTS, lambda c: c.read(p4r.Entity(digest_entry=p4r.DigestEntry())), [], "UNIMPLEMENTED"
    ),
    "group metadata": Case(
        D.GROUP_METADATA,
        wrote_and_read(group(3, replica(1), metadata=b"m"), group(3)),
        [group(3, replica(1), metadata=b"m")],
        [group(3, replica(1))],
    ),
    "a high group": Case(
        D.REPLICA_NUMBERS, lambda c: c.insert(group(1 << 15, replica(1))), None, "OUT_OF_RANGE"
    ),
    "rollback": Case(D.ATOMICITY, in_one("ROLLBACK_ON_ERROR"), None, "UNIMPLEMENTED"),
    "atomic": Case(D.ATOMICITY, in_one("DATAPLANE_ATOMIC"), None, "UNIMPLEMENTED"),
    "nothing to commit": Case(D.COMMIT, lambda c: c.set_pipeline(None, "COMMIT"), "NOT_FOUND", "UNKNOWN"),
    "filter without table": Case(
        D.FILTER,
        lambda c: len(c.read(p4r.Entity(table_entry=p4r.TableEntry(priority=1)))),
        "INVALID_ARGUMENT",
        3,
    ),
    "a bad read and a good one": Case(D.BAD_READ, bad_and_good_read, 1, 0),
    "a long answer": Case(D.LONG_ANSWERS, messages_of_a_long_answer, 2, 1),
    "verify nonsense": Case(
        D.VERIFY, lambda c: c.set_pipeline(broken_program(), "VERIFY"), "INVALID_ARGUMENT", None
    ),
    "reconcile": Case(D.RECONCILE, reconciled_twice, [None, None], ["UNKNOWN", "UNKNOWN"]),
    "a packet without its port": Case(D.PACKET_OUT, packet_without_its_port, "error", "packet"),
    "a packet from a backup": Case(D.PACKET_OUT, packet_from_a_backup, "error", "arbitration"),
    "a watched port that is not there": Case(
        D.WATCH_PORT, with_member(lambda c: c.modify(watching(511))), "INVALID_ARGUMENT", None
    ),
    "delete a member in use": Case(
        D.MEMBER_IN_USE, with_member(lambda c: c.delete(member(1))), "FAILED_PRECONDITION", "UNKNOWN"
    ),
    "an entry of a missing member": Case(
        D.MISSING_MEMBER,
        with_member(lambda c: c.insert(chosen(p4r.TableAction(action_profile_member_id=9)))),
        "NOT_FOUND",
        "INVALID_ARGUMENT",
    ),
    "an entry of a missing group": Case(
        D.MISSING_MEMBER,
        with_member(lambda c: c.insert(chosen(p4r.TableAction(action_profile_group_id=9)))),
        "NOT_FOUND",
        "INVALID_ARGUMENT",
    ),
    "a heavy share": Case(
        D.ONE_SHOT_WEIGHT,
        with_pipeline(SMALL_GROUPS, lambda c: c.insert(one_shot(17))),
        "INVALID_ARGUMENT",
        "RESOURCE_EXHAUSTED",
    ),
}


# ---- Of switches that have just started: P4Runtime's address, and that of the packets


@dataclass(frozen=True)
class FreshCase:
    difference: Difference
    attempt: Callable[[Addresses], object]
    ours: object
    theirs: object


def pipeline_before_there_is_one(addresses: Addresses) -> str:
    with Client(addresses[0]) as client, refusals():
        request = p4r.GetForwardingPipelineConfigRequest(device_id=client.device_id)
        response = client.stub.GetForwardingPipelineConfig(request, timeout=DEADLINE)
        return "a config" if response.HasField("config") else "no config"


def packet_to_a_group_that_is_down(addresses: Addresses) -> str:
    """What becomes of the packet."""
    with Client(addresses[0]) as client:
        stream = client.become_primary()
        client.set_pipeline(ENTITIES)
        client.insert(member(1), watching(1), chosen(p4r.TableAction(action_profile_group_id=1)))
        packets = PacketClient(addresses[1])
        try:
            packets.set_status(1, OPER_STATUS_DOWN)
            packets.exchange(packet_request(2, PAYLOAD))
            return f"{kind_heard(stream)} to the controller"
        except grpc.RpcError as error:
            assert isinstance(error, grpc.Call)
            return error.code().name
        finally:
            packets.close()


FRESH_CASES = {
    "no pipeline": FreshCase(D.NO_PIPELINE, pipeline_before_there_is_one, "no config", "FAILED_PRECONDITION"),
    "all down": FreshCase(
        D.ALL_DOWN, packet_to_a_group_that_is_down, "packet to the controller", "UNAVAILABLE"
    ),
}
