"""No connection is broken by a change: a search for a counter-example through the compiled program.

A state machine of hypothesis drives flows, backends, probes and the controller in any order, in virtual
time. Two things are checked at every packet: a live flow stays where it is unless its backend was declared
dead or removed by force; and the program did what the model of it does, for the same reason. What breaks is
shrunk to the fewest steps.

The faults show that the search can fail: each rule of the design is taken out in turn, in the program or in
the controller, and must be missed. SLUICE_SOAK=N multiplies the examples by N (`make soak`).
"""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from controller.announcements import Announcements
from controller.assignment import Assignment
from controller.identities import Numbers
from controller.stillness import Stillness
from p4src import build
from tests.fakes.compiled import Loaded
from tests.property import history, variants
from tests.property.clients import CLIENT, Kind
from tests.property.history import History
from tests.property.variants import Fault

SLOTS = 4
SOAK = int(os.environ.get("SLUICE_SOAK", "1"))
STEPS = 60
EXAMPLES = 12 * SOAK
TURBULENT = Kind(SLOTS)
UNANNOUNCED = Kind(SLOTS, announcement=0.0)
ORDERLY = Kind(16384, orderly=True)
LONG, ENOUGH = 400, 10
"""Steps of a long history; each fault is found in as many of them."""

SEEDS = st.integers(0, 65535)


@cache
def tiny() -> Loaded:
    """The program with a tiny exception table, and all faults, for which no packet asks unless it is told
    to."""
    return Loaded.of(variants.to_bytes(variants.with_faults(variants.with_slots(variants.compiled(), SLOTS))))


@cache
def as_built() -> Loaded:
    return Loaded.of((build.COMPILED / build.PROGRAM).read_bytes())


class Search(RuleBasedStateMachine):
    """Each rule is one thing that happens; its seed decides to whom."""

    kind = TURBULENT
    client = CLIENT
    load = staticmethod(tiny)

    def __init__(self) -> None:
        super().__init__()
        self.history = History(self.kind, 0, self.load(), self.client)

    def teardown(self) -> None:
        self.history.close()

    def _do(self, seed: int, what: Callable[[], None], count: int = 1) -> None:
        self.history.random.seed(seed)
        for _ in range(count):
            what()

    @rule(seed=SEEDS, count=st.integers(1, 6))
    def open(self, seed: int, count: int) -> None:
        self._do(seed, self.history.open, count)

    @rule(seed=SEEDS, count=st.integers(1, 6))
    def send(self, seed: int, count: int) -> None:
        self._do(seed, self.history.send_one, count)

    @rule(seed=SEEDS)
    def close_one(self, seed: int) -> None:
        self._do(seed, lambda: self.history.send_one(fin=True))

    @rule(seed=SEEDS)
    def repeat_syn(self, seed: int) -> None:
        self._do(seed, self.history.repeat_syn)

    @rule(seed=SEEDS)
    def vanish(self, seed: int) -> None:
        self._do(seed, self.history.vanish)

    @rule(seed=SEEDS)
    def flood(self, seed: int) -> None:
        if not self.kind.orderly:
            self._do(seed, self.history.flood)

    @rule(seed=SEEDS)
    def probe(self, seed: int) -> None:
        self._do(seed, self.history.probe)

    @rule(seed=SEEDS)
    def wait(self, seed: int) -> None:
        self._do(seed, self.history.wait)

    @rule(seed=SEEDS)
    def look(self, seed: int) -> None:
        self._do(seed, self.history.look_at_counters)

    @rule(seed=SEEDS)
    def change(self, seed: int) -> None:
        self._do(seed, self.history.change)

    @rule(seed=SEEDS)
    def restart(self, seed: int) -> None:
        self._do(seed, self.history.restart)


def wander(kind: Kind, load: Callable[[], Loaded], seed: int, client: int = CLIENT) -> History:
    """A long random history: some faults need more steps than a state machine takes. Raises what was
    found."""
    long = History(kind, seed, load(), client)
    try:
        for _ in range(LONG):
            long.step()
    finally:
        long.close()
    return long


@pytest.mark.parametrize(
    ("kind", "load"),
    [(TURBULENT, tiny), (UNANNOUNCED, tiny), (ORDERLY, as_built)],
    ids=["all that can happen, 12 places", "moves that nobody announces", "SYNs that arrive twice"],
)
def test_no_flow_is_broken(kind: Kind, load: Callable[[], Loaded]) -> None:
    machine = type("Search", (Search,), {"kind": kind, "load": staticmethod(load)})
    found = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        derandomize=SOAK == 1,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    run_state_machine_as_test(machine, settings=found)


@pytest.mark.parametrize("seed", range(4 * SOAK))
@pytest.mark.parametrize("kind", [TURBULENT, UNANNOUNCED])
def test_no_flow_is_broken_in_a_long_time(kind: Kind, seed: int) -> None:
    assert wander(kind, tiny, seed).opened > 50


# faults


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
def test_a_fault_of_the_program_is_found(fault: Fault) -> None:
    with pytest.raises(AssertionError):
        for seed in range(ENOUGH):
            wander(TURBULENT, tiny, seed, variants.asking_for(fault, CLIENT))


def settle_at_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Stillness, "of", lambda self, cells: np.full(len(cells), np.inf))


def reuse_identities(patch: pytest.MonkeyPatch) -> None:
    def take(self: Numbers, now: float) -> int:
        number = min({*range(1, len(self.used) + 2)} - self.used)
        self.used.add(number)
        return number

    patch.setattr(Numbers, "take", take)


def change_previous(patch: pytest.MonkeyPatch) -> None:
    """A bucket that moves again takes the present owner for the former one."""
    update = Assignment.update

    def wrong(self: Assignment, pool, *arguments, **more):  # type: ignore[no-untyped-def]
        before = self.pools.get(pool.name)
        outcome = update(self, pool, *arguments, **more)
        if before is not None and len(before.buckets) == len(self.pools[pool.name].buckets):
            after = self.pools[pool.name]
            again = (before.buckets.current != after.buckets.current) & before.buckets.moving
            still_there = np.isin(before.buckets.current, [*after.backends])
            previous = np.where(again & still_there, before.buckets.current, after.buckets.previous)
            buckets = replace(after.buckets, previous=previous.astype(np.uint32))
            self.pools[pool.name] = replace(after, buckets=buckets)
        return outcome

    patch.setattr(Assignment, "update", wrong)


def announce_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(history, "wanted", lambda *arguments: WANTED(*arguments[:3]))


WANTED = history.wanted


def announce_the_others(patch: pytest.MonkeyPatch) -> None:
    """All buckets but those that will move."""
    buckets = Announcements.buckets.fget
    assert buckets
    wrong = property(lambda self: {pool: ~mask for pool, mask in buckets(self).items()})
    patch.setattr(Announcements, "buckets", wrong)


def move_too_early(patch: pytest.MonkeyPatch) -> None:
    """As soon as there is any other work."""
    ready = Announcements.ready
    patch.setattr(
        Announcements,
        "ready",
        lambda self, pool, buckets, now, ahead: ready(self, pool, buckets, now + ahead, ahead),
    )


@pytest.mark.parametrize(
    ("plant", "kind", "load"),
    [
        (settle_at_once, TURBULENT, tiny),
        (reuse_identities, TURBULENT, tiny),
        (change_previous, TURBULENT, tiny),
        (announce_nothing, ORDERLY, as_built),
        (announce_the_others, ORDERLY, as_built),
        (move_too_early, ORDERLY, as_built),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_fault_of_the_controller_is_found(
    plant: Callable[[pytest.MonkeyPatch], None],
    kind: Kind,
    load: Callable[[], Loaded],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        for seed in range(ENOUGH):
            wander(kind, load, seed)


# the variant that all of this runs on


@pytest.mark.p4c
def test_the_tiny_variant_is_what_the_compiler_makes(tmp_path: Path) -> None:
    compiler = shutil.which(build.COMPILER)
    assert compiler
    build.compile_to(tmp_path, compiler, (f"EXCEPTION_SLOTS={SLOTS}",))
    made = json.loads((tmp_path / build.PROGRAM).read_text())
    assert _without_places(made) == _without_places(variants.with_slots(variants.compiled(), SLOTS))


def _without_places(part: Any) -> Any:
    """A program without the columns of its sources, which a macro's length shifts."""
    if isinstance(part, dict):
        return {key: _without_places(value) for key, value in part.items() if key != "source_info"}
    return [_without_places(item) for item in part] if isinstance(part, list) else part
