"""P4Runtime reads: the embedded switch beside BMv2.

    python -m bench.reads [--rounds N] [--entries N]

Both switches run at the same time with the compiled load balancer and the entries of bench/writes.py. This
process asks them in turns, and takes what they answer without looking into it: for whole tables, for whole
tables with the counts of their entries, for the direct counters of a table, and for single entries, each by
its key and asked for when the one before has come.

Exit status: 0 whole tables come at least as fast as BMv2's, 1 they do not, 2 it could not be measured (no
BMv2, no root, a busy machine). Figures go to bench/out/reads.json.
"""

import argparse
import contextlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import grpc
from finsy.proto import p4r
from rich.console import Console
from rich.table import Table

from bench import command
from bench.command import NOT_MEASURED, add_rounds, is_busy, lacks_root, status
from bench.elsewhere import Elsewhere
from bench.switch import bmv2_version, machine
from bench.writes import row
from tests.packets.p4runtime import Names
from tests.packets.targets import DEVICE_ID, on_wires

OUT = Path(__file__).parent / "out" / "reads.json"
READ = "/p4.v1.P4Runtime/Read"

TABLES = ("buckets", "backends", "neighbors", "nat_answers")
"""Those that bench/writes.py writes to."""
COUNTED = "nat_answers"
ONE_BY_ONE = 500
UPDATES_PER_WRITE = 1000

WHOLE, WITH_COUNTS, COUNTERS, SINGLE = "whole tables", "with counts", "direct counters", "one by one"

Rates = dict[str, dict[str, list[float]]]
"""Entities a second, by what is read and by switch, one for each round."""


def requests(names: Names, entries: int) -> dict[str, list[p4r.ReadRequest]]:
    """By what is read."""
    ids = {alias: names.tables[alias].preamble.id for alias in TABLES}
    counted = p4r.TableEntry(table_id=ids[COUNTED])
    with_counts = p4r.TableEntry(table_id=ids[COUNTED], counter_data=p4r.CounterData())
    return {
        WHOLE: [_request(*(p4r.Entity(table_entry=p4r.TableEntry(table_id=id)) for id in ids.values()))],
        WITH_COUNTS: [_request(p4r.Entity(table_entry=with_counts))],
        COUNTERS: [_request(p4r.Entity(direct_counter_entry=p4r.DirectCounterEntry(table_entry=counted)))],
        SINGLE: [
            _request(p4r.Entity(table_entry=names.key(row(number, 0))))
            for number in range(0, entries, max(entries // ONE_BY_ONE, 1))
        ],
    }


def _request(*entities: p4r.Entity) -> p4r.ReadRequest:
    return p4r.ReadRequest(device_id=DEVICE_ID, entities=entities)


class Reader:
    """Takes answers as octets."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address, [("grpc.max_receive_message_length", -1)])
        self._read: Callable[..., Iterator[bytes]] = self._channel.unary_stream(
            READ, request_serializer=p4r.ReadRequest.SerializeToString
        )

    def close(self) -> None:
        self._channel.close()

    def rate(self, asked: Sequence[p4r.ReadRequest]) -> float:
        """Entities a second. Raises RuntimeError when there are none."""
        begun = time.perf_counter()
        responses = [response for request in asked for response in self._read(request)]
        seconds = time.perf_counter() - begun
        count = sum(len(p4r.ReadResponse.FromString(response).entities) for response in responses)
        if count == 0:
            raise RuntimeError(f"nothing was read by {asked[0]}")
        return count / seconds


def compare(
    readers: dict[str, Reader], asked: dict[str, list[p4r.ReadRequest]], rounds: int, console: Console
) -> Rates:
    found: Rates = {what: {name: [] for name in readers} for what in asked}
    for number in range(1, rounds + 1):
        console.print(f"round {number} ...")
        for what, wanted in asked.items():
            for name, reader in readers.items():
                found[what][name].append(reader.rate(wanted))
    return found


def ratio(rates: dict[str, list[float]]) -> float | None:
    """Of the medians; None without BMv2."""
    if "bmv2" not in rates:
        return None
    return statistics.median(rates["embedded"]) / statistics.median(rates["bmv2"])


def print_rates(console: Console, found: Rates) -> None:
    table = Table(title="P4Runtime entities read a second: median (slowest to fastest round)")
    for column in ("", *found[WHOLE], "times BMv2's"):
        table.add_column(column, justify="right" if column else "left")
    for what, rates in found.items():
        cells = [
            f"{statistics.median(one):,.0f} ({min(one):,.0f} to {max(one):,.0f})" for one in rates.values()
        ]
        times = ratio(rates)
        table.add_row(what, *cells, "" if times is None else f"{times:.2f}")
    console.print(table)


def arguments() -> argparse.Namespace:
    options = command.parser("reads", __doc__, "--rounds 5")
    add_rounds(options)
    options.add_argument(
        "--entries", type=int, default=45_000, metavar="N", help="in all tables (default: %(default)s)"
    )
    return options.parse_args()


def main() -> int:
    options = arguments()
    console = Console()
    if lacks_root("reads"):
        return NOT_MEASURED
    names = Names.load()
    kinds = ["embedded", "bmv2"] if bmv2_version() else ["embedded"]
    updates = [names.insert(row(number, 0)) for number in range(options.entries)]
    with Elsewhere() as elsewhere, contextlib.ExitStack() as running:
        readers: dict[str, Reader] = {}
        for kind in kinds:
            target = running.enter_context(on_wires(kind, names))
            for start in range(0, len(updates), UPDATES_PER_WRITE):
                target.write(updates[start : start + UPDATES_PER_WRITE])
            readers[kind] = running.enter_context(contextlib.closing(Reader(target.address)))
        found = compare(readers, requests(names, options.entries), options.rounds, console)
    print_rates(console, found)
    OUT.parent.mkdir(exist_ok=True)
    figures = {"entities_a_second": found, "elsewhere": elsewhere.share, "machine": machine()}
    OUT.write_text(json.dumps(figures, indent=2) + "\n")
    console.print(f"figures: {OUT}")
    times = ratio(found[WHOLE])
    if times is None:
        console.print("simple_switch_grpc is not on PATH: nothing was compared with it.")
        return NOT_MEASURED
    verdict = "not judged" if is_busy(elsewhere) else "held" if times >= 1 else "MISSED"
    console.print(f"{verdict}  whole tables: at least as fast as BMv2's")
    return status(elsewhere, (times >= 1,))


if __name__ == "__main__":
    sys.exit(main())
