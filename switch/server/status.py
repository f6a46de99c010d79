"""How the service says no: canonical codes, per-update details, gRPC statuses.

    RequestError      one request, update or entity is refused: a canonical code and a text
    └── (raised by everything in this package; the service turns it into a gRPC status or a detail)

The engine's errors map to codes in one place, `refusal`.
"""

from collections.abc import Sequence

import grpc
from finsy.proto import p4r, rpc_code, rpc_status

from switch.errors import (
    BadEntry,
    EngineError,
    EntryExists,
    ImmutableTable,
    InUse,
    NoSuchEntry,
    TableFull,
)

STATUS_DETAILS = "grpc-status-details-bin"  # gRPC's name for a serialised google.rpc.Status in the trailers

ERROR_SPACE = "sluice-switch"

# Details travel as HTTP/2 headers, which clients limit: finsy to 64 KiB, gRPC by default to 8 KiB. A response
# above the limit reaches the client as RESOURCE_EXHAUSTED without any detail. So only the first errors get a
# text; how many updates a client may then put into one request is up to its limit (about 35 bytes each).
ERRORS_WITH_TEXT = 100


class RequestError(Exception):
    """Why a request is refused.

    code: one of google.rpc.Code (finsy.proto.rpc_code).
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def invalid(message: str) -> RequestError:
    return RequestError(rpc_code.INVALID_ARGUMENT, message)


def out_of_range(message: str) -> RequestError:
    return RequestError(rpc_code.OUT_OF_RANGE, message)


def not_found(message: str) -> RequestError:
    return RequestError(rpc_code.NOT_FOUND, message)


def unimplemented(message: str) -> RequestError:
    return RequestError(rpc_code.UNIMPLEMENTED, message)


def denied(message: str) -> RequestError:
    return RequestError(rpc_code.PERMISSION_DENIED, message)


def exhausted(message: str) -> RequestError:
    return RequestError(rpc_code.RESOURCE_EXHAUSTED, message)


def failed_precondition(message: str) -> RequestError:
    return RequestError(rpc_code.FAILED_PRECONDITION, message)


_ENGINE_CODES: tuple[tuple[type[EngineError], int], ...] = (
    (EntryExists, rpc_code.ALREADY_EXISTS),
    (NoSuchEntry, rpc_code.NOT_FOUND),
    (TableFull, rpc_code.RESOURCE_EXHAUSTED),
    (ImmutableTable, rpc_code.PERMISSION_DENIED),
    (InUse, rpc_code.FAILED_PRECONDITION),
    (BadEntry, rpc_code.INVALID_ARGUMENT),
)


def refusal(error: EngineError) -> RequestError:
    """The engine's error as P4Runtime has it."""
    for kind, code in _ENGINE_CODES:
        if isinstance(error, kind):
            return RequestError(code, str(error))
    return RequestError(rpc_code.INTERNAL, str(error))


def grpc_code(code: int) -> grpc.StatusCode:
    """The gRPC status code with the number of a google.rpc.Code."""
    return next(status for status in grpc.StatusCode if status.value[0] == code)


def batch_status(errors: Sequence[RequestError | None], what: str) -> rpc_status.Status:
    """The status of a batch in which something failed.

    errors: one for each element, in order; None where it went well. Each becomes a p4.v1.Error.
    """
    failed = [error for error in errors if error is not None]
    status = rpc_status.Status(
        code=rpc_code.UNKNOWN,
        message=f"{len(failed)} of {len(errors)} {what} failed; the first: {failed[0].message}",
    )
    with_text = 0
    for error in errors:
        detail = p4r.Error()
        if error is not None:
            detail.canonical_code = error.code
            if with_text < ERRORS_WITH_TEXT:
                detail.message = error.message
                detail.space = ERROR_SPACE
                with_text += 1
        status.details.add().Pack(detail)
    return status
