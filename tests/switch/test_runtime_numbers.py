"""The C runtime by itself: wide numbers, bits in packets, hashes and buckets, beside models in Python."""

import binascii
import ctypes
import zlib
from collections.abc import Callable
from functools import cache, reduce
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from switch.build import RUNTIME, build

SOURCES = [Path(__file__).with_name("runtime_numbers.c"), RUNTIME / "hashes.c"]
WORD = 64
SIZES = (256, 4096)
MICROSECONDS = 1_000_000


@cache
def library() -> ctypes.CDLL:
    found = ctypes.CDLL(str(build("runtime-numbers", SOURCES)))
    found.begin()
    for bits in range(8, WORD + 1, 8):
        getattr(found, f"loaded_{bits}").restype = ctypes.c_uint64
        getattr(found, f"stored_{bits}").argtypes = (ctypes.c_char_p, ctypes.c_uint64)
    for name in ("crc32", "crc16", "crc_ccitt", "csum16", "xor16", "identity"):
        hash_ = getattr(found, name)
        hash_.argtypes, hash_.restype = (ctypes.c_char_p, ctypes.c_size_t), ctypes.c_uint64
    found.packets_through.restype = ctypes.c_uint64
    return found


def numbers(bits: int) -> st.SearchStrategy[int]:
    """Of so many bits; among them those where carries and signs go wrong."""
    top = 1 << bits
    edges = st.sampled_from([0, 1, 2, top - 1, top - 2, top // 2, top // 2 - 1, (1 << WORD) - 1, 1 << WORD])
    short = st.integers(0, (1 << 70) - 1)
    return edges | short | st.integers(0, top - 1)


def words(value: int, bits: int) -> Any:
    count = -(-bits // WORD)
    return (ctypes.c_uint64 * count)(*(value >> WORD * i & (1 << WORD) - 1 for i in range(count)))


def number(found: Any) -> int:
    return sum(word << WORD * i for i, word in enumerate(found))


def signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def called(name: str, bits: int, *arguments: Any) -> int:
    """A function on wide numbers, which the arguments that are tuples are, by their value."""
    to = words(0, bits)
    given = [words(argument[0], bits) if isinstance(argument, tuple) else argument for argument in arguments]
    getattr(library(), f"{name}_{bits}")(to, *given)
    return number(to)


def towards_zero(a: int, b: int) -> tuple[int, int]:
    """Quotient and rest as C has them; of a division by zero both are 0, as the switch defines it."""
    if b == 0:
        return 0, 0
    quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return quotient, a - b * quotient


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SIZES), st.data())
def test_wide_arithmetic(bits: int, data: st.DataObject) -> None:
    a, b = data.draw(numbers(bits)), data.draw(numbers(bits))
    whole = 1 << bits
    assert called("sum", bits, (a,), (b,)) == (a + b) % whole
    assert called("difference", bits, (a,), (b,)) == (a - b) % whole
    assert called("product", bits, (a,), (b,)) == a * b % whole
    for is_signed in (False, True):
        x, y = (signed(a, bits), signed(b, bits)) if is_signed else (a, b)
        quotient, rest = towards_zero(x, y)
        assert called("quotient", bits, (a,), (b,), is_signed, False) == quotient % whole
        assert called("quotient", bits, (a,), (b,), is_signed, True) == rest % whole
        order = getattr(library(), f"order_{bits}")(words(a, bits), words(b, bits), is_signed)
        assert (order > 0) - (order < 0) == (x > y) - (x < y)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SIZES), st.data())
def test_wide_shifts_and_cuts(bits: int, data: st.DataObject) -> None:
    a = data.draw(numbers(bits))
    by = data.draw(st.integers(0, bits + 70) | st.just((1 << WORD) - 1))
    width = data.draw(st.integers(1, bits))
    whole, far = 1 << bits, min(by, bits)
    by_c = ctypes.c_uint64(by)
    assert called("left", bits, (a,), by_c) == (a << far) % whole
    assert called("right", bits, (a,), by_c, False) == a >> far
    assert called("right", bits, (a,), by_c, True) == (signed(a, bits) >> far) % whole
    low = a & (1 << width) - 1
    assert called("cut", bits, (a,), width, False) == low
    assert called("cut", bits, (a,), width, True) == signed(low, width) % whole
    one, other = sorted((signed(data.draw(numbers(bits)), bits), signed(data.draw(numbers(bits)), bits)))
    nearest = min(max(signed(a, bits), one), other)
    assert called("clamped", bits, (a,), (one % whole,), (other % whole,), True) == nearest % whole


@settings(max_examples=300, deadline=None)
@given(st.binary(min_size=40, max_size=40), st.integers(0, 60), st.integers(1, 250), st.data())
def test_bits_at_any_place(packet: bytes, offset: int, width: int, data: st.DataObject) -> None:
    """Read as a number, and written without a change around it."""
    value = data.draw(numbers(width)) & (1 << width) - 1
    behind = 8 * len(packet) - offset - width
    field = ((1 << width) - 1) << behind
    whole = int.from_bytes(packet, "big")
    before, after = (whole & field) >> behind, (whole & ~field | value << behind).to_bytes(len(packet), "big")
    buffer = ctypes.create_string_buffer(packet, len(packet))
    assert called("load_wide", 256, buffer, offset, width) == before
    library().store_wide(buffer, offset, width, words(value, 256))
    assert buffer.raw == after
    if width <= 2 * WORD:
        buffer = ctypes.create_string_buffer(packet, len(packet))
        found = words(0, 2 * WORD)
        library().bits_of(found, buffer, offset, width)
        assert number(found) == before
        library().set_bits(buffer, offset, width, words(value, 2 * WORD))
        assert buffer.raw == after


@pytest.mark.parametrize("bits", range(8, WORD + 1, 8))
def test_whole_bytes_are_loaded_and_stored_and_nothing_beyond(bits: int) -> None:
    octets = bytes(range(0xF1, 0xF1 + bits // 8))
    value = int.from_bytes(octets, "big")
    assert getattr(library(), f"loaded_{bits}")(octets) == value
    buffer = ctypes.create_string_buffer(b"\x55" * 9, 9)
    getattr(library(), f"stored_{bits}")(ctypes.cast(buffer, ctypes.c_char_p), value)
    assert buffer.raw == octets + b"\x55" * (9 - len(octets))


def crc16_arc(octets: bytes) -> int:
    crc = 0
    for octet in octets:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


def in_words(octets: bytes) -> list[int]:
    padded = octets + bytes(len(octets) % 2)
    return [int.from_bytes(padded[i : i + 2], "big") for i in range(0, len(padded), 2)]


def internet_checksum(octets: bytes) -> int:
    """RFC 1071: a carry is added again, at once."""

    def add(total: int, word: int) -> int:
        total += word
        return (total & 0xFFFF) + (total >> 16)

    return 0xFFFF ^ reduce(add, in_words(octets), 0)


HASHES: dict[str, Callable[[bytes], int]] = {
    "crc32": zlib.crc32,
    "crc16": crc16_arc,
    "crc_ccitt": lambda octets: binascii.crc_hqx(octets, 0xFFFF),
    "csum16": internet_checksum,
    "xor16": lambda octets: reduce(int.__xor__, in_words(octets), 0),
    "identity": lambda octets: int.from_bytes(octets[:8], "big"),
}

CHECK_VALUES = {"crc32": 0xCBF43926, "crc16": 0xBB3D, "crc_ccitt": 0x29B1}
"""Of the bytes "123456789", as catalogues of CRCs give them."""


@pytest.mark.parametrize("name", HASHES)
@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200) | st.sampled_from([b"", b"\xff" * 40, b"\xff\xff", b"\x00" * 7]))
def test_hashes(name: str, octets: bytes) -> None:
    assert getattr(library(), name)(octets, len(octets)) == HASHES[name](octets)


@pytest.mark.parametrize(("name", "value"), CHECK_VALUES.items())
def test_check_values(name: str, value: int) -> None:
    assert getattr(library(), name)(b"123456789", 9) == value


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 1 << 40) | st.just((1 << 63) - 1),
    st.integers(0, 1 << 20) | st.just((1 << 63) - 1),
    st.lists(st.tuples(st.integers(0, 1 << 45), st.integers(0, 1 << 21)), max_size=30),
)
def test_no_stretch_of_time_lets_more_through_than_burst_and_rate(
    rate: int, burst: int, packets: list[tuple[int, int]]
) -> None:
    """The token bucket's law, for every pair of packets; and a bucket that had the time to fill is full."""
    times = sorted(time for time, _ in packets)
    amounts = [amount for _, amount in packets]
    count = len(packets)
    passed = (ctypes.c_uint8 * max(count, 1))()
    library().packets_through(
        ctypes.c_uint64(rate),
        ctypes.c_uint64(burst),
        (ctypes.c_uint64 * max(count, 1))(*times),
        (ctypes.c_uint64 * max(count, 1))(*amounts),
        ctypes.c_uint64(count),
        passed,
    )
    for first in range(count):
        spent = 0
        for last in range(first, count):
            spent += amounts[last] if passed[last] else 0
            given = -(-(times[last] - times[first]) * rate // MICROSECONDS)
            assert spent <= burst + given
    for place, (before, now) in enumerate(pairwise([0, *times])):
        rested = (now - before) * rate // MICROSECONDS >= burst
        if rested and amounts[place] <= burst:
            assert passed[place], "a bucket that had the time to fill is full"
