"""`/v1/vips`"""

from typing import Annotated

from fastapi import APIRouter, Body

from controller import model
from controller.api.bodies import StrictRoute
from controller.api.conditions import Expected
from controller.api.document import CHANGE, refused
from controller.api.routes import changes
from controller.api.routes.requests import TheController, User, VipName
from controller.api.schemas import Change
from controller.model import Vip
from controller.report import VipReport

router = APIRouter(tags=["VIPs"], route_class=StrictRoute)

NEW = {
    "a service of an IPv6 pool": {
        "value": {"name": "dns-tcp", "address": "fd00::101", "port": 53, "pool": "dns"}
    },
}


@router.get("/vips", summary="List the VIPs")
async def list_vips(controller: TheController) -> list[VipReport]:
    """All VIPs, with what came for them."""
    return list(controller.report().vips)


@router.get("/vips/{vip}", summary="Show a VIP", responses=refused(404, 422))
async def get_vip(controller: TheController, vip: VipName) -> VipReport:
    """One VIP, with what came for it."""
    controller.config.vip(vip)
    return next(report for report in controller.report().vips if report.name == vip)


@router.post("/vips", summary="Add a VIP", status_code=201, responses=CHANGE)
async def add_vip(
    controller: TheController,
    vip: Annotated[Vip, Body(openapi_examples=NEW)],  # type: ignore[arg-type]
    user: User,
    expected: Expected,
) -> Change:
    """Adds a VIP for a pool that there is."""
    return await changes.change(
        controller,
        f"VIP {vip.name} added",
        lambda config: model.add_vip(config, vip),
        who=user,
        expected=expected,
    )


@router.delete("/vips/{vip}", summary="Remove a VIP", responses=CHANGE | refused(404))
async def remove_vip(controller: TheController, vip: VipName, user: User, expected: Expected) -> Change:
    """Removes a VIP; its pool stays."""
    return await changes.change(
        controller,
        f"VIP {vip} removed",
        lambda config: model.remove_vip(config, vip),
        who=user,
        expected=expected,
    )
