"""The OpenAPI document: what FastAPI cannot know from the routes, and every answer that is not a success."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from controller.api.request_id import HEADER
from controller.api.schemas import YAML, Refusal

Answers = dict[int | str, dict[str, Any]]

DESCRIPTION = """\
Reading answers with what is. A change is stored before it is answered, as a revision of its own, and the
answer waits a few seconds for the switch to have it; a change that changes nothing makes no revision.

Every answer that is not a success is a `Refusal`: what was wrong, where, and what would be right. Nothing has
been changed then.

A change with `If-Match` is made only at that revision; otherwise it is refused with 412, and nothing of what
somebody else did meanwhile is lost.

By the unix socket everything is allowed to whom the file's mode allows to open it. By TCP there is only TLS,
and each request needs a token: for reading, for changes as well, or for the other controller of a pair.
"""

TAGS = {
    "present": "What is, and why.",
    "configuration": "The configuration as a whole, now and before.",
    "pools": "Pools and the backends in them.",
    "VIPs": "The addresses that clients use.",
    "events": "What happened, in order, with causes.",
    "pair": "What one of two controllers asks the other.",
    "metrics": "For Prometheus.",
}

WHY: dict[int, tuple[str, dict[str, Any]]] = {
    401: (
        "By TCP: no token, or one that is not known.",
        {"error": "a token is needed here", "where": "Authorization"},
    ),
    403: (
        "By TCP: the token's role does not allow it.",
        {"error": "the token of prometheus is for reading", "where": "DELETE /v1/vips/web"},
    ),
    404: (
        "There is nothing of that name or number.",
        {"error": "no pool named 'wbe'; there is: dns, web", "hint": "did you mean web?"},
    ),
    408: (
        "The body did not arrive in time.",
        {"error": "the body did not arrive within 30 s", "where": "PUT /v1/config"},
    ),
    409: (
        "The configuration is not at the revision that `expected_revision` names; or who asks for a copy of "
        "the store is of an older version.",
        {
            "error": "the configuration is at revision 8, the change was made for revision 7: look at the "
            "present one and make the change again",
            "where": "expected_revision",
        },
    ),
    412: (
        "The configuration is not at the revision that `If-Match` names.",
        {
            "error": "the configuration is at revision 8, the change was made for revision 7: look at the "
            "present one and make the change again",
            "where": "If-Match",
        },
    ),
    413: (
        "The body is too large.",
        {"error": "the body is larger than 32 MB", "where": "PUT /v1/config"},
    ),
    422: (
        "The request, or what it would make of the configuration, is not right.",
        {
            "error": "is 1001, must be at most 1000",
            "where": "pools[web].backends[b1].weight",
            "mistakes": [
                {
                    "path": "pools[web].backends[b1].weight",
                    "message": "is 1001, must be at most 1000",
                    "line": None,
                }
            ],
        },
    ),
    429: (
        "There are too many followers.",
        {"error": "32 clients follow the events already; ask for /v1/events now and then"},
    ),
    503: (
        "The store cannot be written, or this controller stands by.",
        {"error": "the store /var/lib/sluice/sluice.db cannot be used: disk I/O error"},
    ),
}
"""By status: when it is answered, and an example."""


def refused(*statuses: int) -> Answers:
    """What a route says of answers with these statuses; `_document` adds the rest."""
    return {status: {"model": Refusal} for status in statuses}


CHANGE = refused(408, 409, 412, 413, 422, 503)
"""How a change may be refused."""

TAGGED: dict[str, Any] = {
    "headers": {
        "ETag": {
            "description": "The revision, for `If-Match`.",
            "schema": {"type": "string"},
            "example": '"7"',
        }
    }
}


def yaml_answer(description: str) -> dict[str, Any]:
    return {"description": description, "content": {YAML: {"schema": {"type": "object"}}}}


def complete(app: FastAPI) -> None:
    """Makes `app` describe itself in full."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document


def _document(app: FastAPI) -> dict[str, Any]:
    made = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=DESCRIPTION,
        routes=app.routes,
        tags=[{"name": name, "description": text} for name, text in TAGS.items()],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    made["components"]["securitySchemes"] = {
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "By TCP; `sluice api token` makes one. The unix socket needs none.",
        }
    }
    made["security"] = [{}, {"token": []}]
    number = {"description": "The request's number in the daemon's log.", "schema": {"type": "string"}}
    made["components"]["headers"] = {HEADER: number}
    for path in made["paths"].values():
        for operation in path.values():
            answers: dict[str, Any] = operation["responses"]
            answers |= {status: {} for status in ("401", "403")}
            for status in answers:
                if int(status) in WHY:
                    answers[status] = _refusal(int(status))
                answers[status].setdefault("headers", {})[HEADER] = {"$ref": f"#/components/headers/{HEADER}"}
    return made


def _refusal(status: int) -> dict[str, Any]:
    description, example = WHY[status]
    schema = {"$ref": f"#/components/schemas/{Refusal.__name__}"}
    example = Refusal(**example).model_dump(mode="json")
    return {
        "description": description,
        "content": {"application/json": {"schema": schema, "example": example}},
    }
