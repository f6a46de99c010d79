"""The controller by itself: how fast it decides, writes, loads, changes, and makes a switch whole again.

    python -m bench.controller [--pools N] [--backends N ...]

The switch is the embedded one, without ports, as a process of its own. The backends are behind a router, so
that there is one neighbor. One that dies and returns takes a fresh number, since its old one rests: of those
that are left over, a tenth of all backends need one here.
"""

import argparse
import asyncio
import contextlib
import ctypes
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from controller.apportion import NOBODY, apportion, spread_standbys
from controller.controller import Controller
from controller.daemon import P4INFO, PIPELINE, collect_seldom
from controller.errors import Unreachable
from controller.model import ONLY, Config, add_backend, change_backend, make_backend
from controller.program import BACKENDS, BUCKETS, TABLES, Change, Do, Kind
from controller.reconciler import Reconciler
from controller.store import SqliteStore
from controller.values import LAST_BACKEND
from controller.wanted import Wanted
from controller.wire import Connection, Pipeline, SwitchTarget
from tests.integration.switches import EMBEDDED, SwitchProcess, running

BUCKETS_DECIDED, BACKENDS_DECIDED = 65536, 1000
MAGLEV_PLACES = 65537
REPEAT = 9
FIRST_BACKEND = IPv4Address("10.128.0.1")
FIRST_VIP = IPv4Address("10.64.0.1")
PATIENCE = 1800.0


# deciding


def fastest(work: Callable[[], object]) -> float:
    """Milliseconds of the fastest of some runs: the others were disturbed."""
    times = []
    for _ in range(REPEAT):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times) * 1e3


def maglev(folder: Path) -> float:
    """Milliseconds that Maglev's population of its table takes, in C."""
    library = folder / "maglev.so"
    source = Path(__file__).with_name("maglev.c")
    subprocess.run([os.environ.get("CC", "cc"), "-O3", "-shared", "-fPIC", "-o", library, source], check=True)
    populate = ctypes.CDLL(str(library)).populate
    rng = np.random.default_rng(1)
    offsets = rng.integers(0, MAGLEV_PLACES, BACKENDS_DECIDED, dtype=np.uint32)
    skips = rng.integers(1, MAGLEV_PLACES - 1, BACKENDS_DECIDED, dtype=np.uint32)
    table = np.zeros(MAGLEV_PLACES, np.uint32)
    at = [array.ctypes.data_as(ctypes.c_void_p) for array in (table, offsets, skips)]
    return fastest(lambda: populate(at[0], MAGLEV_PLACES, at[1], at[2], BACKENDS_DECIDED))


def decide(folder: Path, console: Console) -> None:
    everybody = np.arange(1, BACKENDS_DECIDED + 1, dtype=np.uint32)
    equal = np.ones(BACKENDS_DECIDED, np.int64)
    nobody = np.full(BUCKETS_DECIDED, NOBODY, np.uint32)
    settled = apportion(nobody, nobody, nobody, everybody, equal)
    standby = spread_standbys(settled, nobody, everybody, equal)
    rest, of_rest = np.delete(everybody, 500), equal[1:]
    heavier = equal.copy()
    heavier[7] = 2

    table = Table(title=f"{BUCKETS_DECIDED} buckets over {BACKENDS_DECIDED} backends, milliseconds")
    for column in ("", "owners", "standbys", "buckets moved"):
        table.add_column(column, justify="right" if column else "left")
    for name, before, next_ones, serving, weights in (
        ("from nothing", nobody, nobody, everybody, equal),
        ("one removed", settled, standby, rest, of_rest),
        ("one of twice the weight", settled, standby, everybody, heavier),
    ):
        owners = apportion(before, before, next_ones, serving, weights)
        taken = fastest(lambda: apportion(before, before, next_ones, serving, weights))  # noqa: B023
        spread = fastest(lambda: spread_standbys(owners, next_ones, serving, weights))  # noqa: B023
        table.add_row(name, f"{taken:.2f}", f"{spread:.2f}", str(int((owners != before).sum())))
    table.add_row(f"Maglev in C, {MAGLEV_PLACES} places, any change", f"{maglev(folder):.2f}", "", "")
    console.print(table)


# writing


async def write(switch: SwitchProcess, console: Console) -> None:
    """All buckets of one pool get other owners, again and again."""
    rng = np.random.default_rng(1)
    rows = {table: {} for table in TABLES}
    rows[BACKENDS] = {(n,): Do("backend_address", (n, 80)) for n in range(1, BACKENDS_DECIDED + 1)}

    def owners() -> Wanted:
        buckets = np.zeros((BUCKETS_DECIDED, 5), np.uint32)
        buckets[:, 0] = buckets[:, 1] = rng.integers(1, BACKENDS_DECIDED + 1, BUCKETS_DECIDED)
        return Wanted(rows, {1: buckets})

    async with connected(switch) as connection:
        await connection.install()
        reconciler = Reconciler(connection)
        await reconciler.apply(owners())
        rates = []
        for _ in range(5):
            want = owners()
            began = time.perf_counter()
            result = await reconciler.apply(want)
            rates.append(result.written / (time.perf_counter() - began))
        changes = [Change(Kind.MODIFY, BUCKETS, (1, n), Do("owners", (1, 1, 2, 0, 0))) for n in range(1000)]
        pieces = fastest(lambda: [*map(connection.pipeline.codec.update, changes)])
        objects = fastest(
            lambda: [connection.pipeline.codec.entry(*c[1:]).SerializeToString() for c in changes]
        )
    table = Table(title="entries a second, of the table of buckets")
    table.add_column("")
    table.add_column("", justify="right")
    table.add_row("difference, messages, gRPC, switch, memory of it", f"{max(rates):,.0f}")
    table.add_row("messages alone, from parts", f"{1e6 / pieces:,.0f}")
    table.add_row("messages alone, as protobuf's objects", f"{1e6 / objects:,.0f}")
    console.print(table)


@contextlib.asynccontextmanager
async def connected(switch: SwitchProcess) -> AsyncIterator[Connection]:
    """As soon as it answers."""
    pipeline = Pipeline.load(P4INFO, PIPELINE)
    async with contextlib.AsyncExitStack() as stack:
        while True:
            try:
                connection = Connection(SwitchTarget(switch.address), pipeline)
                yield await stack.enter_async_context(connection)
                return
            except Unreachable:
                await asyncio.sleep(0.1)


async def answers(switch: SwitchProcess) -> None:
    """Waits until the process has started and listens."""
    host, port = switch.address.split(":")
    while True:
        try:
            _, writer = await asyncio.open_connection(host, int(port))
            writer.close()
            return
        except OSError:
            await asyncio.sleep(0.002)


# the whole


def configuration(switch: SwitchProcess, pools: int, backends: int) -> Config:
    buckets = max(16, 1 << (4 * (backends + 1) - 1).bit_length())
    return Config.model_validate(
        {
            "switch": {"address": switch.address, "mac": "02:00:00:00:00:01"},
            "interfaces": [{"name": "all", "ports": [1], "addresses": ["10.0.0.1/16"]}],
            "routes": [{"destination": "10.128.0.0/9", "gateway": "10.0.0.254"}],
            "neighbors": [{"address": "10.0.0.254", "mac": "02:00:00:00:00:fe", "port": 1}],
            "pools": [
                {
                    "name": f"p{pool}",
                    "buckets": buckets,
                    "announcement": 0,
                    "probe": "none",
                    "backends": [
                        {
                            "name": f"b{number}",
                            "address": str(FIRST_BACKEND + pool * backends + number),
                            "port": 80,
                        }
                        for number in range(backends)
                    ],
                }
                for pool in range(pools)
            ],
            "vips": [
                {"name": f"v{pool}", "address": str(FIRST_VIP + pool), "port": 80, "pool": f"p{pool}"}
                for pool in range(pools)
            ],
        }
    )


@dataclass
class Whole:
    """A controller at work, and how long it takes until the switch holds what it should."""

    controller: Controller

    async def synchronized(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while not self.controller.switch_report().synchronized:
                await asyncio.sleep(0.002)

    async def lost(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.controller.switch_report().connected:
                await asyncio.sleep(0.002)


@contextlib.asynccontextmanager
async def at_work(config: Config, folder: Path) -> AsyncIterator[Whole]:
    store = SqliteStore(folder / "store")
    target = SwitchTarget(config.switch.address)
    controller = Controller(config, store, target=target, p4info=P4INFO, pipeline=PIPELINE)
    task = asyncio.create_task(controller.run())
    try:
        yield Whole(controller)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        store.close()


def megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def live(switch: SwitchProcess, folder: Path, pools: int, backends: int, console: Console) -> None:
    table = Table(title=f"{pools} pools with {backends} backends each")
    for column in ("", "seconds", "buckets moved", "entries written"):
        table.add_column(column, justify="right" if column else "left")
    before = megabytes()
    began = time.perf_counter()
    config = configuration(switch, pools, backends)
    table.add_row("the configuration is read and checked", f"{time.perf_counter() - began:.2f}", "", "")

    began = time.perf_counter()
    async with at_work(config, folder) as whole:
        controller = whole.controller
        await whole.synchronized()
        written = controller.written
        table.add_row("from nothing to whole", f"{time.perf_counter() - began:.2f}", "", f"{written:,}")

        async def change(what: str, edit: Callable[[Config], Config]) -> None:
            written, began = controller.written, time.perf_counter()
            result = await controller.change(what, edit, who="bench", wait=PATIENCE)
            seconds, wrote = time.perf_counter() - began, controller.written - written
            table.add_row(what, f"{seconds:.2f}", str(result.moved_buckets), f"{wrote:,}")

        def weight(new: int) -> Callable[[Config], Config]:
            return lambda config: change_backend(config, "p0", "b0", weight=new)

        more = make_backend("more", str(FIRST_BACKEND - 1), 80)
        await change("one weight is changed", weight(2))
        await change("one backend is added", lambda config: add_backend(config, "p0", more))

        session = controller._shared.switches[ONLY].session
        assert session is not None, "it is connected"
        began = time.perf_counter()
        await session.look()
        table.add_row("a look for drift", f"{time.perf_counter() - began:.2f}", "", "")

        looking = asyncio.create_task(session.look())
        await change("one weight is changed during a look", weight(1))
        await looking

        failing = [(f"p{pool}", f"b{number}") for number in range(0, backends, 10) for pool in range(pools)][
            : LAST_BACKEND - pools * backends - 1
        ]
        share = f"{len(failing) / pools / backends:.1%}".replace(".0%", "%")
        for healthy, what in ((False, f"{share} fail at once"), (True, "they return")):
            written, began = controller.written, time.perf_counter()
            for pool, backend in failing:
                controller.set_health(pool, backend, healthy, "bench")
            await whole.synchronized()
            seconds, wrote = time.perf_counter() - began, controller.written - written
            table.add_row(what, f"{seconds:.2f}", "", f"{wrote:,}")

        written = controller.written
        switch.kill()
        await whole.lost()
        switch.start()
        await answers(switch)
        began = time.perf_counter()
        await whole.synchronized()
        seconds, wrote = time.perf_counter() - began, controller.written - written
        table.add_row("the switch, restarted empty, is whole", f"{seconds:.2f}", "", f"{wrote:,}")
    console.print(table)
    console.print(f"memory of the controller: {megabytes():.0f} MB, of which {before:.0f} before it began\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pools", type=int, default=1000)
    parser.add_argument(
        "--backends", type=int, nargs="+", default=[50, 100], help="of each pool; one table for each number"
    )
    arguments = parser.parse_args()
    console = Console(width=120)
    logging.disable(logging.WARNING)  # ten thousand backends that go down
    collect_seldom()
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as name:
        folder = Path(name)
        decide(folder, console)
        with running(EMBEDDED) as switch:
            asyncio.run(write(switch, console))
        for pools, backends in ((10, 100), *((arguments.pools, number) for number in arguments.backends)):
            place = folder / f"{pools}-{backends}"
            place.mkdir()
            with running(EMBEDDED) as switch:
                asyncio.run(live(switch, place, pools, backends, console))
    return 0


if __name__ == "__main__":
    sys.exit(main())
