"""What is wrong with the installation, as the daemon sees it."""

from fastapi import APIRouter

from controller.api.routes.requests import TheController
from controller.diagnosis import Finding

router = APIRouter(tags=["present"])


@router.get("/diagnosis", summary="Look for what is wrong")
async def get_diagnosis(controller: TheController) -> list[Finding]:
    """Everything that was looked at, and how it is. Takes up to a few seconds."""
    return await controller.diagnose()
