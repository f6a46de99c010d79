"""`/v1/events`: what happened, and what happens."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from controller.api.conditions import MAX_REVISION
from controller.api.document import refused
from controller.api.routes.requests import TheController
from controller.events import Event

router = APIRouter(tags=["events"])

After = Annotated[
    int, Query(ge=0, le=MAX_REVISION, description="Only events with a larger number.", examples=[0])
]


@router.get("/events", summary="List the events", responses=refused(422))
async def list_events(controller: TheController, after: After = 0) -> list[Event]:
    """What happened, oldest first: the latest few thousand."""
    return controller.events.since(after)


def _place(request: Request) -> Iterator[None]:
    with request.app.state.followers.place():
        yield


@router.get(
    "/events/stream",
    summary="Follow the events",
    response_class=EventSourceResponse,
    dependencies=[Depends(_place)],
    responses=refused(422, 429),
)
async def follow_events(controller: TheController, after: After = 0) -> AsyncIterator[ServerSentEvent]:
    """What happened and what happens from now on, as server-sent events, until the daemon's end.

    Numbers have no gaps: a follower that is told 9 after 5 was too slow for three.
    """
    async for event in controller.events.follow(after):
        yield ServerSentEvent(data=asdict(event), id=str(event.number), event=event.kind)
