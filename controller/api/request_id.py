"""The number of the request that a task serves, for its answer and for every line that it logs."""

import re
import secrets
from contextvars import ContextVar

HEADER = "X-Request-Id"

_GIVEN = re.compile(r"[A-Za-z0-9._-]{1,64}")

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""That of the present task; "" outside of requests."""


def begin(given: str) -> str:
    """Takes the number that a client has given, or a new one, for the present task."""
    number = given if _GIVEN.fullmatch(given) else secrets.token_hex(6)
    request_id.set(number)  # for good: a task serves one request
    return number
