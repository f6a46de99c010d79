"""Registers, counters, hashes and random numbers: programs/state.p4."""

import zlib
from collections.abc import Iterator

import pytest

from switch.engine import BadEntry, Engine
from tests.switch.engines import Layout, load

REQUEST = Layout({"what": 8, "index": 32, "value": 128})
HASHES = Layout(
    {
        "crc32": 32,
        "crc16": 16,
        "csum16": 16,
        "identity": 64,
        "xor16": 16,
        "bounded": 16,
        "unaligned": 16,
        "with_payload": 32,
    }
)
DRAWN = Layout({"a": 16, "b": 16})

SMALL, ODD, LARGE, SIGNED, COUNT, HASH, DRAW = range(1, 8)

ALL_128 = (1 << 128) - 1


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = load("state")
    yield engine
    engine.close()


def ask(engine: Engine, what: int, index: int, value: int = 0) -> int:
    ((_, sent),) = engine.process(1, REQUEST.pack(what=what, index=index, value=value))
    return REQUEST.unpack(sent)["value"]


# Registers.


@pytest.mark.parametrize(
    ("what", "name", "bits"), [(SMALL, "small", 8), (ODD, "odd", 33), (LARGE, "large", 128)]
)
def test_registers_keep_their_width(engine: Engine, what: int, name: str, bits: int) -> None:
    register = f"MyIngress.{name}"
    assert engine.registers[register].bits == bits
    assert ask(engine, what, 1, ALL_128) == 0, "registers begin with 0"
    assert ask(engine, what, 1, 5) == (1 << bits) - 1
    assert engine.registers[register].read(1) == 5
    engine.registers[register].write(2, (1 << bits) - 2)
    assert ask(engine, what, 2) == (1 << bits) - 2
    assert engine.registers[register].read(0) == 0


def test_signed_register(engine: Engine) -> None:
    engine.registers["MyIngress.signed"].write(0, 0)
    assert ask(engine, SIGNED, 0) == 0
    assert ask(engine, SIGNED, 0) == ALL_128, "-1"
    assert engine.registers["MyIngress.signed"].read(0) == 0xFFFE


def test_out_of_bounds_has_no_effect(engine: Engine) -> None:
    """The read leaves its destination as it was, which p4c's temporary begins as 0."""
    for index in (4, 5, 0x8000_0000, 0xFFFF_FFFF):
        assert ask(engine, SMALL, index, 0x55) == 0
    assert [engine.registers["MyIngress.small"].read(i) for i in range(4)] == [0, 0, 0, 0]
    for index in (8, 0xFFFF_FFFF):
        ask(engine, COUNT, index)
    assert [engine.counters["MyIngress.indexed"].read(i) for i in range(8)] == [(0, 0)] * 8


def test_register_requests_that_do_not_fit(engine: Engine) -> None:
    with pytest.raises(BadEntry, match="4 cells; there is no index 4"):
        engine.registers["MyIngress.small"].read(4)
    with pytest.raises(BadEntry, match="no index -1"):
        engine.registers["MyIngress.small"].write(-1, 0)
    with pytest.raises(BadEntry, match="has 8 bits"):
        engine.registers["MyIngress.small"].write(0, 256)


# Counters.


def test_indirect_counter(engine: Engine) -> None:
    name = "MyIngress.indexed"
    packet = REQUEST.pack(what=COUNT, index=3)
    engine.process(1, packet)
    engine.process(1, packet + bytes(100))
    assert engine.counters[name].read(3) == (2, 2 * len(packet) + 100)
    assert engine.counters[name].read(2) == (0, 0)
    engine.counters[name].write(3, 7, 70)
    engine.process(1, packet)
    assert engine.counters[name].read(3) == (8, 70 + len(packet))
    with pytest.raises(BadEntry, match="8 cells"):
        engine.counters[name].read(8)


def test_two_engines_of_one_program_share_nothing(engine: Engine) -> None:
    other = load("state")
    ask(engine, SMALL, 0, 9)
    assert other.registers["MyIngress.small"].read(0) == 0
    other.close()
    assert engine.registers["MyIngress.small"].read(0) == 9


# Hashes.


def crc16(data: bytes) -> int:
    """CRC-16/ARC, bit by bit."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


def csum16(data: bytes) -> int:
    """RFC 1071."""
    data += bytes(len(data) % 2)
    total = sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def xor16(data: bytes) -> int:
    data += bytes(len(data) % 2)
    result = 0
    for i in range(0, len(data), 2):
        result ^= int.from_bytes(data[i : i + 2], "big")
    return result


def test_the_references_against_published_check_values() -> None:
    assert zlib.crc32(b"123456789") == 0xCBF43926
    assert crc16(b"123456789") == 0xBB3D
    assert csum16(bytes.fromhex("45000073000040004011c0a80001c0a800c7")) == 0xB861


@pytest.mark.parametrize(
    ("index", "value"),
    [
        (0, 0),
        (0x31323334, 0x35363738 << 96),
        (0xDEADBEEF, 0x0123_4567_89AB_CDEF_FEDC_BA98_7654_3210),
        (1, ALL_128),
    ],
)
@pytest.mark.parametrize("payload", [b"", b"x", bytes(range(256))])
def test_hashes(engine: Engine, index: int, value: int, payload: bytes) -> None:
    ((_, sent),) = engine.process(1, REQUEST.pack(what=HASH, index=index, value=value) + payload)
    said = HASHES.unpack(REQUEST.rest(sent))
    data = index.to_bytes(4, "big") + value.to_bytes(16, "big")
    three_fields = (value & 7) << 18 | (value >> 3 & 0x1FFF) << 5 | HASH
    assert said == {
        "crc32": zlib.crc32(data),
        "crc16": crc16(data),
        "csum16": csum16(data),
        "identity": int.from_bytes(data[:8], "big") % (2**64 - 1),
        "xor16": xor16(bytes([HASH]) + value.to_bytes(16, "big")),
        "bounded": 100 + zlib.crc32(value.to_bytes(16, "big")) % 16,
        "unaligned": crc16((three_fields << 3).to_bytes(3, "big")) % 0x10000,
        "with_payload": zlib.crc32(index.to_bytes(4, "big") + payload),
    }


def test_random_numbers(engine: Engine) -> None:
    drawn = []
    for _ in range(400):
        ((_, sent),) = engine.process(1, REQUEST.pack(what=DRAW))
        drawn.append(DRAWN.unpack(REQUEST.rest(sent)))
    assert {d["b"] for d in drawn} == {5}
    counts = {value: sum(d["a"] == value for d in drawn) for value in range(10, 14)}
    assert sum(counts.values()) == 400
    assert min(counts.values()) > 40, "far from uniform; chance alone does this once in 10**14 runs"
