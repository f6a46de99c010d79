"""What is known of flows: those that a draining backend still has, and those that the switch has recorded."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from controller.api.schemas import Refusal
from controller.controller import Controller
from controller.draining import DrainReport
from controller.recorded import Recorded

router = APIRouter(prefix="/v1", responses={"4XX": {"model": Refusal}, "5XX": {"model": Refusal}})


def _controller(request: Request) -> Controller:
    return request.app.state.controller


TheController = Annotated[Controller, Depends(_controller)]


@router.get("/pools/{pool}/backends/{backend}/drain")
async def draining(controller: TheController, pool: str, backend: str) -> DrainReport:
    """How many flows a backend still has, as far as the switch's counters tell."""
    return await controller.draining(pool, backend)


@router.get("/recorded")
async def recorded(controller: TheController) -> Recorded | None:
    """The flows that the switch has recorded as exceptions; null while it does not tell."""
    return await controller.recorded()
