"""The wire between a controller and a switch, at an address of its own, that does to calls what a test says.

    async with Proxy(switch.address) as proxy:
        proxy.writes.append(answer_lost)      # for the next write
        await proxy.cut(); await proxy.heal()

Messages are passed on as bytes; only writes are looked into. The gRPC server has a port of its own, so that
a cut is what a broken cable is to a client: streams end, and nobody answers.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, Self

import grpc
import grpc.aio
from finsy.grpcutil import GRPC_EOF
from finsy.proto import p4r, rpc_code, rpc_status

SERVICE = "/p4.v1.P4Runtime/"
OPTIONS = [
    ("grpc.max_receive_message_length", 256 << 20),
    ("grpc.max_metadata_size", 1 << 20),
    ("grpc.absolute_max_metadata_size", 1 << 20),
    ("grpc.use_local_subchannel_pool", 1),
]
DETAILS = "grpc-status-details-bin"

Forward = Callable[[p4r.WriteRequest], Awaitable[bytes]]
Treatment = Callable[[p4r.WriteRequest, Forward], Awaitable[bytes]]
"""What is done with a write: may pass it on, wholly or in parts, and answers, or raises Answer."""


class Answer(Exception):
    """The call is answered with an error."""

    def __init__(
        self, code: grpc.StatusCode, text: str, metadata: tuple[tuple[str, str | bytes], ...] = ()
    ) -> None:
        super().__init__(text)
        self.code, self.text, self.metadata = code, text, metadata


class Proxy:
    """Passes everything on, as long as nobody says otherwise.

    `writes` are treatments of the next writes, one each, and `otherwise` that of all others. `delay`
    (seconds) is added to every message, in both directions. `written` are the writes that came.
    """

    def __init__(self, switch: str) -> None:
        self.address = ""
        self.delay = 0.0
        self.writes: deque[Treatment] = deque()
        self.otherwise: Treatment = _pass_on
        self.written: list[p4r.WriteRequest] = []
        self._switch = switch
        self._server: grpc.aio.Server | None = None
        self._ended = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.heal()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()

    async def heal(self) -> None:
        """Serves, at the address of before."""
        self._channel = grpc.aio.insecure_channel(self._switch, options=OPTIONS)
        server = grpc.aio.server(options=[*OPTIONS, ("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers([_Handlers(self)])
        port = server.add_insecure_port(self.address or "127.0.0.1:0")
        self.address = f"127.0.0.1:{port}"
        await server.start()
        self._server = server

    async def cut(self) -> None:
        """All that is under way ends, and nobody answers any more."""
        if self._server:
            server, self._server = self._server, None
            self.end_streams()
            await server.stop(None)
            await self._channel.close()

    def end_streams(self) -> None:
        """Only the streams: as if the switch had closed them."""
        self._ended.set()
        self._ended = asyncio.Event()

    async def _pause(self) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)

    # calls

    async def unary(self, method: str, request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        call = self._channel.unary_unary(method)
        await self._pause()
        try:
            if method != f"{SERVICE}Write":
                return await call(request)

            async def forward(write: p4r.WriteRequest) -> bytes:
                return await call(write.SerializeToString())

            return await self._write(p4r.WriteRequest.FromString(request), forward)
        except grpc.aio.AioRpcError as error:
            metadata = tuple(error.trailing_metadata() or ())
            await context.abort(error.code(), error.details() or "", metadata)
        except Answer as answer:
            await context.abort(answer.code, answer.text, answer.metadata)
        raise AssertionError("abort raises")

    async def _write(self, request: p4r.WriteRequest, forward: Forward) -> bytes:
        self.written.append(request)
        treat = self.writes.popleft() if self.writes else self.otherwise
        return await treat(request, forward)

    async def stream(
        self, method: str, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[bytes]:
        call: Any = self._channel.stream_stream(method)()
        ended = asyncio.create_task(self._ended.wait())

        async def listen() -> None:
            async for request in requests:
                await self._pause()
                await call.write(request)

        listener = asyncio.create_task(listen())
        try:
            while True:
                answer = asyncio.ensure_future(call.read())
                answer.add_done_callback(_seen)
                await asyncio.wait([answer, ended], return_when=asyncio.FIRST_COMPLETED)
                if ended.done():
                    answer.cancel()
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "the wire was cut")
                if answer.result() is GRPC_EOF:
                    return
                await self._pause()
                yield answer.result()
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), error.details() or "")
        finally:
            listener.cancel()
            ended.cancel()
            call.cancel()

    async def answers(
        self, method: str, request: bytes, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[bytes]:
        """A call with one request and many answers."""
        await self._pause()
        try:
            async for answer in self._channel.unary_stream(method)(request):
                yield answer
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), error.details() or "")


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method, proxy = handler_call_details.method, self._proxy
        kinds = {
            f"{SERVICE}StreamChannel": (grpc.stream_stream_rpc_method_handler, proxy.stream),
            f"{SERVICE}Read": (grpc.unary_stream_rpc_method_handler, proxy.answers),
        }
        make, serve = kinds.get(method, (grpc.unary_unary_rpc_method_handler, proxy.unary))
        return make(partial(serve, method))  # type: ignore[arg-type]  # messages are bytes, as they come


def _seen(answer: asyncio.Future[Any]) -> None:
    """Also the error of an answer that nobody waits for any more."""
    if not answer.cancelled():
        answer.exception()


# what may be done with a write


async def _pass_on(request: p4r.WriteRequest, forward: Forward) -> bytes:
    return await forward(request)


async def answer_lost(request: p4r.WriteRequest, forward: Forward) -> bytes:
    """The switch makes all of it; who asked is not told."""
    await forward(request)
    raise Answer(grpc.StatusCode.UNAVAILABLE, "the answer was lost")


async def half_made(request: p4r.WriteRequest, forward: Forward) -> bytes:
    """The switch makes the first half; who asked is told that it cannot be reached."""
    half = p4r.WriteRequest()
    half.CopyFrom(request)
    del half.updates[len(half.updates) // 2 :]
    if half.updates:
        await forward(half)
    raise Answer(grpc.StatusCode.UNAVAILABLE, "lost in the middle of a batch")


async def exhausted(request: p4r.WriteRequest, forward: Forward) -> bytes:
    """The whole batch is turned away, without a word about its updates."""
    raise Answer(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests")


def refuse_every(n: int, code: int = rpc_code.RESOURCE_EXHAUSTED, text: str = "no room") -> Treatment:
    """Every n-th update is refused, the others are made; the answer says which (P4Runtime 12.3)."""

    async def treat(request: p4r.WriteRequest, forward: Forward) -> bytes:
        rest = p4r.WriteRequest()
        rest.CopyFrom(request)
        del rest.updates[:]
        details = rpc_status.Status(code=rpc_code.UNKNOWN, message="some updates failed")
        for number, update in enumerate(request.updates):
            refused = number % n == 0
            if not refused:
                rest.updates.add().CopyFrom(update)
            error = p4r.Error(canonical_code=code, message=text) if refused else p4r.Error()
            details.details.add().Pack(error)
        if rest.updates:
            await forward(rest)
        metadata = ((DETAILS, details.SerializeToString()),)
        raise Answer(grpc.StatusCode.UNKNOWN, "some updates failed", metadata)

    return treat


def never_answered(request: p4r.WriteRequest, forward: Forward) -> Awaitable[bytes]:
    """The switch does not get it, and nobody answers."""
    return asyncio.Future()
