"""How a change is made, or tried: the one way from a route to the controller."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime

from controller.api.conditions import Condition
from controller.api.schemas import Change
from controller.controller import Controller
from controller.deadlines import refuse_passed_deadlines
from controller.difference import Difference, differences
from controller.errors import RevisionConflict
from controller.model import Config

Edit = Callable[[Config], Config]


async def change(
    controller: Controller, what: str, edit: Edit, *, who: str, expected: Condition, drain: bool = True
) -> Change:
    """Makes the change that `edit` is, if the revision is the expected one.

    Raises what `Controller.change` does.
    """
    recording, found = _recorded(controller, edit, expected)
    result = await controller.change(
        what, recording, who=who, expected_revision=expected.revision, drain=drain
    )
    return Change(**asdict(result), differences=tuple(found))


async def cut_off(
    controller: Controller, pool: str, backend: str, *, who: str, expected: Condition, dry_run: bool
) -> Change:
    """Has a backend leave at once that was removed from the configuration; or says what that would change."""
    recording, _ = _recorded(controller, lambda config: config, expected)
    cut = controller.leaving(pool, backend)
    if dry_run:
        result = await controller.rehearse(recording, expected_revision=expected.revision, cut=cut)
    else:
        what = f"backend {pool}/{backend} cut off"
        result = await controller.change(
            what, recording, who=who, expected_revision=expected.revision, cut=cut
        )
    return Change(**asdict(result), differences=())


async def replace(
    controller: Controller, what: str, wanted: Config, *, who: str, expected: Condition, dry_run: bool
) -> Change:
    """Makes the whole configuration another one, or says what that would change."""
    if not dry_run:
        return await change(controller, what, lambda _: wanted, who=who, expected=expected)
    recording, found = _recorded(controller, lambda _: wanted, expected)
    result = await controller.rehearse(recording, expected_revision=expected.revision)
    return Change(**asdict(result), differences=tuple(found))


def _recorded(controller: Controller, edit: Edit, expected: Condition) -> tuple[Edit, list[Difference]]:
    """`edit`, which refuses another revision than a strict condition has; and what it will have changed."""
    found: list[Difference] = []

    def recording(before: Config) -> Config:
        present = controller.revision  # nobody else changes it while we are called
        if expected.strict and expected.revision not in (None, present.number):
            raise RevisionConflict(expected.revision, present)
        after = edit(before)
        refuse_passed_deadlines(before, after, datetime.now(UTC))
        found[:] = differences(before, after)
        return after

    return recording, found
