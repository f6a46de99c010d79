"""What a pool may say about its checks, and what it is told when that makes no sense."""

import pytest
import yaml

from controller.config import dump, parse
from controller.errors import InvalidConfig
from controller.health.settings import StatusRange, octets
from controller.model import Config, check_port

DOCUMENT = """\
switch: {{mac: "02:00:00:00:00:01"}}
interfaces: [{{name: all, ports: [1], addresses: [10.0.0.1/16]}}]
pools: [{{name: web, health: {{{health}}}, backends: [{{name: b1, address: 10.0.1.11}}]}}]
vips: [{{name: web, address: 10.0.0.100, port: {port}, pool: web}}]
"""


def config(health: str, port: object = 80) -> Config:
    return parse(DOCUMENT.format(health=health, port=port))


ACCEPTED = [
    "type: tcp, jitter: 0%",
    "type: http, method: HEAD, status: 200-299",
    "type: http, method: POST, status: [200, 204, 301-302], body: 'status. *ok'",
    "type: https, host: shop.example, verify: false",
    "type: https, sni: shop.example, ca: /etc/sluice/ca.pem",
    "type: icmp, interval: 10ms",
    "type: udp, port: 53, send: 'hex:00010000', expect: 'hex:0001'",
    "type: udp, send: ping",
    "type: exec, command: [check-redis, --deep]",
    "type: none",
]


@pytest.mark.parametrize("health", ACCEPTED)
def test_every_kind_survives_being_written_and_read_again(health: str) -> None:
    before = config(health)
    written = dump(before)
    assert parse(written) == before
    said, kept = yaml.safe_load(f"{{{health}}}"), yaml.safe_load(written)["pools"][0]["health"]
    same = {key: value if key == "status" else kept[key] for key, value in said.items()}
    assert same == said


REFUSED = [
    ("type: tcp, jitter: 120%", "jitter: is '120%', must be a share such as 10%, from 0% to 100%"),
    ("type: tcp, jitter: 10", "jitter: is 10, must be a share such as 10%"),
    ("type: http, status: 600", "status: is 600, must be a status from 100 to 599, a range such as 200-299"),
    ("type: http, status: 299-200", "status: is '299-200', must be a status"),
    ("type: http, status: [200, yes]", "status: is True, must be a status"),
    ("type: http, status: []", "status: must not be empty"),
    ("type: http, body: '('", "body: is '(', which is no regular expression: missing ): ("),
    ("type: http, body: '(?=x)'", "no regular expression: invalid perl operator: (?="),
    ("type: http, method: HEAD, body: x", "an answer to HEAD has no body; use GET, or leave body out"),
    ("type: http, method: BREW", "method: is 'BREW', must be 'GET', 'HEAD', 'OPTIONS' or 'POST'"),
    ("type: http, sni: x", "health.sni: is not a known key"),
    ("type: https, sni: 'a b'", "sni: is 'a b', must be a host name such as shop.example"),
    ("type: https, ca: ca.pem", "ca: is 'ca.pem', must be the whole path of a file, beginning with /"),
    ("type: icmp, port: 7", "health.port: is not a known key"),
    ("type: udp, send: 'hex:0'", "send: is 'hex:0', must be text, or pairs of hexadecimal digits after hex:"),
    (f"type: udp, send: {1401 * 'x'}", "send: has 1401 bytes, must have at most 1400"),
    ("type: exec", "health.command: is missing"),
    ("type: exec, command: []", "command: must not be empty"),
    ("type: exec, command: check", "command: is 'check', must be a list"),
    ("type: exec, command: [/bin/sh, -c, ls]", "command: begins with '/bin/sh', must begin with the name of"),
    ("type: exec, command: [..]", "command: begins with '..', must begin with the name of a file"),
]


@pytest.mark.parametrize(("health", "complaint"), REFUSED)
def test_what_makes_no_sense_is_refused_in_words(health: str, complaint: str) -> None:
    with pytest.raises(InvalidConfig) as refused:
        config(health)
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    ("health", "port"),
    [("type: udp", 80), ("type: icmp", 0), ("type: exec, command: [x]", 80), ("type: none", 0)],
)
def test_what_port_is_asked(health: str, port: int) -> None:
    one = config(health)
    assert check_port(one, one.pools[0], one.pools[0].backends[0]) == port


@pytest.mark.parametrize("health", ["type: icmp", "type: exec, command: [x]", "type: none"])
def test_who_can_do_without_a_port_need_not_say_which(health: str) -> None:
    config(health, port="8000-8099")
    with pytest.raises(InvalidConfig, match="say which port to check"):
        config("type: udp", port="8000-8099")


def test_a_range_of_statuses_has_both_ends() -> None:
    success = StatusRange(200, 299)
    assert [status for status in (199, 200, 299, 300) if status in success] == [200, 299]


def test_octets_are_text_or_hexadecimal() -> None:
    assert octets("für") == b"f\xc3\xbcr"
    assert octets("hex:00ff 10") == b"\x00\xff\x10"
