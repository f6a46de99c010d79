"""Byte strings, controller headers and digests' lists: the parts of the service that need no server."""

import pytest
from finsy.proto import p4r, rpc_code
from hypothesis import given
from hypothesis import strategies as st

from switch.p4info import ControllerHeader, DigestField, DigestInfo, DigestType, Field
from switch.server.digests import DigestLists
from switch.server.packets import HeaderCodec
from switch.server.status import RequestError
from switch.server.values import decode, encode, encode_signed

# ---- Byte strings: the examples of the specification, tables 2 and 3 ----


@pytest.mark.parametrize(
    ("octets", "bits", "value"),
    [
        (b"\x63", 8, 99),
        (b"\x00\x63", 16, 99),
        (b"\x63", 16, 99),
        (b"\x30\x64", 16, 12388),
        (b"\x00\x30\x64", 16, 12388),
        (b"\x00\x63", 12, 99),
        (b"\x00\x00\x63", 12, 99),
    ],
)
def test_valid_byte_strings(octets: bytes, bits: int, value: int) -> None:
    assert decode(octets, bits, "it") == value


@pytest.mark.parametrize(
    ("octets", "bits"),
    [(b"\x01\x63", 8), (b"", 8), (b"\x01\x00\x63", 16), (b"\x10\x63", 12), (b"\x00\x40\x63", 12)],
)
def test_invalid_byte_strings_are_out_of_range(octets: bytes, bits: int) -> None:
    with pytest.raises(RequestError) as caught:
        decode(octets, bits, "it")
    assert caught.value.code == rpc_code.OUT_OF_RANGE


@given(st.integers(1, 300).flatmap(lambda bits: st.tuples(st.just(bits), st.integers(0, (1 << bits) - 1))))
def test_a_value_comes_back_from_its_shortest_byte_string(bits_and_value: tuple[int, int]) -> None:
    bits, value = bits_and_value
    octets = encode(value)
    assert decode(octets, bits, "it") == value
    assert len(octets) == 1 or octets[0] != 0


@given(
    st.integers(1, 300).flatmap(
        lambda bits: st.tuples(st.just(bits), st.integers(-(1 << (bits - 1)), (1 << (bits - 1)) - 1))
    )
)
def test_a_signed_value_keeps_its_sign_in_the_shortest_byte_string(bits_and_value: tuple[int, int]) -> None:
    bits, value = bits_and_value
    octets = encode_signed(value & (1 << bits) - 1, bits)
    assert int.from_bytes(octets, "big", signed=True) == value
    assert len(octets) == 1 or int.from_bytes(octets[1:], "big", signed=True) != value


# ---- Controller headers ----


def header(*widths: int) -> ControllerHeader:
    return ControllerHeader(
        "packet_in", tuple(Field(i, f"f{i}", bits) for i, bits in enumerate(widths, start=1))
    )


def metadata(**values: int) -> list[p4r.PacketMetadata]:
    return [p4r.PacketMetadata(metadata_id=int(name[1:]), value=encode(v)) for name, v in values.items()]


def test_fields_lie_one_after_the_other_most_significant_first() -> None:
    codec = HeaderCodec(header(7, 9))
    assert codec.pack(metadata(f1=0b1010101, f2=0b1_0000_0001)) == bytes([0b10101011, 0b00000001])


def test_the_order_of_metadata_does_not_matter() -> None:
    codec = HeaderCodec(header(8, 16))
    assert codec.pack(metadata(f2=0x1234, f1=0x56)) == bytes.fromhex("561234")


@given(st.lists(st.integers(1, 64), max_size=6), st.data())
def test_packets_come_back_as_they_went(widths: list[int], data: st.DataObject) -> None:
    widths = [*widths, 8 - sum(widths) % 8]  # whole bytes
    values = {f"f{i}": data.draw(st.integers(0, (1 << bits) - 1)) for i, bits in enumerate(widths, start=1)}
    payload = data.draw(st.binary(max_size=20))
    codec = HeaderCodec(header(*widths))
    message = codec.unpack(codec.pack(metadata(**values)) + payload)
    assert message == p4r.PacketIn(payload=payload, metadata=metadata(**values))


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (metadata(f1=1), rpc_code.INVALID_ARGUMENT),
        (metadata(f1=1, f2=1) + metadata(f1=1), rpc_code.INVALID_ARGUMENT),
        (metadata(f1=1, f2=1, f3=1), rpc_code.INVALID_ARGUMENT),
        (metadata(f1=1, f2=1 << 16), rpc_code.OUT_OF_RANGE),
    ],
    ids=["missing", "twice", "unknown", "too wide"],
)
def test_metadata_must_be_that_of_the_p4info(wrong: list[p4r.PacketMetadata], code: int) -> None:
    with pytest.raises(RequestError) as caught:
        HeaderCodec(header(8, 16)).pack(wrong)
    assert caught.value.code == code


def test_a_packet_shorter_than_its_header_is_no_packet_in() -> None:
    assert HeaderCodec(header(8, 16)).unpack(b"\x01\x02") is None


def test_without_a_header_a_packet_is_all_payload() -> None:
    assert HeaderCodec(header()).unpack(b"abc") == p4r.PacketIn(payload=b"abc")


# ---- Digest lists. Times in nanoseconds. ----

FIELDS = (DigestField("source", DigestType.BIT, 48), DigestField("port", DigestType.BIT, 9))
DIGEST = DigestInfo(5, "learned_t", True, FIELDS)


def lists(max_timeout_ns: int = 0, max_list_size: int = 0, ack_timeout_ns: int = 0) -> DigestLists:
    digests = DigestLists({DIGEST.id: DIGEST})
    config = p4r.DigestEntry.Config(
        max_timeout_ns=max_timeout_ns, max_list_size=max_list_size, ack_timeout_ns=ack_timeout_ns
    )
    digests.insert(p4r.DigestEntry(digest_id=DIGEST.id, config=config))
    return digests


def learned(digests: DigestLists, now: int, *sources: int) -> list[list[int]]:
    """The sources in each list that is due, after these were learned."""
    digests.learn([("learned_t", (source, 3)) for source in sources], now)
    return [
        [int.from_bytes(data.struct.members[0].bitstring, "big") for data in one.data]
        for one in digests.due(now)
    ]


def test_without_a_timeout_every_digest_is_a_list() -> None:
    assert learned(lists(), 0, 1, 2) == [[1], [2]]


def test_a_list_is_sent_when_it_is_full() -> None:
    digests = lists(max_timeout_ns=100, max_list_size=2)
    assert learned(digests, 0, 1) == []
    assert learned(digests, 1, 2, 3) == [[1, 2]]


def test_a_list_is_sent_when_its_first_digest_waited_long_enough() -> None:
    digests = lists(max_timeout_ns=100, max_list_size=10)
    assert learned(digests, 0, 1) == []
    assert learned(digests, 99, 2) == []
    assert learned(digests, 100) == [[1, 2]]
    assert learned(digests, 300) == []


def test_duplicates_are_left_out_of_a_list() -> None:
    digests = lists(max_timeout_ns=100)
    assert learned(digests, 0, 1, 2, 1) == []
    assert learned(digests, 100) == [[1, 2]]


def test_what_was_sent_is_not_sent_again_before_it_is_acknowledged() -> None:
    digests = lists(ack_timeout_ns=1000)
    assert learned(digests, 0, 1, 2) == [[1], [2]]
    assert learned(digests, 10, 1, 2) == []
    digests.acknowledge(p4r.DigestListAck(digest_id=DIGEST.id, list_id=1))
    assert learned(digests, 20, 1, 2) == [[1]]


def test_what_is_never_acknowledged_is_sent_again_after_the_timeout() -> None:
    digests = lists(ack_timeout_ns=1000)
    assert learned(digests, 0, 1) == [[1]]
    assert learned(digests, 999, 1) == []
    assert learned(digests, 999 + 1) == []
    assert learned(digests, 1001, 1) == [[1]]


def test_without_an_acknowledgement_timeout_nothing_is_held_back() -> None:
    digests = lists()
    assert learned(digests, 0, 1) == [[1]]
    assert learned(digests, 1, 1) == [[1]]


def test_digests_that_nobody_asked_for_are_dropped() -> None:
    digests = lists()
    digests.delete(p4r.DigestEntry(digest_id=DIGEST.id))
    assert not digests.wanted
    assert learned(digests, 0, 1) == []
