"""What a standby asks the active controller: its store, and then what changes in it."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from controller.errors import NotActive
from controller.pair import LONGEST_WAIT
from controller.replica import Replica

router = APIRouter(prefix="/v1")


@router.get("/replica")
async def replica(
    request: Request,
    epoch: Annotated[str, Query(max_length=100)] = "",
    version: Annotated[int, Query(ge=0)] = 0,
    wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT)] = 0,
) -> Replica:
    """What a copy lacks that has all until `version` of `epoch`; waits up to `wait` seconds for news.

    Asking says that everything until then is on the asker's disk.
    """
    pair = request.app.state.controller.pair
    if pair is None:
        raise NotActive("this controller has no peer: start it with --peer")
    return await pair.followers.replica(epoch, version, wait)
