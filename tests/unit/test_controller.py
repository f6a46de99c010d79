"""Revisions and who makes them; and what a controller does when a switch does not let it in again."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from finsy.proto import rpc_code

from controller import link
from controller.config import parse
from controller.controller import Controller
from controller.errors import InvalidConfig, RevisionConflict, StoreError, UnknownName
from controller.model import (
    Config,
    Mode,
    Protocol,
    change_backend,
    make_backend,
    remove_backend,
    with_backends,
    with_pool,
)
from controller.store import SqliteStore
from controller.trace import Flow
from controller.wire import SwitchTarget
from tests.fakes.server import ScriptedSwitch, serving

DOCUMENT = """
switch: {mac: "02:00:00:00:00:01"}
interfaces: [{name: all, ports: [1], addresses: [10.0.0.1/16]}]
pools:
  - name: web
    buckets: 16
    health: {type: none}
    backends: [{name: b1, address: 10.0.1.11}, {name: b2, address: 10.0.1.12}]
vips: [{name: web, address: 10.0.0.100, port: 80, pool: web}]
"""

COMPILED = Path(__file__).parents[2] / "p4src" / "compiled"
P4INFO, DEVICE_CONFIG = COMPILED / "sluice.p4info.txtpb", COMPILED / "sluice.json"

NOWHERE = SwitchTarget("127.0.0.1:1")


def controller(store: SqliteStore, document: str = DOCUMENT, target: SwitchTarget = NOWHERE) -> Controller:
    return Controller(parse(document), store, target=target, p4info=P4INFO, pipeline=DEVICE_CONFIG)


@pytest.fixture
def store() -> SqliteStore:
    return SqliteStore(":memory:")


def heavier(config: Config) -> Config:
    return change_backend(config, "web", "b1", weight=config.pool("web").backend("b1").weight + 1)


# revisions


def test_the_file_is_the_first_revision(store: SqliteStore) -> None:
    first = controller(store)
    assert (first.revision.number, first.revision.who, first.revision.what) == (
        1,
        "file",
        "the configuration file",
    )


async def test_a_change_is_stored_even_when_the_switch_is_away(store: SqliteStore) -> None:
    result = await controller(store).change("weight", heavier, who="alice")
    assert (result.revision, result.applied) == (2, False)
    assert result.detail == "stored, but not on the switch yet: not connected yet"
    again = controller(store)
    assert (again.revision.number, again.revision.who, again.revision.what) == (2, "alice", "weight")
    assert again.config.pool("web").backend("b1").weight == 2


async def test_a_backend_that_is_cut_off_is_in_the_history(store: SqliteStore) -> None:
    one = controller(store)
    one._shared.desired.refresh(time.time())
    await one.change("remove", lambda config: remove_backend(config, "web", "b1"), who="alice")
    one._shared.desired.refresh(time.time())
    before, cut = one.config, one.leaving("web", "b1")
    tried = one.preview(lambda config: config, cut=cut)
    assert (tried.revision, one.revision.number) == (3, 2), "a dry run makes no revision"
    with pytest.raises(RevisionConflict):
        await one.change("cut", lambda config: config, who="bob", cut=cut, expected_revision=1)
    result = await one.change("backend web/b1 cut off", lambda config: config, who="bob", cut=cut)
    why = "not on the switch yet, and forgotten if the daemon ends before: not connected yet"
    assert (result.revision, result.detail, one.config) == (3, why, before)
    assert (store.revisions()[-1].who, store.revisions()[-1].what) == ("bob", "backend web/b1 cut off")
    assert ("revision 3", "backend web/b1 cut off", "by bob") in [
        (event.subject, event.text, event.cause) for event in one.events.since()
    ]
    one._shared.desired.refresh(time.time())
    with pytest.raises(UnknownName, match="no removed backend named 'b1'"):
        one.leaving("web", "b1")


async def test_a_file_that_changed_wins_over_what_was_changed_since(store: SqliteStore) -> None:
    await controller(store).change("weight", heavier, who="alice")
    again = controller(store, DOCUMENT.replace("10.0.1.12", "10.0.1.13"))
    assert (again.revision.number, again.revision.what) == (3, "the configuration file has changed")
    assert again.config.pool("web").backend("b1").weight == 1


async def test_listeners_hear_of_every_change(store: SqliteStore) -> None:
    heard: list[Config] = []
    one = controller(store)
    one.on_config(heard.append)
    await one.change("weight", heavier, who="alice")
    assert heard == [one.config]


async def test_who_makes_the_checks_hears_of_removed_backends_that_still_serve(store: SqliteStore) -> None:
    one = controller(store, DOCUMENT.replace("{type: none}", "{type: tcp, port: 80}"))
    asked: list[list[str]] = []
    one.on_checked(lambda config: asked.append([backend.name for backend in config.pool("web").backends]))

    def decide() -> None:
        """As a session does."""
        one._shared.desired.refresh(time.time())

    decide()
    newcomer = [make_backend("n1", "10.0.1.21")]
    await one.change("others", lambda config: with_backends(config, "web", newcomer), who="alice")
    decide()
    assert asked == [["b1", "b2"], ["n1"], ["n1", "b1#1", "b2#2"]]
    assert [backend.name for backend in one.config.pool("web").backends] == ["n1"]
    one.set_health("web", "b1#1", False, "refused")
    assert [event.subject for event in one.events.since() if event.text == "down"] == ["web/b1#1"]
    decide()
    assert asked[-1] == ["n1", "b2#2"]


async def test_nothing_to_change_is_no_revision(store: SqliteStore) -> None:
    result = await controller(store).change("nothing", lambda config: config, who="alice")
    assert (result.revision, result.applied, result.detail) == (1, True, "nothing to change")
    assert len(store.revisions()) == 1


async def test_a_change_for_another_revision_is_refused(store: SqliteStore) -> None:
    one = controller(store)
    await one.change("weight", heavier, who="alice", expected_revision=1)
    told = r"at revision 2 \(by alice: weight\), the change was made for revision 1"
    with pytest.raises(RevisionConflict, match=told):
        await one.change("weight", heavier, who="bob", expected_revision=1)


async def test_changes_at_the_same_time_are_all_made(store: SqliteStore) -> None:
    one = controller(store)
    await asyncio.gather(*(one.change("weight", heavier, who=f"user {n}") for n in range(10)))
    assert one.config.pool("web").backend("b1").weight == 11
    assert one.revision.number == 11


async def test_a_change_whose_asker_goes_away_is_made_or_not_but_never_half(store: SqliteStore) -> None:
    one = controller(store)
    commit = store.commit

    def slow(*arguments: str, **values: str) -> object:
        time.sleep(0.1)
        return commit(*arguments, **values)  # type: ignore[arg-type]

    store.commit = slow  # type: ignore[method-assign]
    asking = asyncio.create_task(one.change("weight", heavier, who="alice"))
    await asyncio.sleep(0.02)
    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asking
    latest = store.latest()
    assert latest is not None
    assert (latest.number, one.revision.number, one.config.pool("web").backend("b1").weight) == (2, 2, 2)


async def test_what_cannot_be_stored_is_not_in_force(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreError("the disk is full")

    one = controller(store)
    monkeypatch.setattr(store, "commit", fail)
    with pytest.raises(StoreError, match="the disk is full"):
        await one.change("weight", heavier, who="alice")
    assert (one.revision.number, one.config.pool("web").backend("b1").weight) == (1, 1)


async def test_a_change_that_would_break_a_pool_is_refused(store: SqliteStore) -> None:
    def direct(config: Config) -> Config:
        return with_pool(config, config.pool("web").model_copy(update={"mode": Mode.DSR}))

    with pytest.raises(InvalidConfig, match="cannot change: make another pool"):
        await controller(store).change("mode", direct, who="alice")


def test_a_preview_tells_what_would_move_and_makes_nothing(store: SqliteStore) -> None:
    one = controller(store)
    result = one.preview(lambda config: remove_backend(config, "web", "b1"))
    assert (result.revision, result.applied) == (2, False)
    assert (one.revision.number, len(store.revisions())) == (1, 1)


def test_a_store_of_another_kind_of_document_is_refused(store: SqliteStore) -> None:
    controller(store)
    store.commit('{"switch": {"colour": "red"}}', who="nobody", what="mischief")
    with pytest.raises(StoreError, match="revision 2 in the store is not valid any more"):
        controller(store)


def test_before_the_first_connection_the_backends_are_shown_as_configured(store: SqliteStore) -> None:
    report = controller(store).report()
    assert [backend.name for backend in report.pools[0].backends] == ["b1", "b2"]
    assert (report.switch.connected, report.switch.error) == (False, "not connected yet")


def test_while_the_switch_is_being_given_our_program_it_is_not_called_unconnected(store: SqliteStore) -> None:
    one = controller(store)
    (only,) = one._links.values()
    only.connected = only.primary = True
    switch = one.report().switch
    assert (switch.connected, switch.synchronized, switch.error) == (True, False, "")


# the connection


async def test_before_the_first_connection_packets_are_explained_as_they_will_be_sent(
    store: SqliteStore,
) -> None:
    flow = Flow(ip_address("10.0.0.9"), 4000, ip_address("10.0.0.100"), 80, Protocol.TCP, True)
    told = await controller(store).explain(flow)
    assert told.model.backend in ("b1", "b2")
    assert told.unconfirmed


async def test_a_file_that_says_something_new_is_a_revision_and_is_remembered(store: SqliteStore) -> None:
    one = controller(store)
    assert await one.take_file(parse(DOCUMENT)) is None
    await one.change("b1 is larger", heavier, who="alice")
    assert await one.take_file(parse(DOCUMENT)) is None
    result = await one.take_file(heavier(parse(DOCUMENT)))  # what is so already, by a command
    assert result and result.revision == 3
    await one.change("b1 is larger still", heavier, who="alice")
    restarted = Controller(
        heavier(parse(DOCUMENT)), store, target=NOWHERE, p4info=P4INFO, pipeline=DEVICE_CONFIG
    )
    assert restarted.revision.number == 4
    assert restarted.config.pool("web").backend("b1").weight == 3


@pytest.fixture
async def switch() -> AsyncIterator[ScriptedSwitch]:
    script = ScriptedSwitch()
    async with serving(script) as script.address:
        yield script


async def test_a_switch_that_takes_us_for_somebody_else_is_bid_more(
    switch: ScriptedSwitch, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "LAST_RECONNECT", 0.05)
    one = controller(store, target=SwitchTarget(switch.address, election_id=1))
    running = asyncio.create_task(one.run())

    async def until_bid(bids: list[int]) -> None:
        async with asyncio.timeout(10):
            while switch.bids != bids:
                await asyncio.sleep(0.01)

    await until_bid([1])
    switch.arbitrate = lambda bid: (rpc_code.INVALID_ARGUMENT, 0) if bid == 1 else (rpc_code.OK, bid)
    switch.to_client.put_nowait(None)
    await until_bid([1, 1, 2])
    async with asyncio.timeout(10):
        while not one.report().switch.synchronized:
            await asyncio.sleep(0.01)
    running.cancel()


async def test_a_controller_that_never_had_the_switch_waits_for_it(
    switch: ScriptedSwitch, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "LAST_RECONNECT", 0.05)
    switch.arbitrate = lambda bid: (rpc_code.INVALID_ARGUMENT, 0)
    one = controller(store, target=SwitchTarget(switch.address, election_id=1))
    running = asyncio.create_task(one.run())
    async with asyncio.timeout(10):
        while len(switch.bids) < 5:
            await asyncio.sleep(0.01)
    assert {*switch.bids} == {1}
    told = [event.text for event in one.events.since()]
    assert told == ["not ours"], "once"
    running.cancel()


async def test_a_mistake_of_ours_is_told_and_the_next_connection_tried(
    switch: ScriptedSwitch, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = controller(store, target=SwitchTarget(switch.address, election_id=1))
    tries: list[int] = []

    async def broken(*_: object) -> None:
        tries.append(1)
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("controller.session.Session.run", broken)
    running = asyncio.create_task(one.run())
    async with asyncio.timeout(10):
        while len(tries) < 2:
            await asyncio.sleep(0.01)
    assert ("lost", "oops") in [(event.text, event.cause) for event in one.events.since()]
    running.cancel()
