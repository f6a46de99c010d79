"""A wrong document is refused with the place, what is wrong, and what would be right."""

import json
from pathlib import Path

import pytest

from controller.config import document_of, document_text, dump, load, parse
from controller.errors import InvalidConfig
from controller.memory import Memory
from controller.model import change_backend

DOCUMENT = """\
switch: {address: "127.0.0.1:9559", device_id: 1, mac: "02:00:00:00:00:01"}
interfaces:
  - {name: clients, ports: [1, 2], addresses: [10.0.0.1/24, "fd00::1/64"], vlan: 7}
  - {name: servers, ports: [3, 4], addresses: [10.0.1.1/24, "fd00:1::1/64"]}
routes: [{destination: 0.0.0.0/0, gateway: 10.0.0.254}]
neighbors: [{address: 10.0.0.9, mac: "02:00:00:00:00:09", port: 1}]
health_sources: [10.255.0.2]
pools:
  - name: web
    mode: nat
    buckets: 1024
    idle_timeout: 90s
    drain_deadline: 1h
    udp: move
    health: {type: http, path: /healthz, status: 204, interval: 250ms}
    backends:
      - {name: b1, address: 10.0.1.11, port: 8080, weight: 3}
      - {name: b2, address: 10.0.1.12, port: 8080, state: drain}
  - name: direct
    mode: dsr
    backends: [{name: d1, address: "fd00:1::11"}]
vips:
  - {name: web, address: 10.0.0.100, port: 80, pool: web}
  - {name: direct, address: "fd00::100", protocol: udp, port: 53, pool: direct}
"""


def complaints(document: str | bytes) -> list[str]:
    with pytest.raises(InvalidConfig) as refused:
        parse(document, "lb.yaml")
    return str(refused.value).splitlines()


def edited(old: str, new: str) -> str:
    assert DOCUMENT.count(old) == 1, old
    return DOCUMENT.replace(old, new)


def test_a_document_survives_being_written_and_read_again() -> None:
    config = parse(DOCUMENT)
    assert parse(dump(config)) == config


def test_what_a_document_says() -> None:
    pool = parse(DOCUMENT).pool("web")
    assert (pool.idle_timeout, pool.drain_deadline, pool.health.interval) == (90.0, 3600.0, 0.25)  # type: ignore[union-attr]
    assert [backend.weight for backend in pool.backends] == [3, 1]


def test_what_it_leaves_out_has_defaults() -> None:
    pool = parse(DOCUMENT).pool("direct")
    assert (pool.buckets, pool.idle_timeout, pool.health.type, pool.udp) == (1024, 300.0, "tcp", "stay")
    assert (pool.backends[0].port, pool.backends[0].weight, pool.backends[0].state) == (None, 1, "active")


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "lb.yaml").write_text(DOCUMENT)
    assert load(tmp_path / "lb.yaml") == parse(DOCUMENT)


def test_a_file_that_is_not_there_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"nowhere.yaml: cannot be read: No such file"):
        load(tmp_path / "nowhere.yaml")


# one change to the document, and what is said about it
ONE_MISTAKE = [
    # values
    ("device_id: 1", "device_id: yes", "line 1: switch.device_id: is true, must be a whole number"),
    ("127.0.0.1:9559", "127.0.0.1", "line 1: switch.address: must be a host and a port"),
    (
        'mac: "02:00:00:00:00:01"',
        'mac: "01:00:00:00:00:01"',
        "line 1: switch.mac: 01:00:00:00:00:01 is a multicast",
    ),
    ('mac: "02:00:00:00:00:01"', "mac: 42", 'line 1: switch.mac: must be text such as "02:00:00:00:00:01"'),
    ("ports: [1, 2]", "ports: []", "line 3: interfaces[clients].ports: must not be empty"),
    ("ports: [1, 2]", "ports: [1, 511]", "line 3: interfaces[clients].ports[1]: is 511, must be at most 510"),
    ("ports: [1, 2]", "ports: [1, 255]", "interfaces[clients].ports: port 255 is the controller's own"),
    ("vlan: 7", "vlan: 4095", "interfaces[clients].vlan: is 4095, must be at most 4094"),
    ("10.0.1.1/24", "10.0.1/24", "interfaces[servers].addresses[0]: '10.0.1/24' is not right"),
    ("10.0.1.1/24", "10.0.1.0/24", "10.0.1.0/24 is the network itself"),
    ("0.0.0.0/0", "0.0.0.1/0", "routes[0.0.0.1/0].destination: '0.0.0.1/0' is not right"),
    ("buckets: 1024", "buckets: 1000", "pools[web].buckets: must be a power of two, such as 512 or 1024"),
    ("buckets: 1024", "buckets: 8", "pools[web].buckets: is 8, must be at least 16"),
    ("buckets: 1024", "buckets: 131072", "pools[web].buckets: is 131072, must be at most 65536"),
    (
        "idle_timeout: 90s",
        "idle_timeout: 90 parsecs",
        "pools[web].idle_timeout: is '90 parsecs', must be a duration such as 200ms",
    ),
    ("idle_timeout: 90s", "idle_timeout: 1h", "pools[web].idle_timeout: is 1h, must be at most 2147s"),
    (
        "idle_timeout: 90s",
        "idle_timeout: -5",
        "pools[web].idle_timeout: is -5, must be a duration between 0 and 365 days",
    ),
    ("mode: nat", "mode: l2", "pools[web].mode: is 'l2', must be 'nat', 'dsr', 'ipip', 'gre'"),
    ("udp: move", "udp: fly", "pools[web].udp: is 'fly', must be 'stay' or 'move'"),
    ("type: http", "type: ftp", "pools[web].health: type is 'ftp', must be 'tcp', 'http', 'https', 'icmp'"),
    ("type: http, ", "", "pools[web].health: needs a type: tcp, http, https, icmp, udp, exec or none"),
    ("path: /healthz", "path: healthz", "pools[web].health.path: is 'healthz', must begin with /"),
    ("status: 204", "status: 999", "pools[web].health.status"),
    ("weight: 3", "weight: -1", "line 17: pools[web].backends[b1].weight: is -1, must be at least 0"),
    ("weight: 3", "weight: 1001", "line 17: pools[web].backends[b1].weight: is 1001, must be at most 1000"),
    ("weight: 3", "weight: heavy", "pools[web].backends[b1].weight: is 'heavy', must be a whole number"),
    ("state: drain", "state: dead", "pools[web].backends[b2].state: is 'dead', must be 'active', 'drain' or"),
    ("10.0.1.11", "10.0.1.300", "pools[web].backends[b1].address: '10.0.1.300' is not right"),
    ("10.0.1.11", "224.0.0.1", "pools[web].backends[b1].address: '224.0.0.1' is not right"),
    ("10.0.1.11", '"::ffff:10.0.1.11"', "write the IPv4 address itself, 10.0.1.11"),
    ('"fd00:1::11"', '"fd00:1::11%eth0"', "an address with a zone index has no meaning here"),
    ("10.255.0.2", "10", "health_sources[0]: must be text such as 10.0.1.11"),
    ("port: 80, ", "port: 0, ", "vips[web].port: is 0, must be a port from 1 to 65535, a range"),
    ("port: 80, ", "", "vips[web].port: is missing"),
    ("protocol: udp", "protocol: sctp", "vips[direct].protocol: is 'sctp', must be 'tcp' or 'udp'"),
    ("name: b1", "name: b 1", "must be 1 to 63 letters, digits, dots, dashes and underscores"),
    # keys
    ("weight: 3", "wieght: 3", "pools[web].backends[b1].wieght: is not a known key; did you mean weight?"),
    ("path: /healthz", "pfad: /healthz", "pools[web].health.pfad: is not a known key"),
    ("udp: move", "colour: red", "pools[web].colour: is not a known key; known keys are name, mode, buckets"),
    ("switch: {", "swich: {", "switch: is missing"),
    ("mode: nat", "name: nat", "line 10: name: stands twice in the same mapping"),
    # between parts
    (
        "name: servers",
        "name: clients",
        "line 4: interfaces[clients].name: there are two interfaces named clients",
    ),
    ("name: b2", "name: b1", "pools[web].backends[b1].name: there are two backends named b1 in this pool"),
    ("name: direct\n", "name: web\n", "pools[web].name: there are two pools named web"),
    ("ports: [3, 4]", "ports: [3, 3]", "port 3 with VLAN 0 is used twice"),
    ("10.0.1.1/24", "10.0.0.129/25", "10.0.0.128/25 overlaps 10.0.0.0/24 of another address"),
    ("gateway: 10.0.0.254", "gateway: 10.9.0.254", "routes[0.0.0.0/0].gateway: 10.9.0.254 is in no network"),
    ("gateway: 10.0.0.254", 'gateway: "fd00::fe"', "routes[0.0.0.0/0].gateway: must be of the same family"),
    ("destination: 0.0.0.0/0", "destination: 10.0.1.0/24", "10.0.1.0/24 is attached, it needs no route"),
    ("address: 10.0.0.9", "address: 10.9.0.9", "neighbors[10.9.0.9].address: 10.9.0.9 is in no network"),
    ("port: 1}", "port: 3}", "neighbors[10.0.0.9].port: interface clients has the ports 1, 2"),
    ("10.0.0.100", "10.0.0.1", "vips[web].address: 10.0.0.1 is the address of interface clients"),
    (
        "10.0.1.11",
        "10.0.1.1",
        "pools[web].backends[b1].address: 10.0.1.1 is the address of interface servers",
    ),
    ("10.0.1.11", "10.0.0.100", "pools[web].backends[b1].address: 10.0.0.100 is the address of VIP web"),
    ("10.255.0.2", "10.0.0.100", "health_sources[0]: 10.0.0.100 belongs to the switch"),
    ("pool: web}", "pool: wbe}", "vips[web].pool: there is no pool named wbe; there is: direct, web"),
    ("buckets: 1024", "buckets: 16", None),
    ("10.0.1.12", "10.0.1.11", "there are two backends at 10.0.1.11 port 8080"),
    ('"fd00:1::11"', "10.0.1.13", "pools[direct].backends[d1].address: 10.0.1.13 is IPv4, but VIP direct"),
    ('"fd00:1::11"', '"fd00:9::11"', "there is no route to fd00:9::11"),
    ('"fd00:1::11"}', '"fd00:1::11", port: 54}', "dsr rewrites no port: leave it out, or give 53"),
]


@pytest.mark.parametrize(("old", "new", "complaint"), ONE_MISTAKE, ids=[new for _, new, _ in ONE_MISTAKE])
def test_one_mistake_is_one_complaint(old: str, new: str, complaint: str | None) -> None:
    if complaint is None:
        parse(edited(old, new))
        return
    (line,) = complaints(edited(old, new))[:1]
    assert line.startswith("lb.yaml: ")
    assert complaint in line


def test_all_mistakes_are_told_at_once() -> None:
    document = (
        edited("weight: 3", "weight: -3").replace("mode: nat", "mode: nta").replace("vlan: 7", "vlan: x")
    )
    assert len(complaints(document)) == 3


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ("", "must be a mapping"),
        ("- a\n- b\n", "must be a mapping"),
        ("switch: [\n", "line 2: is not YAML"),
        ("switch: !!python/object:os.system {}", "line 1: is not YAML"),
        (b"switch: \xff\xfe", "is not UTF-8 text (byte 8)"),
        ("a: &a [*a]", "has an alias to what contains it"),
        ("a: \x07", "is not YAML"),
        ("? [a, b]\n: c\n", "line 1: is not YAML: while constructing a mapping, found unhashable key"),
        (b"#" * (33 << 20), "is larger than 32 MB"),
    ],
)
def test_what_is_no_document_is_refused(document: str | bytes, complaint: str) -> None:
    assert any(complaint in line for line in complaints(document))


def test_a_small_document_cannot_become_a_huge_one() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    assert "has more than" in complaints(bomb)[0]


def two_ports(backend: str, health: str = "{type: none}", mode: str = "nat") -> str:
    return f"""\
switch: {{mac: "02:00:00:00:00:01"}}
interfaces: [{{name: all, ports: [1], addresses: [10.0.0.1/16]}}]
pools: [{{name: web, mode: {mode}, health: {health}, backends: [{{name: b1, address: 10.0.1.11{backend}}}]}}]
vips:
  - {{name: http, address: 10.0.0.100, port: 80, pool: web}}
  - {{name: https, address: 10.0.0.100, port: 443, pool: web}}
"""


def test_a_pool_behind_two_ports_keeps_each() -> None:
    parse(two_ports(""))


def test_a_service_of_a_nat_backend_belongs_to_one_vip() -> None:
    (complaint,) = complaints(two_ports(", port: 8080"))
    assert (
        "pools[web].backends[b1]: tcp port 8080 of 10.0.1.11 serves both VIP http and VIP https" in complaint
    )


def test_which_of_two_ports_to_check_must_be_said() -> None:
    (complaint,) = complaints(two_ports("", "{type: tcp}"))
    assert "pools[web].health.port: say which port to check: the VIPs of this pool have 80, 443" in complaint
    parse(two_ports("", "{type: tcp, port: 80}"))


def test_buckets_must_be_several_times_the_backends() -> None:
    backends = ", ".join(f"{{name: b{n}, address: 10.0.1.{n}}}" for n in range(1, 18))
    document = two_ports("").replace("{name: b1, address: 10.0.1.11}", backends)
    (complaint,) = complaints(document.replace("mode: nat", "buckets: 64"))
    assert "pools[web].buckets: 17 backends need at least 128 buckets" in complaint


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("300s", 300), ("5m", 300), ("200ms", 0.2), ("1.5h", 5400), ("2d", 172800), ("7", None)],
)
def test_durations(text: str, seconds: float | None) -> None:
    document = edited("drain_deadline: 1h", f'drain_deadline: "{text}"')
    if seconds is None:
        assert "must be a duration" in complaints(document)[0]
    else:
        assert parse(document).pool("web").drain_deadline == seconds
        assert parse(dump(parse(document))).pool("web").drain_deadline == seconds


def test_the_store_s_text_is_the_document_whatever_is_remembered() -> None:
    memory, config = Memory(), parse(DOCUMENT)
    for weight in (2, 3):
        config = change_backend(config, config.pools[0].name, config.pools[0].backends[0].name, weight=weight)
        assert json.loads(document_text(config, memory)) == document_of(config)
        assert document_text(config, memory) == document_text(config)
        assert document_text(config) == json.dumps(document_of(config), separators=(",", ":"))
