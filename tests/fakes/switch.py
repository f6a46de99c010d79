"""A switch in memory that stands in for `wire.Connection`: tables with the rules of P4Runtime."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from typing import Any, NamedTuple, TypeVar

from finsy.proto import rpc_code

from controller.apportion import NOBODY
from controller.codec import Codec, parse_p4info
from controller.daemon import P4INFO
from controller.errors import Unreachable
from controller.program import (
    BACKENDS,
    BUCKETS,
    DROPS,
    POOLS,
    PUNTS,
    TABLES,
    VIPS,
    Change,
    Do,
    Key,
    Kind,
    Order,
    Rows,
    Table,
)
from controller.wire import PacketIn, Refusal, SwitchTarget, Traffic

T = TypeVar("T")


class Program(NamedTuple):
    """As much of a pipeline as a session asks for."""

    cookie: int
    codec: Codec


PROGRAM = Program(42, Codec(parse_p4info(P4INFO.read_text())))

REASONS: dict[Table, Rows] = {
    PUNTS: {(1,): Do("arp_reply"), (2,): Do("neighbor_advertisement"), (3,): Do("glean")},
    DROPS: {(1,): Do("malformed"), (11,): Do("no_backend")},
}


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of something that waits for nothing, since it talks to the switch in memory."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits for something")


class FakeSwitch:
    """`refuse` says which changes fail and why; `between` is called after each, as packets would come."""

    def __init__(self) -> None:
        self.tables: dict[Table, Rows] = {table: {} for table in TABLES} | REASONS
        self.cells: dict[str, Counter[int]] = {}
        self.direct: dict[Table, Counter[Key]] = {}
        self.log: list[Change] = []
        self.refuse: Callable[[Change], tuple[int, str] | None] = lambda change: None
        self.between: Callable[[], None] = lambda: None
        self.lose_after: int | None = None
        """Changes until the connection breaks."""
        self.target = SwitchTarget("in memory")
        self.pipeline = PROGRAM
        self.program: int | None = PROGRAM.cookie
        self.packets: asyncio.Queue[PacketIn] = asyncio.Queue()
        self.sent: list[tuple[int, bytes]] = []
        self.orders: list[tuple[Order, int]] = []
        """Those that are no frames to send, and their groups."""
        self.lost = asyncio.Event()

    async def write(self, changes: Iterable[Change]) -> list[Refusal]:
        refusals: list[Refusal] = []
        for change in changes:
            if self.lose_after is not None:
                if self.lose_after == 0:
                    raise Unreachable("the test cut the connection")
                self.lose_after -= 1
            answer = self.refuse(change) or self._make(change)
            if answer:
                refusals.append(Refusal(change, *answer))
            else:
                self.log.append(change)
                assert not self.dangling(), f"{change} leaves entries that point at something absent"
                self.between()
        return refusals

    def _make(self, change: Change) -> tuple[int, str] | None:
        rows, there = self.tables[change.table], change.key in self.tables[change.table]
        if there and change.kind is Kind.INSERT:
            return rpc_code.ALREADY_EXISTS, "there is such an entry"
        if not there and change.kind is not Kind.INSERT:
            return rpc_code.NOT_FOUND, "there is no such entry"
        if change.do is None:
            del rows[change.key]
        else:
            rows[change.key] = change.do
        return None

    def dangling(self) -> list[str]:
        """Entries that point at something which is not in the tables."""
        backends, pools = self.tables[BACKENDS], self.tables[POOLS]
        buckets = self.tables[BUCKETS]
        found = [
            f"bucket {key} names backend {number}"
            for key, do in buckets.items()
            for number in do.values[:3]
            if number != NOBODY and (number,) not in backends
        ]
        found += [
            f"VIP {key} names pool {do.values[0]}"
            for key, do in self.tables[VIPS].items()
            if do.values[1:2] not in pools
        ]
        for (pool,), do in pools.items():
            if any((pool, bucket) not in buckets for bucket in range(do.values[1] + 1)):
                found.append(f"pool {pool} lacks buckets")
        return found

    async def until_lost(self) -> None:
        await self.lost.wait()
        raise Unreachable("the test ended the connection")

    async def cookie(self) -> int | None:
        return self.program

    async def send(self, port: int, payload: bytes, order: Order = Order.SEND) -> None:
        if order is Order.SEND:
            self.sent.append((port, payload))
        else:
            self.orders.append((order, port))

    async def rows(self, table: Table) -> AsyncIterator[tuple[Key, Do]]:
        for row in [*self.tables[table].items()]:
            yield row

    async def encoded_rows(self, table: Table) -> AsyncIterator[list[bytes]]:
        async for row in self.rows(table):
            yield [PROGRAM.codec.encoded(table, *row)]

    async def packet_counts(self, counter: str, cells: Iterable[int]) -> dict[int, int]:
        return {cell: self.cells.get(counter, Counter())[cell] for cell in cells}

    async def traffic(self, table: Table) -> dict[Key, Traffic]:
        counts = self.direct.get(table, Counter())
        return {key: Traffic(counts[key], 64 * counts[key]) for key in self.tables[table]}
