"""The entries of VIPs: ports, affinity, who may use them, how fast, and what is said when nobody serves."""

from ipaddress import ip_address
from typing import Any

import pytest

from controller import program
from controller.assignment import Assignment
from controller.config import parse
from controller.errors import InvalidConfig
from controller.model import Config, add_vip, remove_vip
from controller.program import ALL_ONES, Do, Rows, Table, serve, wide
from controller.services import service_rows

VIP4, VIP6 = wide(ip_address("10.0.0.100")), wide(ip_address("fd00::100"))


def document(vip: str, pool: str = "", backend: str = "{name: b1, address: 10.0.1.11}") -> str:
    return f"""
switch: {{mac: "02:00:00:00:00:01"}}
interfaces: [{{name: all, ports: [1], addresses: [10.0.0.1/16, "fd00::1/64"]}}]
pools: [{{name: web, buckets: 16, health: {{type: none}}, backends: [{backend}], {pool}}}]
vips: [{{name: web, pool: web, {vip}}}]
"""


def rows_of(config: Config) -> dict[Table, Rows]:
    assignment = Assignment()
    for pool in config.pools:
        assignment.update(pool, lambda _: True, 1000.0)
    assignment.number_vips((vip.name for vip in config.vips), 1000.0)
    return service_rows(config, assignment)


def rows(vip: str, **more: Any) -> dict[Table, Rows]:
    return rows_of(parse(document(vip, **more)))


V4 = "address: 10.0.0.100, port: 80"
V6 = 'address: "fd00::100", port: 80'
IN_V6 = {"backend": '{name: b1, address: "fd00::11"}'}


@pytest.mark.parametrize(
    ("vip", "do"),
    [
        (f"{V4}, affinity: client", serve(1, 1, port_mask=0)),
        (f"{V4}, affinity: client/24", serve(1, 1, source_mask=ALL_ONES << 8 & ALL_ONES, port_mask=0)),
        (f"{V4}, affinity: client/32", serve(1, 1, port_mask=0)),
        (f"{V4}, on_no_backend: reset", serve(1, 1, refusal=1)),
        (f"{V4}, on_no_backend: unreachable", serve(1, 1, refusal=2)),
        (V4, serve(1, 1)),
    ],
)
def test_what_a_vip_says(vip: str, do: Do) -> None:
    assert rows(vip)[program.VIPS] == {(VIP4, 6, 80): do}


def test_a_network_of_ipv6_clients() -> None:
    do = serve(1, 1, source_mask=ALL_ONES << 64 & ALL_ONES, port_mask=0)
    assert rows(f"{V6}, affinity: client/64", **IN_V6)[program.VIPS] == {(VIP6, 6, 80): do}


@pytest.mark.parametrize(("port", "low", "high"), [("8000-8099", 8000, 8099), ("any", 0, 65535)])
def test_several_ports(port: str, low: int, high: int) -> None:
    """A nat backend keeps the port, in both directions."""
    found = rows(f"address: 10.0.0.100, port: {port}")
    backend = (wide(ip_address("10.0.1.11")), 6, low, high)
    assert found[program.VIPS] == {}
    assert found[program.VIP_RANGES] == {(VIP4, 6, low, high): serve(1, 1)}
    assert found[program.NAT_ANSWER_RANGES] == {backend: Do("restore", (VIP4, 0, 1))}
    assert found[program.NAT_SERVICE_RANGES] == {backend: Do("direct")}
    assert found[program.NAT_ANSWERS] == found[program.NAT_SERVICES] == {}


def test_with_an_allow_nobody_else_may() -> None:
    found = rows(f"{V4}, allow: [192.0.2.0/24], deny: [192.0.2.128/25]")[program.SOURCES]
    assert found == {
        (1, 0, 0): Do("deny"),
        (1, wide(ip_address("192.0.2.0")), 120): Do("allow"),
        (1, wide(ip_address("192.0.2.128")), 121): Do("deny"),
    }


def test_with_a_deny_alone_all_others_may() -> None:
    assert rows(f"{V4}, deny: [192.0.2.0/24]")[program.SOURCES] == {
        (1, wide(ip_address("192.0.2.0")), 120): Do("deny")
    }


@pytest.mark.parametrize(("rate", "burst"), [(10000, 1000), (5, 64)])
def test_a_rate_lets_a_tenth_of_a_second_come_at_once(rate: int, burst: int) -> None:
    assert rows(f"{V4}, rate: {rate}")[program.VIP_RATE] == {(1,): Do("rate", (rate, burst))}


@pytest.mark.parametrize(
    ("vip", "where", "text"),
    [
        ("address: 10.0.0.100, port: 0", "port", "must be a port from 1 to 65535, a range"),
        ("address: 10.0.0.100, port: 90-80", "port", "must be a port from 1 to 65535, a range"),
        (f"{V4}, affinity: source", "affinity", "must be five-tuple, client"),
        (f"{V4}, affinity: client/33", "affinity", "at most client/32"),
        (f'{V4}, allow: ["fd00::/64"]', "allow", "is IPv6, but the VIP is IPv4"),
        (f"{V4}, allow: [192.0.2.0/24], deny: [192.0.2.0/24]", "deny", "say one or the other"),
        (f"{V4}, rate: 0", "rate", "must be at least 1"),
        (f"{V4}, on_no_backend: weep", "on_no_backend", "'drop', 'reset' or 'unreachable'"),
    ],
)
def test_what_a_vip_cannot_be(vip: str, where: str, text: str) -> None:
    with pytest.raises(InvalidConfig) as refused:
        parse(document(vip))
    assert f"vips[web].{where}" in str(refused.value)
    assert text in str(refused.value)


def test_a_range_needs_backends_that_keep_the_port() -> None:
    with pytest.raises(InvalidConfig, match="leave it out: VIP web has several ports"):
        rows("address: 10.0.0.100, port: 80-90", backend="{name: b1, address: 10.0.1.11, port: 8080}")


def second(config: Config, **values: Any) -> Config:
    vip = config.vip("web")
    return add_vip(config, type(vip).model_validate(vip.model_dump() | {"name": "two"} | values))


def test_ranges_may_lie_within_each_other_but_not_across() -> None:
    config = parse(document("address: 10.0.0.100, port: 100-200", pool="mode: dsr"))
    assert len(rows_of(second(config, port="150-160"))[program.VIP_RANGES]) == 2
    with pytest.raises(InvalidConfig, match="150-250 overlaps ports 100-200 of VIP web"):
        second(config, port="150-250")


def test_a_nat_service_in_a_range_belongs_to_one_vip() -> None:
    config = parse(document("address: 10.0.0.100, port: 100-200"))
    with pytest.raises(InvalidConfig, match="serves both VIP web and VIP two"):
        second(config, address="10.0.0.101", port=150)


def test_a_vip_keeps_its_number_when_others_come_and_go() -> None:
    assignment = Assignment()
    assignment.number_vips(["a", "b"], 0)
    numbers = dict(assignment.vips)
    assignment.number_vips(["b", "c"], 0)
    assert assignment.vips["b"] == numbers["b"]
    assert assignment.vips["c"] not in numbers.values(), "it would meet the other one's rate for a moment"


def test_removing_a_vip_takes_all_its_entries() -> None:
    config = parse(document(f"{V4}, deny: [192.0.2.0/24], rate: 5"))
    assert all(found == {} for found in rows_of(remove_vip(config, "web")).values())
