"""Headers as values: programs/headers.p4. Packets are an order (what, argument) and what it is about."""

from collections.abc import Iterator

import pytest

from switch.engine import Engine
from tests.switch.engines import load


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = load("headers")
    yield engine
    engine.close()


def after(engine: Engine, packet: str) -> str:
    ((_, sent),) = engine.process(1, bytes.fromhex(packet))
    return sent.hex(" ", 1)


@pytest.mark.parametrize(
    ("what", "packet", "sent"),
    [
        ("nothing done", "00 00 1111 2222", "00 00 11 11 22 22"),
        ("pushed onto a stack", "01 00 1111 2222", "01 00 aa aa 11 11 22 22"),
        ("popped off a stack", "02 00 1111 2222", "02 00 22 22"),
        ("copied before the stack, and one made invalid", "03 00 1111 2222", "03 00 22 22 22 22"),
        ("an invalid header copied", "04 00 1111 2222", "04 00 22 22"),
        ("made invalid and valid again", "05 00 1111 2222", "05 00 00 00 22 22"),
        ("equal headers", "06 00 1111 1111", "06 01 11 11 11 11"),
        ("unequal headers", "06 00 1111 1112", "06 02 11 11 11 12"),
        ("a loop that does not run", "07 00 1111 2222", "07 00 00 00 22 22"),
        ("a loop that skips 3", "07 05 1111 2222", "07 05 00 0c 22 22"),
        ("a loop that ends itself at 9", "07 ff 1111 2222", "07 ff 00 21 22 22"),
        ("a header with a varbit copied", "0a 00 03 616263 99", "0a 00 03 61 62 63 99"),
        ("a varbit copied", "0b 00 03 616263 99", "0b 00 03 61 62 63 03 61 62 63 99"),
        ("an empty varbit", "0b 00 00 99", "0b 00 00 00 99"),
        ("a member of a union takes the place of another", "14 00 77 99", "14 00 00 00 0b 16 99"),
    ],
)
def test_what_becomes_of_headers(engine: Engine, what: str, packet: str, sent: str) -> None:
    assert after(engine, packet) == sent, what


def test_a_varbit_of_full_length(engine: Engine) -> None:
    text = "10" + "a5" * 16
    assert after(engine, "0b 00" + text).replace(" ", "") == "0b00" + text + text


def test_a_varbit_that_is_too_long_is_not_parsed(engine: Engine) -> None:
    """The parser stops there, and the packet goes on as it is."""
    packet = "0b 00 11" + "a5" * 17
    assert after(engine, packet).replace(" ", "").startswith("0b00")
