"""The FastAPI application around one controller: `/v1/...` (see `routes`), `/v1/openapi.json`, `/metrics`.

A request goes through `tracking`, then `access` where there are tokens, then `limits`, then to its route.
"""

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from controller.api import document, metrics, refusals
from controller.api.access import Access
from controller.api.limits import BodyLimit, Connections, Followers
from controller.api.routes import router
from controller.api.tracking import Measures, Tracking
from controller.controller import Controller

API_VERSION = "1"


class Served:
    """What the applications of one daemon share."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller
        self.followers, self.connections = Followers(), Connections()
        self.registry = metrics.registry(
            controller.report, controller.reports, controller.events, self.followers, self.connections
        )
        self.measures = Measures(self.registry)


def create_app(served: Controller | Served, access: Access | None = None) -> FastAPI:
    """The API of a controller: for whoever reaches it, or, with `access`, for those who have a token."""
    if isinstance(served, Controller):
        served = Served(served)
    app = _described()
    app.state.controller = served.controller
    app.state.followers = served.followers
    app.state.registry = served.registry
    # The last one added is the outermost.
    app.add_middleware(BodyLimit)
    if access:
        app.add_middleware(access.around)
    app.add_middleware(Tracking, measures=served.measures)
    refusals.install(app)
    return app


def describe() -> dict[str, Any]:
    """The OpenAPI document."""
    return _described().openapi()


def _described() -> FastAPI:
    """The application with its routes, and nobody to serve."""
    app = FastAPI(
        title="Sluice",
        summary="The controller of a layer-4 load balancer.",
        version=API_VERSION,
        openapi_url="/v1/openapi.json",
        docs_url=None,  # these pages load scripts from the web
        redoc_url=None,
        generate_unique_id_function=_operation,
    )
    app.include_router(router)
    document.complete(app)

    @app.get(
        "/metrics",
        tags=["metrics"],
        summary="Measure everything",
        response_class=Response,
        responses={200: {"content": {CONTENT_TYPE_LATEST: {"schema": {"type": "string"}}}}},
    )
    async def get_metrics(request: Request) -> Response:
        """The present state in the text format of Prometheus."""
        return Response(generate_latest(request.app.state.registry), media_type=CONTENT_TYPE_LATEST)

    return app


def _operation(route: APIRoute) -> str:
    """The operation's name in the document, and so in clients made from it."""
    return route.name
