"""What a change would write: what is said about it, apart from `rehearsal`, which finds it out."""

from collections.abc import Sequence

from controller.report import Fact


class TableWrites(Fact):
    """Of one table, of one of several switches."""

    table: str
    insert: int
    modify: int
    delete: int
    switch: str = ""


class Step(Fact):
    """What is written together: `after` so many seconds from now, or when the old flows have ended (None)."""

    after: float | None
    writes: tuple[TableWrites, ...]

    @property
    def count(self) -> int:
        return sum(one.insert + one.modify + one.delete for one in self.writes)


class Move(Fact):
    """Buckets of a pool that go from one backend to another; None is nobody.

    `buckets` names them, as in `3, 17-19`.
    """

    pool: str
    giver: str | None
    taker: str | None
    count: int
    buckets: str


class Plan(Fact):
    """All that a change would do to the switch, as far as it holds what it held when it was asked.

    What answers bring (a new backend's next hop, and what depends on that) comes on top, when they have come.
    """

    steps: tuple[Step, ...]
    moves: tuple[Move, ...]
    standing_in: tuple[str, ...] = ()
    """Where backends would leave and go on getting new connections until one is up that is to: who, and why.
    What is written then is not among the steps."""


def joined(plans: Sequence[Plan]) -> Plan:
    """Those of several switches as one. The moves are the same for all."""
    steps: dict[float | None, list[TableWrites]] = {}
    for plan in plans:
        for step in plan.steps:
            steps.setdefault(step.after, []).extend(step.writes)
    moments = sorted(steps, key=lambda after: float("inf") if after is None else after)
    return Plan(
        steps=tuple(Step(after=after, writes=tuple(steps[after])) for after in moments),
        moves=plans[0].moves,
        standing_in=plans[0].standing_in,
    )
