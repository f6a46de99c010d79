"""`/v1/replica`: what a standby asks the active controller: its store, and then what changes in it."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query

from controller.api.conditions import MAX_REVISION
from controller.api.document import refused
from controller.api.routes.requests import TheController
from controller.pair import LONGEST_WAIT
from controller.replica import FORMAT, Bookmark, Replica

router = APIRouter(tags=["pair"])

Epoch = Annotated[str, Query(max_length=100, description="Of the copy that the asker has.", examples=[""])]
Version = Annotated[
    int, Query(ge=0, le=MAX_REVISION, description="Until where the asker has everything.", examples=[0])
]
Before = Annotated[
    int,
    Query(
        ge=0,
        le=MAX_REVISION,
        description="If not 0: the asker lacks the revisions before that one.",
        examples=[0],
    ),
]
Format = Annotated[
    int, Query(ge=1, le=MAX_REVISION, description="The latest that the asker knows.", examples=[FORMAT])
]
Wait = Annotated[float, Query(ge=0, le=LONGEST_WAIT, description="Seconds, for news.", examples=[0])]


@router.get("/replica", summary="Copy the store", responses=refused(404, 409, 422))
async def get_replica(
    controller: TheController,
    epoch: Epoch = "",
    version: Version = 0,
    before: Before = 0,
    wait: Wait = 0,
    format: Format = 1,
) -> Replica:
    """What a copy lacks that has all until `version` of `epoch`; waits up to `wait` seconds for news.

    Asking says that everything until then is on the asker's disk. By TCP it takes a token with the role
    `peer` or `write`.
    """
    if controller.pair is None:
        raise HTTPException(404, "this controller has no peer: start it with --peer")
    if format < FORMAT:
        raise HTTPException(
            409, f"the asker is of an older version (it copies format {format}, this is {FORMAT}): update it"
        )
    return await controller.pair.followers.replica(Bookmark(epoch, version, before), wait)
