"""What the tests of simple_switch_grpc expect of it, expected of both switches: its 26 cases, one test each.

Its tests are C++ (targets/simple_switch_grpc/tests), and need its build; these are our own, for the program
doors.p4, after what they show. A docstring begins with the name of the case.
"""

import queue
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from finsy.gnmipath import GNMIPath
from finsy.proto import gnmi, gnmi_grpc, p4r

from switch.server.packet_messages import OPER_STATUS_DOWN, OPER_STATUS_UP
from tests.switch.client import DEADLINE, Client, Refused, Stream, pipeline_config
from tests.switch.packet_client import PacketClient, request
from tests.switch.patience import eventually
from tests.switch.service import exact, group, lpm, octets, optional, replica, session, ternary
from tests.switch.test_server_dataplane import refused

CONFIG = pipeline_config("doors")
IDS = {
    thing.preamble.alias: thing.preamble.id
    for kind in (CONFIG.p4info.tables, CONFIG.p4info.actions, CONFIG.p4info.action_profiles)
    for thing in kind
}
DIGEST = CONFIG.p4info.digests[0].preamble.id

LOOP, CHOSEN, ROUTED, COUNTED, LEARNED, AGING, MASKED, OPTIONAL, MULTICAST, CLONED, METERED = range(11)
"""doors.p4's what_t."""

IN = 99
SECOND = 1_000_000_000
QUIET = 0.3  # seconds in which nothing must come
IDLE = SECOND // 5
SWEEP = 1.5  # seconds that the reference switch may be late, which looks once a second


@dataclass(frozen=True)
class Subject:
    """A switch with doors.p4, its primary and a client of its packets."""

    address: str
    primary: Client
    stream: Stream
    packets: PacketClient

    def send(self, what: int, value: int = 0, entropy: int = 0, port: int = IN) -> list[tuple[int, bytes]]:
        """(port, packet) of what became of one packet."""
        return [
            (out, octets)
            for _, out, octets in self.packets.exchange(request(port, packet(what, value, entropy)))
        ]

    def leaves(self, what: int, value: int = 0, entropy: int = 0) -> int:
        """The one port that a packet leaves by."""
        (only,) = self.send(what, value, entropy)
        return only[0]

    def heard(self, kind: str, seconds: float) -> Any:
        """The next message of this kind on the primary's stream; None if none comes in time."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                response = self.stream.receive(left)
            except queue.Empty:
                break
            if response.HasField(kind):  # type: ignore[arg-type]
                return getattr(response, kind)
        return None


def packet(what: int, value: int = 0, entropy: int = 0) -> bytes:
    return bytes([what]) + value.to_bytes(2, "big") + entropy.to_bytes(4, "big")


def send_to(port: int) -> p4r.Action:
    return p4r.Action(action_id=IDS["send"], params=[p4r.Action.Param(param_id=1, value=octets(port))])


def entry(table: str, *match: p4r.FieldMatch, port: int | None = None, **fields: Any) -> p4r.Entity:
    """port: where its action sends to."""
    do = p4r.TableAction(action=send_to(port)) if port is not None else None
    return p4r.Entity(
        table_entry=p4r.TableEntry(
            table_id=IDS[table], match=match, action=fields.pop("action", do), **fields
        )
    )


_election_ids = iter(range(1, 1 << 62))


@pytest.fixture(params=["embedded", pytest.param("bmv2", marks=pytest.mark.bmv2)])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    address, packets = request.getfixturevalue(request.param)
    with Client(address, next(_election_ids)) as primary:
        stream = primary.become_primary()
        primary.set_pipeline(CONFIG)
        client = PacketClient(packets)
        for port in (1, 2):
            client.set_status(port, OPER_STATUS_UP)
        yield Subject(address, primary, stream, client)
        client.close()


# ---- Action profiles


def test_the_other_member_is_chosen_while_its_port_is_down(subject: Subject) -> None:
    """ActionProfile.WatchPort"""
    shares = [
        p4r.ActionProfileAction(action=send_to(port), weight=1, watch_port=octets(port)) for port in (1, 2)
    ]
    chosen = p4r.TableAction(
        action_profile_action_set=p4r.ActionProfileActionSet(action_profile_actions=shares)
    )
    subject.primary.insert(entry("chosen", exact(1, 0xAB), action=chosen))
    first = subject.leaves(CHOSEN, 0xAB, 0x01020304)
    assert subject.leaves(CHOSEN, 0xAB, 0x01020304) == first
    subject.packets.set_status(first, OPER_STATUS_DOWN)
    assert eventually(lambda: subject.leaves(CHOSEN, 0xAB, 0x01020304) == 3 - first)
    subject.packets.set_status(first, OPER_STATUS_UP)
    assert eventually(lambda: subject.leaves(CHOSEN, 0xAB, 0x01020304) == first)


def test_a_group_of_a_number_that_was_used_before_has_its_own_members(subject: Subject) -> None:
    """ActionProfile.DeleteGroupWithMembers"""
    profile = IDS["members"]

    def member(number: int) -> p4r.Entity:
        return p4r.Entity(
            action_profile_member=p4r.ActionProfileMember(
                action_profile_id=profile, member_id=number, action=send_to(number)
            )
        )

    def of(*numbers: int) -> p4r.Entity:
        members = [p4r.ActionProfileGroup.Member(member_id=number, weight=1) for number in numbers]
        return p4r.Entity(
            action_profile_group=p4r.ActionProfileGroup(
                action_profile_id=profile, group_id=1, members=members
            )
        )

    subject.primary.insert(member(1), member(2), of(1, 2))
    subject.primary.delete(of(), member(1), member(2))
    subject.primary.insert(member(1), of(1))
    subject.primary.insert(entry("chosen", exact(1, 0xAB), action=p4r.TableAction(action_profile_group_id=1)))
    assert {subject.leaves(CHOSEN, 0xAB, entropy) for entropy in range(32)} == {1}


# ---- Entries


def test_an_entry_is_written_read_and_gone(subject: Subject) -> None:
    """Basic.Entries"""
    route = entry("routed", lpm(1, 0x0A000000, 16), port=9)
    subject.primary.insert(route)
    assert subject.primary.read(route) == [route]
    assert subject.primary.read(entry("routed")) == [route]
    assert subject.leaves(ROUTED, entropy=0x0A000001) == 9
    subject.primary.delete(route)
    assert subject.primary.read(route) == []


def test_the_default_entry_is_the_programs_until_it_is_changed(subject: Subject) -> None:
    """Basic.DefaultEntry"""
    none, drop = (p4r.TableAction(action=p4r.Action(action_id=IDS[name])) for name in ("NoAction", "give_up"))
    found = subject.primary.read(entry("routed", is_default_action=True))
    assert found == [entry("routed", action=none, is_default_action=True)]
    changed = entry("routed", action=drop, is_default_action=True)
    subject.primary.modify(changed)
    assert subject.primary.read(entry("routed", is_default_action=True)) == [changed]
    assert subject.send(ROUTED) == []


def test_a_direct_counter_counts_its_hits(subject: Subject) -> None:
    """Counter.CounterHit"""
    one, other = entry("counted", exact(1, 10), port=IN), entry("counted", exact(1, 5), port=IN)
    subject.primary.insert(one, other)
    assert subject.send(COUNTED, 10) == [(IN, packet(COUNTED, 10))]
    longer = packet(COUNTED, 5) + bytes(3)
    subject.packets.exchange(request(IN, longer))
    for which, length in ((one, 7), (other, 10)):
        asked = p4r.Entity(direct_counter_entry=p4r.DirectCounterEntry(table_entry=which.table_entry))
        (found,) = subject.primary.read(asked)
        assert found.direct_counter_entry.data == p4r.CounterData(packet_count=1, byte_count=length)
        with_counter = p4r.Entity()
        with_counter.CopyFrom(which)
        with_counter.table_entry.counter_data.SetInParent()
        (found,) = subject.primary.read(with_counter)
        assert found.table_entry.counter_data == p4r.CounterData(packet_count=1, byte_count=length)


def test_a_meter_without_a_configuration_has_none(subject: Subject) -> None:
    """Meter.ReadDefault"""
    measure = p4r.TableAction(action=p4r.Action(action_id=IDS["measure"]))
    metered = entry("metered", exact(1, 0x1FF), action=measure)
    subject.primary.insert(metered)
    asked = p4r.Entity()
    asked.CopyFrom(metered)
    asked.table_entry.meter_config.SetInParent()
    for _ in range(2):
        (found,) = subject.primary.read(asked)
        assert not found.table_entry.HasField("meter_config")
        subject.primary.modify(
            p4r.Entity(direct_meter_entry=p4r.DirectMeterEntry(table_entry=metered.table_entry))
        )


def test_an_optional_entry_is_read_as_it_was_written(subject: Subject) -> None:
    """Optional.ReadEntry"""
    _is_read_as_written(subject, entry("optionally", optional(1, 0xAABB), port=1, priority=128))


def test_a_ternary_entry_is_read_as_it_was_written(subject: Subject) -> None:
    """Ternary.ReadEntry"""
    _is_read_as_written(subject, entry("masked", ternary(1, 0xAABB, 0xFFFF), port=1, priority=128))


def _is_read_as_written(subject: Subject, written: p4r.Entity) -> None:
    subject.primary.insert(written)
    assert subject.primary.read(written) == [written]


def test_an_optional_field_that_is_left_out_matches_all(subject: Subject) -> None:
    """Optional.BothEntries"""
    every = entry("optionally", port=1, priority=128)
    one = entry("optionally", optional(1, 0xAABB), port=2, priority=333)
    subject.primary.insert(every, one)
    assert subject.leaves(OPTIONAL, 0xAABB) == 2
    assert subject.leaves(OPTIONAL, 0xAABC) == 1
    subject.primary.delete(one)
    assert subject.leaves(OPTIONAL, 0xAABB) == 1


def test_the_higher_priority_wins(subject: Subject) -> None:
    """Ternary.PriorityOrder"""
    subject.primary.insert(entry("masked", ternary(1, 0xAABB, 0xFFFF), port=1, priority=128))
    assert subject.leaves(MASKED, 0xAABB) == 1
    subject.primary.insert(entry("masked", ternary(1, 0xAA0B, 0xFF0F), port=2, priority=333))
    assert subject.leaves(MASKED, 0xAABB) == 2


def test_an_optional_entry_needs_a_priority(subject: Subject) -> None:
    """Optional.PriorityZero"""
    with pytest.raises(Refused):
        subject.primary.insert(entry("optionally", optional(1, 0xAABB), port=1))


def test_a_ternary_entry_needs_a_priority(subject: Subject) -> None:
    """Ternary.PriorityZero"""
    with pytest.raises(Refused):
        subject.primary.insert(entry("masked", ternary(1, 0xAABB, 0xFFFF), port=1))


# ---- Idle timeouts


def aging(timeout: int) -> p4r.Entity:
    return entry("aging", exact(1, 0x1122), port=1, idle_timeout_ns=timeout)


def idle(subject: Subject, timeout: int) -> Any:
    """The next notification, if it comes in the time that it may take."""
    return subject.heard("idle_timeout_notification", timeout / SECOND + SWEEP)


def test_an_entry_that_is_idle_is_told_of(subject: Subject) -> None:
    """IdleTimeout.EntryExpire"""
    written = aging(IDLE)
    subject.primary.insert(written)
    told = idle(subject, IDLE)
    assert told is not None
    written.table_entry.ClearField("action")
    assert list(told.table_entry) == [written.table_entry]


def test_and_again_while_it_stays_idle(subject: Subject) -> None:
    """IdleTimeout.NotifyAgain: by the specification after one more timeout, there within three sweeps."""
    subject.primary.insert(aging(IDLE))
    assert idle(subject, IDLE) is not None
    assert subject.heard("idle_timeout_notification", IDLE / SECOND + 3 * SWEEP) is not None


def test_the_time_since_a_hit_is_read_when_it_is_asked_for(subject: Subject) -> None:
    """IdleTimeout.ReadEntry"""
    written = aging(3600 * SECOND)
    subject.primary.insert(written)
    assert subject.primary.read(written) == [written]
    asked = p4r.Entity()
    asked.CopyFrom(written)
    asked.table_entry.time_since_last_hit.SetInParent()

    def elapsed() -> int:
        (found,) = subject.primary.read(asked)
        return found.table_entry.time_since_last_hit.elapsed_ns

    assert eventually(lambda: elapsed() > 0)
    assert elapsed() < 3600 * SECOND


def test_a_shorter_timeout_holds_from_then_on(subject: Subject) -> None:
    """IdleTimeout.ModifyTTL"""
    subject.primary.insert(aging(3600 * SECOND))
    assert subject.heard("idle_timeout_notification", QUIET) is None
    subject.primary.modify(aging(IDLE))
    assert idle(subject, IDLE) is not None


# ---- Digests


def digests(size: int = 1, acknowledged_within: int = 0) -> p4r.Entity:
    config = p4r.DigestEntry.Config(max_list_size=size, ack_timeout_ns=acknowledged_within)
    return p4r.Entity(digest_entry=p4r.DigestEntry(digest_id=DIGEST, config=config))


def test_a_digest_is_told(subject: Subject) -> None:
    """Digest.OneSample"""
    subject.primary.insert(digests())
    subject.send(LEARNED, 0x1122)
    learned = subject.heard("digest", DEADLINE)
    (members,) = [list(data.struct.members) for data in learned.data]
    assert [member.bitstring for member in members] == [octets(0x1122), octets(IN)]


def test_the_same_digest_is_told_again_once_it_was_acknowledged(subject: Subject) -> None:
    """Digest.Ack"""
    subject.primary.insert(digests(acknowledged_within=3600 * SECOND))
    subject.send(LEARNED, 0x1122)
    learned = subject.heard("digest", DEADLINE)
    subject.send(LEARNED, 0x1122)
    assert subject.heard("digest", QUIET) is None
    acknowledged = p4r.DigestListAck(digest_id=DIGEST, list_id=learned.list_id)
    subject.stream.send(p4r.StreamMessageRequest(digest_ack=acknowledged))

    def is_told_again() -> bool:
        subject.send(LEARNED, 0x1122)
        return subject.heard("digest", QUIET) is not None

    assert eventually(is_told_again)


def test_no_digest_is_told_any_more_when_it_was_disabled(subject: Subject) -> None:
    """Digest.DeleteDigest"""
    subject.primary.insert(digests())
    subject.send(LEARNED, 0x1122)
    assert subject.heard("digest", DEADLINE) is not None
    subject.primary.delete(digests())
    subject.send(LEARNED, 0x3344)
    assert subject.heard("digest", QUIET) is None


# ---- Copies


def test_multicast(subject: Subject) -> None:
    """Multicast.2Rids3Ports"""

    def copies() -> list[tuple[int, bytes]]:
        return sorted(subject.send(MULTICAST, 10, port=1))

    def expected(*replicas: tuple[int, int]) -> list[tuple[int, bytes]]:
        return sorted((port, packet(MULTICAST, instance)) for port, instance in replicas)

    two, three = ((1, 1), (2, 2)), ((1, 1), (2, 2), (3, 1))
    subject.primary.insert(group(10, *(replica(*each) for each in two)))
    assert copies() == expected(*two)
    for replicas in (three, two):
        subject.primary.modify(group(10, *(replica(*each) for each in replicas)))
        assert copies() == expected(*replicas)
    subject.primary.delete(group(10))
    assert copies() == []


def test_clones(subject: Subject) -> None:
    """Clone.SingletonAndMulticast"""

    def copies() -> list[tuple[int, bytes]]:
        return sorted(subject.send(CLONED, 10, port=1))

    original = (1, packet(CLONED, 0))
    subject.primary.insert(session(10, replica(2, 1)))
    assert copies() == [original, (2, packet(CLONED, 1))]
    subject.primary.modify(session(10, replica(2, 1), replica(3, 2)))
    assert copies() == [original, (2, packet(CLONED, 1)), (3, packet(CLONED, 2))]
    subject.primary.delete(session(10))
    assert copies() == [original]


# ---- Packets by gRPC, and to and from the controller


def test_a_packet_goes_in_and_comes_out_with_its_id(subject: Subject) -> None:
    """GrpcDataplane.SendAndReceive"""
    for _ in range(2):
        assert subject.packets.exchange(request(9, packet(LOOP), id=42)) == [(42, 9, packet(LOOP))]


def test_packets_have_one_client(subject: Subject) -> None:
    """GrpcDataplane.MultipleClients"""
    requests: queue.Queue[Any] = queue.Queue()
    first = subject.packets.stream(iter(requests.get, None))
    requests.put(request(9, packet(LOOP)))
    next(first)
    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED):
        subject.packets.exchange(request(9, packet(LOOP)))
    requests.put(None)
    assert list(first) == []


def test_a_packet_of_the_controller_comes_back_to_it(subject: Subject) -> None:
    """PacketIO.SendAndReceiveCPUPacket"""
    subject.stream.send(p4r.StreamMessageRequest(packet=p4r.PacketOut(payload=packet(LOOP))))
    assert subject.heard("packet", DEADLINE).payload == packet(LOOP)


# ---- gNMI, which the reference switch has only when it was built with sysrepo


@pytest.fixture
def interfaces(subject: Subject) -> Iterator[gnmi_grpc.gNMIStub]:
    with grpc.insecure_channel(subject.address) as channel:
        stub = gnmi_grpc.gNMIStub(channel)
        try:
            stub.Capabilities(gnmi.CapabilityRequest(), timeout=DEADLINE)
        except grpc.RpcError:
            pytest.skip("this simple_switch_grpc was built without sysrepo: it has no gNMI")
        yield stub


def leaves(notification: gnmi.Notification) -> dict[str, Any]:
    """By the last element of the path."""
    return {
        update.path.elem[-1].name: getattr(update.val, str(update.val.WhichOneof("value")))
        for update in notification.update
    }


def test_a_subscriber_is_told_that_a_port_goes_down_and_comes_up(
    subject: Subject, interfaces: gnmi_grpc.gNMIStub
) -> None:
    """gNMI.PortOperStatusUpdates"""
    wanted = gnmi.Subscription(
        path=GNMIPath("interfaces/interface/...").path, mode=gnmi.SubscriptionMode.ON_CHANGE
    )
    listed = gnmi.SubscriptionList(
        mode=gnmi.SubscriptionList.STREAM,
        updates_only=True,
        subscription=[wanted],
        encoding=gnmi.Encoding.PROTO,
    )
    requests: queue.Queue[gnmi.SubscribeRequest | None] = queue.Queue()
    requests.put(gnmi.SubscribeRequest(subscribe=listed))
    responses = interfaces.Subscribe(iter(requests.get, None), timeout=DEADLINE)
    assert next(responses).sync_response
    for status, name in ((OPER_STATUS_DOWN, "DOWN"), (OPER_STATUS_UP, "UP")):
        subject.packets.set_status(1, status)
        told = leaves(next(responses).update)
        assert told["oper-status"] == name
        assert told["last-change"] > 0
    responses.cancel()
    assert _counters(interfaces)["carrier-transitions"] >= 2


def test_packets_count_at_their_ports(subject: Subject, interfaces: gnmi_grpc.gNMIStub) -> None:
    """gNMI.PortCounters: as in-pkts and out-pkts, since nothing tells a unicast packet of a P4 program."""
    before = _counters(interfaces)
    subject.send(LOOP, port=1)
    after = _counters(interfaces)
    grown = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert grown == {"in-pkts": 1, "in-octets": 7, "out-pkts": 1, "out-octets": 7}


def _counters(interfaces: gnmi_grpc.gNMIStub) -> dict[str, int]:
    path = GNMIPath("interfaces/interface[name=eth1]/state/counters").path
    answer = interfaces.Get(gnmi.GetRequest(path=[path], encoding=gnmi.Encoding.PROTO), timeout=DEADLINE)
    return leaves(answer.notification[0])
