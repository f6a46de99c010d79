"""The FastAPI application around one controller: `/v1/...` (see `routes`), `/v1/openapi.json`, `/metrics`."""

from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controller.api import doctor, flows, metrics, refusals, replication
from controller.api.routes import router
from controller.config import MAX_DOCUMENT
from controller.controller import Controller

API_VERSION = "1"


class BodyLimit:
    """Refuses requests whose body is larger than any document may be, before it fills the memory."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._limit:
                raise HTTPException(413, f"the body is larger than {self._limit >> 20} MB")
            return message

        await self._app(scope, counted, send)


def create_app(controller: Controller) -> FastAPI:
    """The API of `controller`."""
    app = FastAPI(
        title="Sluice",
        summary="The controller of a layer-4 load balancer.",
        version=API_VERSION,
        openapi_url="/v1/openapi.json",
        docs_url=None,  # these pages load scripts from the web
        redoc_url=None,
    )
    app.state.controller = controller
    app.include_router(router)
    app.include_router(flows.router)
    app.include_router(doctor.router)
    app.include_router(replication.router)
    app.add_middleware(BodyLimit, limit=MAX_DOCUMENT)
    refusals.install(app)

    registry = metrics.registry(controller.report)

    @app.get("/metrics", response_class=Response)
    async def prometheus() -> Response:
        """The present state for Prometheus."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return app
