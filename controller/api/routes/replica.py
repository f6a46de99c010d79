"""`/v1/replica`: what a standby asks the active controller: its store, and then what changes in it."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query

from controller.api.conditions import MAX_REVISION
from controller.api.document import refused
from controller.api.routes.requests import TheController
from controller.pair import LONGEST_WAIT
from controller.replica import Replica

router = APIRouter(tags=["pair"])

Epoch = Annotated[str, Query(max_length=100, description="Of the copy that the asker has.", examples=[""])]
Version = Annotated[
    int, Query(ge=0, le=MAX_REVISION, description="Until where the asker has everything.", examples=[0])
]
Wait = Annotated[float, Query(ge=0, le=LONGEST_WAIT, description="Seconds, for news.", examples=[0])]


@router.get("/replica", summary="Copy the store", responses=refused(404, 422))
async def get_replica(
    controller: TheController, epoch: Epoch = "", version: Version = 0, wait: Wait = 0
) -> Replica:
    """What a copy lacks that has all until `version` of `epoch`; waits up to `wait` seconds for news.

    Asking says that everything until then is on the asker's disk.
    """
    if controller.pair is None:
        raise HTTPException(404, "this controller has no peer: start it with --peer")
    return await controller.pair.followers.replica(epoch, version, wait)
