"""What is wrong with the installation, as the daemon sees it."""

from fastapi import APIRouter

from controller.api.flows import TheController
from controller.api.schemas import Refusal
from controller.diagnosis import Finding

router = APIRouter(prefix="/v1", responses={"4XX": {"model": Refusal}, "5XX": {"model": Refusal}})


@router.get("/diagnosis")
async def diagnosis(controller: TheController) -> list[Finding]:
    """Everything that was looked at, and how it is. Takes up to a few seconds."""
    return await controller.diagnose()
