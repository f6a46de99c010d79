"""What goes over the API, in both directions, beyond what `model`, `report`, `events` and `store` define."""

from datetime import UTC, datetime
from math import ceil
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, WithJsonSchema, model_validator

from controller.difference import Difference
from controller.health.settings import Damping, Health, Passive
from controller.model import AtDeadline, Config, Deadline, State, UdpFlows
from controller.parts import Int
from controller.plan import Plan
from controller.report import PoolReport, Report
from controller.revision import Revision
from controller.values import Duration, Moment, Share, refuse

USER_HEADER = "X-Sluice-User"
"""Who asks for a change by the unix socket, as the client says: for the history. Access is ruled by the
socket's mode alone. By TCP the name of the token counts instead."""

YAML = "application/yaml"


class Schema(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Mistake(Schema):
    """One mistake in a document. `path` reads as `pools[web].backends[b1].weight`; `line` counts from 1."""

    path: str
    message: str
    line: int | None = None


class Refusal(Schema):
    """Every answer that is not a success.

    `error` says what was wrong, `where` (a path in the document or of the request) where, `hint` what would
    be right; the latter two may be "". A document can have several mistakes: then `error` sums them up.
    """

    error: str
    where: str = ""
    hint: str = ""
    mistakes: tuple[Mistake, ...] = ()


class Status(Report):
    """The report, and the latest change."""

    changed: Revision


class ConfigView(Schema):
    """The desired state at a revision."""

    revision: Revision
    config: Config


class PoolView(PoolReport):
    """A pool: what it does, and how it is configured."""

    idle_timeout: Duration
    drain_deadline: Duration
    udp: UdpFlows
    slow_start: Duration
    panic_below: Share
    tier_minimum: int
    damping: Damping | None
    passive: Passive
    check: Health
    vips: tuple[str, ...]


class Change(Schema):
    """What became of a change, or would.

    It is stored in any case (but for a dry run); `applied` says whether the switch has it already, `detail`
    why not, or what is still to come. `moved_buckets` counts buckets that get another backend for new flows.
    A dry run has a `plan` of what would be written, unless the switch is away.
    """

    revision: int
    applied: bool
    moved_buckets: int
    detail: str
    differences: tuple[Difference, ...]
    plan: Plan | None = None


After = Annotated[
    Duration,
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*(ms|s|m|h|d)\s*$"},
                {"type": "number", "minimum": 0, "exclusiveMaximum": 365 * 86400},
            ],
            "examples": ["10m"],
        },
        mode="validation",
    ),
]
"""A duration as a request may have it."""


class DeadlineChange(Schema):
    """A time, or how long from now by the daemon's clock."""

    after: After | None = None
    at: Moment | None = None
    then: AtDeadline = AtDeadline.KEEP

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.after is None) == (self.at is None):
            raise refuse("needs one of after (such as 10m) and at (such as 2026-11-23T07:10:00Z)")
        return self

    def deadline(self, now: float) -> Deadline:
        at = self.at or datetime.fromtimestamp(ceil(now + (self.after or 0)), UTC)
        return Deadline(at=at, then=self.then)


class BackendChange(Schema):
    """The values of a backend that are to change; what is left out stays.

    `deadline` is for a backend that drains, or is to; null takes it away.
    """

    weight: Int | None = None
    state: State | None = None
    deadline: DeadlineChange | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.changed(0):
            raise refuse("has nothing to change: give weight, state or deadline")
        return self

    def changed(self, now: float) -> dict[str, Any]:
        """The values of a `Backend` that are to be others; `now` in seconds since the epoch."""
        values: dict[str, Any] = {"weight": self.weight, "state": self.state}
        changed = {name: value for name, value in values.items() if value is not None}
        if "deadline" in self.model_fields_set:
            changed["deadline"] = self.deadline and self.deadline.deadline(now)
        return changed
