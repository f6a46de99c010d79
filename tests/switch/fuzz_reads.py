"""Tables with random entries, read by C and by Python: with the same octets.

    python -m tests.switch.fuzz_reads SECONDS SEED [PROGRAM]...

does so for that long, in a process whose C is built with sanitizers if the environment says so. Ends with an
error when the two differ, or a sanitizer finds something.
"""

import random
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from typing import Any

from finsy.proto import p4r

from switch.engine import Engine, Entry, EntryError, Rates
from switch.ports import Ports
from switch.server import read
from switch.server.pipeline import Pipeline, TableState
from tests.switch.client import PROGRAMS
from tests.switch.fuzz_packets import random_match
from tests.switch.fuzz_writes import OURS, config

CONFIGS = (*(PROGRAMS / name for name in ("tables", "service", "selection", "keys", "wide")), OURS / "sluice")
ENTRIES = 40
REQUESTS = 20
"""Between two changes of the tables."""
MOST_COUNT = (1 << 63) - 1
HOUR = 3_600_000_000
"""Microseconds."""


class Tables:
    """Those of one program, full at random."""

    def __init__(self, stem: Any, seed: int) -> None:
        self._random = random.Random(seed)
        self.pipeline = Pipeline.load(config(stem), Engine.load, Ports(any_number=True))
        self._engine = self.pipeline.engine
        self._engine.process(1, b"", HOUR)  # time stands still from now on
        self._states = [state for state in self.pipeline.tables.values() if state.codec.info.fields]
        self.told_by_c = 0

    def close(self) -> None:
        self.pipeline.retire()

    def round(self) -> None:
        """Some changes, then some requests; raises AssertionError when the answers differ."""
        for state in self._states:
            self._change(state)
        for _ in range(REQUESTS):
            self._compare(self._wanted())

    # ---- entries

    def _change(self, state: TableState) -> None:
        name = state.codec.name
        table = self._engine.tables[name]
        if table.action_profile is not None or table.immutable:
            return
        for entry in self._engine.entries(name):
            if self._random.random() < 0.5:
                self._engine.delete(name, entry.match, entry.priority)
        for _ in range(self._random.randrange(ENTRIES)):
            self._add(name)

    def _add(self, name: str) -> None:
        choose, table = self._random, self._engine.tables[name]
        action = choose.choice(list(table.actions))
        data = tuple(self._number((1 << parameter.bits) - 1) for parameter in table.actions[action])
        priority = choose.choice((1, 2, 127, 128, (1 << 31) - 1)) if table.has_priorities else 0
        timeout = self._number(MOST_COUNT) if table.idle_timeout else 0
        entry = Entry(random_match(choose, table), priority, action, data, None, timeout)
        key = (name, entry.match, priority)
        try:
            self._engine.insert(name, entry)
        except EntryError:
            return  # there already, or the table is full
        if table.direct_counter is not None:
            self._engine.direct_counter_write(*key, self._number(MOST_COUNT), self._number(MOST_COUNT))
        if table.direct_meter is not None and choose.random() < 0.7:
            cir, pir = sorted(self._number(MOST_COUNT) for _ in range(2))
            self._engine.direct_meter_write(*key, Rates(cir, self._number(9), pir, self._number(9)))

    def _number(self, top: int) -> int:
        return self._random.choice((0, 1, min(127, top), min(128, top), top, self._random.randint(0, top)))

    # ---- requests

    def _wanted(self) -> p4r.Entity:
        """Of one table or of all; for some of what may be asked for besides."""
        choose = self._random
        state = choose.choice(self._states)
        info = state.codec.info
        everything = choose.random() < 0.2
        key = p4r.TableEntry(table_id=0 if everything else info.id)
        if choose.random() < 0.3 and (everything or info.direct_counter is not None):
            return p4r.Entity(direct_counter_entry=p4r.DirectCounterEntry(table_entry=key))
        for name, there in (
            ("counter_data", info.direct_counter is not None),
            ("meter_config", info.direct_meter),
            ("time_since_last_hit", info.idle_timeouts),
        ):
            if choose.random() < 0.5 and (everything or there):
                getattr(key, name).SetInParent()
        return p4r.Entity(table_entry=key)

    def _compare(self, wanted: p4r.Entity) -> None:
        """Both are asked, then some entries may go, then both are heard."""
        by_c = read.select(self.pipeline, wanted)
        with self._without_c():
            by_python = read.select(self.pipeline, wanted)
        if self._random.random() < 0.2:
            self._change(self._random.choice(self._states))
        octets = b"".join(self._octets(by_c, self._count))
        with self._without_c():  # a generator may not have begun yet
            assert octets == b"".join(self._octets(by_python, self._refuse)), wanted

    @staticmethod
    def _octets(found: read.Entities, ready: Callable[[bytes], bytes]) -> Iterable[bytes]:
        for one in found:
            yield (
                ready(one) if isinstance(one, bytes) else p4r.ReadResponse(entities=[one]).SerializeToString()
            )

    def _count(self, response: bytes) -> bytes:
        self.told_by_c += len(p4r.ReadResponse.FromString(response).entities)
        return response

    @staticmethod
    def _refuse(response: bytes) -> bytes:
        raise AssertionError("Python was to answer")

    @contextmanager
    def _without_c(self) -> Any:
        kept = [state.in_c for state in self._states]
        for state in self._states:
            state.in_c = None
        try:
            yield
        finally:
            for state, in_c in zip(self._states, kept, strict=True):
                state.in_c = in_c


def main() -> None:
    seconds, seed, *programs = float(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]
    chosen = [stem for stem in CONFIGS if stem.name in programs or not programs]
    for stem in chosen:
        tables = Tables(stem, seed)
        end, rounds = time.monotonic() + seconds / len(chosen), 0
        while time.monotonic() < end or not rounds:
            tables.round()
            rounds += 1
        print(f"{stem.name}: {rounds * REQUESTS} requests, {tables.told_by_c} entries told by C")
        tables.close()


if __name__ == "__main__":
    main()
