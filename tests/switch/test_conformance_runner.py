"""The runner of STF scripts notices what it must; here it runs on a program of ours."""

import re
from collections.abc import Iterator

import pytest

from switch.engine import Engine
from tests.conformance.runner import Mismatch, run
from tests.conformance.stf import Expect, StfError, parse
from tests.switch.engines import load

ADD = "add lpm_32 query.a:0x0a000000/8 MyIngress.give(result:0x77)"
PACKET = f"packet 2 03 0a010203 0000 00 {'00' * 16} 00000000 00"
ANSWER = f"expect 2 03 0a010203 0000 00 {'**' * 16} 00000077 00"


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = load("tables")
    yield engine
    engine.close()


def test_an_unknown_command() -> None:
    with pytest.raises(StfError, match=re.escape("line 2: 'teleport 1': unknown command")):
        list(parse("# a comment\nteleport 1"))


@pytest.mark.parametrize(
    ("digits", "octets", "same"),
    [
        ("00 01", "0001", True),
        ("00 01", "000102", True),
        ("00 01 $", "000102", False),
        ("00 01$", "0001", True),
        ("0* 01", "0f01", True),
        ("00 01", "00", False),
        ("00 01", "0002", False),
        ("", "abcd", True),
    ],
)
def test_expectations(digits: str, octets: str, same: bool) -> None:
    (expect,) = parse(f"expect 3 {digits}")
    assert isinstance(expect, Expect)
    assert expect.accepts(bytes.fromhex(octets)) is same


@pytest.mark.parametrize(
    "lines",
    [
        (ADD, PACKET, ANSWER),
        (ADD, PACKET, f"{ANSWER} $"),
        (ADD, PACKET, "expect 2"),
        ("setdefault MyIngress.lpm_32 give(result:0x77)", PACKET, ANSWER),
        (
            "add masked 5 a:0x0a** b:0x**** MyIngress.counted_ternary(result:1)",
            "add masked 6 a:0x0a****** MyIngress.counted_ternary(result:0x77)",
            PACKET.replace(" 03 ", " 05 "),
            ANSWER.replace(" 03 ", " 05 "),
        ),
    ],
)
def test_what_is_as_expected(engine: Engine, lines: tuple[str, ...]) -> None:
    assert run(engine, parse("\n".join(lines))) == 1


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ((PACKET, ANSWER), "port 2, packet 1"),
        ((ADD, PACKET), "port 2: 1 packets instead of 0"),
        ((ADD, ANSWER), "port 2: 0 packets instead of 1"),
        ((ADD, PACKET, PACKET, ANSWER), "port 2: 2 packets instead of 1"),
        (("expect 2",), "port 2: no packet"),
        (("add lpm_7 a:1 give(result:1)",), "0 of "),
        (("add exact_one b:1 counted(result:1)",), "0 of hdr.query.a"),
    ],
)
def test_what_is_not(engine: Engine, lines: tuple[str, ...], why: str) -> None:
    with pytest.raises(Mismatch, match=why):
        run(engine, parse("\n".join(lines)))
