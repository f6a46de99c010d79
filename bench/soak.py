"""Hours of traffic through the embedded switch: does it keep its memory, its descriptors and every packet?

    python -m bench.soak [--seconds 3600]

The switch runs the whole load balancer in a namespace of its own, with the traffic of bench.switch. First the
load that it can take is looked for; then half of that goes through a fresh one for the time given, while a
controller writes to its tables once a second: a bucket moves to another backend, a neighbour comes, one goes.
Each minute a line says how it is; in the end three things are judged:

    memory        what is resident has not grown by more than 1 MiB since the first tenth of the time
    descriptors   as many are open as then
    packets       as many came out of the switch as went into it, and it has counted no loss

Exit status: 0 all three hold, 1 one does not, 2 it could not be measured (no root).
"""

import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bench import command
from bench.balancer import BACKENDS, BUCKET_MASK, FIRST_BACKEND, MTU, entries, road, traffic
from bench.command import NOT_MEASURED, lacks_root
from bench.search import capacity
from bench.traffic import Road, Trial
from tests.packets import rows
from tests.packets.p4runtime import Names
from tests.packets.rows import Row
from tests.packets.runner import Runner, Tables
from tests.packets.targets import on_wires
from tests.packets.world import ONE, ROUTER, V4

MIB = 1 << 20
MOST_GROWTH = MIB  # bytes of resident memory
WARM_UP_SHARE = 0.1  # of the time, until memory and descriptors are as they should stay
WRITE_INTERVAL = 1.0  # seconds
LINE_INTERVAL = 60.0  # seconds, at the most; a short run has ten lines
SEARCH_WINDOW = 1.0  # seconds that each load is tried for
PASSING = "203.0.113.{}"  # addresses for documentation (RFC 5737)


@dataclass(frozen=True)
class Sample:
    """How the switch is at one moment.

    seconds: since the traffic began. resident: bytes. sent, came: packets since the traffic began.
    """

    seconds: float
    resident: int
    descriptors: int
    threads: int
    sent: int
    came: int

    def line(self) -> str:
        return (
            f"{self.seconds:6.0f} s  resident {self.resident / MIB:7.2f} MiB  "
            f"descriptors {self.descriptors}  threads {self.threads}  "
            f"packets in {self.sent:,}  out {self.came:,}  under way or lost {self.sent - self.came:,}"
        )


@dataclass(frozen=True)
class Outcome:
    """settled: at the end of the warm-up; last: when the traffic had ended and all of it come out.

    losses: what the switch has counted by reason, in its ports and in the program; only what is not 0.
    """

    rate: float
    writes: int
    settled: Sample
    last: Sample
    losses: dict[str, int]

    @property
    def leaks(self) -> dict[str, int]:
        """What there is more of than when it had settled, if that is more than it may be."""
        grown = self.last.resident - self.settled.resident
        opened = self.last.descriptors - self.settled.descriptors
        return {
            what: more
            for what, more, most in (("bytes", grown, MOST_GROWTH), ("descriptors", opened, 0))
            if more > most
        }

    def verdicts(self) -> dict[str, bool]:
        """Each thing that is judged, in words, and whether it holds."""
        grown = (self.last.resident - self.settled.resident) / MIB
        opened = self.last.descriptors - self.settled.descriptors
        since = f"since {self.settled.seconds:.0f} s"
        lost = self.last.sent - self.last.came
        reasons = "".join(f", {reason} {count:,}" for reason, count in self.losses.items())
        load = f"{self.rate:,.0f} a second and {self.writes:,} writes"
        return {
            f"memory: {grown:+.2f} MiB {since}": "bytes" not in self.leaks,
            f"descriptors: {opened:+d} {since}": "descriptors" not in self.leaks,
            f"packets: {lost:,} of {self.last.sent:,} lost at {load}{reasons}": lost == 0 and not self.losses,
        }


class Watched:
    """A running process, and the packets that go through it."""

    def __init__(self, pid: int, way: Road) -> None:
        self._process = Path("/proc", str(pid))
        self._way = way
        self._began = time.monotonic()
        self._sent, self._came = way.counts()

    def sample(self) -> Sample:
        status = (self._process / "status").read_text()
        fields = dict(re.findall(r"^(VmRSS|Threads):\s+(\d+)", status, re.MULTILINE))
        sent, came = self._way.counts()
        return Sample(
            time.monotonic() - self._began,
            int(fields["VmRSS"]) * 1024,
            len(list((self._process / "fd").iterdir())),
            int(fields["Threads"]),
            sent - self._sent,
            came - self._came,
        )


class Churn:
    """Writes to the tables, which never grow. No packet is to notice."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.done = 0

    def write(self) -> None:
        bucket = rows.bucket(V4.tcp_pool, self.done & BUCKET_MASK, FIRST_BACKEND + self.done % BACKENDS)
        gone = [_passing(self.done - 1)] if self.done else []
        self._tables.change([bucket, _passing(self.done)], gone)
        self.done += 1


def _passing(number: int) -> Row:
    """A neighbour that comes, and goes with the next write."""
    return rows.neighbor(PASSING.format(number % 250), ONE.port, ROUTER, ONE.mac)


def watch(watched: Watched, writes: Churn, seconds: float, say: Callable[[str], None]) -> Sample:
    """Until the time is over; returns how it was at the end of the warm-up."""
    interval = min(LINE_INTERVAL, seconds / 10)
    settled = None
    begun = time.monotonic()
    next_line = interval
    while (now := time.monotonic() - begun) < seconds:
        writes.write()
        if settled is None and now >= WARM_UP_SHARE * seconds:
            settled = watched.sample()
        if now >= next_line:
            say(watched.sample().line())
            next_line += interval
        time.sleep(max(0.0, begun + now + WRITE_INTERVAL - time.monotonic()))
    return settled or watched.sample()


def logged_losses(log: str) -> dict[str, int]:
    """What the switch has written of its ports' counters at its end: packets that it lost, by reason."""
    ports = re.findall(r"port \d+ \((\w+)\): (rx_packets .*)", log)
    inside = re.findall(r"(lost in the switch): (.*)", log)
    counts = {
        f"{place} {name}": int(count)
        for place, counters in (*ports, *inside)
        for name, count in re.findall(r"(\w+) (\d+)", counters)
        if place == "lost in the switch" or re.search("dropped|too_long|malformed", name)
    }
    return {reason: count for reason, count in counts.items() if count}


def soak(seconds: float, rate: float | None = None, say: Callable[[str], None] = print) -> Outcome:
    """rate: packets a second; None: half of what the switch can take, which is looked for first."""
    names = Names.load()
    frames = [frame for frame, _ in traffic()]
    if rate is None:
        rate = half_load(names, frames)
    with tempfile.TemporaryDirectory(prefix="sluice-soak-") as folder:
        log = Path(folder, "switch.log")
        flags = ["--log-file", str(log)]
        with (
            on_wires("embedded", names, mtu=MTU, flags=flags) as target,
            closing(road(target.namespace)) as way,
        ):
            runner = Runner(target)
            runner.tables.become(entries())
            before = runner.by_action("drops")
            say(f"{rate:,.0f} packets a second for {seconds:,.0f} s")
            watched = Watched(target.pid, way)
            writes = Churn(runner.tables)
            with way.traffic(frames, rate):
                settled = watch(watched, writes, seconds, say)
            last = watched.sample()
            say(last.line())
            drops = runner.by_action("drops")
        losses = {
            f"the program: {why}": count - before[why] for why, count in drops.items() if count != before[why]
        }
        losses |= logged_losses(log.read_text())
    return Outcome(rate, writes.done, settled, last, losses)


def half_load(names: Names, frames: Sequence[bytes]) -> float:
    """Half of the highest load that the switch takes without loss; of its throughput, if there is none."""
    with on_wires("embedded", names, mtu=MTU) as target, closing(road(target.namespace)) as way:
        Runner(target).tables.become(entries())

        def drive(rate: float) -> Trial:
            return way.drive(frames, rate, SEARCH_WINDOW)

        found = capacity(drive)
    return (found.loss_free or found.throughput) / 2


def main() -> int:
    parser = command.parser("soak", __doc__)
    parser.add_argument(
        "--seconds", type=float, default=3600.0, help="how long the traffic lasts (default: an hour)"
    )
    parser.add_argument(
        "--rate", type=float, help="packets a second (default: half of what the switch can take)"
    )
    options = parser.parse_args()
    if lacks_root("soak"):
        return NOT_MEASURED
    outcome = soak(options.seconds, options.rate)
    verdicts = outcome.verdicts()
    for what, holds in verdicts.items():
        print(f"{'holds ' if holds else 'MISSED'}  {what}")
    return 0 if all(verdicts.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
