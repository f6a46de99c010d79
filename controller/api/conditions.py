"""Changes that are made for one revision only: `If-Match` with the entity tag of the configuration.

The tag is the revision's number in quotes, as `ETag` has it (RFC 9110, sections 8.8.3 and 13.1.1). Without a
condition a change is made to whatever is there: it says `weight 3`, not `one more`.

`expected_revision` is the milder one, for documents: what would change nothing is no conflict, so that a
document can be applied twice.
"""

import re
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Query

from controller.errors import InvalidConfig, Problem

MAX_REVISION = 2**63 - 1
"""What SQLite can count to."""

_TAG = re.compile(r'"(\d{1,19})"')


def tag(revision: int) -> str:
    """The entity tag of a revision."""
    return f'"{revision}"'


@dataclass(frozen=True, slots=True)
class Condition:
    """The revision that a change is for; None for any. `strict`: also if it would change nothing."""

    revision: int | None = None
    strict: bool = False


def _expected(
    if_match: Annotated[
        str | None,
        Header(
            max_length=100,
            description='Make the change only at this revision, such as `"7"`; `*` for any.',
            examples=['"7"'],
        ),
    ] = None,
    expected_revision: Annotated[
        int | None,
        Query(
            ge=1,
            le=MAX_REVISION,
            description="The same, but a change that would change nothing is made at any revision.",
        ),
    ] = None,
) -> Condition:
    """Raises InvalidConfig."""
    if if_match is None or if_match.strip() == "*":
        return Condition(expected_revision)
    match = _TAG.fullmatch(if_match.strip())
    if not match:
        text = f'is {if_match!r}, must be one revision in quotes, such as "7", or *'
        raise InvalidConfig([Problem("If-Match", text)])
    if expected_revision not in (None, int(match[1])):
        text = f"is {expected_revision}, but If-Match says {match[1]}: leave one of them out"
        raise InvalidConfig([Problem("expected_revision", text)])
    return Condition(int(match[1]), strict=True)


Expected = Annotated[Condition, Depends(_expected)]
