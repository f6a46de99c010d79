"""How a change is made, or tried: the one way from a route to the controller."""

from collections.abc import Callable
from dataclasses import asdict

from controller.api.schemas import Change
from controller.controller import Controller
from controller.difference import Difference, differences
from controller.model import Config

Edit = Callable[[Config], Config]


async def change(
    controller: Controller, what: str, edit: Edit, *, who: str, expected: int | None, drain: bool = True
) -> Change:
    """Makes the change that `edit` is, if the revision is the `expected` one (None: any).

    Raises what `Controller.change` does.
    """
    recording, found = _recorded(edit)
    result = await controller.change(what, recording, who=who, expected_revision=expected, drain=drain)
    return Change(**asdict(result), differences=tuple(found))


async def replace(
    controller: Controller, what: str, wanted: Config, *, who: str, expected: int | None, dry_run: bool
) -> Change:
    """Makes the whole configuration another one, or says what that would change."""
    if not dry_run:
        return await change(controller, what, lambda _: wanted, who=who, expected=expected)
    recording, found = _recorded(lambda _: wanted)
    result = await controller.rehearse(recording, expected_revision=expected)
    return Change(**asdict(result), differences=tuple(found))


def _recorded(edit: Edit) -> tuple[Edit, list[Difference]]:
    """`edit`, and the list that will hold what it changes."""
    found: list[Difference] = []

    def recording(before: Config) -> Config:
        after = edit(before)
        found[:] = differences(before, after)
        return after

    return recording, found
