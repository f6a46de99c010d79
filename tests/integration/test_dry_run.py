"""`apply --dry-run` on a real switch: what it says is what is then sent."""

from collections import Counter
from collections.abc import Iterable

import pytest

from controller.model import change_backend, remove_backend
from controller.program import Change
from controller.wire import Connection, Refusal
from tests.integration.rig import Rig
from tests.integration.switches import SwitchProcess


async def test_the_plan_is_what_the_switch_is_sent(
    switch: SwitchProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = Counter[str]()
    write = Connection.write

    async def noting(connection: Connection, changes: Iterable[Change]) -> list[Refusal]:
        changes = list(changes)
        sent.update(f"{change.kind} {change.table}" for change in changes)
        return await write(connection, changes)

    monkeypatch.setattr(Connection, "write", noting)
    async with Rig(switch) as rig:
        unconnected = await rig.controller.rehearse(
            lambda config: change_backend(config, "web", "b1", weight=2)
        )
        assert unconnected.plan is None and "what would be written is not known" in unconnected.detail
        await rig.synchronized()
        sent.clear()
        dry = await rig.controller.rehearse(lambda config: remove_backend(config, "web", "b3"))
        assert dry.plan is not None and not sent
        at_once, later = (
            Counter(
                {
                    f"{kind} {one.table}": getattr(one, kind)
                    for one in step.writes
                    for kind in ("insert", "modify", "delete")
                }
            )
            for step in dry.plan.steps
        )
        await rig.controller.change("remove", lambda config: remove_backend(config, "web", "b3"), who="test")
        assert +sent == +at_once
        assert dry.moved_buckets == sum(move.count for move in dry.plan.moves) == 85
        await rig.until(lambda: len(rig.pool().backends) == 2, "b3 is gone")
        await rig.synchronized()
        assert +sent == +(at_once + later)
