"""Writes that are broken at random: never a crash, never a change by what was refused.

SLUICE_FUZZ=seconds (make fuzz) makes it long. Messages are mutated in two ways: on the wire, where a bit or a
piece of the bytes is another, and field by field, so that they stay near to what is right.
"""

import os
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from finsy.proto import p4r
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from tests.packets import traffic
from tests.packets.p4runtime import PIPELINE, Names
from tests.packets.world import BASE
from tests.switch import test_server_entry_state as entry_state
from tests.switch import test_server_profiles as profiles
from tests.switch import test_server_value_sets as value_sets
from tests.switch.client import DEADLINE, DEVICE_ID, Client, Refused, refusals, uint128
from tests.switch.service import (
    CONFIG,
    action,
    bridge,
    counter,
    counts,
    default,
    digest,
    direct_counter,
    exact,
    group,
    lpm,
    optional,
    register,
    replica,
    session,
    table_entry,
)
from tests.switch.test_server_atomicity import EVERYTHING, STATE

SECONDS = float(os.environ.get("SLUICE_FUZZ", "0"))
SEEDS = range(6)
ROUNDS = 80  # messages of each seed, at the least

ENTITIES = [
    *STATE,
    table_entry("acl", optional(2, 0x800), do=action("mark", 1), priority=7),
    table_entry("small", exact(1, 1), do=action("mark", 1)),
    table_entry("routes", lpm(1, 2 << 40, 8), do=action("mark", 3)),
    table_entry("fixed", do=action("mark", 1), priority=1),
    default("bridge", action("forward", 1)),
    default("constant_default", action("mark", 1)),
    counter("both", 1, counts(1, 2)),
    counter("both", None, counts(0, 0)),
    direct_counter(bridge(1), counts(3, 4)),
    register("wide", 1, 5),
    group(9, replica(1), replica(2, 7)),
    session(9, replica(3)),
    digest(1, 2, 3),
    p4r.Entity(meter_entry=p4r.MeterEntry(meter_id=1, config=p4r.MeterConfig(cir=1))),
    p4r.Entity(direct_meter_entry=p4r.DirectMeterEntry(table_entry=bridge(1).table_entry)),
    p4r.Entity(action_profile_member=p4r.ActionProfileMember(action_profile_id=1, member_id=1)),
    p4r.Entity(action_profile_group=p4r.ActionProfileGroup(action_profile_id=1, group_id=1)),
    p4r.Entity(value_set_entry=p4r.ValueSetEntry(value_set_id=1)),
    p4r.Entity(extern_entry=p4r.ExternEntry(extern_id=1)),
]


@dataclass(frozen=True)
class Subject:
    """A program, what is written to it, and how all of that is read."""

    config: p4r.ForwardingPipelineConfig
    entities: Sequence[p4r.Entity]
    everything: Sequence[p4r.Entity]

    @property
    def ids(self) -> list[int]:
        """Of what there is in the program."""
        p4info = self.config.p4info
        kinds = (p4info.tables, p4info.actions, p4info.counters, p4info.action_profiles, p4info.value_sets)
        return [thing.preamble.id for kind in kinds for thing in kind]

    def state(self, client: Client) -> list[bytes]:
        """The order of entities says nothing."""
        return sorted(entity.SerializeToString() for entity in client.read(*self.everything))


def rounds() -> Iterator[None]:
    """Of one test; all of them together take SLUICE_FUZZ seconds."""
    end = time.monotonic() + SECONDS / (len(SEEDS) * (len(SUBJECTS) + 2))
    done = 0
    while done < ROUNDS or time.monotonic() < end:
        yield
        done += 1


def controllers() -> Subject:
    """Our own program, with what its controller writes."""
    names = Names.load()
    rows = (*traffic.tables(random.Random(0)), *BASE)
    return Subject(
        p4r.ForwardingPipelineConfig(p4info=names.p4info, p4_device_config=PIPELINE.read_bytes()),
        [*(names.insert(row).entity for row in rows), group(9, replica(1), replica(2, 7))],
        [p4r.Entity(table_entry=p4r.TableEntry()), group(0), session(0)],
    )


SERVICE = Subject(CONFIG, ENTITIES, EVERYTHING)
SUBJECTS = {
    "service": SERVICE,
    "our controller's": controllers(),
    "profiles": Subject(
        profiles.config(),
        [
            *profiles.members(1, 2, 3),
            profiles.group(1, profiles.watched(1, 2, port=3), profiles.watched(2)),
            profiles.group(2),
            profiles.entry(profiles.to_member(1)),
            profiles.entry(profiles.to_group(1), key=2),
            profiles.entry(profiles.one_shot(profiles.share(1, 2, port=1), profiles.share(2))),
        ],
        [profiles.member(0), profiles.group(0), p4r.Entity(table_entry=p4r.TableEntry())],
    ),
    "entry state": Subject(
        entry_state.CONFIG,
        [
            entry_state.entry(1),
            entry_state.entry(2, meter_config=entry_state.BURSTS, idle_timeout_ns=entry_state.LONG),
            entry_state.direct_meter(1, entry_state.LIMITS),
            entry_state.direct_meter(None),
        ],
        [entry_state.direct_meter(None), p4r.Entity(table_entry=p4r.TableEntry())],
    ),
    "value sets": Subject(
        value_sets.CONFIG,
        [
            value_sets.value_set(value_sets.member(5, a=(0x1200, 8))),
            value_sets.value_set(value_sets.member(1)),
        ],
        [value_sets.value_set(id=0)],
    ),
}


class Mutator:
    """Breaks messages, the same way for the same seed."""

    def __init__(self, seed: int, subject: Subject) -> None:
        self._random = random.Random(seed)
        self._entities = subject.entities
        self._ids = subject.ids

    def request(self) -> p4r.WriteRequest:
        """One to four updates, of which some are broken."""
        updates = [
            p4r.Update(
                type=self._random.choice((p4r.Update.INSERT, p4r.Update.MODIFY, p4r.Update.DELETE)),
                entity=self._random.choice(self._entities),
            )
            for _ in range(self._random.randint(1, 4))
        ]
        request = p4r.WriteRequest(
            device_id=DEVICE_ID, election_id=uint128(1), updates=[self._broken(update) for update in updates]
        )
        request.atomicity = self._random.choice(list(p4r.WriteRequest.Atomicity.values()))
        return request

    def _broken(self, update: p4r.Update) -> p4r.Update:
        for _ in range(self._random.choice((0, 0, 1, 3))):
            update = self._on_the_wire(update) if self._random.random() < 0.3 else self._by_field(update)
        return update

    def _on_the_wire(self, update: p4r.Update) -> p4r.Update:
        octets = bytearray(update.SerializeToString())
        if not octets:
            return update
        at = self._random.randrange(len(octets))
        match self._random.randrange(3):
            case 0:
                octets[at] ^= 1 << self._random.randrange(8)
            case 1:
                del octets[at : at + self._random.randint(1, 4)]
            case _:
                octets[at:at] = self._random.randbytes(self._random.randint(1, 4))
        try:
            return p4r.Update.FromString(bytes(octets))
        except DecodeError:
            return update  # gRPC would not even hand it over

    def _by_field(self, update: p4r.Update) -> p4r.Update:
        changed = p4r.Update()
        changed.CopyFrom(update)
        message, field = self._random.choice(list(_fields(changed)))
        value = getattr(message, field.name)
        if field.is_repeated:
            if len(value) and self._random.random() < 0.5:
                del value[self._random.randrange(len(value))]
            elif field.message_type is not None:
                value.add()
        elif field.message_type is not None or self._random.random() < 0.2:
            message.ClearField(field.name)
        else:
            setattr(message, field.name, self._other(field))
        return changed

    def _other(self, field: Any) -> Any:
        if field.type == FieldDescriptor.TYPE_BYTES:
            return self._random.randbytes(self._random.choice((0, 1, 2, 6, 7, 200)))
        match field.cpp_type:
            case FieldDescriptor.CPPTYPE_STRING:
                return self._random.choice(("", "role", "a" * 200))
            case FieldDescriptor.CPPTYPE_BOOL:
                return self._random.random() < 0.5
            case FieldDescriptor.CPPTYPE_ENUM:
                return self._random.randrange(5)
            case FieldDescriptor.CPPTYPE_UINT32:
                return self._random.choice((0, 1, 2, 511, 65536, (1 << 32) - 1, *self._ids))
            case FieldDescriptor.CPPTYPE_UINT64:
                return self._random.choice((0, 1, (1 << 64) - 1))
            case FieldDescriptor.CPPTYPE_INT32:
                return self._random.choice((-(1 << 31), -1, 0, 1, 7, 8, 48, 49, (1 << 31) - 1))
            case _:
                return self._random.choice((-(1 << 63), -1, 0, 1, 7, 8, 1 << 40, (1 << 63) - 1))


def _fields(message: Message) -> Iterator[tuple[Message, Any]]:
    """Every field of a message and of those within it, set or not."""
    for field in message.DESCRIPTOR.fields:
        yield message, field
        if field.message_type is None:
            continue
        if field.is_repeated:
            for inner in getattr(message, field.name):
                yield from _fields(inner)
        elif message.HasField(field.name):
            yield from _fields(getattr(message, field.name))


def write(client: Client, request: p4r.WriteRequest) -> Refused | None:
    try:
        with refusals():
            client.stub.Write(request, timeout=DEADLINE)
    except Refused as refused:
        return refused
    return None


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS.keys())
def test_what_is_refused_changes_nothing(subject: Subject, seed: int, client: Client) -> None:
    """An update with an error left everything as it was; INTERNAL and the like would be a fault of ours."""
    client.set_pipeline(subject.config)
    mutator = Mutator(seed, subject)
    done = refused_once = False
    for _ in rounds():
        request = mutator.request()
        before = subject.state(client)
        refused = write(client, request)
        done, refused_once = done or refused is None, refused_once or refused is not None
        if refused is None:
            continue
        assert refused.code in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INVALID_ARGUMENT), refused
        if refused.code == grpc.StatusCode.UNKNOWN:
            assert len(refused.codes) == len(request.updates), (request, refused)
            assert not {"INTERNAL", "UNKNOWN"} & set(refused.codes), (request, refused)
        if "OK" not in refused.codes:
            assert subject.state(client) == before, request
    assert done and refused_once


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_done_whole_can_be_read_back_and_deleted(seed: int, client: Client) -> None:
    """After all those writes the state is one that the same server takes again, update by update."""
    mutator = Mutator(seed, SERVICE)
    for _ in rounds():
        write(client, mutator.request())
    found = [
        entity
        for wanted in EVERYTHING
        for entity in client.read(wanted)
        if entity.WhichOneof("entity") in ("table_entry", "packet_replication_engine_entry", "digest_entry")
        and not entity.table_entry.is_const
        and not entity.table_entry.is_default_action
    ]
    client.delete(*found)
    client.insert(*found)
    client.delete(*found)


@pytest.mark.parametrize("seed", SEEDS)
def test_broken_reads_are_answered_or_refused(seed: int, client: Client) -> None:
    client.insert(*STATE)
    mutator = Mutator(seed, SERVICE)
    for _ in rounds():
        request = p4r.ReadRequest(
            device_id=DEVICE_ID, entities=[update.entity for update in mutator.request().updates]
        )
        try:
            with refusals():
                list(client.stub.Read(request, timeout=DEADLINE))
        except Refused as refused:
            assert refused.code == grpc.StatusCode.UNKNOWN, refused
            assert len(refused.codes) == len(request.entities), (request, refused)
            assert not {"INTERNAL", "UNKNOWN"} & set(refused.codes), (request, refused)


@pytest.mark.parametrize("seed", SEEDS)
def test_broken_stream_messages_end_nothing_but_the_stream(seed: int, client: Client) -> None:
    rng = random.Random(seed)
    for _ in range(ROUNDS // 4):
        message = p4r.StreamMessageRequest(
            packet=p4r.PacketOut(
                payload=rng.randbytes(rng.choice((0, 1, 60, 9000))),
                metadata=[
                    p4r.PacketMetadata(metadata_id=rng.randrange(4), value=rng.randbytes(rng.randrange(4)))
                    for _ in range(rng.randrange(4))
                ],
            )
        )
        octets = bytearray(message.SerializeToString())
        octets[rng.randrange(len(octets))] ^= 1 << rng.randrange(8)
        try:
            message = p4r.StreamMessageRequest.FromString(bytes(octets))
        except DecodeError:
            continue
        stream = client.open_stream()
        stream.send(message)
        stream.close()
    assert client.read(table_entry("small")) == []
