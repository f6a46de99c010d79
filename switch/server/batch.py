"""Several updates in one request, and what becomes of them when one fails ("Batch Atomicity").

`each` is CONTINUE_ON_ERROR. `all_or_none` is ROLLBACK_ON_ERROR; it is DATAPLANE_ATOMIC when no packet is
processed meanwhile.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from finsy.proto import p4r, rpc_code

from switch.errors import EngineError
from switch.server import write
from switch.server.pipeline import Pipeline
from switch.server.status import RequestError, refusal
from switch.server.undo import undo_of
from switch.server.write_message import WriteMessage

T = TypeVar("T")

Outcome = list[RequestError | None]
"""What became of each element; None: it went well."""


def each(batch: Iterable[T], one: Callable[[T], object]) -> Outcome:
    """Do all, whatever fails."""
    return [failure(one, element) for element in batch]


def each_written(pipeline: Pipeline, message: WriteMessage) -> Outcome:
    """`each` of a request's updates: the usual ones in C, and what C leaves out here."""
    outcome: Outcome = [None] * message.count
    at = 0
    while (at := pipeline.writes.apply(message, at)) < message.count:
        outcome[at] = failure(lambda update: write.apply(pipeline, update), message.update(at))
        at += 1
    return outcome


def all_or_none(pipeline: Pipeline, updates: Sequence[p4r.Update]) -> Outcome:
    """Do all, or put everything back as it was. Updates that went well and were undone count as ABORTED.

    What packets changed meanwhile (counts, registers) is put back only where an update wrote to it.
    """
    undo: list[list[p4r.Update]] = []
    for number, update in enumerate(updates):
        back = undo_of(pipeline, update)
        error = failure(lambda update: write.apply(pipeline, update), update)
        if error is not None:
            for step in reversed(undo):
                for old in step:
                    write.apply(pipeline, old)
            aborted = RequestError(rpc_code.ABORTED, f"nothing was changed, because of update {number}")
            return [error if other == number else aborted for other in range(len(updates))]
        undo.append(back)
    return [None] * len(updates)


def failure(one: Callable[[T], object], element: T) -> RequestError | None:
    try:
        one(element)
    except RequestError as error:
        return error
    except EngineError as error:
        return refusal(error)
    return None
