"""A P4Runtime server that does what a test tells it, on a loopback port."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc
import grpc.aio
from finsy.proto import U128, p4r, p4r_grpc, rpc_code, rpc_status


class ScriptedSwitch:
    """Answers as its attributes say."""

    def __init__(self) -> None:
        self.address = ""
        self.bids: list[int] = []
        self.arbitrate: Callable[[int], tuple[int, int]] = lambda bid: (rpc_code.OK, bid)
        """From an election id to the status and the primary's id."""
        self.writes: list[p4r.WriteRequest] = []
        self.refuse: Callable[[p4r.WriteRequest], rpc_status.Status | None] = lambda request: None
        self.answer: Callable[[grpc.aio.ServicerContext], Awaitable[None]] | None = None
        """What any call but the stream does instead of answering."""
        self.reads: list[p4r.Entity] = []
        self.cookie: int | None = None
        self.cookie_hangs = False
        self.pushed: list[p4r.SetForwardingPipelineConfigRequest] = []
        self.sent: list[p4r.PacketOut] = []
        self.to_client: asyncio.Queue[p4r.StreamMessageResponse | None] = asyncio.Queue()

    async def StreamChannel(self, requests, context):
        async def listen() -> None:
            async for request in requests:
                if request.HasField("packet"):
                    self.sent.append(request.packet)
                else:
                    await self._bid(U128.decode(request.arbitration.election_id), context)

        listener = asyncio.create_task(listen())
        try:
            while (message := await self.to_client.get()) is not None:
                yield message
        finally:
            listener.cancel()

    async def _bid(self, bid: int, context: grpc.aio.ServicerContext) -> None:
        self.bids.append(bid)
        status, primary = self.arbitrate(bid)
        if status == rpc_code.INVALID_ARGUMENT:
            self.to_client.put_nowait(None)
            context.set_code(grpc.StatusCode.INVALID_ARGUMENT)
            context.set_details("Election id already exists")
            return
        self.tell(status, primary)

    def tell(self, status: int, primary: int) -> None:
        update = p4r.MasterArbitrationUpdate(
            device_id=1, election_id=U128.encode(primary), status=rpc_status.Status(code=status)
        )
        self.to_client.put_nowait(p4r.StreamMessageResponse(arbitration=update))

    async def Write(self, request, context):
        self.writes.append(request)
        if self.answer:
            await self.answer(context)
        if refusal := self.refuse(request):
            context.set_trailing_metadata((("grpc-status-details-bin", refusal.SerializeToString()),))
            context.set_code(grpc.StatusCode.UNKNOWN)
            context.set_details("some updates failed")
        return p4r.WriteResponse()

    async def Read(self, request, context):
        if self.answer:
            await self.answer(context)
        for entity in self.reads:
            yield p4r.ReadResponse(entities=[entity])

    async def Capabilities(self, request, context):
        raise NotImplementedError

    async def GetForwardingPipelineConfig(self, request, context):
        if self.cookie_hangs:
            await asyncio.Future()
        if self.cookie is None:
            context.set_code(grpc.StatusCode.FAILED_PRECONDITION)
            context.set_details("No forwarding pipeline config set")
        cookie = p4r.ForwardingPipelineConfig.Cookie(cookie=self.cookie or 0)
        return p4r.GetForwardingPipelineConfigResponse(config=p4r.ForwardingPipelineConfig(cookie=cookie))

    async def SetForwardingPipelineConfig(self, request, context):
        self.pushed.append(request)
        if self.answer:
            await self.answer(context)
        return p4r.SetForwardingPipelineConfigResponse()


@asynccontextmanager
async def serving(switch: ScriptedSwitch) -> AsyncIterator[str]:
    server = grpc.aio.server()
    p4r_grpc.add_P4RuntimeServicer_to_server(switch, server)  # type: ignore[arg-type]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)
