"""The embedded switch beside BMv2 and the kernel: packets a second, latency, TCP through the load balancer.

    python -m bench.switch [--rounds N] [--window SECONDS]

The switches run at the same time, each in a namespace of its own with the same interfaces, with the same
compiled program, the same entries and the same packets (bench/balancer.py). Before anything is timed, the
packet of every flow is compared with what scapy says must come out. The kernel's nftables does the same DNAT
on the same wires.

    packets   the contestants take turns. In a turn the load is raised until more brings no more; the kernel
              counts packets at both interfaces, in the same window of time. Busy is the time of a processor
              that a switch takes for a packet at full load, the steadier figure on a machine that does other
              things too; of the kernel's own balancing it cannot be told from the generator's.
    ceiling   the same with a forwarder that does nothing (bench/rings.c), and with the switch's own ports
              around an empty program; and the program without any ports
    latency   of packets sent one a millisecond among half of the load that a switch takes without loss
    TCP       one connection of iperf3 through a nat pool, between hosts whose interfaces offload all they can

The generator, the switch and the hosts share the machine's cores.

Exit status: 0 every goal that was measured is held, 1 one is missed, 2 BMv2 or root is missing, or others
took too much of the processors (bench/elsewhere.py). What is not measured for want of a program is said.
Figures go to bench/out/switch.json.
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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import command, dnat, iperf, processor
from bench.balancer import FLOWS, FRAME_LENGTH, MTU, entries, road, traffic
from bench.command import NOT_MEASURED, add_rounds, add_window, is_busy, lacks_root, status
from bench.elsewhere import Elsewhere
from bench.latency import Latency, latency
from bench.rings import PACKET_THREAD, TODAY, bare_worker, forwarder
from bench.search import AS_MANY_AS_WILL_GO, Capacity, capacity
from bench.traffic import EmptyProgram, Road, Trial, process_rate
from tests.packets.p4runtime import Names
from tests.packets.runner import Runner, expect
from tests.packets.targets import in_process, on_wires
from tests.packets.wires import in_namespace, namespace
from tests.packets.world import CLIENT, ONE

OUT = Path(__file__).parent / "out" / "switch.json"
BMV2 = "simple_switch_grpc"

EMBEDDED, REFERENCE, KERNEL = "embedded", "bmv2", "nftables"
TITLES = {EMBEDDED: "embedded switch", REFERENCE: "BMv2", KERNEL: "kernel, nftables DNAT"}

TIMES_BMV2 = 30.0
TIMES_KERNEL = 1.0
TIMES_BMV2_TCP = 10.0
PROGRAM_RATE = 3e6  # packets a second, on one core

IN_PROCESS_PACKETS = 2_000_000
AT_ONCE = 16  # frames in the comparison before the measurement: queues hold few
LATENCY_TIME = 3.0  # seconds
TCP_TIME = 5.0  # seconds


@dataclass(frozen=True)
class Contestant:
    """What forwards in a namespace, and the road through it.

    processor_time: seconds that it has kept a processor busy, where that can be told from all else.
    """

    namespace: str
    road: Road
    processor_time: Callable[[], float] | None = None

    def turn(self, frames: Sequence[bytes], window: float) -> Capacity:
        def drive(rate: float) -> Trial:
            return self.road.drive(frames, rate, window)

        return capacity(drive)

    def busy(self, frames: Sequence[bytes], window: float) -> float | None:
        """Seconds of a processor a packet, at full load."""
        if self.processor_time is None:
            return None
        (_, came), before = self.road.counts(), self.processor_time()
        self.road.drive(frames, AS_MANY_AS_WILL_GO, window)
        return (self.processor_time() - before) / max(1, self.road.counts()[1] - came)

    def latency(self, frames: Sequence[bytes], rate: float) -> Latency:
        return latency(self.namespace, self.road, frames, rate, LATENCY_TIME)


@contextlib.contextmanager
def contestant(kind: str, names: Names) -> Iterator[Contestant]:
    """One that has shown that it does the right thing with every flow."""
    with contextlib.ExitStack() as running:
        processor_time = None
        if kind == KERNEL:
            inner = running.enter_context(dnat.running())
        else:
            target = running.enter_context(on_wires(kind, names, mtu=MTU))
            Runner(target).tables.become(entries())
            flows = traffic()
            for start in range(0, len(flows), AT_ONCE):
                batch = flows[start : start + AT_ONCE]
                emitted = target.send(CLIENT.port, [frame for frame, _ in batch], 0.0)
                expect([(out.port, bytes(out.packet)) for _, out in batch], emitted, target.name)
            inner = target.namespace
            processor_time = partial(processor.seconds, target.pid)
        yield Contestant(inner, running.enter_context(contextlib.closing(road(inner))), processor_time)


# ---- what bounds the embedded switch


def program_alone(names: Names, frames: Sequence[bytes]) -> float:
    """The compiled program without any port, on one core."""
    with in_process(names) as target:
        Runner(target).tables.become(entries())
        return process_rate(target.engine, CLIENT.port, frames, IN_PROCESS_PACKETS)


@dataclass(frozen=True)
class Bound:
    capacity: Capacity
    busy: float | None

    @classmethod
    def of(cls, one: Contestant, frames: Sequence[bytes], window: float) -> "Bound":
        return cls(one.turn(frames, window), one.busy(frames, window))


def forwarder_alone(frames: Sequence[bytes], window: float) -> Bound:
    """AF_PACKET and nothing else."""
    with (
        namespace("bench", MTU) as inner,
        forwarder(TODAY, inner) as tally,
        contextlib.closing(road(inner)) as way,
    ):
        return Bound.of(Contestant(inner, way, lambda: tally.processor_ns / 1e9), frames, window)


def ports_alone(frames: Sequence[bytes], window: float) -> Bound:
    """The embedded switch's ports around a program that does nothing."""
    with (
        namespace("bench", MTU) as inner,
        contextlib.closing(in_namespace(inner, bare_worker)) as worker,
        contextlib.closing(road(inner)) as way,
    ):
        worker.run(EmptyProgram.towards(ONE.port))
        own_thread = partial(processor.seconds, "self", PACKET_THREAD)
        return Bound.of(Contestant(inner, way, own_thread), frames, window)


# ---- the measurement


@dataclass
class Figures:
    """By contestant, as far as it was measured.

    Rates in packets a second; tcp: bits a second; busy: seconds of a processor a packet.
    """

    program: float
    forwarder: Bound
    ports: Bound
    turns: dict[str, list[Capacity]] = field(default_factory=dict)
    busy: dict[str, float | None] = field(default_factory=dict)
    latencies: dict[str, Latency] = field(default_factory=dict)
    tcp: dict[str, float] = field(default_factory=dict)

    def rate(self, kind: str, what: str = "throughput") -> float:
        """The median of the turns."""
        return statistics.median(getattr(turn, what) for turn in self.turns[kind])

    def half_load(self, kind: str) -> float:
        return (self.rate(kind, "loss_free") or self.rate(kind)) / 2


def measure(kinds: Sequence[str], rounds: int, window: float, say: Console) -> Figures:
    names = Names.load()
    frames = [frame for frame, _ in traffic()]
    say.print("what bounds it ...")
    figures = Figures(
        program_alone(names, frames), forwarder_alone(frames, window), ports_alone(frames, window)
    )
    with contextlib.ExitStack() as running:
        contestants = {kind: running.enter_context(contestant(kind, names)) for kind in kinds}
        for number in range(1, rounds + 1):
            for kind, one in contestants.items():
                say.print(f"round {number}: {TITLES[kind]} ...")
                figures.turns.setdefault(kind, []).append(one.turn(frames, window))
        say.print("latency ...")
        for kind, one in contestants.items():
            figures.busy[kind] = one.busy(frames, window)
            figures.latencies[kind] = one.latency(frames, figures.half_load(kind))
    if not iperf.missing():
        for kind in kinds:
            if kind != KERNEL:
                say.print(f"TCP through {TITLES[kind]} ...")
                figures.tcp[kind] = iperf.throughput(kind, names, TCP_TIME)
    return figures


# ---- the goals


@dataclass(frozen=True)
class Goal:
    """name: of a rate, beside what it is compared with."""

    name: str
    wanted: float
    reached: float | None  # None: not measured

    @property
    def missed(self) -> bool:
        return self.reached is not None and self.reached < self.wanted

    def line(self, *, judged: bool) -> str:
        if self.reached is None:
            return f"not measured  {self.name}: at least {self.wanted:,g}"
        verdict = "not judged" if not judged else "MISSED" if self.missed else "held"
        return f"{verdict:12}  {self.name}: {self.reached:,.4g} (at least {self.wanted:,g})"


def goals(figures: Figures) -> list[Goal]:
    ours = figures.rate(EMBEDDED)

    def times(kind: str) -> float | None:
        return ours / figures.rate(kind) if kind in figures.turns else None

    tcp = figures.tcp[EMBEDDED] / figures.tcp[REFERENCE] if REFERENCE in figures.tcp else None
    return [
        Goal("packets a second, times BMv2's", TIMES_BMV2, times(REFERENCE)),
        Goal("packets a second, times the kernel's DNAT", TIMES_KERNEL, times(KERNEL)),
        Goal("TCP throughput, times BMv2's", TIMES_BMV2_TCP, tcp),
        Goal("the program alone, packets a second on one core", PROGRAM_RATE, figures.program),
    ]


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


def nanoseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1e9:,.0f}"


def print_tables(console: Console, figures: Figures) -> None:
    packets = Table(title="64-byte packets through the load balancer, thousands a second")
    for column in ("", "round", "throughput", "loss-free (at most 0.1 %)", "busy, ns a packet"):
        packets.add_column(column, justify="right" if column else "left")
    for kind, turns in figures.turns.items():
        for number, one in enumerate(turns, 1):
            name, busy = (TITLES[kind], nanoseconds(figures.busy[kind])) if number == 1 else ("", "")
            packets.add_row(name, str(number), thousands(one.throughput), thousands(one.loss_free), busy)
        packets.add_section()
    for name, bound in (("an empty forwarder", figures.forwarder), ("the ports alone", figures.ports)):
        found = bound.capacity
        packets.add_row(
            name, "", thousands(found.throughput), thousands(found.loss_free), nanoseconds(bound.busy)
        )
    packets.add_row(
        "the program alone, one core", "", thousands(figures.program), "", nanoseconds(1 / figures.program)
    )
    console.print(packets)
    rest = Table(title="Latency at half load, and TCP through nat")
    for column in ("", "median, µs", "99 %, µs", "at packets/s", "TCP, Mbit/s"):
        rest.add_column(column, justify="right" if column else "left")
    for kind, one in figures.latencies.items():
        tcp = f"{figures.tcp[kind] / 1e6:,.0f}" if kind in figures.tcp else ""
        load = f"{figures.half_load(kind):,.0f}"
        rest.add_row(TITLES[kind], f"{one.median * 1e6:,.0f}", f"{one.p99 * 1e6:,.0f}", load, tcp)
    console.print(rest)
    share = figures.rate(EMBEDDED) / figures.forwarder.capacity.throughput
    console.print(f"The embedded switch reaches {share:.0%} of what an empty AF_PACKET forwarder does here.")


def arguments() -> argparse.Namespace:
    options = command.parser("switch", __doc__)
    add_rounds(options)
    add_window(options, 1.0, "a load is counted")
    return options.parse_args()


def main() -> int:
    options = arguments()
    console = Console()
    if lacks_root("switch", "network namespaces and packet sockets"):
        return NOT_MEASURED
    absent = {
        REFERENCE: "" if bmv2_version() else f"{BMV2} is not on PATH",
        KERNEL: dnat.missing(),
        "TCP": iperf.missing(),
    }
    kinds = [kind for kind in TITLES if not absent.get(kind)]
    with Elsewhere() as elsewhere:
        figures = measure(kinds, options.rounds, options.window, console)
    print_tables(console, figures)
    for what, why in absent.items():
        if why:
            console.print(f"Without {TITLES.get(what, what)}: {why}.")
    reached = goals(figures)
    for goal in reached:
        console.print(goal.line(judged=not is_busy(elsewhere)))
    record = {
        **asdict(figures),
        "goals": [asdict(goal) for goal in reached],
        "frame_bytes": FRAME_LENGTH,
        "flows": FLOWS,
        "window_seconds": options.window,
        "elsewhere": elsewhere.share,
        "machine": machine(),
    }
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(record, indent=2) + "\n")
    console.print(f"figures: {OUT}")
    reached_status = status(elsewhere, (not goal.missed for goal in reached))
    return NOT_MEASURED if absent[REFERENCE] else reached_status


if __name__ == "__main__":
    sys.exit(main())
