"""From exceptions to answers: a status and a Refusal for whatever can go wrong."""

from collections.abc import Mapping
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException

from controller import problems
from controller.api.request_id import HEADER, request_id
from controller.api.schemas import Mistake, Refusal
from controller.errors import (
    InvalidConfig,
    Problem,
    RevisionConflict,
    SluiceError,
    UnknownName,
    UnknownRevision,
)

STATUS: dict[type[SluiceError], HTTPStatus] = {
    InvalidConfig: HTTPStatus.UNPROCESSABLE_ENTITY,
    UnknownName: HTTPStatus.NOT_FOUND,
    UnknownRevision: HTTPStatus.NOT_FOUND,
    RevisionConflict: HTTPStatus.CONFLICT,
}
"""Every other SluiceError (the store's, the switch's) is SERVICE_UNAVAILABLE."""


def install(app: FastAPI) -> None:
    """Makes `app` answer all errors in the one shape."""
    app.add_exception_handler(SluiceError, _ours)
    app.add_exception_handler(RequestValidationError, _bad_request)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unforeseen)


def refusal_of(error: SluiceError) -> Refusal:
    match error:
        case InvalidConfig(problems=mistakes):
            return _refusal_of_problems(mistakes, error.source)
        case UnknownName(name=name, known=known):
            close = get_close_matches(name, known, n=1)
            return Refusal(error=str(error), hint=f"did you mean {close[0]}?" if close else "")
        case RevisionConflict():
            return Refusal(error=str(error), where="expected_revision")
        case _:
            return Refusal(error=str(error))


def _refusal_of_problems(mistakes: tuple[Problem, ...], source: str = "") -> Refusal:
    if len(mistakes) == 1:
        error = mistakes[0].message
    else:
        error = f"{len(mistakes)} mistakes in {source or 'the configuration'}"
    return Refusal(
        error=error,
        where=mistakes[0].path if len(mistakes) == 1 else "",
        mistakes=tuple(Mistake(path=p.path, message=p.message, line=p.line) for p in mistakes),
    )


def answer(status: int, refusal: Refusal, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse(refusal.model_dump(), status, headers)


async def _ours(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, SluiceError)
    status = STATUS.get(type(error), HTTPStatus.SERVICE_UNAVAILABLE)
    refusal = refusal_of(error)
    if isinstance(error, RevisionConflict) and "if-match" in request.headers:  # RFC 9110, section 13.1.1
        status, refusal = HTTPStatus.PRECONDITION_FAILED, refusal.model_copy(update={"where": "If-Match"})
    return answer(status, refusal)


async def _bad_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    model = _body_model(request)
    mistakes = tuple(_problem(details, model, error.body) for details in error.errors())
    return answer(HTTPStatus.UNPROCESSABLE_ENTITY, _refusal_of_problems(mistakes, "the request"))


def _problem(details: ErrorDetails, model: type[BaseModel], body: Any) -> Problem:
    """From pydantic's details, whose location here begins with `body`, `query`, `path` or `header`."""
    place, *location = details["loc"]
    if details["type"] == "json_invalid":
        return Problem(str(place), f"is not JSON: {details.get('ctx', {}).get('error')}")
    if not location and details["type"] == "missing":
        return Problem(str(place), "is missing; it must be a JSON object")
    details["loc"] = tuple(location)
    path = problems.path(details["loc"], body if place == "body" else {})
    return Problem(path or str(place), problems.message(details, model))


def _body_model(request: Request) -> type[BaseModel]:
    """What the body should have been; for requests without one, a model that knows no keys."""
    route = request.scope.get("route")
    if isinstance(route, APIRoute) and route.body_field:
        model = route.body_field.field_info.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            return model
    return BaseModel


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    hint = "see /v1/openapi.json for what there is" if error.status_code in (404, 405) else ""
    return answer(
        error.status_code,
        Refusal(error=error.detail, where=f"{request.method} {request.url.path}", hint=hint),
    )


async def _unforeseen(request: Request, error: Exception) -> JSONResponse:
    """A mistake in the daemon. The server logs it with its traceback after this answer."""
    return answer(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        Refusal(
            error="the daemon made a mistake",
            where=f"{request.method} {request.url.path}",
            hint=f"its log has the details under [{request_id.get()}]",
        ),
        {HEADER: request_id.get()},
    )
