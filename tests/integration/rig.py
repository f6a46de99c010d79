"""A controller with its store, a switch process, and a second look at the switch's tables."""

import asyncio
import contextlib
from collections.abc import Callable, Collection
from functools import cache
from pathlib import Path
from typing import Protocol

import grpc.aio
from finsy.proto import p4r, p4r_grpc

from controller.codec import Codec, parse_p4info
from controller.config import parse
from controller.controller import Controller
from controller.model import Config
from controller.program import BUCKETS, Rows, Table
from controller.report import BackendReport, PoolReport
from controller.store import SqliteStore
from controller.wire import SwitchTarget

COMPILED = Path(__file__).parents[2] / "p4src" / "compiled"
P4INFO, PIPELINE = COMPILED / "sluice.p4info.txtpb", COMPILED / "sluice.json"

PATIENCE = 30.0
"""Seconds that a busy machine gets for anything."""

DOCUMENT = """
switch: {address: "%s", mac: "02:00:00:00:00:01"}
interfaces:
  - {name: clients, ports: [1, 2], addresses: [10.0.0.1/24, "fd00::1/64"]}
  - {name: servers, ports: [3, 4], addresses: [10.0.1.1/24, "fd00:1::1/64"]}
routes: [{destination: 0.0.0.0/0, gateway: 10.0.0.254}]
neighbors: [{address: 10.0.0.9, mac: "02:00:00:00:00:09", port: 1}]
health_sources: [10.255.0.2]
pools:
  - name: web
    buckets: 256
    idle_timeout: 1s
    announcement: 0s
    backends:
      - {name: b1, address: 10.0.1.11, port: 8080}
      - {name: b2, address: 10.0.1.12, port: 8080}
      - {name: b3, address: 10.0.1.13, port: 8080}
  - {name: dns, mode: dsr, buckets: 16, health: {type: none}, backends: [{name: d1, address: "fd00:1::53"}]}
vips:
  - {name: web, address: 10.0.0.100, port: 80, pool: web}
  - {name: dns, address: "fd00::100", protocol: udp, port: 53, pool: dns}
"""


@cache
def program_codec() -> Codec:
    """Of our program. To parse its P4Info takes longer than to read all of a table, so it is done once."""
    return Codec(parse_p4info(P4INFO.read_text()))


class Addressed(Protocol):
    """A switch, or something between us and one."""

    address: str


class Rig:
    """`config` is the operator's file; the store is in memory unless `store` names a file."""

    def __init__(
        self, switch: Addressed, store: Path | str = ":memory:", config: Config | None = None
    ) -> None:
        self.switch = switch
        self.config = config or parse(DOCUMENT % switch.address)
        self.store = SqliteStore(store)
        self.controller = Controller(
            self.config,
            self.store,
            target=SwitchTarget(switch.address),
            p4info=P4INFO,
            pipeline=PIPELINE,
        )

    async def __aenter__(self) -> "Rig":
        self._task = asyncio.create_task(self.controller.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self.store.close()

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Waits until `condition` holds."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                assert not self._task.done(), f"the controller has ended: {self._task}"
                await asyncio.sleep(0.01)
        assert condition(), what

    async def synchronized(self) -> None:
        await self.until(lambda: self.controller.report().switch.synchronized, "synchronized")

    def pool(self, name: str = "web") -> PoolReport:
        return next(pool for pool in self.controller.report().pools if pool.name == name)

    def backend(self, name: str) -> BackendReport:
        return next(backend for backend in self.pool().backends if backend.name == name)

    def events(self) -> list[str]:
        return [f"{event.subject} {event.text}" for event in self.controller.events.since()]

    async def rows(self, table: Table) -> Rows:
        """What the switch holds, asked for by another client."""
        return (await self.tables([table]))[table]

    async def tables(self, tables: Collection[Table]) -> dict[Table, Rows]:
        """The same of several, in one read."""
        codec = program_codec()
        options = [("grpc.max_receive_message_length", 64 << 20)]
        held: dict[Table, Rows] = {table: {} for table in tables}
        async with grpc.aio.insecure_channel(self.switch.address, options=options) as channel:
            stub = p4r_grpc.P4RuntimeStub(channel)  # type: ignore[arg-type]
            request = p4r.ReadRequest(device_id=1, entities=[codec.all_of(table) for table in tables])
            async for answer in stub.Read(request):  # type: ignore[attr-defined]
                for entity in answer.entities:
                    if row := codec.read(entity):
                        table, key, do = row
                        held[table][key] = do
        return held

    async def owners(self, pool: int = 1) -> list[tuple[int, int]]:
        """Current and previous of each bucket, as the switch has them."""
        rows = await self.rows(BUCKETS)
        return [do.values[:2] for (number, _), do in sorted(rows.items()) if number == pool]  # type: ignore[misc]
