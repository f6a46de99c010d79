"""What a change would write: what is said about it, apart from `rehearsal`, which finds it out."""

from controller.report import Fact


class TableWrites(Fact):
    """Of one table."""

    table: str
    insert: int
    modify: int
    delete: int


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
