"""Seeing inside a running switch, by gRPC on P4Runtime's address: what it counts, and what packets do in it.

Two methods of the service sluice.Inspection, whose messages are JSON documents (UTF-8):

    Counters    {}                         -> {"drops": {...}, "losses": {...}, "ports": {"1": {...}}}
    Trace       {"filter": "dport=80"}     -> a stream of traced packets, and of {"note": "..."}

`sluice switch counters` and `sluice switch trace` are their client.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import grpc

from switch.errors import BuildError, EngineError
from switch.live_trace import LiveTrace, Traced
from switch.server.device import Device
from switch.server.status import RequestError, grpc_code
from switch.trace_filter import FilterError, TraceFilter

SERVICE = "sluice.Inspection"

LOOK_INTERVAL = 0.05  # seconds between looks for traced packets
PROGRAM_INTERVAL = 0.5  # between looks for a program, while there is none


@dataclass(frozen=True, slots=True)
class Note:
    """What happened to the trace itself."""

    text: str

    def as_json(self) -> dict[str, Any]:
        return {"note": self.text}

    def __str__(self) -> str:
        return self.text


def follow(device: Device, chosen: TraceFilter, goes_on: Callable[[], bool]) -> Iterator[Traced | Note]:
    """The packets that the filter chooses, as they come, from one program to the next, while `goes_on`.

    Raises RequestError when another trace is under way, and BuildError.
    """
    waiting = False
    while goes_on():
        if not device.has_program:
            if not waiting:
                yield Note("no program yet: waiting for one")
                waiting = True
            time.sleep(PROGRAM_INTERVAL)
            continue
        waiting = False
        with device.tracing(chosen) as live:
            yield Note("tracing")
            with suppress(EngineError):  # the program may go, with what was traced last
                yield from _taken(device, live, goes_on)
        if goes_on():
            yield Note("the program was exchanged")


def _taken(device: Device, live: LiveTrace, goes_on: Callable[[], bool]) -> Iterator[Traced | Note]:
    missed = 0
    while device.is_traced(live) and goes_on():
        packets = live.take()
        yield from packets
        if live.missed > missed:
            yield Note(f"{live.missed - missed} packets were not traced: they came too fast")
            missed = live.missed
        if not packets:
            time.sleep(LOOK_INTERVAL)


class Inspection:
    """The service."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._stopping = False

    def handler(self) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Counters": grpc.unary_unary_rpc_method_handler(self._counters),
                "Trace": grpc.unary_stream_rpc_method_handler(self._trace),
            },
        )

    def end(self) -> None:
        """Ends the trace."""
        self._stopping = True

    def _counters(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        del request, context
        counts = self._device.data_plane.counts()
        return json.dumps(
            {"drops": dict(self._device.drops()), "losses": dict(counts.losses), "ports": dict(counts.ports)}
        ).encode()

    def _trace(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        try:
            chosen = _filter(request)
            for told in follow(self._device, chosen, lambda: context.is_active() and not self._stopping):
                yield json.dumps(told.as_json()).encode()
        except ValueError as error:  # FilterError too
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except RequestError as error:
            context.abort(grpc_code(error.code), error.message)
        except BuildError as error:
            context.abort(grpc.StatusCode.INTERNAL, str(error))


def _filter(request: bytes) -> TraceFilter:
    """Raises ValueError."""
    wanted = json.loads(request)
    text = wanted.get("filter") if isinstance(wanted, dict) else None
    if not isinstance(text, str):
        raise FilterError('the request should be {"filter": "..."}')
    return TraceFilter.parse(text)
