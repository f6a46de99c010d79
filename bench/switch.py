"""The embedded switch beside BMv2: packets a second through the whole load balancer.

    python -m bench.switch [--rounds N] [--window SECONDS]

Both switches run at the same time, each in a namespace of its own with the same interfaces, with the same
compiled program, the same entries and the same 64-byte packets (60 and Ethernet's checksum): TCP of 1024
flows to the VIP of a nat pool of 16 backends, whose 1024 buckets are settled. Before anything is timed, the
packet of every flow is compared with what scapy says must come out. Then the switches take turns. In a turn
the load is raised until more brings no more; the kernel counts packets at both interfaces, in the same
window of time. The generator and the switch share the machine's cores.

Exit status: 0 the goal is met, 1 it is missed, 2 it could not be measured (no BMv2, no root). Figures go to
bench/out/switch.json.
"""

import argparse
import contextlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from scapy.layers.inet import TCP
from scapy.packet import Padding

from bench.search import Capacity, capacity
from bench.traffic import EmptyProgram, Road, Trial, process_rate
from switch.worker import Worker
from tests.packets import rows
from tests.packets.case import Out
from tests.packets.flows import Flow
from tests.packets.frames import hop, packet, renamed
from tests.packets.p4runtime import Names
from tests.packets.rows import NAT, Row
from tests.packets.runner import Runner, expect
from tests.packets.targets import in_process, on_wires
from tests.packets.wires import can_make_namespaces, in_namespace, namespace, switch_side, test_side
from tests.packets.world import BACKEND_HTTP, BASE, CLIENT, HTTP, ONE, ROUTER, V4, Station

GOAL = 5.0
OUT = Path(__file__).parent / "out" / "switch.json"
BMV2 = "simple_switch_grpc"
NOT_MEASURED = 2

FLOWS = 1024
BUCKET_MASK = 1023
BACKENDS = 16
FIRST_BACKEND = 100
FRAME_LENGTH = 60  # 64 with Ethernet's checksum
IN_PROCESS_PACKETS = 2_000_000
AT_ONCE = 16  # frames in the comparison before the measurement: queues hold few
MTU = 1500  # with a larger one libpcap would have fewer places for BMv2's packets


def backends() -> dict[int, Station]:
    """All behind one port, so that there is one interface to count at."""
    return {
        FIRST_BACKEND + n: Station(
            ONE.port, f"02:00:00:00:0e:{n:02x}", f"10.0.1.{100 + n}", f"fd00:1::{100 + n:x}"
        )
        for n in range(BACKENDS)
    }


def owner(bucket: int) -> int:
    return FIRST_BACKEND + bucket % BACKENDS


def entries() -> list[Row]:
    """The packet tests' network, and in it a nat pool of many backends and buckets."""
    own = [rows.pool(V4.tcp_pool, NAT, mask=BUCKET_MASK)]
    own += [rows.bucket(V4.tcp_pool, bucket, owner(bucket)) for bucket in range(BUCKET_MASK + 1)]
    for backend, station in backends().items():
        own.append(rows.backend(backend, station.v4, BACKEND_HTTP))
        own.append(rows.neighbor(station.v4, station.port, ROUTER, station.mac))
        own.append(rows.nat_answer(station.v4, rows.TCP, BACKEND_HTTP, V4.nat_vip, HTTP))
        own.append(rows.nat_service(station.v4, rows.TCP, BACKEND_HTTP))
    return list({row.key: row for row in (*BASE, *own)}.values())


def traffic() -> list[tuple[bytes, Out]]:
    """A frame of each flow, and what must become of it."""
    made = []
    for port in range(10000, 10000 + FLOWS):
        frame = packet(V4, TCP(sport=port, dport=HTTP, flags="A"), destination=V4.nat_vip)
        frame /= Padding(bytes(FRAME_LENGTH - len(frame)))
        station = backends()[owner(Flow(CLIENT.v4, port, V4.nat_vip).bucket(BUCKET_MASK))]
        out = Out(station.port, hop(station, renamed(frame, dst=station.v4, dport=BACKEND_HTTP)))
        made.append((bytes(frame), out))
    return made


@dataclass(frozen=True)
class Contestant:
    """A running switch, and the road through it."""

    name: str
    road: Road

    def turn(self, frames: Sequence[bytes], window: float) -> Capacity:
        def drive(rate: float) -> Trial:
            return self.road.drive(frames, rate, window)

        return capacity(drive)


@contextlib.contextmanager
def contestant(kind: str, names: Names) -> Iterator[Contestant]:
    """A switch with the entries, which has shown that it does the right thing with every flow."""
    with on_wires(kind, names, mtu=MTU) as target:
        runner = Runner(target)
        runner.tables.become(entries())
        flows = traffic()
        for start in range(0, len(flows), AT_ONCE):
            batch = flows[start : start + AT_ONCE]
            emitted = target.send(CLIENT.port, [frame for frame, _ in batch], 0.0)
            expect([(out.port, bytes(out.packet)) for _, out in batch], emitted, target.name)
        with contextlib.closing(road(target.namespace)) as way:
            yield Contestant(target.name, way)


def road(inner: str) -> Road:
    return Road(inner, test_side(CLIENT.port), test_side(ONE.port))


# ---- what bounds the embedded switch


def program_alone(names: Names, frames: Sequence[bytes]) -> float:
    """The compiled program without any port, on one core."""
    with in_process(names) as target:
        Runner(target).tables.become(entries())
        return process_rate(target.engine, CLIENT.port, frames, IN_PROCESS_PACKETS)


def ports_alone(frames: Sequence[bytes], window: float) -> Capacity:
    """The embedded switch's ports around a program that does nothing."""
    with namespace("bench", MTU) as inner:

        def start() -> Worker:
            worker = Worker()
            for port in (CLIENT.port, ONE.port):
                worker.attach(port, switch_side(port))
            worker.start()
            return worker

        with contextlib.closing(in_namespace(inner, start)) as worker, contextlib.closing(road(inner)) as way:
            worker.run(EmptyProgram.towards(ONE.port))
            return Contestant("ports alone", way).turn(frames, window)


# ---- the report


def machine() -> dict[str, str | int | None]:
    facts = (line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines())
    models = [value.strip() for name, _, value in facts if name.strip() == "model name"]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "bmv2": bmv2_version(),
    }


def bmv2_version() -> str | None:
    if shutil.which(BMV2) is None:
        return None
    return subprocess.run([BMV2, "--version"], capture_output=True, text=True, check=True).stdout.strip()


def thousands(rate: float) -> str:
    return f"{rate / 1000:,.1f}"


def print_table(console: Console, turns: dict[str, list[Capacity]], alone: float, ports: Capacity) -> None:
    table = Table(title="64-byte packets through the load balancer, thousands a second")
    for column in ("", "round", "throughput", "loss-free (at most 0.1 %)"):
        table.add_column(column, justify="left" if not column else "right")
    for name, capacities in turns.items():
        for number, one in enumerate(capacities, 1):
            table.add_row(
                name if number == 1 else "", str(number), thousands(one.throughput), thousands(one.loss_free)
            )
        table.add_section()
    table.add_row(
        "the same ports, empty program",
        "",
        thousands(ports.throughput),
        thousands(ports.loss_free),
    )
    table.add_row("the program alone, one core", "", thousands(alone), "")
    console.print(table)


def median(turns: list[Capacity], what: str) -> float:
    return statistics.median(getattr(turn, what) for turn in turns)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.switch",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--rounds", type=int, default=3, metavar="N", help="turns of each switch (default: %(default)s)"
    )
    parser.add_argument(
        "--window",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="how long a load is counted (default: %(default)s)",
    )
    return parser.parse_args()


def main() -> int:
    options = arguments()
    console = Console()
    if not can_make_namespaces():
        print(
            "bench.switch needs root: it makes network namespaces and packet sockets. Nothing was measured.",
            file=sys.stderr,
        )
        return NOT_MEASURED
    names = Names.load()
    frames = [frame for frame, _ in traffic()]
    kinds = ["embedded", "bmv2"] if bmv2_version() else ["embedded"]

    alone = program_alone(names, frames)
    ports = ports_alone(frames, options.window)
    turns: dict[str, list[Capacity]] = {kind: [] for kind in kinds}
    with contextlib.ExitStack() as running:
        contestants = {kind: running.enter_context(contestant(kind, names)) for kind in kinds}
        for number in range(1, options.rounds + 1):
            for kind, one in contestants.items():
                console.print(f"round {number}: {one.name} ...")
                turns[kind].append(one.turn(frames, options.window))
        print_table(console, {contestants[kind].name: turns[kind] for kind in kinds}, alone, ports)

    ratio = loss_free_ratio = None
    if "bmv2" in turns:
        ratio = median(turns["embedded"], "throughput") / median(turns["bmv2"], "throughput")
        if bmv2_loss_free := median(turns["bmv2"], "loss_free"):
            loss_free_ratio = median(turns["embedded"], "loss_free") / bmv2_loss_free
    OUT.parent.mkdir(exist_ok=True)
    figures = {
        "goal": GOAL,
        "ratio": ratio,
        "ratio_loss_free": loss_free_ratio,
        "met": None if ratio is None else ratio >= GOAL,
        "frame_bytes": FRAME_LENGTH,
        "flows": FLOWS,
        "window_seconds": options.window,
        "program_alone": alone,
        "ports_alone": asdict(ports),
        "turns": {kind: [asdict(turn) for turn in turns[kind]] for kind in kinds},
        "machine": machine(),
    }
    OUT.write_text(json.dumps(figures, indent=2) + "\n")
    console.print(f"figures: {OUT}")
    return verdict(console, ratio, loss_free_ratio)


def verdict(console: Console, ratio: float | None, loss_free_ratio: float | None) -> int:
    if ratio is None:
        console.print(f"{BMV2} is not on PATH: the goal (at least {GOAL:g} times BMv2) was not measured.")
        return NOT_MEASURED
    beside = f" ({loss_free_ratio:.1f} loss-free)" if loss_free_ratio else ""
    met = ratio >= GOAL
    console.print(
        f"The embedded switch forwards {ratio:.1f} times as much as BMv2{beside}. "
        f"Goal: {GOAL:g} times: {'met' if met else 'MISSED'}."
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
