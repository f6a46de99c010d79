"""Changes of the desired state: each gives a new, checked one, and says what is wrong otherwise."""

from ipaddress import ip_address

import pytest

from controller import rules
from controller.config import parse
from controller.errors import InvalidConfig, UnknownName
from controller.model import (
    Config,
    State,
    Vip,
    add_backend,
    add_vip,
    change_backend,
    check_port,
    make_backend,
    remove_backend,
    remove_vip,
)

RULED = """
switch: {mac: "02:00:00:00:00:01"}
interfaces: [{name: all, ports: [1], addresses: [10.0.0.1/16]}]
pools:
  - {name: web, buckets: 16, backends: [{name: b1, address: 10.0.1.1}, {name: b2, address: 10.0.1.2}]}
vips: [{name: web, address: 10.1.0.1, port: 80, pool: web}]
"""


@pytest.fixture
def config() -> Config:
    return parse(
        """
switch: {mac: "02:00:00:00:00:01"}
interfaces: [{name: all, ports: [1], addresses: [10.0.0.1/16]}]
pools:
  - {name: web, backends: [{name: b1, address: 10.0.1.11, port: 8080}, {name: b2, address: 10.0.1.12}]}
  - {name: idle, health: {type: none}}
vips: [{name: web, address: 10.0.0.100, port: 80, pool: web}]
"""
    )


def test_a_backend_is_added(config: Config) -> None:
    changed = add_backend(config, "web", make_backend("b3", "10.0.1.13", 8080, weight=2))
    assert [backend.name for backend in changed.pool("web").backends] == ["b1", "b2", "b3"]
    assert len(config.pool("web").backends) == 2, "the old one is as it was"


def test_a_backend_is_removed(config: Config) -> None:
    assert [backend.name for backend in remove_backend(config, "web", "b1").pool("web").backends] == ["b2"]


def test_a_backend_is_changed(config: Config) -> None:
    changed = change_backend(config, "web", "b1", state=State.DRAIN, weight=7)
    b1 = changed.pool("web").backend("b1")
    assert (b1.state, b1.weight, b1.address, b1.port) == (State.DRAIN, 7, ip_address("10.0.1.11"), 8080)


def test_a_vip_comes_and_goes(config: Config) -> None:
    vip = Vip(name="idle", address=ip_address("10.0.0.101"), port=53, pool="idle")
    assert remove_vip(add_vip(config, vip), "idle") == config


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            lambda c: add_backend(c, "wbe", make_backend("b3", "10.0.1.13")),
            "no pool named 'wbe'; there is: idle, web",
        ),
        (lambda c: remove_backend(c, "web", "b9"), "no backend of pool web named 'b9'; there is: b1, b2"),
        (lambda c: remove_vip(c, "www"), "no VIP named 'www'; there is: web"),
    ],
)
def test_what_does_not_exist_is_named_with_what_does(config: Config, change, complaint: str) -> None:
    with pytest.raises(UnknownName) as unknown:
        change(config)
    assert str(unknown.value) == complaint


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda c: add_backend(c, "web", make_backend("b1", "10.0.1.13")), "there are two backends named b1"),
        (
            lambda c: add_backend(c, "web", make_backend("b3", "10.0.1.11", 8080)),
            "two backends at 10.0.1.11 port 8080",
        ),
        (
            lambda c: add_backend(c, "web", make_backend("b3", "fd00::1")),
            "pools[web].backends[b3].address: fd00::1 is IPv6",
        ),
        (lambda c: make_backend("b3", "10.0.1"), "address: '10.0.1' is not right"),
        (lambda c: make_backend("b3", "10.0.1.13", 70000), "port: is 70000, must be at most 65535"),
        (lambda c: change_backend(c, "web", "b1", weight=-1), "pools[web].backends[b1].weight: is -1"),
        (
            lambda c: change_backend(c, "web", "b1", colour="red"),
            "pools[web].backends[b1].colour: is not a known key",
        ),
    ],
)
def test_a_change_to_something_invalid_is_refused(config: Config, change, complaint: str) -> None:
    with pytest.raises(InvalidConfig) as refused:
        change(config)
    assert complaint in str(refused.value)


def test_checks_go_to_the_port_that_is_served(config: Config) -> None:
    web = config.pool("web")
    assert [check_port(config, web, backend) for backend in web.backends] == [8080, 80]


def test_rules_do_not_read_what_they_take_for_alike() -> None:
    """A weight, a state and a tier may change without a look at the rules, because no rule reads them."""
    config = parse(RULED)
    bare = [b.model_copy() for b in config.pools[0].backends]
    for backend in bare:
        for unread in ("weight", "state", "tier"):
            object.__delattr__(backend, unread)
        with pytest.raises(AttributeError):
            _ = backend.weight
    pool = config.pools[0].model_copy(update={"backends": tuple(bare)})
    rules.check(config.model_copy(update={"pools": (pool,)}))


def test_a_change_that_rules_read_is_checked() -> None:
    config = parse(RULED)
    for wrong in ({"address": "10.0.1.2"}, {"address": "10.9.0.1"}):
        with pytest.raises(InvalidConfig):
            change_backend(config, "web", "b1", **wrong)
    with pytest.raises(InvalidConfig):
        add_backend(config, "web", make_backend("b2", "10.0.1.3"))
    assert change_backend(config, "web", "b1", weight=7).pool("web").backend("b1").weight == 7
