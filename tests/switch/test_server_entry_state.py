"""Direct meters and idle timeouts over P4Runtime."""

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from finsy.proto import p4i, p4r
from google.protobuf import text_format

from tests.switch.client import Client, Stream, StreamEnded
from tests.switch.conftest import Running
from tests.switch.json_programs import encoded
from tests.switch.patience import eventually
from tests.switch.test_engine_entry_state import GREEN, RED, YELLOW
from tests.switch.test_engine_entry_state import config as program_config
from tests.switch.test_server_atomicity import refused, update
from tests.switch.test_server_meters import BURSTS, LIMITS
from tests.switch.test_server_state import codes

TABLE, ACTION, METER = 0x02000001, 0x01000001, 0x15000001  # finsy looks at the first byte
SHORT, LONG = 1_000_000, 3_600_000_000_000  # nanoseconds

P4INFO = f"""
    tables {{
        preamble {{ id: {TABLE} name: "t" alias: "t" }}
        match_fields {{ id: 1 name: "h.a" bitwidth: 16 match_type: EXACT }}
        action_refs {{ id: {ACTION} }}
        direct_resource_ids: {METER}
        idle_timeout_behavior: NOTIFY_CONTROL
        size: 1024
    }}
    actions {{
        preamble {{ id: {ACTION} name: "set_b" alias: "set_b" }}
        params {{ id: 1 name: "value" bitwidth: 16 }}
    }}
    direct_meters {{
        preamble {{ id: {METER} name: "speed" alias: "speed" }}
        spec {{ unit: PACKETS }}
        direct_table_id: {TABLE}
    }}
"""
CONFIG = p4r.ForwardingPipelineConfig(
    p4info=text_format.Parse(P4INFO, p4i.P4Info()), p4_device_config=encoded(program_config())
)


@pytest.fixture
def primary(switch: Running) -> Iterator[tuple[Client, Stream]]:
    """With the program of test_engine_entry_state.py: h.color is the meter's."""
    with switch.client() as client:
        stream = client.become_primary()
        client.set_pipeline(CONFIG)
        yield client, stream


@pytest.fixture
def client(primary: tuple[Client, Stream]) -> Client:
    return primary[0]


def entry(key: int, value: int | None = 7, **fields: Any) -> p4r.Entity:
    """value: the action's parameter; None: no action."""
    message = p4r.TableEntry(
        table_id=TABLE,
        match=[p4r.FieldMatch(field_id=1, exact=p4r.FieldMatch.Exact(value=bytes([key])))],
        **fields,
    )
    if value is not None:
        param = p4r.Action.Param(param_id=1, value=bytes([value]))
        message.action.action.CopyFrom(p4r.Action(action_id=ACTION, params=[param]))
    return p4r.Entity(table_entry=message)


def direct_meter(key: int | None, rates: p4r.MeterConfig | None = None) -> p4r.Entity:
    wanted = p4r.TableEntry(table_id=TABLE) if key is None else entry(key, None).table_entry
    return p4r.Entity(direct_meter_entry=p4r.DirectMeterEntry(table_entry=wanted, config=rates))


def burst(switch: Running, key: int, packets: int) -> list[int]:
    """The colours of packets that come at once."""
    found: list[int] = []
    for _ in range(packets):
        ((_, sent),) = switch.data_plane.receive(0, key.to_bytes(2, "big") + bytes(3))
        found.append(sent[4])
    return found


# ---- Direct meters ----


def test_a_meter_is_written_with_its_entry(switch: Running, client: Client) -> None:
    """BURSTS: two packets green, two more yellow, and never a token again."""
    client.insert(entry(1, meter_config=BURSTS), entry(2))
    assert burst(switch, 1, 5) == [GREEN, GREEN, YELLOW, YELLOW, RED]
    assert burst(switch, 2, 5) == [GREEN] * 5
    assert client.read(entry(1, None, meter_config=p4r.MeterConfig())) == [entry(1, meter_config=BURSTS)]
    assert client.read(entry(2, None, meter_config=p4r.MeterConfig())) == [entry(2)]
    assert client.read(entry(1, None)) == [entry(1)], "only who asks is told"


def test_a_modified_entry_without_rates_has_none(switch: Running, client: Client) -> None:
    client.insert(entry(1, meter_config=BURSTS))
    client.modify(entry(1, 8))
    assert burst(switch, 1, 5) == [GREEN] * 5
    client.modify(entry(1, 8, meter_config=BURSTS))
    assert burst(switch, 1, 5) == [GREEN, GREEN, YELLOW, YELLOW, RED]


def test_a_meter_is_written_by_itself(switch: Running, client: Client) -> None:
    client.insert(entry(1), entry(2))
    client.modify(direct_meter(1, BURSTS))
    assert burst(switch, 1, 5) == [GREEN, GREEN, YELLOW, YELLOW, RED]
    assert client.read(direct_meter(1)) == [direct_meter(1, BURSTS)]
    assert client.read(direct_meter(None)) == [direct_meter(1, BURSTS), direct_meter(2)]
    all_tables = p4r.Entity(direct_meter_entry=p4r.DirectMeterEntry())
    assert client.read(all_tables) == [direct_meter(1, BURSTS), direct_meter(2)]
    client.modify(direct_meter(1))
    assert client.read(direct_meter(1)) == [direct_meter(1)]


COUNTERS = p4r.MeterCounterData()
WRONG: dict[str, tuple[Callable[[Client], object], str]] = {
    "insert": (lambda c: c.insert(direct_meter(1, LIMITS)), "INVALID_ARGUMENT"),
    "delete": (lambda c: c.delete(direct_meter(1)), "INVALID_ARGUMENT"),
    "a missing entry": (lambda c: c.modify(direct_meter(9, LIMITS)), "NOT_FOUND"),
    "read a missing entry": (lambda c: c.read(direct_meter(9)), "NOT_FOUND"),
    "excess burst": (lambda c: c.modify(direct_meter(1, p4r.MeterConfig(eburst=1))), "INVALID_ARGUMENT"),
    "committed above peak": (
        lambda c: c.modify(direct_meter(1, p4r.MeterConfig(cir=2, pir=1))),
        "INVALID_ARGUMENT",
    ),
    "a negative rate": (lambda c: c.modify(direct_meter(1, p4r.MeterConfig(cir=-1))), "INVALID_ARGUMENT"),
    "with its entry": (
        lambda c: c.insert(entry(3, meter_config=p4r.MeterConfig(cir=2, pir=1))),
        "INVALID_ARGUMENT",
    ),
    "counts by colour": (lambda c: c.modify(entry(1, meter_counter_data=COUNTERS)), "UNIMPLEMENTED"),
    "read counts by colour": (
        lambda c: c.read(entry(1, None, meter_counter_data=COUNTERS)),
        "UNIMPLEMENTED",
    ),
    "an unknown table": (lambda c: c.modify(without_table()), "INVALID_ARGUMENT"),
    "a filter without a table": (lambda c: c.read(without_table()), "INVALID_ARGUMENT"),
    "the default entry": (
        lambda c: c.read(
            p4r.Entity(
                direct_meter_entry=p4r.DirectMeterEntry(
                    table_entry=p4r.TableEntry(table_id=TABLE, is_default_action=True)
                )
            )
        ),
        "UNIMPLEMENTED",
    ),
}


def without_table() -> p4r.Entity:
    wrong = direct_meter(1, LIMITS)
    wrong.direct_meter_entry.table_entry.table_id = 0
    return wrong


@pytest.mark.parametrize(("attempt", "code"), WRONG.values(), ids=WRONG.keys())
def test_wrong_meters(attempt: Callable[[Client], object], code: str, client: Client) -> None:
    client.insert(entry(1, meter_config=BURSTS))
    assert codes(lambda: attempt(client)) == [code]
    assert client.read(direct_meter(None)) == [direct_meter(1, BURSTS)]


def test_a_meter_is_put_back_by_a_batch_that_fails(client: Client) -> None:
    client.insert(entry(1, meter_config=BURSTS))
    failing = update(p4r.Update.DELETE, entry(9))
    for change in (
        update(p4r.Update.MODIFY, entry(1)),
        update(p4r.Update.DELETE, entry(1)),
        update(p4r.Update.MODIFY, direct_meter(1, LIMITS)),
    ):
        assert refused(client, "ROLLBACK_ON_ERROR", change, failing) == ["ABORTED", "NOT_FOUND"]
        assert client.read(direct_meter(None)) == [direct_meter(1, BURSTS)]


def test_reconciling_keeps_meters_and_timeouts(client: Client) -> None:
    client.insert(entry(1, meter_config=BURSTS, idle_timeout_ns=LONG))
    other = p4r.ForwardingPipelineConfig()
    other.CopyFrom(CONFIG)
    other.p4_device_config += b"\n"
    client.set_pipeline(other, "RECONCILE_AND_COMMIT")
    wanted = entry(1, None, meter_config=p4r.MeterConfig())
    assert client.read(wanted) == [entry(1, meter_config=BURSTS, idle_timeout_ns=LONG)]


# ---- Idle timeouts ----


def notified(stream: Stream) -> list[p4r.TableEntry]:
    response = stream.receive()
    assert response.WhichOneof("update") == "idle_timeout_notification"
    assert response.idle_timeout_notification.timestamp > 0
    return list(response.idle_timeout_notification.table_entry)


def test_an_idle_entry_is_named_again_and_again(primary: tuple[Client, Stream]) -> None:
    """With its key, timeout and metadata; those without a timeout, or with a long one, are not."""
    client, stream = primary
    about = {"idle_timeout_ns": SHORT, "metadata": b"mine", "controller_metadata": 5}
    client.insert(entry(1, **about), entry(2), entry(3, idle_timeout_ns=LONG))
    for _ in range(2):
        assert notified(stream) == [entry(1, None, **about).table_entry]
    client.delete(entry(1))
    client.insert(entry(4, idle_timeout_ns=SHORT))
    while (named := notified(stream)) == [entry(1, None, **about).table_entry]:
        pass
    assert named == [entry(4, None, idle_timeout_ns=SHORT).table_entry]


def test_a_timeout_can_be_changed_with_or_without_the_action(primary: tuple[Client, Stream]) -> None:
    client, stream = primary
    client.insert(entry(1))
    client.modify(entry(1, None, idle_timeout_ns=LONG))
    assert client.read(entry(1, None)) == [entry(1, idle_timeout_ns=LONG)]
    client.modify(entry(1, 8, idle_timeout_ns=SHORT))
    assert client.read(entry(1, None)) == [entry(1, 8, idle_timeout_ns=SHORT)]
    assert notified(stream) == [entry(1, None, idle_timeout_ns=SHORT).table_entry]
    client.modify(entry(1, 8))
    assert client.read(entry(1, None)) == [entry(1, 8)]


def test_only_the_primary_is_told(switch: Running, primary: tuple[Client, Stream]) -> None:
    client, stream = primary
    with switch.client(2) as other:
        other_stream = other.become_primary()
        assert stream.verdict() == ("ALREADY_EXISTS", 2)
        client.election_id = 2
        client.insert(entry(1, idle_timeout_ns=SHORT))
        assert notified(other_stream) == [entry(1, None, idle_timeout_ns=SHORT).table_entry]
        stream.arbitrate(2, 1)
        with pytest.raises(StreamEnded) as ended:  # and nothing before that
            stream.receive()
        assert ended.value.code == grpc.StatusCode.INVALID_ARGUMENT


def test_the_time_since_the_last_hit(switch: Running, client: Client) -> None:
    asked = p4r.TableEntry.IdleTimeout()
    client.insert(entry(1))

    def elapsed() -> int:
        (found,) = client.read(entry(1, None, time_since_last_hit=asked))
        assert found.table_entry.HasField("time_since_last_hit")
        return found.table_entry.time_since_last_hit.elapsed_ns

    assert eventually(lambda: elapsed() > 50_000_000)
    burst(switch, 1, 1)
    between = elapsed()
    assert eventually(lambda: elapsed() > between), "it grows again, from the hit on"
    (found,) = client.read(entry(1, None))
    assert not found.table_entry.HasField("time_since_last_hit")


WRONG_TIMEOUTS: dict[str, tuple[Callable[[Client], object], str]] = {
    "negative": (lambda c: c.insert(entry(2, idle_timeout_ns=-1)), "INVALID_ARGUMENT"),
    "negative, without action": (
        lambda c: c.modify(entry(1, None, idle_timeout_ns=-1)),
        "INVALID_ARGUMENT",
    ),
    "a time to write": (
        lambda c: c.insert(entry(2, time_since_last_hit=p4r.TableEntry.IdleTimeout())),
        "INVALID_ARGUMENT",
    ),
    "of the default entry": (
        lambda c: c.modify(
            p4r.Entity(table_entry=p4r.TableEntry(table_id=TABLE, is_default_action=True, idle_timeout_ns=1))
        ),
        "INVALID_ARGUMENT",
    ),
    "time of the default entry": (
        lambda c: c.read(
            p4r.Entity(
                table_entry=p4r.TableEntry(
                    table_id=TABLE, is_default_action=True, time_since_last_hit=p4r.TableEntry.IdleTimeout()
                )
            )
        ),
        "INVALID_ARGUMENT",
    ),
}


@pytest.mark.parametrize(("attempt", "code"), WRONG_TIMEOUTS.values(), ids=WRONG_TIMEOUTS.keys())
def test_wrong_timeouts(attempt: Callable[[Client], object], code: str, client: Client) -> None:
    client.insert(entry(1))
    assert codes(lambda: attempt(client)) == [code]
    assert client.read(p4r.Entity(table_entry=p4r.TableEntry(table_id=TABLE))) == [entry(1)]
