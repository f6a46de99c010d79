"""`/v1/config` and `/v1/revisions`: the configuration as a whole, now and before."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response

from controller import config as documents
from controller.api.conditions import MAX_REVISION, Expected, tag
from controller.api.document import CHANGE, TAGGED, refused, yaml_answer
from controller.api.routes import changes
from controller.api.routes.requests import DryRun, TheController, User
from controller.api.schemas import YAML, Change, ConfigView
from controller.deadlines import without_passed_deadlines
from controller.difference import Difference, differences
from controller.revision import Revision

router = APIRouter(tags=["configuration"])

MAX_SOURCE = 1000
"""Letters of what a document is called."""

Number = Annotated[int, Path(ge=1, le=MAX_REVISION, description="A revision's number.", examples=[1])]
Source = Annotated[
    str,
    Query(
        max_length=MAX_SOURCE,
        pattern=r"^[^\x00-\x1f\x7f]*$",
        description="What to call the document in messages and in the history.",
        examples=["sluice.yaml"],
    ),
]


@router.get(
    "/config",
    summary="Get the configuration",
    response_model=ConfigView,
    response_model_exclude_none=True,
    responses=refused(422) | {200: TAGGED | yaml_answer("The configuration.")},
)
async def get_config(
    controller: TheController,
    response: Response,
    form: Annotated[
        Literal["json", "yaml"], Query(alias="format", description="YAML is a document to edit and put.")
    ] = "json",
) -> Any:
    """The configuration with its revision, or as a YAML document that can be put back.

    `ETag` has the revision, for `If-Match` of a change.
    """
    etag = tag(controller.revision.number)
    if form == "yaml":
        return Response(documents.dump(controller.config), media_type=YAML, headers={"ETag": etag})
    response.headers["ETag"] = etag
    return ConfigView(revision=controller.revision, config=controller.config)


@router.put(
    "/config",
    summary="Replace the configuration",
    responses=CHANGE | refused(408, 413),
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "The document: YAML, of which JSON is a part, in UTF-8; 32 MB at most.",
            "content": {
                YAML: {"schema": {"type": "object"}},
                "application/json": {"schema": {"type": "object"}},
            },
        }
    },
)
async def put_config(
    request: Request,
    controller: TheController,
    user: User,
    expected: Expected,
    source: Source = "",
    dry_run: DryRun = False,
) -> Change:
    """Replaces the whole configuration by a document.

    Backends that it no longer has are drained before they go. A dry run stores and changes nothing.
    """
    body = await request.body()
    wanted = await asyncio.to_thread(documents.parse, body, source)
    what = f"{source or 'a document'} applied"
    return await changes.replace(controller, what, wanted, who=user, expected=expected, dry_run=dry_run)


@router.get("/revisions", summary="List the revisions")
async def list_revisions(controller: TheController) -> list[Revision]:
    """Every change of the configuration, oldest first."""
    return await controller.revisions()


@router.get(
    "/revisions/{number}",
    summary="Get the configuration of a revision",
    response_class=Response,
    responses=refused(404, 422) | {200: yaml_answer("The configuration as it was.")},
)
async def get_revision(controller: TheController, number: Number) -> Response:
    """The configuration of a revision, as a YAML document."""
    return Response(documents.dump(await controller.config_of(number)), media_type=YAML)


@router.get("/revisions/{number}/differences", summary="Compare revisions", responses=refused(404, 422))
async def compare_revisions(
    controller: TheController,
    number: Number,
    until: Annotated[
        int | None, Query(ge=1, le=MAX_REVISION, description="The later revision; by default the present.")
    ] = None,
) -> list[Difference]:
    """What has changed since revision `number`, until the present or another revision."""
    before = await controller.config_of(number)
    after = controller.config if until is None else await controller.config_of(until)
    return list(differences(before, after))


@router.post("/revisions/{number}/restore", summary="Go back to a revision", responses=CHANGE | refused(404))
async def restore_revision(
    controller: TheController,
    number: Number,
    user: User,
    expected: Expected,
    dry_run: DryRun = False,
) -> Change:
    """Makes the configuration what it was at a revision: a new one, with the same contents.

    Deadlines of drains that have passed meanwhile are left out, so that nothing is cut at once.
    """
    wanted = without_passed_deadlines(await controller.config_of(number), datetime.now(UTC))
    what = f"back to revision {number}"
    return await changes.replace(controller, what, wanted, who=user, expected=expected, dry_run=dry_run)
