"""Meters over P4Runtime: programs/meters.p4."""

from collections.abc import Callable, Iterator

import pytest
from finsy.proto import p4i, p4r

from switch.engine import Engine
from switch.p4info import P4InfoError, Schema
from switch.p4info_check import check_schema
from tests.switch.client import Client, Stream, pipeline_config
from tests.switch.conftest import Running
from tests.switch.engines import Layout
from tests.switch.test_server_state import codes

CONFIG = pipeline_config("meters")
IDS = {meter.preamble.alias: meter.preamble.id for meter in CONFIG.p4info.meters}
REQUEST = Layout({"what": 8, "color": 8, "index": 32})
GREEN, YELLOW, RED = 0, 1, 2


@pytest.fixture
def metered(switch: Running) -> Iterator[Client]:
    """The primary, with the pipeline of meters.p4 set."""
    with switch.client() as client:
        client.become_primary()
        client.set_pipeline(CONFIG)
        yield client


def meter(name: str, index: int | None = None, rates: p4r.MeterConfig | None = None) -> p4r.Entity:
    entry = p4r.MeterEntry(meter_id=IDS[name] if name else 0, config=rates)
    if index is not None:
        entry.index.index = index
    return p4r.Entity(meter_entry=entry)


def rates(cir: int, cburst: int, pir: int, pburst: int, eburst: int = 0) -> p4r.MeterConfig:
    return p4r.MeterConfig(cir=cir, cburst=cburst, pir=pir, pburst=pburst, eburst=eburst)


LIMITS = rates(1, 2, 3, 4)
BURSTS = rates(0, 2, 0, 4)


def test_rates_are_read_as_they_were_written(metered: Client) -> None:
    metered.modify(meter("packets", 1, LIMITS))
    assert metered.read(meter("packets", 1)) == [meter("packets", 1, LIMITS)]
    assert metered.read(meter("packets")) == [
        meter("packets", i, LIMITS if i == 1 else None) for i in range(4)
    ]
    metered.modify(meter("packets", 1))
    assert metered.read(meter("packets", 1)) == [meter("packets", 1)]


def test_rates_of_0_are_not_the_default(metered: Client) -> None:
    metered.modify(meter("octets", 0, rates(0, 0, 0, 0)))
    (found,) = metered.read(meter("octets", 0))
    assert found.meter_entry.HasField("config")


def test_all_cells_can_be_written_at_once(metered: Client) -> None:
    metered.modify(meter("octets", rates=LIMITS))
    assert metered.read(meter("octets")) == [meter("octets", i, LIMITS) for i in range(3)]
    metered.modify(meter("octets"))
    assert metered.read(meter("octets")) == [meter("octets", i) for i in range(3)]


def test_meter_0_is_all_meters(metered: Client) -> None:
    assert len(metered.read(meter(""))) == 4 + 3
    assert len(metered.read(meter("", 2))) == 2


def color_of(stream: Stream, packet: bytes) -> int:
    """By way of the CPU port, which any P4Runtime switch has: the program sends the packet back."""
    stream.send(p4r.StreamMessageRequest(packet=p4r.PacketOut(payload=packet)))
    return REQUEST.unpack(stream.receive().packet.payload)["color"]


def colors_of_a_burst(client: Client, stream: Stream) -> list[int]:
    """Six packets through a cell of two committed tokens and four at the peak, which never come back."""
    client.modify(meter("packets", 2, BURSTS))
    return [color_of(stream, REQUEST.pack(what=1, index=2)) for _ in range(6)]


OF_A_BURST = [GREEN, GREEN, YELLOW, YELLOW, RED, RED]


def test_packets_are_coloured_by_the_rates_written(switch: Running) -> None:
    with switch.client() as client:
        stream = client.become_primary()
        client.set_pipeline(CONFIG)
        assert color_of(stream, REQUEST.pack(what=1, index=2, color=7)) == GREEN
        assert colors_of_a_burst(client, stream) == OF_A_BURST
        client.modify(meter("packets", 2))
        assert color_of(stream, REQUEST.pack(what=1, index=2, color=7)) == GREEN


WRONG_METERS = {
    "index too high": (meter("packets", 4, LIMITS), "OUT_OF_RANGE"),
    "index too high without rates": (meter("packets", 4), "OUT_OF_RANGE"),
    "index negative": (meter("packets", -1, LIMITS), "INVALID_ARGUMENT"),
    "no meter": (meter("", 1, LIMITS), "INVALID_ARGUMENT"),
    "unknown meter": (p4r.Entity(meter_entry=p4r.MeterEntry(meter_id=99)), "INVALID_ARGUMENT"),
    "committed above peak": (meter("packets", 1, rates(3, 1, 2, 1)), "INVALID_ARGUMENT"),
    "rate negative": (meter("packets", 1, rates(-2, 1, 2, 1)), "INVALID_ARGUMENT"),
    "burst negative": (meter("packets", 1, rates(1, 1, 2, -2)), "INVALID_ARGUMENT"),
    "excess burst": (meter("packets", 1, rates(1, 1, 2, 2, eburst=3)), "INVALID_ARGUMENT"),
    "counts by colour": (
        p4r.Entity(
            meter_entry=p4r.MeterEntry(
                meter_id=IDS["packets"],
                index=p4r.Index(index=1),
                counter_data=p4r.MeterCounterData(green=p4r.CounterData(packet_count=1)),
            )
        ),
        "UNIMPLEMENTED",
    ),
    "direct meter": (
        p4r.Entity(direct_meter_entry=p4r.DirectMeterEntry(config=LIMITS)),
        "INVALID_ARGUMENT",
    ),
}


@pytest.mark.parametrize("name", WRONG_METERS)
def test_wrong_meters_are_refused(name: str, metered: Client) -> None:
    entity, code = WRONG_METERS[name]
    metered.modify(meter("packets", 1, LIMITS))
    assert codes(lambda: metered.modify(meter("octets", 0, LIMITS), entity)) == ["OK", code]
    assert metered.read(meter("packets")) == [
        meter("packets", i, LIMITS if i == 1 else None) for i in range(4)
    ]
    assert metered.read(meter("octets", 0)) == [meter("octets", 0, LIMITS)], "the update before it counts"


def test_meters_can_only_be_modified(metered: Client) -> None:
    assert codes(lambda: metered.insert(meter("packets", 1, LIMITS))) == ["INVALID_ARGUMENT"]
    assert codes(lambda: metered.delete(meter("packets", 1))) == ["INVALID_ARGUMENT"]


@pytest.mark.parametrize(
    "name", ["index too high without rates", "index negative", "unknown meter", "counts by colour"]
)
def test_meters_that_do_not_exist_cannot_be_read(name: str, metered: Client) -> None:
    entity, code = WRONG_METERS[name]
    assert codes(lambda: metered.read(entity)) == [code]


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine.load(CONFIG.p4_device_config)
    yield engine
    engine.close()


def other_type(p4info: p4i.P4Info) -> None:
    p4info.meters[0].spec.type = p4i.MeterSpec.SINGLE_RATE_TWO_COLOR


def other_size(p4info: p4i.P4Info) -> None:
    p4info.meters[0].size = 5


def other_name(p4info: p4i.P4Info) -> None:
    p4info.meters[0].preamble.name = "MyIngress.speeds"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_type, "meter MyIngress.packets: this switch has meters of two rates only"),
        (other_size, "MyIngress.packets: the P4Info says 5 cells, the program has 4"),
        (other_name, "the P4Info has a meter MyIngress.speeds, the program has none"),
    ],
)
def test_a_p4info_of_other_meters_is_refused(
    change: Callable[[p4i.P4Info], None], said: str, engine: Engine
) -> None:
    config = p4r.ForwardingPipelineConfig()
    config.CopyFrom(CONFIG)
    change(config.p4info)
    with pytest.raises(P4InfoError, match=said):
        check_schema(Schema.parse(config.p4info), engine)
