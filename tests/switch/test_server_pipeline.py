"""SetForwardingPipelineConfig, GetForwardingPipelineConfig and Capabilities."""

import grpc
import pytest
from finsy.proto import p4r

from tests.switch import service
from tests.switch.client import DEADLINE, DEVICE_ID, Client, Refused, refusals
from tests.switch.conftest import Running

ENTRY = service.bridge(1, service.action("forward", 1))
PACKET = service.frame(1)


def get(client: Client, kind: str = "ALL") -> p4r.GetForwardingPipelineConfigResponse:
    request = p4r.GetForwardingPipelineConfigRequest(
        device_id=DEVICE_ID, response_type=p4r.GetForwardingPipelineConfigRequest.ResponseType.Value(kind)
    )
    return client.stub.GetForwardingPipelineConfig(request, timeout=DEADLINE)


def refused(
    client: Client, config: p4r.ForwardingPipelineConfig | None, action: str
) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(Refused) as caught:
        client.set_pipeline(config, action)
    return caught.value.code, caught.value.text


def without(field: str) -> p4r.ForwardingPipelineConfig:
    config = p4r.ForwardingPipelineConfig()
    config.CopyFrom(service.CONFIG)
    config.ClearField(field)  # type: ignore[arg-type]
    return config


@pytest.fixture
def primary(switch: Running):
    """The primary; no pipeline is set."""
    with switch.client() as client:
        client.become_primary()
        yield client


def test_without_a_pipeline_get_returns_none(primary: Client) -> None:
    assert not get(primary).HasField("config")


def test_without_a_pipeline_nothing_can_be_read_or_written(primary: Client) -> None:
    for attempt in (lambda: primary.insert(ENTRY), lambda: primary.read(service.table_entry("bridge"))):
        with pytest.raises(Refused, match="No forwarding pipeline config set for this device") as caught:
            attempt()
        assert caught.value.code == grpc.StatusCode.FAILED_PRECONDITION


def test_the_config_comes_back_as_it_was_set(client: Client) -> None:
    assert get(client).config == service.CONFIG


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("ALL", {"p4info", "p4_device_config", "cookie"}),
        ("COOKIE_ONLY", {"cookie"}),
        ("P4INFO_AND_COOKIE", {"p4info", "cookie"}),
        ("DEVICE_CONFIG_AND_COOKIE", {"p4_device_config", "cookie"}),
    ],
)
def test_what_get_returns(kind: str, fields: set[str], client: Client) -> None:
    assert {field.name for field, _ in get(client, kind).config.ListFields()} == fields


def test_a_config_may_have_no_cookie(primary: Client) -> None:
    primary.set_pipeline(without("cookie"))
    assert not get(primary, "COOKIE_ONLY").config.HasField("cookie")
    assert get(primary, "COOKIE_ONLY").HasField("config")


def test_the_wrong_device_is_not_found(switch: Running) -> None:
    with Client(switch.address, device_id=7) as client:
        with pytest.raises(Refused) as caught, refusals():
            client.stub.GetForwardingPipelineConfig(p4r.GetForwardingPipelineConfigRequest(device_id=7))
        assert caught.value.code == grpc.StatusCode.NOT_FOUND
        assert refused(client, service.CONFIG, "VERIFY")[0] == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (None, "needs both p4info and p4_device_config"),
        (without("p4info"), "needs both p4info and p4_device_config"),
        (without("p4_device_config"), "needs both p4info and p4_device_config"),
        (
            p4r.ForwardingPipelineConfig(p4info=service.P4INFO, p4_device_config=b"{}"),
            "",
        ),
        (
            p4r.ForwardingPipelineConfig(p4info=service.P4INFO, p4_device_config=b"no JSON"),
            "",
        ),
    ],
    ids=["nothing", "no P4Info", "no program", "an empty program", "no JSON"],
)
@pytest.mark.parametrize("action", ["VERIFY", "VERIFY_AND_SAVE", "VERIFY_AND_COMMIT"])
def test_a_config_that_cannot_be_realised_is_refused(
    config: p4r.ForwardingPipelineConfig | None, says: str, action: str, client: Client
) -> None:
    client.insert(ENTRY)
    code, text = refused(client, config, action)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert says in text
    assert client.read(service.table_entry("bridge")) == [ENTRY]


def test_a_p4info_of_another_program_is_refused(primary: Client) -> None:
    config = p4r.ForwardingPipelineConfig()
    config.CopyFrom(service.CONFIG)
    table = next(table for table in config.p4info.tables if table.preamble.alias == "bridge")
    table.match_fields[0].bitwidth = 47
    assert refused(primary, config, "VERIFY") == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "table ServiceIngress.bridge: its key is (exact 47) in the P4Info, (exact 48) in the program",
    )
    table.match_fields[0].bitwidth = 48
    table.preamble.name = "ServiceIngress.bridges"
    code, text = refused(primary, config, "VERIFY")
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "the P4Info has a table ServiceIngress.bridges, the program has none" in text


def test_an_action_is_mandatory(primary: Client) -> None:
    assert refused(primary, service.CONFIG, "UNSPECIFIED")[0] == grpc.StatusCode.INVALID_ARGUMENT


def test_verify_changes_nothing(primary: Client) -> None:
    primary.set_pipeline(service.CONFIG, "VERIFY")
    assert not get(primary).HasField("config")


def test_verify_and_commit_clears_the_tables(switch: Running, client: Client) -> None:
    client.insert(ENTRY)
    assert switch.data_plane.receive(3, PACKET) == [(1, PACKET)]
    client.set_pipeline(service.CONFIG)
    assert client.read(service.table_entry("bridge")) == []
    assert switch.data_plane.receive(3, PACKET) == []


def test_a_saved_config_takes_writes_before_packets_see_it(switch: Running, client: Client) -> None:
    client.insert(ENTRY)
    client.set_pipeline(service.CONFIG, "VERIFY_AND_SAVE")
    moved = service.bridge(1, service.action("forward", 2))
    assert client.read(service.table_entry("bridge")) == []
    client.insert(moved)
    assert switch.data_plane.receive(3, PACKET) == [(1, PACKET)]
    client.set_pipeline(None, "COMMIT")
    assert switch.data_plane.receive(3, PACKET) == [(2, PACKET)]
    assert client.read(service.table_entry("bridge")) == [moved]


def test_commit_needs_a_saved_config_and_none_with_it(client: Client) -> None:
    assert refused(client, None, "COMMIT")[0] == grpc.StatusCode.NOT_FOUND
    client.set_pipeline(service.CONFIG, "VERIFY_AND_SAVE")
    assert refused(client, service.CONFIG, "COMMIT")[0] == grpc.StatusCode.INVALID_ARGUMENT
    client.set_pipeline(None, "COMMIT")
    assert refused(client, None, "COMMIT")[0] == grpc.StatusCode.NOT_FOUND


def test_verify_and_commit_forgets_what_was_saved(client: Client) -> None:
    client.set_pipeline(service.CONFIG, "VERIFY_AND_SAVE")
    client.set_pipeline(service.CONFIG, "VERIFY_AND_COMMIT")
    assert refused(client, None, "COMMIT")[0] == grpc.StatusCode.NOT_FOUND


def test_reconciling_with_the_same_config_keeps_everything(switch: Running, client: Client) -> None:
    client.insert(ENTRY)
    client.modify(service.counter("both", 1, service.counts(5, 6)))
    client.set_pipeline(service.CONFIG, "RECONCILE_AND_COMMIT")
    assert client.read(service.table_entry("bridge")) == [ENTRY]
    assert client.read(service.counter("both", 1)) == [service.counter("both", 1, service.counts(5, 6))]
    assert switch.data_plane.receive(3, PACKET) == [(1, PACKET)]


def test_reconciling_with_nothing_commits(primary: Client) -> None:
    primary.set_pipeline(service.CONFIG, "RECONCILE_AND_COMMIT")
    assert get(primary).config == service.CONFIG


def test_a_program_without_p4info_runs_until_a_controller_brings_one(switch: Running) -> None:
    switch.device.run_program(service.CONFIG.p4_device_config)
    assert switch.data_plane.receive(3, PACKET) == []
    with switch.client() as client:
        client.become_primary()
        with pytest.raises(Refused) as caught:
            client.read(service.table_entry("bridge"))
        assert caught.value.code == grpc.StatusCode.FAILED_PRECONDITION
        client.set_pipeline(service.CONFIG)
        client.insert(ENTRY)
    assert switch.data_plane.receive(3, PACKET) == [(1, PACKET)]


def test_capabilities(switch: Running) -> None:
    with switch.client() as client:
        for device_id in (0, DEVICE_ID):
            answer = client.stub.Capabilities(p4r.CapabilitiesRequest(device_id=device_id), timeout=DEADLINE)
            assert answer.p4runtime_api_version == "1.5.0"
        with pytest.raises(Refused) as caught, refusals():
            client.stub.Capabilities(p4r.CapabilitiesRequest(device_id=7), timeout=DEADLINE)
        assert caught.value.code == grpc.StatusCode.NOT_FOUND
