"""One line of log and one measurement for each request, under a number that its other lines carry too.

Changes are logged at INFO, what only looks at DEBUG. Neither queries nor headers are: they may hold secrets.
"""

import logging
import time

from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controller.api.access import LOOKING
from controller.api.request_id import HEADER, begin

logger = logging.getLogger("sluice.api")

METHODS = (*LOOKING, "POST", "PUT", "PATCH", "DELETE")
NO_OPERATION = "none"
"""The label of requests for what there is not: their paths are the client's to choose."""

SECONDS = (0.001, 0.005, 0.02, 0.1, 0.5, 2, 10)
"""Bounds of the histogram. Looking takes milliseconds; a change waits for the switch."""


class Measures:
    """Counts of requests, for all applications of one daemon."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "sluice_api_requests",
            "Requests to the API.",
            ["method", "operation", "status"],
            registry=registry,
        )
        self.duration = Histogram(
            "sluice_api_request_duration_seconds",
            "Time from a request's head to the end of its answer.",
            ["method"],
            buckets=SECONDS,
            registry=registry,
        )

    def count(self, method: str, operation: str, status: int, seconds: float) -> None:
        method = method if method in METHODS else "other"
        self.requests.labels(method, operation, str(status)).inc()
        self.duration.labels(method).observe(seconds)


class Tracking:
    """Goes around everything else that an application does with a request."""

    def __init__(self, app: ASGIApp, measures: Measures) -> None:
        self._app = app
        self._measures = measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        number = begin(Headers(scope=scope).get(HEADER, ""))
        began, status = time.perf_counter(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = number
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            self._finished(scope, status, time.perf_counter() - began)

    def _finished(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope.get("route")
        operation = route.name if isinstance(route, APIRoute) else NO_OPERATION
        self._measures.count(scope["method"], operation, status, seconds)
        caller = scope.get("state", {}).get("caller")
        logger.log(
            logging.DEBUG if scope["method"] in LOOKING and status < 400 else logging.INFO,
            "%s %s: %d in %.0f ms%s",
            scope["method"],
            scope["path"],
            status,
            seconds * 1000,
            f", {caller.name}" if caller else "",
        )
