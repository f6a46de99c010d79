"""Steps of a client that others wrote, and a word for what comes of each.

Only the standard library: this runs in p4runtime-shell's environment too. Messages are of the client's own
protobuf.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

Step = Callable[[], object]
Steps = Mapping[str, Step]
"""By their names, in order. A step's outcome is what it returns as text; a Refused: the code."""

DONE = "done"
AS_WRITTEN = "as written"
NOTHING = "nothing"


class Refused(Exception):
    """code: the name of the update's google.rpc.Code, or of the RPC's status."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Session(Protocol):
    """A client whose entities are of its own types. Each method raises Refused."""

    def insert(self, entity: Any) -> None: ...
    def modify(self, entity: Any) -> None: ...
    def delete(self, entity: Any) -> None: ...
    def read(self, wanted: Any) -> Sequence[Any]: ...
    def message(self, entity: Any) -> Any:
        """The entity as the client puts it into a request."""
        ...


def outcomes(steps: Steps) -> dict[str, str]:
    return {name: outcome(step) for name, step in steps.items()}


def outcome(step: Step) -> str:
    try:
        return str(step())
    except Refused as refused:
        return refused.code


def written(
    session: Session,
    first: Any,
    changed: Any,
    wanted: Any,
    needs: Sequence[Any] = (),
) -> Steps:
    """An entity's life. wanted: a filter for it; needs: entities that must be there meanwhile."""

    def prepare_and_insert() -> str:
        for entity in needs:
            session.insert(entity)
        return do(session.insert, first)

    def tidy_up() -> str:
        for entity in reversed(needs):
            session.delete(entity)
        return DONE

    steps: dict[str, Step] = {
        "insert": prepare_and_insert,
        "read": lambda: read_back(session, wanted, first),
        "modify": lambda: do(session.modify, changed),
        "read modified": lambda: read_back(session, wanted, changed),
        "delete": lambda: do(session.delete, changed),
        "read deleted": lambda: read_back(session, wanted),
    }
    return steps | ({"tidy up": tidy_up} if needs else {})


def cells(session: Session, cell: Any, one: Any, every: Any) -> Steps:
    """Of an array. one, every: the filters that read this cell, and all of them."""
    return {
        "modify": lambda: do(session.modify, cell),
        "read": lambda: read_back(session, one, cell),
        "read all": lambda: len(session.read(every)),
    }


def with_its_entry(session: Session, entry: Any, resource: Any, one: Any, every: Any) -> Steps:
    """A direct resource of a table entry. every: a filter for all of the table."""
    return {
        "insert its entry": lambda: do(session.insert, entry),
        "modify": lambda: do(session.modify, resource),
        "read": lambda: read_back(session, one, resource),
        "read all": lambda: read_back(session, every, resource),
        "delete its entry": lambda: do(session.delete, entry),
    }


def do(write: Callable[[Any], None], entity: Any) -> str:
    write(entity)
    return DONE


def read_back(session: Session, wanted: Any, *expected: Any) -> str:
    """AS_WRITTEN, NOTHING, or what is different: a number of entities, or names of fields."""
    found = [session.message(entity) for entity in session.read(wanted)]
    if not found:
        return NOTHING
    if len(found) != len(expected):
        return f"{len(found)} entities"
    pairs = zip([session.message(entity) for entity in expected], found, strict=True)
    names = sorted({name for pair in pairs for name in differing(*pair)})
    return f"another {', '.join(names)}" if names else AS_WRITTEN


def differing(one: Any, other: Any) -> list[str]:
    """Names of the innermost fields in which two messages differ."""
    fields = [{field.name: value for field, value in message.ListFields()} for message in (one, other)]
    names: list[str] = []
    for name in fields[0].keys() | fields[1].keys():
        values = [unordered(each.get(name)) for each in fields]
        if values[0] == values[1]:
            continue
        if all(hasattr(value, "ListFields") for value in values):
            names += differing(*values)
        else:
            names.append(name)
    return names


def unordered(value: Any) -> Any:
    """A repeated field as a set: replicas, members of a group and match fields have no order."""
    if hasattr(value, "ListFields") or not hasattr(value, "add"):
        return value
    return sorted(message.SerializeToString() for message in value)
