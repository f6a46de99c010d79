"""Broken connections when servers come and go: ours, through the compiled program, beside what others do.

    python -m bench.consistency [--seconds N] [--connections N] [--flood SYNS_PER_SECOND]

Connections arrive at random (a Poisson process) and last exponentially distributed times, 10 s in the mean,
as do the pauses between two packets of each, 2 s in the mean and 14 s at most. 24 servers become 30 after a
quarter of the time, and 22 after two thirds, which removes 8 of the older ones. A connection is broken when
a packet of it reaches another server than its first one did. Everybody sees the same packets and the same
hash of each. Ours runs in this process in virtual time, with the controller's own decisions.

Then all of it again under a flood of SYNs that nothing follows, each from another source.

Exit status 1 when one of our connections was broken.
"""

import argparse
import heapq
import random
import sys
from collections import Counter
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from rich.console import Console
from rich.table import Table

from bench.pool import VIP, Exceptions, Pool, frames, names
from bench.rivals import CachedMaglev, Hashing, Maglev, Rival
from controller.program import ticks
from tests.fakes.data_plane import Flow

BEFORE, MORE, FEWER = 24, 30, 22
MEAN_DURATION = 10.0
MEAN_PAUSE, LONGEST_PAUSE = 2.0, 14.0
IDLE_TIMEOUT = 15.0
BUCKETS = 1024
ROOM = 3 * 16384
"""Of the exception table, and of the rival's cache."""
LOOK = 0.5
FIRST_CLIENT = IPv4Address("172.16.0.0")
NONE = Exceptions(0, 0, 0)
OPEN, SEND, FLOOD, LOOK_AFTER, CHANGE = range(5)


@dataclass(slots=True)
class Side:
    """What became of the connections of one contestant."""

    name: str
    owners: dict[int, str] = field(default_factory=dict)
    broken: Counter[int] = field(default_factory=Counter)
    """Connections by the second in which they broke."""

    def see(self, number: int, owner: str, second: int) -> None:
        first = self.owners.setdefault(number, owner)
        if owner != first:
            self.broken[second] += 1
            self.owners[number] = owner

    def worst(self, live: Counter[int]) -> float:
        return max((count / live[second] for second, count in self.broken.items()), default=0.0)


@dataclass(slots=True)
class Outcome:
    """A whole run."""

    sides: list[Side]
    connections: int = 0
    most_live: int = 0
    recorded: int = 0
    most: Exceptions = NONE
    """Each at its own worst moment, looked at every two seconds."""
    unmoved: int = 0
    bucket_writes: int = 0
    live: Counter[int] = field(default_factory=Counter)


def run(seconds: float, connections: int, flood: int, seed: int = 1) -> Outcome:
    """`connections` live at a time, and `flood` SYNs a second that nothing follows."""
    rng = random.Random(seed)
    pool = Pool(BUCKETS, IDLE_TIMEOUT)
    rivals: list[Rival] = [Hashing(), Maglev(), CachedMaglev(ROOM)]
    outcome = Outcome([Side(rival.name) for rival in rivals] + [Side("Sluice")])
    everybody = names(MORE)
    for contestant in (pool, *rivals):
        contestant.serve_by(everybody[:BEFORE])
    writes_before = pool.bucket_writes

    events: list[tuple[float, int, int, float]] = [(0.0, LOOK_AFTER, 0, 0.0)]  # when, what, which, until when
    for number in range(connections):  # those who are there already
        events.append((0.0, OPEN, number, rng.expovariate(1 / MEAN_DURATION)))
    arrival, number = 0.0, connections
    while (arrival := arrival + rng.expovariate(connections / MEAN_DURATION)) < seconds:
        events.append((arrival, OPEN, number, arrival + rng.expovariate(1 / MEAN_DURATION)))
        number += 1
    outcome.connections = number
    events += [(seconds / 4, CHANGE, MORE, 0.0), (seconds * 2 / 3, CHANGE, FEWER, 0.0)]
    events += [(n / flood, FLOOD, number + n, 0.0) for n in range(round(seconds * flood))]
    heapq.heapify(events)

    kept: dict[int, tuple[int, tuple[bytes, bytes, bytes]]] = {}
    said = 0

    def pause() -> float:
        return min(rng.expovariate(1 / MEAN_PAUSE), LONGEST_PAUSE)

    def everybody_sees(which: int, digest: int, owner: str, second: int) -> None:
        for rival, side in zip(rivals, outcome.sides, strict=False):
            side.see(which, rival.owner(which, digest), second)
        outcome.sides[-1].see(which, owner, second)

    while events and events[0][0] < seconds:
        now, what, which, until = heapq.heappop(events)
        pool.now, second = now, int(now)
        if what == OPEN:
            flow = Flow(FIRST_CLIENT + which, 1024 + which % 60000, VIP)
            kept[which] = flow.hash, frames(flow)
            outcome.recorded += pool.records(flow)
            everybody_sees(which, flow.hash, pool.owner(kept[which][1][0]), second)
            heapq.heappush(events, (min(now + pause(), until), SEND, which, until))
            outcome.most_live = max(outcome.most_live, len(kept))
        elif what == SEND:
            digest, (_, later, last) = kept[which]
            everybody_sees(which, digest, pool.owner(last if now >= until else later), second)
            if now >= until:
                del kept[which]
            else:
                heapq.heappush(events, (min(now + pause(), until), SEND, which, until))
        elif what == FLOOD:
            flow = Flow(FIRST_CLIENT + which, 1024 + which % 60000, VIP)
            pool.owner(frames(flow)[0])
            for rival in rivals:
                rival.owner(which, flow.hash)
        elif what == CHANGE:
            serving = everybody[:which] if which > BEFORE else everybody[-which:]
            for contestant in (pool, *rivals):
                contestant.serve_by(serving)
        else:
            pool.look_after()
            heapq.heappush(events, (now + LOOK, LOOK_AFTER, 0, 0.0))
            outcome.live[second] = max(outcome.live[second], len(kept))
            if second >= said:
                said = second + 2
                held = pool.exceptions(ticks(IDLE_TIMEOUT))
                outcome.most = Exceptions(*map(max, held, outcome.most))
                print(f"{second:3d} s: {len(kept)} connections, {held}", file=sys.stderr)
    outcome.unmoved = pool.unmoved
    outcome.bucket_writes = pool.bucket_writes - writes_before
    return outcome


def show(console: Console, runs: dict[str, Outcome]) -> None:
    table = Table(title=f"{BEFORE} -> {MORE} -> {FEWER} servers: broken connections")
    table.add_column("")
    for name, outcome in runs.items():
        table.add_column(f"{name}\nof {outcome.connections}", justify="right")
        table.add_column("worst second", justify="right")
    for index, side in enumerate(next(iter(runs.values())).sides):
        cells = [side.name]
        for outcome in runs.values():
            own = outcome.sides[index]
            cells += [str(own.broken.total()), f"{own.worst(outcome.live):.2%}"]
        table.add_row(*cells)
    table.add_section()
    for text, value in (
        ("connections at a time (a connection table holds them all)", lambda o: o.most_live),
        ("exceptions at a time, of those", lambda o: o.most.live),
        ("of connections that ended within the idle timeout", lambda o: o.most.ended),
        ("of which only a SYN was seen", lambda o: o.most.embryos),
        ("connections that began in a moving bucket", lambda o: o.recorded),
        ("SYNs that found no room, and did not move", lambda o: o.unmoved),
        ("writes of bucket entries", lambda o: o.bucket_writes),
    ):
        cells = [text]
        for outcome in runs.values():
            cells += [str(value(outcome)), ""]
        table.add_row(*cells)
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--connections", type=int, default=12_000)
    parser.add_argument("--flood", type=int, default=12_000, help="SYNs a second in the second run")
    arguments = parser.parse_args()
    runs = {
        "no flood": run(arguments.seconds, arguments.connections, 0),
        f"{arguments.flood} SYNs a second": run(arguments.seconds, arguments.connections, arguments.flood),
    }
    show(Console(width=140), runs)
    return int(any(outcome.sides[-1].broken for outcome in runs.values()))


if __name__ == "__main__":
    sys.exit(main())
