"""P4Runtime writes a second: the embedded switch beside BMv2, and what they do to the packets meanwhile.

    python -m bench.writes [--rounds N] [--window SECONDS]

Both switches run at the same time with the compiled load balancer. A client in a process of its own
(bench.writer) sends them the same ready-made, serialised WriteRequests in turns: insertions of entries, a
modification of each and their deletion, in the tables that a controller writes most (of nine entries six
are buckets, one is a backend, one a neighbor, one a nat answer); one update a request, 100, and 1000. Each
request is sent when the one before is answered.

Then packets: 64-byte ones of 1024 flows at the embedded switch's highest rate without loss and at half of
it, for some windows of time each, without writes and with writes going on, of one update a request and of
100. Those change entries that the packets do not need, in the tables that they go through. In a third kind of
window the same writes go to a second switch, which no packet goes through: generator, client and switches
share the machine's cores, and what is lost there too is lost for want of a core.

Exit status: 0 all goals are held, 1 one is missed, 2 it could not be measured (no BMv2, no root, a busy
machine). Figures go to bench/out/writes.json.
"""

import argparse
import contextlib
import json
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from finsy.proto import p4r
from rich.console import Console
from rich.table import Table

from bench import command
from bench.balancer import FIRST_BACKEND, MTU, entries, road, traffic
from bench.command import NOT_MEASURED, add_rounds, add_window, is_busy, lacks_root, status
from bench.elsewhere import Elsewhere
from bench.search import capacity
from bench.switch import bmv2_version, machine
from bench.traffic import Road
from bench.writer import Phase
from tests.packets import rows
from tests.packets.p4runtime import PIPELINE, Names
from tests.packets.rows import TCP, Row
from tests.packets.runner import Runner
from tests.packets.targets import DEVICE_ID, START_TIMEOUT, Controller, embedded_command, on_wires
from tests.packets.world import ONE, ROUTER

OUT = Path(__file__).parent / "out" / "writes.json"

BATCHES = {1: 900, 100: 18_000, 1000: 45_000}
"""Updates a request, and entries in all: enough for a second or so."""

OWN_POOL = 500
"""The first of the pools, and of the backends, that only this benchmark writes to."""

WRITTEN_MEANWHILE = {1: 300, 100: 9_000}
"""Updates a request, and entries that are inserted, modified and deleted over and over while packets pass."""
WINDOWS = 5
CLIENT_START = 1.0
"""Seconds until the client surely writes."""


def row(number: int, change: int) -> Row:
    """The entry of that number; another `change` gives its action other data."""
    address = f"10.{100 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
    match number % 9:
        case 6:
            return rows.backend(FIRST_BACKEND + OWN_POOL + number // 9, address, 80 + change)
        case 7:
            return rows.neighbor(address, ONE.port, ROUTER, f"02:00:00:00:01:{change:02x}")
        case 8:
            return rows.nat_answer(address, TCP, 80, "10.0.0.100", 80 + change)
        case _:
            return rows.bucket(OWN_POOL + (number >> 16), number & 0xFFFF, FIRST_BACKEND + change)


def phases(names: Names, entries: int, batch: int) -> list[Phase]:
    """Insertions, modifications and deletions."""
    steps = {
        "insert": [names.insert(row(number, 0)) for number in range(entries)],
        "modify": [names.modify(row(number, 1)) for number in range(entries)],
        "delete": [names.delete(row(number, 1)) for number in range(entries)],
    }
    return [Phase(name, entries, requests(updates, batch)) for name, updates in steps.items()]


def requests(updates: Sequence[p4r.Update], batch: int) -> tuple[bytes, ...]:
    starts = range(0, len(updates), batch)
    election_id = p4r.Uint128(low=1)  # the primary's: see tests/packets/targets.py
    return tuple(
        p4r.WriteRequest(
            device_id=DEVICE_ID, election_id=election_id, updates=updates[start : start + batch]
        ).SerializeToString()
        for start in starts
    )


class Writer:
    """bench.writer at work for the length of a `with`; it does everything once at least."""

    def __init__(self, address: str, file: Path) -> None:
        command = [sys.executable, "-m", "bench.writer", address, str(file)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.seconds: list[list[float]] = []
        """Of each time for each phase, when it has ended."""

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_exception: object) -> None:
        out, _ = self._process.communicate()
        if self._process.returncode != 0:
            raise RuntimeError("the client that writes has failed; its standard error says why")
        self.seconds = json.loads(out)


# ---- writes


Rates = dict[str, list[float]]
"""Updates a second, by what they do, one for each round."""


def turn(address: str, file: Path, steps: Sequence[Phase], rates: Rates) -> None:
    """One round of one switch with one size of batch."""
    file.write_bytes(pickle.dumps(list(steps)))
    with Writer(address, file) as writer:
        pass
    for step, seconds in zip(steps, writer.seconds, strict=True):
        rates.setdefault(step.name, []).append(step.updates / seconds[0])


def overall(rates: Rates) -> float:
    """Of insertions, modifications and deletions, as many of each: the median of the rounds."""
    rounds = zip(*rates.values(), strict=True)
    return statistics.median(len(of_one) / sum(1 / rate for rate in of_one) for of_one in rounds)


def compare(
    addresses: dict[str, str], names: Names, file: Path, rounds: int, console: Console
) -> dict[str, dict[int, Rates]]:
    """By switch and updates a request."""
    found: dict[str, dict[int, Rates]] = {name: {batch: {} for batch in BATCHES} for name in addresses}
    for batch, count in BATCHES.items():
        steps = phases(names, count, batch)
        for number in range(1, rounds + 1):
            for name, address in addresses.items():
                console.print(f"{batch} a request, round {number}: {name} ...")
                turn(address, file, steps, found[name][batch])
    return found


def print_rates(console: Console, found: dict[str, dict[int, Rates]]) -> None:
    table = Table(title="P4Runtime updates a second: median (slowest to fastest round)")
    for column in ("a request", "switch", "insert", "modify", "delete", "overall"):
        table.add_column(column, justify="left" if column == "switch" else "right")
    for batch in BATCHES:
        for name, rates in found.items():
            cells = [
                f"{statistics.median(one):,.0f} ({min(one):,.0f} to {max(one):,.0f})"
                for one in rates[batch].values()
            ]
            table.add_row(str(batch), name, *cells, f"{overall(rates[batch]):,.0f}")
        table.add_section()
    console.print(table)


# ---- packets meanwhile


QUIET, ELSEWHERE, HERE = "no writes", "writes to another switch", "writes to this switch"


@dataclass(frozen=True)
class Losses:
    """The share that was lost in each window, by what was written meanwhile.

    load: packets a second. batch: updates a request.
    """

    load: float
    batch: int
    lost: dict[str, list[float]]
    updates: float
    """That this switch was sent in a second meanwhile."""


def losses(
    way: Road,
    frames: Sequence[bytes],
    load: float,
    batch: int,
    window: float,
    writers: dict[str, str | None],
    file: Path,
) -> Losses:
    """writers: the address that is written to, by what is written. file: what is written, in such batches."""
    lost: dict[str, list[float]] = {what: [] for what in writers}
    updates: list[float] = []
    for _ in range(WINDOWS):
        for what, address in writers.items():
            with contextlib.ExitStack() as writing:
                writer = writing.enter_context(Writer(address, file)) if address else None
                if writer:
                    time.sleep(CLIENT_START)
                lost[what].append(way.drive(frames, load, window).lost)
            if writer and what == HERE:
                rounds = zip(*writer.seconds, strict=False)
                updates += [len(one) * WRITTEN_MEANWHILE[batch] / sum(one) for one in rounds]
    return Losses(load, batch, lost, statistics.median(updates))


@contextlib.contextmanager
def without_packets(names: Names, folder: Path) -> Iterator[str]:
    """The address of an embedded switch without any interface, of which this process is the primary."""
    address = f"unix:{folder / 'other.sock'}"
    with subprocess.Popen(embedded_command(address, []), stdout=subprocess.DEVNULL) as process:
        controller = Controller(address)
        try:
            controller.connect(process, START_TIMEOUT)
            controller.push(names, PIPELINE.read_bytes())
            yield address
        finally:
            controller.close()
            process.terminate()


def print_losses(console: Console, found: Sequence[Losses]) -> None:
    table = Table(title="64-byte packets lost of a million: median (least to most of a window)")
    for column in ("packets a second", "a request", *found[0].lost, "updates a second"):
        table.add_column(column, justify="right")
    for one in found:
        cells = [
            f"{statistics.median(lost) * 1e6:,.0f} ({min(lost) * 1e6:,.0f} to {max(lost) * 1e6:,.0f})"
            for lost in one.lost.values()
        ]
        table.add_row(f"{one.load:,.0f}", str(one.batch), *cells, f"{one.updates:,.0f}")
    console.print(table)


# ---- the verdict


def verdicts(found: dict[str, dict[int, Rates]], lost: Sequence[Losses]) -> Iterator[tuple[bool, str]]:
    """(whether it is held, what)."""
    for batch in BATCHES:
        if "bmv2" in found:
            ours, theirs = (overall(found[name][batch]) for name in ("embedded", "bmv2"))
            yield (
                ours >= theirs,
                f"{batch} a request: at least BMv2's {theirs:,.0f} updates a second: {ours:,.0f}",
            )
    for one in lost:
        here, elsewhere = (statistics.median(one.lost[what]) for what in (HERE, ELSEWHERE))
        yield (
            here <= elsewhere,
            f"{one.load:,.0f} packets a second, {one.batch} a request: writes lose none that are not lost "
            f"without them: {here * 1e6:,.0f} of a million, {elsewhere * 1e6:,.0f} with them elsewhere",
        )


def arguments() -> argparse.Namespace:
    options = command.parser("writes", __doc__, "--rounds 5")
    add_rounds(options)
    add_window(options, 1.0, "losses are counted at a time")
    return options.parse_args()


def main() -> int:
    options = arguments()
    console = Console()
    if lacks_root("writes", "network namespaces and packet sockets"):
        return NOT_MEASURED
    names = Names.load()
    with Elsewhere() as elsewhere, contextlib.ExitStack() as running:
        folder = running.enter_context(tempfile.TemporaryDirectory(prefix="sluice-writes-"))
        file = Path(folder) / "phases"
        kinds = ["embedded", "bmv2"] if bmv2_version() else ["embedded"]
        targets = {kind: running.enter_context(on_wires(kind, names, mtu=MTU)) for kind in kinds}
        addresses = {kind: target.address for kind, target in targets.items()}
        found = compare(addresses, names, file, options.rounds, console)
        print_rates(console, found)

        here = targets["embedded"]
        Runner(here).tables.become(entries())
        other = running.enter_context(without_packets(names, Path(folder)))
        way = running.enter_context(contextlib.closing(road(here.namespace)))
        frames = [frame for frame, _ in traffic()]
        console.print("looking for the highest rate without loss ...")
        full = capacity(lambda rate: way.drive(frames, rate, options.window)).loss_free
        writers = {QUIET: None, ELSEWHERE: other, HERE: here.address}
        lost = []
        for load in (full, full / 2):
            for batch, count in WRITTEN_MEANWHILE.items():
                console.print(f"counting losses at {load:,.0f} packets a second, {batch} a request ...")
                file.write_bytes(pickle.dumps(phases(names, count, batch)))
                lost.append(losses(way, frames, load, batch, options.window, writers, file))
        print_losses(console, lost)

    outcome = list(verdicts(found, lost))
    OUT.parent.mkdir(exist_ok=True)
    figures = {
        "updates_a_second": found,
        "losses": [asdict(one) for one in lost],
        "goals": [{"held": held, "what": what} for held, what in outcome],
        "elsewhere": elsewhere.share,
        "machine": machine(),
    }
    OUT.write_text(json.dumps(figures, indent=2) + "\n")
    for held, what in outcome:
        verdict = "not judged" if is_busy(elsewhere) else "held" if held else "MISSED"
        console.print(f"{verdict:10}  {what}")
    console.print(f"figures: {OUT}")
    if "bmv2" not in found:
        console.print("simple_switch_grpc is not on PATH: nothing was compared with it.")
        return NOT_MEASURED
    return status(elsewhere, (held for held, _ in outcome))


if __name__ == "__main__":
    sys.exit(main())
