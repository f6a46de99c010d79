"""What is known of flows: those that a draining backend still has, and those that the switch has recorded."""

from fastapi import APIRouter

from controller.api.document import refused
from controller.api.routes.requests import BackendName, PoolName, TheController
from controller.report import DrainReport, Recorded

router = APIRouter(tags=["pools"])


@router.get(
    "/pools/{pool}/backends/{backend}/drain", summary="Show how a drain goes", responses=refused(404, 422)
)
async def get_drain(controller: TheController, pool: PoolName, backend: BackendName) -> DrainReport:
    """How many flows a backend still has, as far as the switch's counters tell."""
    return await controller.draining(pool, backend)


@router.get("/recorded", summary="Count recorded flows")
async def get_recorded(controller: TheController) -> Recorded | None:
    """The flows that the switch has recorded as exceptions; null while it does not tell."""
    return await controller.recorded()
