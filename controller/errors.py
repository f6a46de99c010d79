"""What can go wrong, for the person who has to put it right.

SluiceError
  StartError         the daemon cannot start
  InvalidConfig      a document, or what a change would make of it, is refused: one Problem per mistake
  UnknownName        no pool, backend or VIP of that name
  UnknownRevision    no revision of that number
  RevisionConflict   somebody changed the configuration in between
  NotActive          this controller stands by, another one takes changes
  StoreError         the store cannot be opened, read or written
  SwitchError        the switch
    Unreachable      no connection, or the connection broke
    NotPrimary       another controller has the switch
      ElectionIdInUse  with our own election id
    PipelineRefused  the switch does not take our program
    CallFailed       a call was answered with an error
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from controller.revision import Revision


class SluiceError(Exception):
    """Base of everything this package raises on purpose; the message is a sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a document. `path` reads as `pools[web].backends[b1].weight`; `line` counts from 1."""

    path: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{self.path}: {self.message}" if self.path else f"{where}{self.message}"


class InvalidConfig(SluiceError):
    """The desired state would not be valid. `problems` holds every mistake that was found, never none."""

    def __init__(self, problems: Sequence[Problem], source: str = "") -> None:
        self.problems = tuple(problems)
        self.source = source
        prefix = f"{source}: " if source else ""
        super().__init__("\n".join(f"{prefix}{problem}" for problem in self.problems))


class StartError(SluiceError):
    """The daemon cannot start; the message says why and what to do."""


class UnknownName(SluiceError):
    """There is no such thing; the message lists what there is."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        self.what, self.name, self.known = what, name, tuple(sorted(known))
        there_is = ", ".join(self.known) or "none"
        super().__init__(f"no {what} named {name!r}; there is: {there_is}")


class UnknownRevision(SluiceError):
    """There is no such revision in the store."""

    def __init__(self, number: int) -> None:
        super().__init__(f"there is no revision {number}; `sluice history` lists those that there are")


class RevisionConflict(SluiceError):
    """The change was made for another revision than the present one."""

    def __init__(self, expected: int, present: Revision) -> None:
        self.expected, self.present = expected, present
        super().__init__(
            f"the configuration is at revision {present.number} (by {present.who}: {present.what}), "
            f"the change was made for revision {expected}: look at the present one and make the change again"
        )


class NotActive(SluiceError):
    """This controller may not change anything now."""


class StoreError(SluiceError):
    """The store cannot be opened, read or written."""


class SwitchError(SluiceError):
    """Something about the switch."""


class Unreachable(SwitchError):
    """No connection to the switch, or it broke, or an answer did not come in time."""


class NotPrimary(SwitchError):
    """Another controller has the switch."""


class ElectionIdInUse(NotPrimary):
    """Somebody has the switch with the election id that we ask with; perhaps ourselves, a moment ago."""


class PipelineRefused(SwitchError):
    """The switch refuses our program, or runs another one that we may not replace."""


class CallFailed(SwitchError):
    """The switch answered a call with an error that is not about single entries."""
