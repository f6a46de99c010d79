"""RECONCILE_AND_COMMIT: another program with the state of the one before."""

import json
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from finsy.proto import p4i, p4r

from tests.switch import service
from tests.switch.client import Client, Refused
from tests.switch.conftest import Running
from tests.switch.service import (
    action,
    bridge,
    counter,
    counts,
    default,
    exact,
    frame,
    register,
    table_entry,
    ternary,
)
from tests.switch.test_server_atomicity import CELLS, STATE, state_of
from tests.switch.test_server_meters import CONFIG as METERS
from tests.switch.test_server_meters import LIMITS, meter

HERE = action("forward", 1)


def changed(
    program: Callable[[dict[str, Any]], None] = lambda program: None,
    p4info: Callable[[p4i.P4Info], None] = lambda p4info: None,
) -> p4r.ForwardingPipelineConfig:
    """service.p4 with a change; also its name is another, so that it is another program in any case."""
    config = p4r.ForwardingPipelineConfig()
    config.CopyFrom(service.CONFIG)
    description = json.loads(config.p4_device_config)
    description["program"] = "another.p4"
    program(description)
    config.p4_device_config = json.dumps(description).encode()
    p4info(config.p4info)
    config.cookie.cookie = 2
    return config


def named(things: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(thing for thing in things if thing["name"] == name)


def table_of(program: dict[str, Any], name: str) -> dict[str, Any]:
    return named(program["pipelines"][0]["tables"], name)


def reconcile(client: Client, config: p4r.ForwardingPipelineConfig) -> None:
    client.set_pipeline(config, "RECONCILE_AND_COMMIT")


def test_the_state_is_that_of_before(switch: Running, client: Client) -> None:
    client.insert(*STATE)
    client.modify(*CELLS)
    before = state_of(client)
    reconcile(client, changed())
    assert state_of(client) == before
    assert switch.data_plane.receive(3, frame(1)) == [(1, frame(1))]
    assert switch.data_plane.receive(3, frame(5)) == [(2, frame(5))]


def test_rates_of_meters_are_kept(switch: Running) -> None:
    with switch.client() as client:
        client.become_primary()
        client.set_pipeline(METERS)
        client.modify(meter("packets", 1, LIMITS))
        config = p4r.ForwardingPipelineConfig()
        config.CopyFrom(METERS)
        config.p4_device_config += b"\n"
        reconcile(client, config)
        found = client.read(meter("packets"))
        assert found == [meter("packets", i, LIMITS if i == 1 else None) for i in range(4)]


def test_a_default_that_nobody_wrote_is_the_new_programs(switch: Running, client: Client) -> None:
    def other_default(program: dict[str, Any]) -> None:
        forward = next(a for a in program["actions"] if a["name"] == "ServiceIngress.forward")
        table_of(program, "ServiceIngress.bridge")["default_entry"] |= {
            "action_id": forward["id"],
            "action_data": ["0x6"],
        }

    reconcile(client, changed(other_default))
    assert switch.data_plane.receive(3, frame(1)) == [(6, frame(1))]
    client.modify(default("bridge", action("forward", 7)))
    reconcile(client, changed())
    assert switch.data_plane.receive(3, frame(1)) == [(7, frame(1))]


def test_counts_are_kept_as_far_as_there_are_cells(client: Client) -> None:
    def fewer_cells(program: dict[str, Any]) -> None:
        named(program["counter_arrays"], "ServiceIngress.both")["size"] = 4
        named(program["register_arrays"], "ServiceIngress.last_source")["size"] = 4

    def fewer_in_p4info(p4info: p4i.P4Info) -> None:
        next(c for c in p4info.counters if c.preamble.alias == "both").size = 4
        next(r for r in p4info.registers if r.preamble.alias == "last_source").size = 4

    client.modify(
        *(counter("both", n, counts(n + 1, 0)) for n in range(8)),
        *(register("last_source", n, n + 1) for n in range(8)),
    )
    reconcile(client, changed(fewer_cells, fewer_in_p4info))
    assert client.read(counter("both")) == [counter("both", n, counts(n + 1, 0)) for n in range(4)]
    assert client.read(register("last_source")) == [register("last_source", n, n + 1) for n in range(4)]


def test_a_table_that_is_too_small_is_refused_and_nothing_changes(switch: Running, client: Client) -> None:
    def smaller(program: dict[str, Any]) -> None:
        table_of(program, "ServiceIngress.small")["max_size"] = 1

    def smaller_in_p4info(p4info: p4i.P4Info) -> None:
        next(t for t in p4info.tables if t.preamble.alias == "small").size = 1

    entries = [table_entry("small", exact(1, n), do=action("mark", 1)) for n in (1, 2)]
    client.insert(bridge(1, HERE), *entries)
    with pytest.raises(Refused, match=r"does not fit into this one: .*small holds 1 entries") as caught:
        reconcile(client, changed(smaller, smaller_in_p4info))
    assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert client.read(table_entry("small")) == entries
    assert switch.data_plane.receive(3, frame(1)) == [(1, frame(1))]
    client.delete(entries[0])
    reconcile(client, changed(smaller, smaller_in_p4info))
    assert client.read(table_entry("small")) == [entries[1]]


def test_a_table_that_is_gone_may_be_empty_only(client: Client) -> None:
    def without_small(p4info: p4i.P4Info) -> None:
        kept = [table for table in p4info.tables if table.preamble.alias != "small"]
        del p4info.tables[:]
        p4info.tables.extend(kept)

    entry = table_entry("small", exact(1, 1), do=action("mark", 1))
    client.insert(entry)
    with pytest.raises(Refused, match="there is no table with id"):
        reconcile(client, changed(p4info=without_small))
    client.delete(entry)
    reconcile(client, changed(p4info=without_small))


def test_a_new_cookie_only_is_only_that(client: Client) -> None:
    client.insert(bridge(1, HERE))
    client.set_pipeline(service.CONFIG, "VERIFY_AND_SAVE")
    config = p4r.ForwardingPipelineConfig()
    config.CopyFrom(service.CONFIG)
    config.cookie.cookie = 9
    reconcile(client, config)
    request = p4r.GetForwardingPipelineConfigRequest(device_id=1)
    assert client.stub.GetForwardingPipelineConfig(request).config == config
    assert client.read(table_entry("bridge")) == [bridge(1, HERE)]
    with pytest.raises(Refused) as caught:
        client.set_pipeline(None, "COMMIT")
    assert caught.value.code == grpc.StatusCode.NOT_FOUND


def test_only_the_primary_reconciles(switch: Running, client: Client) -> None:
    with switch.client(2) as other:
        for config in (service.CONFIG, changed()):
            with pytest.raises(Refused) as caught:
                reconcile(other, config)
            assert caught.value.code == grpc.StatusCode.PERMISSION_DENIED


def preinitialised() -> p4r.ForwardingPipelineConfig:
    """The entries of `fixed` without `const`."""

    def without_const(p4info: p4i.P4Info) -> None:
        table = next(t for t in p4info.tables if t.preamble.alias == "fixed")
        table.is_const_table = False
        table.has_initial_entries = True

    return changed(p4info=without_const)


def test_entries_that_a_program_begins_with_can_be_changed(client: Client) -> None:
    client.set_pipeline(preinitialised())
    first, second = client.read(table_entry("fixed"))
    assert not first.table_entry.is_const
    client.delete(first)
    second.table_entry.action.action.params[0].value = b"\x07"
    client.modify(second)
    more = table_entry("fixed", ternary(1, 1, 1), do=action("mark", 1), priority=5)
    client.insert(more)
    assert client.read(table_entry("fixed")) == [second, more]
    again = preinitialised()
    again.p4_device_config += b"\n"
    reconcile(client, again)
    assert client.read(table_entry("fixed")) == [second, more], "they do not come back"
    client.set_pipeline(preinitialised())
    assert len(client.read(table_entry("fixed"))) == 2
