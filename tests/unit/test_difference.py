"""Differences of configurations, and that they are none where nothing differs."""

import pytest

from controller.config import parse
from controller.difference import Difference, differences
from controller.model import Config

DOCUMENT = """
switch: {mac: "02:00:00:00:00:01"}
interfaces:
  - {name: clients, ports: [1, 2], addresses: [10.0.0.1/24]}
  - {name: servers, ports: [3], addresses: [10.0.1.1/24]}
health_sources: [10.255.0.2]
pools:
  - name: web
    health: {type: http, path: /up}
    backends:
      - {name: b1, address: 10.0.1.11, port: 8080}
      - {name: b2, address: 10.0.1.12, port: 8080}
vips:
  - {name: web, address: 10.0.0.100, port: 80, pool: web}
"""

B2 = {"name": "b2", "address": "10.0.1.12", "port": 8080, "weight": 1, "state": "active"}

# what it shows, what to replace, by what, the differences
CASES = [
    ("nothing", "web", "web", []),
    (
        "a value",
        "10.0.1.11, port: 8080",
        "10.0.1.11, port: 8080, weight: 3",
        [Difference("pools[web].backends[b1].weight", 1, 3)],
    ),
    (
        "a default that is written down is none",
        "10.0.1.11, port: 8080",
        "10.0.1.11, port: 8080, weight: 1, state: active",
        [],
    ),
    (
        "a backend goes",
        "      - {name: b2, address: 10.0.1.12, port: 8080}\n",
        "",
        [Difference("pools[web].backends[b2]", B2, None)],
    ),
    (
        "a backend comes",
        "vips:",
        "      - {name: b3, address: 10.0.1.13, port: 8080}\nvips:",
        [
            Difference(
                "pools[web].backends[b3]",
                None,
                {"name": "b3", "address": "10.0.1.13", "port": 8080, "weight": 1, "state": "active"},
            )
        ],
    ),
    (
        "a backend of another name is another backend",
        "name: b2",
        "name: c2",
        [
            Difference("pools[web].backends[b2]", B2, None),
            Difference("pools[web].backends[c2]", None, B2 | {"name": "c2"}),
        ],
    ),
    (
        "a list of plain values is one value",
        "ports: [1, 2]",
        "ports: [1, 5]",
        [Difference("interfaces[clients].ports", [1, 2], [1, 5])],
    ),
    (
        "what is not set is absent",
        "address: 10.0.1.11, port: 8080",
        "address: 10.0.1.11",
        [Difference("pools[web].backends[b1].port", 8080, None)],
    ),
    (
        "inside a mapping",
        "path: /up",
        "path: /up, interval: 5s",
        [Difference("pools[web].health.interval", "1s", "5s")],
    ),
    (
        "all at once, in the order of the document",
        "10.255.0.2]\npools:\n  - name: web\n",
        "10.255.0.3]\npools:\n  - name: web\n    idle_timeout: 1m\n    udp: move\n",
        [
            Difference("health_sources", ["10.255.0.2"], ["10.255.0.3"]),
            Difference("pools[web].idle_timeout", "5m", "1m"),
            Difference("pools[web].udp", "stay", "move"),
        ],
    ),
]


def before() -> Config:
    return parse(DOCUMENT)


@pytest.mark.parametrize(("shows", "old", "new", "wanted"), CASES)
def test_differences(shows: str, old: str, new: str, wanted: list[Difference]) -> None:
    assert old in DOCUMENT
    document = DOCUMENT.replace(old, new)
    assert list(differences(before(), parse(document))) == wanted, shows


def test_the_order_of_named_items_makes_no_difference() -> None:
    config = before()
    pool = config.pools[0]
    turned = pool.model_copy(update={"backends": tuple(reversed(pool.backends))})
    assert differences(config, config.model_copy(update={"pools": (turned,)})) == ()
