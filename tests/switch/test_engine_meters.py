"""Meters: programs/meters.p4."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from switch.engine import BadEntry, Engine, Rates
from tests.switch.engines import Layout, load

REQUEST = Layout({"what": 8, "color": 8, "index": 32})
PACKETS, OCTETS, ONE_BIT = 1, 2, 3
PACKET_METER, OCTET_METER = "MyIngress.packets", "MyIngress.octets"
GREEN, YELLOW, RED = 0, 1, 2
UNTOUCHED = 0x77
SECOND = 1_000_000
MAX = (1 << 63) - 1


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = load("meters")
    yield engine
    engine.close()


def color(engine: Engine, what: int, now: int, *, index: int = 0, length: int = 6) -> int:
    """What the meter says to one packet of so many bytes."""
    packet = REQUEST.pack(what=what, index=index, color=UNTOUCHED) + bytes(length - REQUEST.length)
    ((_, sent),) = engine.process(1, packet, now)
    return REQUEST.unpack(sent)["color"]


def colors(engine: Engine, what: int, now: int, count: int, *, index: int = 0) -> list[int]:
    return [color(engine, what, now, index=index) for _ in range(count)]


def test_a_meter_without_rates_is_green(engine: Engine) -> None:
    for index in range(4):
        engine.meters[PACKET_METER].reset(index)
        assert engine.meters[PACKET_METER].read(index) is None
        assert colors(engine, PACKETS, 0, 100, index=index) == [GREEN] * 100


def test_buckets_begin_full_and_the_peak_is_asked_first(engine: Engine) -> None:
    engine.meters[PACKET_METER].write(1, Rates(0, 2, 0, 4))
    assert colors(engine, PACKETS, SECOND, 6, index=1) == [GREEN, GREEN, YELLOW, YELLOW, RED, RED]
    assert colors(engine, PACKETS, 10 * SECOND, 1, index=1) == [RED], "a rate of 0 gives nothing"
    assert colors(engine, PACKETS, 10 * SECOND, 1, index=2) == [GREEN], "another cell"


def test_tokens_come_with_time_up_to_the_burst(engine: Engine) -> None:
    engine.meters[PACKET_METER].write(0, Rates(2, 1, 4, 2))
    assert colors(engine, PACKETS, 0, 3) == [GREEN, YELLOW, RED]
    assert color(engine, PACKETS, 249_999) == RED
    assert color(engine, PACKETS, 250_000) == YELLOW, "a quarter of a second: one of the peak's tokens"
    assert color(engine, PACKETS, 500_000) == GREEN
    assert colors(engine, PACKETS, 100 * SECOND, 3) == [GREEN, YELLOW, RED], "no more than the bursts"


def test_a_red_packet_takes_no_tokens(engine: Engine) -> None:
    engine.meters[OCTET_METER].write(0, Rates(0, 100, 0, 100))
    assert color(engine, OCTETS, 0, length=101) == RED
    assert color(engine, OCTETS, 0, length=100) == GREEN
    assert color(engine, OCTETS, 0, length=6) == RED


def test_a_yellow_packet_takes_the_peaks_tokens_only(engine: Engine) -> None:
    engine.meters[OCTET_METER].write(0, Rates(0, 50, 0, 200))
    assert color(engine, OCTETS, 0, length=100) == YELLOW
    assert color(engine, OCTETS, 0, length=50) == GREEN
    assert color(engine, OCTETS, 0, length=51) == RED


def test_writing_the_same_rates_again_fills_the_buckets(engine: Engine) -> None:
    for _ in range(2):
        engine.meters[PACKET_METER].write(0, Rates(0, 1, 0, 1))
        assert colors(engine, PACKETS, SECOND, 2) == [GREEN, RED]
    engine.meters[PACKET_METER].reset(0)
    assert colors(engine, PACKETS, SECOND, 2) == [GREEN, GREEN]


def test_the_largest_rates_do_not_overflow(engine: Engine) -> None:
    engine.meters[OCTET_METER].write(0, Rates(MAX, MAX, MAX, MAX))
    assert {color(engine, OCTETS, now, length=60_000) for now in (0, 1, SECOND, 10**15)} == {GREEN}


def test_the_color_is_cut_to_the_field(engine: Engine) -> None:
    engine.meters[OCTET_METER].write(0, Rates(0, 0, 0, 6))
    assert color(engine, ONE_BIT, 0) == YELLOW
    assert color(engine, ONE_BIT, 0) == RED & 1


def test_out_of_bounds_has_no_effect(engine: Engine) -> None:
    for index in (4, 0x8000_0000, 0xFFFF_FFFF):
        assert color(engine, PACKETS, 0, index=index) == UNTOUCHED


def test_what_is_written_can_be_read(engine: Engine) -> None:
    assert {m.name: m.size for m in engine.meters.values()} == {PACKET_METER: 4, OCTET_METER: 3}
    engine.meters[OCTET_METER].write(2, Rates(1, 2, 3, 4))
    assert engine.meters[OCTET_METER].read(2) == Rates(cir=1, cburst=2, pir=3, pburst=4)
    engine.meters[OCTET_METER].reset(2)
    assert engine.meters[OCTET_METER].read(2) is None


def test_requests_that_do_not_fit(engine: Engine) -> None:
    engine.meters[PACKET_METER].write(3, Rates(1, 1, 1, 1))
    with pytest.raises(BadEntry, match="4 cells; there is no index 4"):
        engine.meters[PACKET_METER].write(4, Rates(1, 1, 1, 1))
    with pytest.raises(BadEntry, match="no index -1"):
        engine.meters[PACKET_METER].read(-1)
    with pytest.raises(BadEntry, match="committed rate 2 is above the peak rate 1"):
        engine.meters[PACKET_METER].write(3, Rates(2, 1, 1, 1))
    with pytest.raises(BadEntry, match="pburst -1 is not between 0"):
        engine.meters[PACKET_METER].write(3, Rates(1, 1, 1, -1))
    assert engine.meters[PACKET_METER].read(3) == Rates(1, 1, 1, 1)


# Against a model.


@dataclass
class Bucket:
    """A token drops in at each moment t (in microseconds) at which t * rate / 1e6 reaches a whole number."""

    rate: int
    burst: int
    level: int = field(init=False)
    seen: int = 0

    def __post_init__(self) -> None:
        self.level = self.burst

    def wait(self, now: int) -> None:
        drops = now * self.rate // SECOND - self.seen * self.rate // SECOND
        self.level, self.seen = min(self.burst, self.level + drops), now

    def take(self, amount: int) -> bool:
        enough = self.level >= amount
        self.level -= amount * enough
        return enough


class Model:
    """RFC 2698, colour-blind. Both buckets fill at every packet, whether they are asked or not."""

    def __init__(self, rates: Rates) -> None:
        self.peak = Bucket(rates.pir, rates.pburst)
        self.committed = Bucket(rates.cir, rates.cburst)

    def color(self, now: int, amount: int) -> int:
        self.peak.wait(now)
        self.committed.wait(now)
        if not self.peak.take(amount):
            return RED
        return GREEN if self.committed.take(amount) else YELLOW


@st.composite
def all_rates(draw: st.DrawFn) -> Rates:
    scale = draw(st.sampled_from([5, 1000, 10**6, 10**10]))
    cir, pir = sorted((draw(st.integers(0, scale)), draw(st.integers(0, scale))))
    bursts = st.integers(0, draw(st.sampled_from([3, 40, 3000])))
    return Rates(cir, draw(bursts), pir, draw(bursts))


ARRIVALS = st.lists(
    st.tuples(st.one_of(st.integers(0, 3), st.integers(0, 2000), st.integers(0, 10**7)), st.integers(6, 90)),
    max_size=60,
)


@settings(deadline=None)
@given(rates=all_rates(), octets=st.booleans(), start=st.integers(0, 1 << 48), arrivals=ARRIVALS)
def test_colors_as_the_model_has_them(
    engine: Engine, rates: Rates, octets: bool, start: int, arrivals: list[tuple[int, int]]
) -> None:
    """The packet's length, not what is left of it, at random times apart."""
    name, what = (OCTET_METER, OCTETS) if octets else (PACKET_METER, PACKETS)
    engine.meters[name].write(0, rates)
    model, now = Model(rates), start
    for after, length in arrivals:
        now += after
        expected = model.color(now, length if octets else 1)
        assert color(engine, what, now, length=length) == expected
