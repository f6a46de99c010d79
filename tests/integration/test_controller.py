"""The controller on real switches: from nothing to whole, through changes, deaths and restarts."""

import asyncio
import contextlib
from pathlib import Path

import pytest
from finsy.proto import p4r

from controller import program
from controller.codec import Codec
from controller.config import parse
from controller.errors import InvalidConfig
from controller.model import (
    ONLY,
    add_backend,
    change_backend,
    make_backend,
    remove_backend,
    replace,
    with_backends,
)
from controller.program import Change, Do, Kind
from controller.wanted import wanted
from controller.wire import Connection, Pipeline, SwitchTarget
from tests.integration.rig import DOCUMENT, P4INFO, PATIENCE, PIPELINE, Rig
from tests.integration.switches import SwitchProcess


async def difference(rig: Rig) -> dict[str, tuple[object, object]]:
    """Tables in which the switch holds something else than is wanted: what it holds, what is wanted."""
    held = await rig.tables(program.TABLES)
    desired = rig.controller._shared.desired
    want = wanted(desired.config, desired.assignment, rig.controller._shared.switches[ONLY].neighbors.rows())
    owners = {
        (pool, bucket): tuple(row)
        for pool, rows in want.buckets.items()
        for bucket, row in enumerate(rows.tolist())
    }
    pairs: dict[str, tuple[object, object]] = {
        table.name: (rows, want.rows[table]) for table, rows in held.items() if table is not program.BUCKETS
    }
    pairs[program.BUCKETS.name] = ({key: do.values for key, do in held[program.BUCKETS].items()}, owners)
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


async def assert_switch_holds_what_is_wanted(rig: Rig) -> None:
    """Looks more than once, because buckets may settle between the reads of one look."""
    differences = await difference(rig)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while differences:
                await asyncio.sleep(0.1)
                differences = await difference(rig)
    assert differences == {}


async def test_an_empty_switch_gets_program_and_entries(switch: SwitchProcess) -> None:
    async with Rig(switch) as rig:
        await rig.synchronized()
        await assert_switch_holds_what_is_wanted(rig)
        report = rig.controller.report()
        assert (report.switch.connected, report.switch.primary, report.switch.error) == (True, True, "")
        assert [backend.buckets for backend in rig.pool().backends] == [86, 85, 85]
        assert await rig.owners(pool=rig.pool("dns").id) == [(4, 4)] * 16


async def test_a_switch_answers_in_the_octets_that_we_would_write(
    switch: SwitchProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a look for drift is slow."""
    async with Rig(switch) as rig:
        await rig.synchronized()
        read, decoded = Codec.read, []

        def noted(self: Codec, entity: p4r.Entity) -> tuple[program.Table, program.Key, Do] | None:
            decoded.append(read(self, entity))
            return decoded[-1]

        monkeypatch.setattr(Codec, "read", noted)
        session = rig.controller._shared.switches[ONLY].session
        assert session is not None
        await session.look()
        assert [row for row in decoded if row] == []


async def test_changes_reach_the_switch(switch: SwitchProcess) -> None:
    async with Rig(switch) as rig:
        await rig.synchronized()
        before = await rig.owners()
        result = await rig.controller.change(
            "weight", lambda config: change_backend(config, "web", "b1", weight=2), who="test"
        )
        assert (result.revision, result.applied, result.moved_buckets) == (2, True, 42)
        after = await rig.owners()
        moved = [now for now, old in zip(after, before, strict=True) if now != old]
        assert len(moved) == 42
        assert all(current == 1 != previous for current, previous in moved)
        await assert_switch_holds_what_is_wanted(rig)


async def test_a_death_and_a_return(switch: SwitchProcess) -> None:
    async with Rig(switch) as rig:
        await rig.synchronized()
        rig.controller.set_health("web", "b2", False, "refused")
        await rig.synchronized()
        assert (rig.backend("b2").id, rig.backend("b2").health) == (0, "down")
        assert (2,) not in await rig.rows(program.BACKENDS)
        assert 2 not in {number for owners in await rig.owners() for number in owners}
        rig.controller.set_health("web", "b2", True, "passed")
        await rig.synchronized()
        assert rig.backend("b2").id == 5, "a fresh number"
        await assert_switch_holds_what_is_wanted(rig)


async def test_a_removed_backend_drains_and_goes(switch: SwitchProcess) -> None:
    async with Rig(switch) as rig:
        await rig.synchronized()
        result = await rig.controller.change(
            "remove", lambda config: remove_backend(config, "web", "b3"), who="test"
        )
        assert result.applied
        assert rig.backend("b3").state == "removing"
        assert (3,) in await rig.rows(program.BACKENDS)
        await rig.until(lambda: "b3" not in {backend.name for backend in rig.pool().backends}, "b3 is gone")
        await rig.synchronized()
        assert (3,) not in await rig.rows(program.BACKENDS)
        assert "web/b3 has drained and is removed" in rig.events()
        await assert_switch_holds_what_is_wanted(rig)


async def test_a_removed_backend_is_cut_off(switch: SwitchProcess) -> None:
    """All of the pool are removed for one that is not up, so that they serve still."""
    checked = parse((DOCUMENT % switch.address).replace("{type: none}", "{type: tcp, port: 9}"))
    async with Rig(switch, config=checked) as rig:
        await rig.synchronized()
        newcomer = [make_backend("n1", "10.0.1.21")]
        await rig.controller.change(
            "replace", lambda config: with_backends(config, "web", newcomer), who="test"
        )
        others = [one for one in ("b1", "b2", "b3") if rig.backend(one).stands_in]
        assert len(others) == 3
        cut = rig.controller.leaving("web", "b2")
        result = await rig.controller.change("cut", lambda config: config, who="test", cut=cut)
        assert (result.revision, result.applied, result.moved_buckets) == (3, True, 85)
        assert (2,) not in await rig.rows(program.BACKENDS)
        assert {number for owners in await rig.owners() for number in owners} == {1, 3}
        for name in ("b1", "b3"):
            cut = rig.controller.leaving("web", name)
            result = await rig.controller.change("cut", lambda config: config, who="test", cut=cut)
        assert result.detail == "web: nobody gets new connections: who stood in for others has gone"
        assert {number for owners in await rig.owners() for number in owners} == {0}
        await assert_switch_holds_what_is_wanted(rig)


async def test_a_switch_that_begins_anew_is_made_whole(switch: SwitchProcess) -> None:
    async with Rig(switch) as rig:
        await rig.synchronized()
        rig.controller.set_health("web", "b1", False, "refused")
        await rig.synchronized()
        before = await rig.owners()
        switch.kill()
        await rig.until(lambda: not rig.controller.report().switch.connected, "lost")
        meanwhile = await rig.controller.change(
            "add", lambda config: add_backend(config, "web", make_backend("b4", "10.0.1.14")), who="test"
        )
        assert not meanwhile.applied
        assert "stored, but not on the switch yet" in meanwhile.detail
        switch.start()
        await rig.synchronized()
        assert await rig.owners() == before
        rig.controller.set_health("web", "b4", True, "passed")
        await rig.synchronized()
        assert rig.backend("b4").buckets == 85
        await assert_switch_holds_what_is_wanted(rig)


async def test_a_controller_that_begins_anew_changes_nothing(switch: SwitchProcess, tmp_path: Path) -> None:
    async with Rig(switch, tmp_path / "store") as rig:
        await rig.synchronized()
        await rig.controller.change(
            "drain", lambda config: change_backend(config, "web", "b1", state="drain"), who="test"
        )
        rig.controller.set_health("web", "b2", False, "refused")
        await rig.synchronized()
    async with Rig(switch, tmp_path / "store") as again:
        await again.synchronized()
        assert again.controller.revision.number == 2
        assert "it runs our program already" in [event.cause for event in again.controller.events.since()]
        assert (again.backend("b1").state, again.backend("b2").id) == ("drain", 0), "the dead stay dead"
        await assert_switch_holds_what_is_wanted(again)


async def test_a_controller_without_its_store_breaks_nothing(switch: SwitchProcess) -> None:
    async with Rig(switch) as rig:
        await rig.synchronized()
        await rig.controller.change(
            "weight", lambda config: change_backend(config, "web", "b1", weight=2), who="test"
        )
        owners, config = await rig.owners(), rig.controller.config
    async with Rig(switch, config=config) as again:
        await again.synchronized()
        assert await again.owners() == owners
        await assert_switch_holds_what_is_wanted(again)


async def test_a_changed_file_is_a_revision_and_an_unchanged_one_is_not(
    switch: SwitchProcess, tmp_path: Path
) -> None:
    async with Rig(switch, tmp_path / "store") as rig:
        await rig.synchronized()
        await rig.controller.change(
            "weight", lambda config: change_backend(config, "web", "b1", weight=2), who="test"
        )
    async with Rig(switch, tmp_path / "store") as again:
        assert (
            again.controller.revision.number,
            again.controller.config.pool("web").backend("b1").weight,
        ) == (2, 2)
    edited = parse((DOCUMENT % switch.address).replace("buckets: 16,", "buckets: 32,"))
    async with Rig(switch, tmp_path / "store", edited) as third:
        await third.synchronized()
        assert (third.controller.revision.number, third.controller.config) == (3, edited)
        assert len(await third.owners(pool=third.pool("dns").id)) == 32
        await assert_switch_holds_what_is_wanted(third)


async def test_a_second_controller_waits_until_the_first_has_gone(switch: SwitchProcess) -> None:
    async with Rig(switch) as first:
        await first.synchronized()
        async with Rig(switch) as second:
            await second.until(
                lambda: "another controller" in second.controller.report().switch.error, "told so"
            )
            assert not second.controller.report().switch.primary
            assert first.controller.report().switch.synchronized
            first._task.cancel()
            await second.synchronized()
            await assert_switch_holds_what_is_wanted(second)


async def test_what_another_controller_changed_is_put_right_when_it_has_gone(switch: SwitchProcess) -> None:
    async with Rig(switch) as rig:
        await rig.synchronized()
        intruder = Connection(SwitchTarget(switch.address, election_id=1000), Pipeline.load(P4INFO, PIPELINE))
        async with intruder:
            await rig.until(lambda: not rig.controller.report().switch.primary, "it has lost the switch")
            (vip, *_) = await rig.rows(program.VIPS)
            changes = [
                Change(Kind.DELETE, program.VIPS, vip, None),
                Change(Kind.MODIFY, program.BUCKETS, (1, 0), Do("owners", (2, 2, 1, 0, 0))),
                Change(Kind.INSERT, program.BACKENDS, (77,), Do("backend_address", (1, 1))),
            ]
            assert await intruder.write(changes) == []
        await rig.synchronized()
        assert any("not ours" in event for event in rig.events())
        # A backend that nobody knows might have flows: it is let go when it has none.
        await rig.until(lambda: len(rig.pool().backends) == 3, "the stranger is gone")
        await rig.synchronized()
        await assert_switch_holds_what_is_wanted(rig)


async def test_what_the_switch_has_no_room_for_is_refused_at_once(switch: SwitchProcess) -> None:
    sources = ", ".join(f"10.1.0.{n}" for n in range(1, 70))
    many = DOCUMENT.replace("health_sources: [10.255.0.2]", f"health_sources: [{sources}]")
    with pytest.raises(
        InvalidConfig, match="asks for 138 health_checkers, of which the switch has room for 64"
    ):
        Rig(switch, config=parse(many % switch.address))
    async with Rig(switch) as rig:
        with pytest.raises(InvalidConfig, match="asks for 138 health_checkers"):
            await rig.controller.change("more", lambda config: parse(many % switch.address), who="test")
        assert rig.controller.revision.number == 1


async def test_entries_that_the_switch_refuses_are_reported_and_tried_again(
    switch: SwitchProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.controller.refuse_what_has_no_room", lambda wanted, sizes: None)
    sources = ", ".join(f"10.1.0.{n}" for n in range(1, 70))
    many = DOCUMENT.replace("health_sources: [10.255.0.2]", f"health_sources: [{sources}]")
    async with Rig(switch, config=parse(many % switch.address)) as rig:
        trouble = "insert in health_checkers"
        await rig.until(lambda: trouble in rig.controller.report().switch.error, "it says what has no room")
        assert len(await rig.rows(program.VIPS)) == 2, "what has room is there"
        few = parse(DOCUMENT % switch.address).health_sources
        result = await rig.controller.change(
            "fewer", lambda config: replace(config, health_sources=few), who="test", wait=PATIENCE
        )
        assert result.applied
        assert rig.controller.report().switch.error == ""
        await assert_switch_holds_what_is_wanted(rig)
