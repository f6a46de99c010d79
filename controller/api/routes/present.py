"""`/v1/status`, `/v1/drops`, `/v1/explain`: what is, and why."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from controller import model
from controller.api.document import refused
from controller.api.routes.requests import TheController
from controller.api.schemas import Status
from controller.errors import InvalidConfig, Problem
from controller.explanation import Explanation
from controller.report import Traffic
from controller.trace import Flow
from controller.values import HostAddress

router = APIRouter(tags=["present"])

Port = Annotated[int, Query(ge=1, le=65535)]


@router.get("/status", summary="Show how everything is")
async def get_status(controller: TheController) -> Status:
    """Everything that the controller knows about the present."""
    return Status(**fields(controller.report()), changed=controller.revision)


@router.get("/drops", summary="Count dropped packets")
async def get_drops(controller: TheController) -> dict[str, Traffic]:
    """Packets that the switch dropped, by reason, since it began counting."""
    return controller.report().drops


@router.get("/explain", summary="Explain where a packet goes", responses=refused(404, 422))
async def explain(
    controller: TheController,
    client: Annotated[HostAddress, Query(description="The packet's source.", examples=["10.0.0.11"])],
    client_port: Annotated[Port, Query(description="The packet's source port.", examples=[40000])],
    address: Annotated[HostAddress, Query(description="Its destination.", examples=["10.0.0.100"])],
    port: Annotated[Port, Query(description="Its destination port.", examples=[80])],
    protocol: model.Protocol = model.Protocol.TCP,
    syn: Annotated[bool, Query(description="Whether a TCP packet begins a connection.")] = True,
    in_port: Annotated[
        int | None,
        Query(
            ge=1,
            le=model.LAST_SWITCH_PORT,
            description="The switch's port it comes in by; by default the one towards the client.",
        ),
    ] = None,
    switch: Annotated[
        str | None,
        Query(
            description="Which of several switches it comes to; by default the first that is connected.",
            examples=["a"],
        ),
    ] = None,
) -> Explanation:
    """Where a packet would go, and why: by the model, and by the switch. Nobody gets it."""
    if client.version != address.version:
        text = (
            f"{client} is IPv{client.version}, but {address} is IPv{address.version}; give both of one family"
        )
        raise InvalidConfig([Problem("client", text)])
    flow = Flow(client, client_port, address, port, protocol, syn)
    return await controller.explain(flow, in_port, switch)


def fields(report: BaseModel) -> dict[str, Any]:
    """The parts of a report as they are, to make a larger one of them."""
    return {name: getattr(report, name) for name in type(report).model_fields}
