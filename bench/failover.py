"""Failover time: how long new connections go on to be sent to a server that was killed.

    python -m bench.failover [--kills N] [--rate PER_SECOND] [--realtime]

Three servers, each a process in a network namespace of its own, stand behind Sluice in a lab (topo/), under a
steady load of new connections. One server is killed (SIGKILL), and a capture at its own interface tells, by
the kernel's clock, the time from its last answer to a client to the last new connection that was sent to it.
When nobody is sent to it any more it is started again, and when clients reach it the next one is killed.
Sluice has no health checks here: the switch alone finds out, by probes every 10 ms.

HAProxy does the same with the same servers beside it, by its default checks, and by checks every 10 ms; there
with fewer kills, as one takes ten seconds. What is not on PATH is left out, and said so. The contenders take
turns, and never run at the same time.

A machine with other work gives the processor late, and so everybody's answers and rounds are late: nothing is
judged then (bench/elsewhere.py). --realtime runs everything here before that work (SCHED_RR), for all
contenders alike; only what another machine takes of the processors counts then.

Exit status: 0 the goal is met, 1 it is missed, 2 it could not be measured. The figures go to
bench/out/failover.json.
"""

import argparse
import contextlib
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from bench.command import NOT_MEASURED, is_busy, status
from bench.contenders import (
    CHECK_PORT,
    Contender,
    HAProxy,
    Sluice,
    SluiceOnBMv2,
    namespace_of,
    servers,
    start_until_ready,
)
from bench.death import Death, death, percentile
from bench.elsewhere import Elsewhere
from bench.switch import machine
from bench.witness import Witness
from topo import preflight
from topo.errors import LabError
from topo.lab import Lab
from topo.plan import SERVICE_PORT, HostPlan

GOAL = 0.050
"""Seconds. The 99th percentile of the first contender has to stay below."""
CONTENDERS: tuple[Contender, ...] = (
    Sluice("Sluice, interval 10ms, misses 3", misses=3),
    Sluice("Sluice, interval 10ms, misses 2", misses=2),
    SluiceOnBMv2("Sluice on BMv2, the same, misses 3", misses=3),
    HAProxy("HAProxy, default: inter 2s, fall 3", period=2.0),
    HAProxy("HAProxy, inter 10ms, fall 3", checks="inter 10ms fall 3"),
)
ROUNDS = 5
"""Turns of each contender."""
HAPROXY_SHARE = 5
"""HAProxy is measured by one kill in so many."""

SETTLED = 0.3
"""Seconds for which the load has reached all servers again before one is killed."""
QUIET = 0.5
"""Seconds without a new connection to the dead server after which there will be none."""

OUT = Path(__file__).parent / "out" / "failover.json"
LAB = "sluice-failover"
WIDTH = 120


@dataclass(frozen=True)
class Turn:
    """A contender in its lab, with all servers alive and under load."""

    contender: Contender
    lab: Lab

    def kill(self, victim: HostPlan) -> Death:
        """One death, and the way back."""
        place, patience = namespace_of(self.lab, victim), self.contender.patience
        with Witness(place, victim.interface, SERVICE_PORT, self.contender.client.address4) as witness:
            witness.wait_for_answer(patience)
            time.sleep(SETTLED + random.uniform(0, self.contender.period))  # no moment of it is preferred
            self.lab.kill_server(victim.name)
            witness.wait_for_quiet(QUIET, patience)
            dead = death(witness.look())
            start_server(self.lab, victim)
            witness.wait_for_answer(patience)
        return dead


def start_server(lab: Lab, host: HostPlan) -> None:
    command = lab.python("bench.listener", str(SERVICE_PORT), str(CHECK_PORT))
    start_until_ready(lab, host.name, host.name, command)


@contextlib.contextmanager
def turn(contender: Contender, rate: float) -> Iterator[Turn]:
    """A lab of its own for the contender, with the servers and the load."""
    with TemporaryDirectory() as folder:
        config = Path(folder) / "failover.yaml"
        config.write_text(contender.configuration())
        lab = Lab.start(LAB, target=contender.target, config=config)
        try:
            for host in servers():
                start_server(lab, host)
            with contender.load(lab, rate):
                yield Turn(contender, lab)
        finally:
            lab.down()


def measure(kills: dict[Contender, int], rate: float, console: Console) -> dict[Contender, list[Death]]:
    """So many deaths for each contender, in turns; tells on `console` how far it is."""
    deaths: dict[Contender, list[Death]] = {contender: [] for contender in kills}
    for number in range(1, ROUNDS + 1):
        for contender, wanted in kills.items():
            due = wanted * number // ROUNDS - len(deaths[contender])
            if not due:
                continue
            console.print(f"turn {number} of {ROUNDS}: {contender.name}, {due} kills ...", highlight=False)
            with turn(contender, rate) as own:
                deaths[contender] += [own.kill(victim) for victim, _ in zip(cycle(servers()), range(due))]
    return deaths


# ---- the report


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.1f}"


def print_table(console: Console, deaths: dict[Contender, list[Death]], options: argparse.Namespace) -> None:
    before = (
        "before all other work of the machine" if options.realtime else "beside other work, if there is any"
    )
    table = Table(
        title="Milliseconds from a killed server's last answer to the last new connection sent to it\n"
        f"(up to {options.rate:g} new connections a second to three servers; {before})",
        caption="lost: connections sent to the dead server (median); load: those a second that it had before",
    )
    table.add_column("")
    for column in ("kills", "min", "median", "p90", "p99", "max", "lost", "at most", "load"):
        table.add_column(column, justify="right")
    for contender, ones in deaths.items():
        times, lost = [one.seconds for one in ones], [one.lost for one in ones]
        spread = (0, 50, 90, 99, 100)
        table.add_row(
            contender.name,
            str(len(ones)),
            *(milliseconds(percentile(times, percent)) for percent in spread),
            f"{percentile(lost, 50):g}",
            str(max(lost)),
            f"{statistics.median(one.load for one in ones):.0f}",
        )
    console.print(table)


def write_figures(deaths: dict[Contender, list[Death]], options: argparse.Namespace, met: bool) -> None:
    figures = {
        "goal_p99_seconds": GOAL,
        "met": met,
        "rate": options.rate,
        "realtime": options.realtime,
        "deaths": {contender.name: [asdict(one) for one in ones] for contender, ones in deaths.items()},
        "machine": machine(),
    }
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(figures, indent=2) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.failover",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m bench.failover --kills 10 --realtime",
    )
    parser.add_argument(
        "--kills",
        type=int,
        default=50,
        metavar="N",
        help=f"of each contender; HAProxy: one in {HAPROXY_SHARE} (default: %(default)s)",
    )
    parser.add_argument(
        "--rate",
        type=float,
        default=1000.0,
        metavar="PER_SECOND",
        help="new connections a second, to all servers together (default: %(default)g)",
    )
    parser.add_argument(
        "--realtime", action="store_true", help="all processes here come before all others of the machine"
    )
    options = parser.parse_args()
    if options.kills < HAPROXY_SHARE:
        parser.error(f"--kills: at least {HAPROXY_SHARE}")
    return options


def main() -> int:
    options = arguments()
    progress, console = Console(stderr=True), Console(width=WIDTH)
    for group in ("rights", "tools"):
        if (problem := preflight.first_problem(group)) is not None:
            progress.print(f"Nothing was measured: {problem.what}\nWhat to do: {problem.remedy}")
            return NOT_MEASURED
    kills: dict[Contender, int] = {}
    for contender in CONTENDERS:
        if contender.absent:
            progress.print(f"left out: {contender.name}; {contender.needs} is not on PATH", highlight=False)
        else:
            share = HAPROXY_SHARE if isinstance(contender, HAProxy) else 1
            kills[contender] = options.kills // share
    if options.realtime:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))  # children have it, too
    try:
        with Elsewhere(before_others=options.realtime) as elsewhere:
            deaths = measure(kills, options.rate, progress)
    except (LabError, TimeoutError) as error:
        progress.print(f"It could not be measured: {error}", highlight=False)
        return NOT_MEASURED

    print_table(console, deaths, options)
    first = CONTENDERS[0]
    reached = percentile((one.seconds for one in deaths[first]), 99)
    met = reached < GOAL
    verdict = "not judged" if is_busy(elsewhere) else "met" if met else "MISSED"
    write_figures(deaths, options, met)
    console.print(f"figures: {OUT}")
    console.print(
        f"{first.name}: 99 % of failovers within {milliseconds(reached)} ms. "
        f"Goal: below {milliseconds(GOAL)} ms: {verdict}.",
        highlight=False,
    )
    return status(elsewhere, (met,))


if __name__ == "__main__":
    sys.exit(main())
