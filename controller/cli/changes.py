"""What is said about a change."""

import json
from collections.abc import Iterable
from typing import Any

import typer

from controller.api.schemas import Change
from controller.cli.options import Format
from controller.cli.output import line, print_data, print_table
from controller.difference import Difference
from controller.plan import Plan, Step
from controller.report import ANNOUNCED
from controller.values import format_duration

NOT_APPLIED = 1
"""Exit code for a change that is stored, but that the switch did not take in time."""


def report(change: Change, what: str, form: Format, note: str = "") -> None:
    """Says what became of a change. Exits with NOT_APPLIED when the switch does not have it yet."""
    if change.differences:
        report_deed(change, what, form, note)
    elif form is not Format.TABLE:
        print_data(change, form)
    else:
        line(f"nothing to change: that is how it is already (revision {change.revision})")


def report_deed(change: Change, what: str, form: Format, note: str = "") -> None:
    """The same of what is done though the configuration may say already that it should be so."""
    if form is not Format.TABLE:
        print_data(change, form)
    else:
        later = not change.applied or change.detail.startswith(ANNOUNCED)
        how = "to move" if change.moved_buckets and later else "moved"
        line(f"{what} (revision {change.revision}); {buckets(change.moved_buckets)} {how}{note}")
    if not change.applied:
        line(f"{change.detail}; it follows by itself", "yellow", error=True)
        raise typer.Exit(NOT_APPLIED)
    if change.detail and form is Format.TABLE:
        line(change.detail)


def report_replacement(change: Change, what: str, form: Format, *, dry_run: bool) -> None:
    """Says what replacing the whole configuration has changed, or would."""
    if form is Format.TABLE:
        print_differences(change.differences)
    if not dry_run:
        report(change, what, form)
    elif form is not Format.TABLE:
        print_data(change, form)
    elif change.differences:
        report_trial(change, form)
    else:
        line("dry run: nothing would change")


def report_trial(change: Change, form: Format) -> None:
    """Says what a change would do."""
    if form is not Format.TABLE:
        print_data(change, form)
        return
    if change.plan:
        print_plan(change.plan)
    line(f"dry run, nothing was changed; {buckets(change.moved_buckets)} would move")
    if change.detail:
        line(change.detail, "yellow")


def print_plan(plan: Plan) -> None:
    """Which buckets go from whom to whom, and what is written to which table when."""
    if plan.moves:
        print_table(
            ("POOL", "FROM", "TO", ">BUCKETS"),
            [(one.pool, one.giver or "nobody", one.taker or "nobody", str(one.count)) for one in plan.moves],
        )
    if plan.steps:
        several = any(one.switch for step in plan.steps for one in step.writes)
        print_table(
            ("WRITTEN", *(("SWITCH",) if several else ()), "TABLE", ">INSERT", ">MODIFY", ">DELETE"),
            [
                (
                    _when(step),
                    *((one.switch,) if several else ()),
                    one.table,
                    str(one.insert),
                    str(one.modify),
                    str(one.delete),
                )
                for step in plan.steps
                for one in step.writes
            ],
        )
    for text in plan.standing_in:
        line(text, "yellow")


def _when(step: Step) -> str:
    if step.after is None:
        return "when old flows have ended"
    return f"in {format_duration(round(step.after, 3))}" if step.after else "at once"


def buckets(count: int) -> str:
    return f"{count or 'no'} bucket{'' if count == 1 else 's'}"


def print_differences(differences: Iterable[Difference]) -> None:
    """One line each: + for what comes, - for what goes, ~ for what becomes something else."""
    for difference in differences:
        before, after = _short(difference.before), _short(difference.after)
        if difference.before is None:
            line(f"+ {difference.path}: {after}", "green")
        elif difference.after is None:
            line(f"- {difference.path}: {before}", "red")
        else:
            line(f"~ {difference.path}: {before} -> {after}", "yellow")


def _short(value: Any) -> str:
    """A value on one line; `{name: b5, weight: 1}` without quotes where they say nothing."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_short(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_short, value)) + "]"
    return value if isinstance(value, str) else json.dumps(value)
