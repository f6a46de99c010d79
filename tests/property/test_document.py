"""What `sluice get` prints, `sluice apply` takes, and nothing has changed: for any configuration."""

import os
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.config import dump, parse
from controller.difference import differences
from controller.model import Config
from controller.values import format_duration, parse_duration

EXAMPLES = 60 * int(os.environ.get("SLUICE_SOAK", "1"))

# Also such as YAML takes for something else when it is not in quotes.
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True) | st.sampled_from(
    ["on", "no", "null", "1", "0x10", "1e3", "1.5", "2026-11-23", "1_000", "0b1"]
)
MACS = st.integers(0, 2**40 - 1).map(lambda n: "02:" + ":".join(f"{b:02x}" for b in n.to_bytes(5, "big")))
L4_PORTS = st.integers(1, 65535)


def durations(least: float = 0.0, most: float = 3600.0) -> st.SearchStrategy[Any]:
    """As numbers of seconds, and as people write them."""
    return st.one_of(
        st.floats(least, most),
        st.integers(int(least * 1000) + 1, int(most * 1000)).map(lambda n: f"{n}ms"),
        st.integers(int(least) + 1, int(most)).map(lambda n: f"{n}s"),
    )


def optional(keys: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=keys)


TIMING = {
    "interval": durations(0.01),
    "timeout": durations(0.001),
    "rise": st.integers(1, 100),
    "fall": st.integers(1, 100),
    "port": L4_PORTS,
}
PATHS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=30)
CHECKS = st.one_of(
    st.just({"type": "none"}),
    optional(TIMING).map(lambda keys: {"type": "tcp", "port": 80, **keys}),
    optional(
        TIMING
        | {
            "path": PATHS.map(lambda text: f"/{text}"),
            "host": PATHS.filter(bool),
            "status": st.integers(100, 599) | st.lists(st.integers(100, 599), min_size=1, max_size=4),
        }
    ).map(lambda keys: {"type": "http", "port": 80, **keys}),
)


@st.composite
def pools(draw: st.DrawFn, number: int, name: str) -> dict[str, Any]:
    mode = draw(st.sampled_from(["nat", "dsr", "ipip", "gre", "vxlan", "gue"]))
    pool = {"name": name, "mode": mode, "health": draw(CHECKS)} | draw(
        optional(
            {
                "buckets": st.integers(7, 16).map(lambda bits: 1 << bits),
                "idle_timeout": durations(1, 2147),
                "drain_deadline": durations(),
                "announcement": durations(0, 60),
                "udp": st.sampled_from(["stay", "move"]),
                "probe": st.sampled_from(["auto", "tcp", "icmp", "none"]),
            }
        )
    )
    if mode == "nat":
        reactions = ["auto", "none", "eject"] + ["check"] * (pool["health"]["type"] != "none")
        pool["passive"] = draw(
            optional(
                {
                    "silent": st.sampled_from(reactions),
                    "refusing": st.sampled_from(reactions),
                    "connections": st.integers(1, 10**6),
                    "window": durations(0.2, 60),
                    "ejection": durations(0.1, 300),
                    "longest": durations(300, 86400),
                    "most": st.floats(0, 1),
                }
            )
        )
    if mode == "vxlan":
        pool["tunnel"] = {"inner_mac": draw(MACS)} | draw(optional({"vni": st.integers(0, 2**24 - 1)}))
    elif mode not in ("nat", "dsr"):
        pool["tunnel"] = draw(optional({"mtu": st.integers(576, 65535), "source": st.just("10.1.0.1")}))
    pool["backends"] = [
        {"name": backend, "address": f"10.1.{number + 1}.{place + 1}"}
        | draw(
            optional(
                {"weight": st.integers(0, 1000), "state": st.sampled_from(["active", "drain", "disabled"])}
                | ({"port": L4_PORTS} if mode == "nat" else {})
            )
        )
        for place, backend in enumerate(draw(st.lists(NAMES, max_size=5, unique=True)))
    ]
    return pool


@st.composite
def configurations(draw: st.DrawFn) -> Config:
    names = draw(st.lists(NAMES, max_size=3, unique=True))
    vips = [
        {"name": name, "address": f"10.0.9.{place + 1}", "port": draw(L4_PORTS), "pool": name}
        | draw(
            optional(
                {
                    "protocol": st.sampled_from(["tcp", "udp"]),
                    "affinity": st.sampled_from(["five-tuple", "client", "client/24"]),
                    "allow": st.just(["10.0.0.0/8"]),
                    "deny": st.just(["10.3.0.0/16"]),
                    "rate": st.integers(1, 10**9),
                    "on_no_backend": st.sampled_from(["drop", "reset", "unreachable"]),
                }
            )
        )
        for place, name in enumerate(names)
    ]
    interfaces = [
        {"name": draw(NAMES), "ports": [1, 2], "addresses": ["10.1.0.1/16", "fd00:1::1/64"]}
        | draw(optional({"mtu": st.integers(576, 65535), "vlan": st.integers(0, 4094)}))
    ]
    document = {
        "switch": {"mac": draw(MACS)} | draw(optional({"reply_rate": st.integers(1, 10**9)})),
        "interfaces": interfaces,
        "pools": [draw(pools(number, name)) for number, name in enumerate(names)],
        "vips": vips,
    } | draw(
        optional(
            {
                "routes": st.just([{"destination": "0.0.0.0/0", "gateway": "10.1.255.254"}]),
                "neighbors": MACS.map(lambda mac: [{"address": "fd00:1::9", "mac": mac, "port": 2}]),
                "health_sources": st.just(["10.255.0.2", "fd00:ff::2"]),
                "liveness": optional({"interval": durations(0.005, 10), "misses": st.integers(1, 1000)}),
            }
        )
    )
    return parse(yaml.safe_dump(document))


@settings(max_examples=EXAMPLES, deadline=None)
@given(configurations())
def test_a_document_says_all_of_a_configuration(config: Config) -> None:
    printed = dump(config)
    again = parse(printed)
    assert again == config
    assert differences(config, again) == ()
    assert dump(again) == printed


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.floats(0, 1e7))
def test_a_duration_is_printed_as_what_it_is(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0125, "12.5ms"), (0.2, "200ms"), (90.0, "90s"), (120.0, "2m"), (0.0, "0s"), (1e-5, "0.01ms")],
)
def test_durations(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
