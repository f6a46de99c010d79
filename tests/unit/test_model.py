"""Changes of the desired state: each gives a new, checked one, and says what is wrong otherwise."""

from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Any

import pytest

from controller import rules
from controller.config import parse
from controller.errors import InvalidConfig, UnknownName
from controller.model import (
    Config,
    Mode,
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


TWO_POOLS = """
switch: {mac: "02:00:00:00:00:01"}
interfaces: [{name: all, ports: [1], addresses: [10.0.1.1/24]}]
pools:
  - {name: web, backends: [{name: b1, address: 10.0.1.11, port: 8080}, {name: b2, address: 10.0.1.12}]}
  - {name: shop, backends: [{name: s1, address: 10.0.1.21, port: 80}]}
vips:
  - {name: web, address: 10.0.0.100, port: 80, pool: web}
  - {name: shop, address: 10.0.0.101, port: 80, pool: shop}
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


def test_a_changed_copy_knows_its_own_parts(config: Config) -> None:
    """What was looked up in the original stays there."""
    web, idle = config.pool("web"), config.pool("idle")
    assert config.vips_of("web") == config.vips
    other = config.model_copy(update={"pools": (idle.model_copy(update={"buckets": 64}),), "vips": ()})
    assert other.pool("idle").buckets == 64
    assert other.vips_of("web") == ()
    with pytest.raises(UnknownName, match="no pool named 'web'; there is: idle"):
        other.pool("web")
    assert config.pool("web") is web


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
        (
            lambda c: add_backend(c, "web", make_backend("b1", "10.0.1.13")),
            "there is a backend named b1 already",
        ),
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


def rough(config: Config, **parts: Any) -> Config:
    """With other parts, unchecked."""
    values: dict[str, Any] = {name: getattr(config, name) for name in Config.model_fields}
    return Config.model_construct(**values | parts)


def rough_pool(config: Config, pool: str, *backends: tuple[str, str, int | None], **parts: Any) -> Config:
    """With another pool, unchecked: with these backends for its own, if there are any."""
    made = tuple(make_backend(*backend) for backend in backends)
    parts |= {"backends": made} if made else {}
    changed = config.pool(pool).model_copy(update=parts)
    return rough(config, pools=tuple(changed if one.name == pool else one for one in config.pools))


CHANGES: dict[str, Callable[[Config], Config]] = {
    "nothing": lambda c: rough(c),
    "a setting": lambda c: rough_pool(c, "web", idle_timeout=60.0),
    "another backend": lambda c: rough_pool(c, "web", ("b9", "10.0.1.29", 8080)),
    "the service of another pool's": lambda c: rough_pool(c, "web", ("b9", "10.0.1.21", 80)),
    "the address of a VIP": lambda c: rough_pool(c, "web", ("b9", "10.0.0.100", 80)),
    "the address of an interface": lambda c: rough_pool(c, "web", ("b9", "10.0.1.1", 80)),
    "no route": lambda c: rough_pool(c, "web", ("b9", "10.9.0.1", 80)),
    "one name twice": lambda c: rough_pool(c, "web", ("b9", "10.0.1.29", 80), ("b9", "10.0.1.30", 80)),
    "one place twice": lambda c: rough_pool(c, "web", ("b8", "10.0.1.29", 80), ("b9", "10.0.1.29", 80)),
    "another family": lambda c: rough_pool(c, "web", ("b9", "fd00:1::1", 80)),
    "another mode": lambda c: rough_pool(c, "web", mode=Mode.DSR),
    "too few buckets": lambda c: rough_pool(
        c, "web", *((f"b{n}", f"10.0.1.{n}", 80) for n in range(100, 120)), buckets=64
    ),
    "no pool": lambda c: rough(c, pools=()),
    "a pool less": lambda c: rough(c, pools=c.pools[:1]),
    "a pool twice": lambda c: rough(c, pools=(c.pools[0], c.pools[0])),
    "the pools the other way": lambda c: rough(c, pools=c.pools[::-1]),
    "no VIP": lambda c: rough(c, vips=()),
    "no interface": lambda c: rough(c, interfaces=()),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_is_in_common_with_a_sound_one_need_not_be_looked_at(change: Callable[[Config], Config]) -> None:
    sound = parse(TWO_POOLS)
    changed = change(sound)
    assert [*rules.breaches(sound)] == []
    assert {*rules.breaches(changed, sound)} == {*rules.breaches(changed)}


def test_only_pools_that_changed_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    sound, seen = parse(TWO_POOLS), list[tuple[str, ...]]()

    def noted(config: Config, places: rules.Places) -> Iterator[rules.Breach]:
        seen.append(tuple(pool.name for _, pool in places))
        yield from ()

    monkeypatch.setattr(rules, "RULES_OF_POOLS", (noted,))
    add_backend(sound, "web", make_backend("b9", "10.0.1.29"))
    change_backend(sound, "web", "b1", weight=7)
    rules.check(sound)
    assert seen == [("web",), ("web", "shop")]
