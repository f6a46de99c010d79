"""One line of log and one measurement for each request, under a number that its other lines carry too.

Changes are logged at INFO, what only looks at DEBUG. Neither queries nor headers are: they may hold secrets.
"""

import logging
import re
import secrets
import time
from contextvars import ContextVar

from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controller.api.access import LOOKING

logger = logging.getLogger("sluice.api")

HEADER = "X-Request-Id"

METHODS = (*LOOKING, "POST", "PUT", "PATCH", "DELETE")
NO_ROUTE = "none"
"""The label of requests for what there is not: their paths are the client's to choose."""

SECONDS = (0.001, 0.005, 0.02, 0.1, 0.5, 2, 10)
"""Bounds of the histogram. Looking takes milliseconds; a change waits for the switch."""

_GIVEN = re.compile(r"[A-Za-z0-9._-]{1,64}")

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Of the request that the present task serves; "" outside of requests."""


class Measures:
    """Counts of requests, for all applications of one daemon."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "sluice_api_requests",
            "Requests to the API.",
            ["method", "route", "status"],
            registry=registry,
        )
        self.duration = Histogram(
            "sluice_api_request_duration_seconds",
            "Time from a request's head to the end of its answer.",
            ["method"],
            buckets=SECONDS,
            registry=registry,
        )

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        method = method if method in METHODS else "other"
        self.requests.labels(method, route, str(status)).inc()
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
        given = Headers(scope=scope).get(HEADER, "")
        number = given if _GIVEN.fullmatch(given) else secrets.token_hex(6)
        request_id.set(number)  # for good: the task, or its next request, is of no other use
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
        place = route.path if isinstance(route, APIRoute) else NO_ROUTE
        self._measures.count(scope["method"], place, status, seconds)
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
