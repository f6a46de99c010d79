"""Parsers: programs/parsing.p4 puts a report of what was parsed before every packet."""

from collections.abc import Iterator

import pytest

from switch.engine import Engine
from tests.switch.engines import Layout, load

REPORT = Layout({"parser_error": 32, "kinds": 8, "ahead": 16, "last_item": 8})

NO_ERROR, TOO_SHORT, NO_MATCH, OUT_OF_BOUNDS, HEADER_TOO_SHORT, BAD_MAGIC = range(6)
OPTIONS, SPLIT, ITEM, WIDE = 1, 2, 4, 32

SPLIT_BYTES = bytes.fromhex("a5c3 96f0 1e2d b4")
LINK_LOCAL = bytes.fromhex("fe80" + "00" * 13 + "01")


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = load("parsing")
    yield engine
    engine.close()


def report(engine: Engine, packet: bytes) -> dict[str, int]:
    """What the program reports; asserts that the packet itself comes back unchanged behind it."""
    ((port, sent),) = engine.process(3, packet)
    assert port == 3
    assert REPORT.rest(sent) == packet
    return REPORT.unpack(sent)


def found(engine: Engine, packet: str | bytes) -> tuple[int, int]:
    """(parser error, kinds of headers)."""
    said = report(engine, bytes.fromhex(packet) if isinstance(packet, str) else packet)
    return said["parser_error"], said["kinds"]


@pytest.mark.parametrize(
    ("what", "packet", "error", "kinds"),
    [
        ("nothing that the select knows", "00 0102", NO_ERROR, 0),
        ("an empty packet", "", TOO_SHORT, 0),
        ("fields that share bytes", "02" + SPLIT_BYTES.hex(), NO_ERROR, SPLIT),
        ("the same with a payload", "02" + SPLIT_BYTES.hex() + "beef", NO_ERROR, SPLIT),
        ("one byte too few for it", "02" + SPLIT_BYTES[:-1].hex(), TOO_SHORT, 0),
        ("a value that only its mask selects", "8b" + SPLIT_BYTES.hex(), NO_ERROR, SPLIT),
        ("a value outside of the mask", "90" + SPLIT_BYTES.hex(), NO_ERROR, 0),
        ("a variable length of 0", "01 00 ff", NO_ERROR, OPTIONS),
        ("two words of options", "01 02 0011223344556677 ff", NO_ERROR, OPTIONS),
        ("as many options as there can be", "01 0f" + "5a" * 60, NO_ERROR, OPTIONS),
        ("options that are cut off", "01 02 00112233445566", TOO_SHORT, 0),
        ("a stack of one", "03 81", NO_ERROR, ITEM),
        ("a full stack", "03 01 02 83", NO_ERROR, 3 * ITEM),
        ("a stack with one too many", "03 01 02 03 84", OUT_OF_BOUNDS, 3 * ITEM),
        ("a stack that never ends", "03 01 02", TOO_SHORT, 2 * ITEM),
        (
            "128 bits compared in full",
            b"\x04" + LINK_LOCAL + bytes(5) + b"\x02" + SPLIT_BYTES,
            NO_ERROR,
            WIDE | SPLIT,
        ),
        ("128 bits compared under a mask", b"\x04" + LINK_LOCAL + bytes(5) + b"\x03", NO_ERROR, WIDE),
        ("the second of two keys", b"\x04" + bytes(16) + bytes(5) + b"\x01" + b"\x85", NO_ERROR, WIDE | ITEM),
        ("no key that matches: BMv2 accepts", b"\x04" + bytes(16) + bytes(5) + b"\x09", NO_ERROR, WIDE),
        ("a verified value", "06 cafe" + SPLIT_BYTES[2:].hex(), NO_ERROR, SPLIT),
        ("a value that fails its verification", "06 cafd" + SPLIT_BYTES[2:].hex(), BAD_MAGIC, 0),
    ],
)
def test_what_is_found(engine: Engine, what: str, packet: str | bytes, error: int, kinds: int) -> None:
    assert found(engine, packet) == (error, kinds), what


def test_looking_ahead_reads_and_does_not_move(engine: Engine) -> None:
    said = report(engine, bytes.fromhex("06 cafe") + SPLIT_BYTES[2:])
    assert said["ahead"] == 0xCAFE


def test_the_last_of_a_stack(engine: Engine) -> None:
    assert report(engine, bytes.fromhex("03 01 02 83"))["last_item"] == 3


def test_advancing_leaves_bytes_out(engine: Engine) -> None:
    """The skipped bytes are neither header nor payload, so they are gone from the packet."""
    skipped = bytes.fromhex("03 1122")
    ((_, sent),) = engine.process(3, b"\x05" + skipped + SPLIT_BYTES + b"payload")
    said = REPORT.unpack(sent)
    assert (said["parser_error"], said["kinds"], said["ahead"]) == (NO_ERROR, SPLIT, 0x0311)
    assert REPORT.rest(sent) == b"\x05" + SPLIT_BYTES + b"payload"


def test_advancing_beyond_the_end(engine: Engine) -> None:
    assert found(engine, "05 09 11223344") == (TOO_SHORT, 0)


def test_looking_ahead_beyond_the_end(engine: Engine) -> None:
    assert found(engine, "05 01") == (TOO_SHORT, 0)


def test_one_packet_tells_the_next_nothing(engine: Engine) -> None:
    """Metadata and validity begin anew with each packet."""
    report(engine, bytes.fromhex("03 01 02 83"))
    assert report(engine, b"\x00") == {"parser_error": 0, "kinds": 0, "ahead": 0, "last_item": 0}
