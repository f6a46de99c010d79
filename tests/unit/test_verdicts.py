"""What is known of a backend: the last verdict about the server that it is now."""

import pytest

from controller.config import parse
from controller.model import Config, Pool, change_backend, remove_backend
from controller.verdicts import Verdicts


@pytest.fixture
def config() -> Config:
    return parse(
        """
switch: {mac: "02:00:00:00:00:01"}
interfaces: [{name: all, ports: [1], addresses: [10.0.0.1/16]}]
pools:
  - {name: web, health: {type: tcp, port: 80}, backends: [{name: b1, address: 10.0.1.11}]}
  - {name: free, health: {type: none}, backends: [{name: f1, address: 10.0.1.21}]}
"""
    )


def up(verdicts: Verdicts, pool: Pool, name: str = "b1") -> tuple[bool | None, str]:
    return verdicts.is_up(pool, name), verdicts.reason(pool, name)


def test_before_the_first_verdict_nobody_knows(config: Config) -> None:
    assert up(Verdicts(), config.pool("web")) == (None, "")


def test_the_latest_verdict_counts(config: Config) -> None:
    verdicts = Verdicts()
    assert verdicts.set(config, "web", "b1", True, "3 passed")
    assert not verdicts.set(config, "web", "b1", True, "4 passed"), "no news"
    assert verdicts.set(config, "web", "b1", False, "refused")
    assert up(verdicts, config.pool("web")) == (False, "refused")


def test_what_is_not_checked_is_up(config: Config) -> None:
    assert up(Verdicts(), config.pool("free"), "f1") == (True, "not checked")


@pytest.mark.parametrize(("pool", "name"), [("web", "b9"), ("wbe", "b1")])
def test_verdicts_about_nobody_are_ignored(config: Config, pool: str, name: str) -> None:
    assert not Verdicts().set(config, pool, name, False, "late")


def test_a_verdict_is_about_a_server_and_not_about_a_name(config: Config) -> None:
    verdicts = Verdicts()
    verdicts.set(config, "web", "b1", True, "passed")
    verdicts.update(change_backend(config, "web", "b1", weight=5))
    assert verdicts.is_up(config.pool("web"), "b1")
    verdicts.update(change_backend(config, "web", "b1", address="10.0.1.12"))
    assert verdicts.is_up(config.pool("web"), "b1") is None


def test_verdicts_about_the_removed_are_forgotten(config: Config) -> None:
    verdicts = Verdicts()
    verdicts.set(config, "web", "b1", True, "passed")
    verdicts.update(remove_backend(config, "web", "b1"))
    assert verdicts.is_up(config.pool("web"), "b1") is None
