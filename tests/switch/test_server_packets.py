"""Packets and digests on the stream, to and from the controller."""

import queue

import pytest
from finsy.proto import p4d, p4r

from switch.server import streams
from switch.server.device import Device
from switch.server.server import Server
from tests.switch import service
from tests.switch.client import DEVICE_ID, Client, Refused, Stream, code_name
from tests.switch.conftest import Running, running
from tests.switch.in_process import InProcess
from tests.switch.patience import eventually
from tests.switch.service import TYPE_LEARN, action, bridge, digest, field_id, frame, octets, packet_out

PACKET = frame(1)
SILENCE = 0.3  # seconds


def refusal(stream: Stream) -> tuple[str, p4r.StreamError]:
    error = stream.receive().error
    return code_name(error.canonical_code), error


def is_silent(stream: Stream) -> bool:
    try:
        stream.receive(SILENCE)
    except queue.Empty:
        return True
    return False


# ---- From the switch ----


def test_a_packet_in_has_its_metadata(switch: Running, stream: tuple[Client, Stream]) -> None:
    client, own = stream
    client.insert(bridge(1, action("to_controller", 5)))
    assert switch.data_plane.receive(300, PACKET) == []
    assert own.receive().packet == p4r.PacketIn(
        payload=PACKET,
        metadata=[
            p4r.PacketMetadata(metadata_id=field_id("packet_in", "ingress_port"), value=octets(300)),
            p4r.PacketMetadata(metadata_id=field_id("packet_in", "reason"), value=octets(5)),
        ],
    )


def test_packets_go_to_the_primary_only(switch: Running, stream: tuple[Client, Stream]) -> None:
    client, own = stream
    client.insert(bridge(1, action("to_controller", 5)))
    with switch.client(0) as backup:
        other = backup.open_stream()
        other.arbitrate(0)
        other.verdict()
        switch.data_plane.receive(1, PACKET)
        assert own.receive().HasField("packet")
        assert is_silent(other)


def test_packets_follow_the_primary(switch: Running, stream: tuple[Client, Stream]) -> None:
    client, own = stream
    client.insert(bridge(1, action("to_controller", 5)))
    with switch.client(2) as successor:
        new = successor.become_primary()
        assert own.verdict() == ("ALREADY_EXISTS", 2)
        switch.data_plane.receive(1, PACKET)
        assert new.receive().HasField("packet")
        assert is_silent(own)


def test_without_a_primary_packets_are_dropped(switch: Running) -> None:
    with switch.client() as client:
        client.become_primary()
        client.set_pipeline(service.CONFIG)
        client.insert(bridge(1, action("to_controller", 5)))
    switch.data_plane.receive(1, PACKET)
    with switch.client(2) as client:
        assert is_silent(client.become_primary())


def test_packets_that_no_client_reads_are_bounded() -> None:
    stream = streams.ClientStream(lambda: None)
    message = p4r.StreamMessageResponse(packet=p4r.PacketIn(payload=PACKET))
    taken = [stream.offer_message(message) for _ in range(streams.MAX_WAITING + 10)]
    assert taken == [True] * streams.MAX_WAITING + [False] * 10
    assert stream.dropped == 10
    stream.send(message)  # arbitration is never dropped
    stream.close()
    assert len(list(stream.messages())) == streams.MAX_WAITING + 1


def test_a_failure_of_the_data_plane_is_not_overlooked() -> None:
    class Broken(InProcess):
        def packet_in(self, timeout: float) -> bytes | None:
            raise OSError("no more packets")

    server = Server(Device(DEVICE_ID, Broken()), "127.0.0.1:0")
    server.start()
    try:
        assert eventually(lambda: str(server.failure) == "no more packets")
    finally:
        server.stop()


# ---- To the switch ----


def test_a_packet_out_leaves_where_its_metadata_says(switch: Running, stream: tuple[Client, Stream]) -> None:
    _, own = stream
    own.send(packet_out(300, PACKET))
    own.send(p4r.StreamMessageRequest(digest_ack=p4r.DigestListAck(digest_id=99)))
    own.receive()  # the error about that: the packet before is through
    assert switch.data_plane.sent == [(300, PACKET)]


def test_metadata_must_match_the_p4info(switch: Running, stream: tuple[Client, Stream]) -> None:
    _, own = stream
    wrong = packet_out(None, PACKET)
    own.send(wrong)
    code, error = refusal(own)
    assert code == "INVALID_ARGUMENT"
    assert error.message == "packet_out: metadata egress_port is missing"
    assert error.packet_out.packet_out == wrong.packet
    own.send(packet_out(512, PACKET))
    assert refusal(own)[0] == "OUT_OF_RANGE"
    unknown = packet_out(1, PACKET)
    unknown.packet.metadata.add(metadata_id=99, value=b"\x01")
    own.send(unknown)
    assert refusal(own)[0] == "INVALID_ARGUMENT"
    assert switch.data_plane.sent == []


def test_a_backup_may_not_send_packets(switch: Running, stream: tuple[Client, Stream]) -> None:
    with switch.client(0) as backup:
        other = backup.open_stream()
        other.arbitrate(0)
        other.verdict()
        other.send(packet_out(1, PACKET))
        assert refusal(other)[0] == "PERMISSION_DENIED"
        never_arbitrated = backup.open_stream()
        never_arbitrated.send(packet_out(1, PACKET))
        assert refusal(never_arbitrated)[0] == "PERMISSION_DENIED"
    assert switch.data_plane.sent == []


def test_a_packet_out_needs_a_pipeline(switch: Running) -> None:
    with switch.client() as client:
        own = client.become_primary()
        own.send(packet_out(1, PACKET))
        assert refusal(own)[0] == "FAILED_PRECONDITION"


def test_a_packet_out_needs_a_cpu_port() -> None:
    with running(InProcess(cpu_port=None)) as switch, switch.client() as client:
        own = client.become_primary()
        client.set_pipeline(service.CONFIG)
        own.send(packet_out(1, PACKET))
        code, error = refusal(own)
        assert code == "FAILED_PRECONDITION"
        assert "--cpu-port" in error.message


def test_other_stream_messages_are_refused(stream: tuple[Client, Stream]) -> None:
    _, own = stream
    request = p4r.StreamMessageRequest()
    request.other.type_url = "type.example/of.another.architecture"
    own.send(request)
    code, error = refusal(own)
    assert code == "UNIMPLEMENTED"
    assert error.other.other == request.other


# ---- Digests ----


def learn(switch: Running, source: int, port: int = 3) -> None:
    switch.data_plane.receive(port, frame(1, source=source, kind=TYPE_LEARN))


def sources(digest_list: p4r.DigestList) -> list[int]:
    return [int.from_bytes(one.struct.members[0].bitstring, "big") for one in digest_list.data]


def test_a_digest_list_holds_what_was_learned(switch: Running, stream: tuple[Client, Stream]) -> None:
    client, own = stream
    client.insert(digest())
    learn(switch, source=0x0000_0A0B_0C0D, port=300)
    received = own.receive().digest
    assert received.digest_id == service.id_of("learned_t")
    assert received.list_id == 1
    assert received.timestamp > 0
    members = [p4d.P4Data(bitstring=octets(0x0A0B_0C0D)), p4d.P4Data(bitstring=octets(300))]
    assert list(received.data) == [p4d.P4Data(struct=p4d.P4StructLike(members=members))]


def test_digests_are_sent_only_when_they_are_enabled(switch: Running, stream: tuple[Client, Stream]) -> None:
    client, own = stream
    learn(switch, 1)
    assert is_silent(own)
    client.insert(digest())
    learn(switch, 2)
    assert sources(own.receive().digest) == [2]
    client.delete(digest())
    learn(switch, 3)
    assert is_silent(own)


def test_digests_are_collected_into_lists(switch: Running, stream: tuple[Client, Stream]) -> None:
    client, own = stream
    client.insert(digest(max_timeout_ns=60 * 10**9, max_list_size=3))
    for source in (1, 2, 2, 3, 4):
        learn(switch, source)
    assert sources(own.receive().digest) == [1, 2, 3]
    assert is_silent(own)


def test_a_digest_is_not_repeated_before_it_is_acknowledged(
    switch: Running, stream: tuple[Client, Stream]
) -> None:
    client, own = stream
    client.insert(digest(ack_timeout_ns=60 * 10**9))
    learn(switch, 1)
    received = own.receive().digest
    learn(switch, 1)
    assert is_silent(own)
    ack = p4r.DigestListAck(digest_id=received.digest_id, list_id=received.list_id)
    own.send(p4r.StreamMessageRequest(digest_ack=ack))
    own.send(p4r.StreamMessageRequest(digest_ack=p4r.DigestListAck(digest_id=99)))
    code, error = refusal(own)  # the acknowledgement before is through
    assert code == "INVALID_ARGUMENT"
    assert error.digest_list_ack.digest_list_ack.digest_id == 99
    learn(switch, 1)
    assert sources(own.receive().digest) == [1]


def test_an_unknown_digest_cannot_be_read(client: Client) -> None:
    with pytest.raises(Refused) as caught:
        client.read(p4r.Entity(digest_entry=p4r.DigestEntry(digest_id=99)))
    assert caught.value.codes == ["INVALID_ARGUMENT"]
