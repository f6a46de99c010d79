"""One random history of a pool, its controller and its clients (`clients`).

The controller's own decisions (all of `Desired`) and its ordered writes (`Reconciler`) bring a switch in
line. Packets come between any two writes; the controller is killed at any write, loses its store, or finds
a switch that it did not write to the end. Whoever drives the history calls its methods, each of which draws
what it needs from `random`.
"""

from dataclasses import replace
from ipaddress import ip_address

from controller.assignment import Assignment
from controller.desired import Desired
from controller.errors import Unreachable
from controller.events import EventLog
from controller.health.checks import NUMBER
from controller.health.damping import Flaps
from controller.health.ejection import Ejections
from controller.health.passive import LOOKS, Handshakes, Listening
from controller.health.settings import Damping
from controller.model import Backend, Config, Pool, State
from controller.program import (
    ADDRESSES,
    BACKENDS,
    BUCKETS,
    CURRENT_PROBED,
    MOVING_PREVIOUS,
    STANDBY_PROBED,
    Do,
    Rows,
    Table,
    forward,
    wide,
)
from controller.reconciler import Reconciler
from controller.store import SqliteStore
from controller.values import LAST_BACKEND, mac_to_int
from controller.wanted import Wanted, wanted
from tests.fakes.compiled import Loaded, Program
from tests.fakes.switch import at_once
from tests.property.clients import CLIENT, IDLE, PROBER, ROUTER, Clients, Kind, Side

HOST = mac_to_int("02:00:00:00:00:02")
MOST_BUCKETS, MOST_BACKENDS = 64, 8


def base_config(announcement: float, switches: int = 1) -> Config:
    several = [{"name": name, "address": f"{name}:9559"} for name in "abcdef"[:switches]]
    return Config.model_validate(
        {
            "switch": {"mac": "02:00:00:00:00:01"},
            "switches": several if switches > 1 else None,
            "interfaces": [{"name": "all", "ports": [1], "addresses": ["10.0.0.1/16"]}],
            "pools": [
                {
                    "name": "web",
                    "buckets": 16,
                    "idle_timeout": IDLE,
                    "drain_deadline": "30d",
                    "announcement": announcement,
                    "passive": {"refusing": "eject", "connections": 1, "ejection": "5s"},
                }
            ],
            "vips": [{"name": "web", "address": "10.0.0.100", "port": 80, "pool": "web"}],
        }
    )


class History(Clients):
    """Over the model alone or, given a compiled program, over both at once. `client` is the clients' MAC."""

    def __init__(self, kind: Kind, seed: int, program: Loaded | None = None, client: int = CLIENT) -> None:
        self.config = base_config(kind.announcement, kind.switches)
        super().__init__(kind, seed, self.config.switch_names, program, client)
        self.probing = program is not None
        self.store = SqliteStore(":memory:")
        self.events = EventLog(clock=lambda: self.now)
        self.born = self.crashes = 0
        self.healthy: dict[str, bool] = {}
        self.unchecked: set[str] = set()
        """Of whom no check has said anything yet."""
        self.replaced: tuple[Backend, ...] = ()
        """Whom others were put in the place of, lately."""
        self.settles = False
        self.desired = Desired(self.config, self._nothing(), self.events)
        for side in self.sides if kind.switches > 1 else ():
            self._read_back(side)
        for _ in range(4):
            self.add()
        self.bring_in_line()
        self.probe(all_answer=True)

    def close(self) -> None:
        self.store.close()
        super().close()

    def _nothing(self) -> Assignment:
        assignment = Assignment()
        numbers = assignment.backend_numbers
        numbers.last_used = self.kind.numbers
        if numbers.last_used == LAST_BACKEND:
            numbers.last = (1 << 16) - 3  # the first ones have 16 bits, those that come later 17
        return assignment

    @property
    def pool(self) -> Pool:
        return self.config.pools[0]

    # the controller

    def bring_in_line(self) -> None:
        """One pass of the session of each switch, in any order; again for those who decide something that the
        others do not know."""
        sides = self.present
        if len(sides) > 1:
            self.random.shuffle(sides)
        pools = self.desired.assignment.pools
        had_new_flows = {*pools["web"].buckets.current.tolist()} if pools else set[int]()
        version = -1
        while sides and self.desired.version != version:
            version = self.desired.version
            for side in [side for side in sides if not side.away]:
                self._pass(side)
        self._check_assignment(had_new_flows)

    def _pass(self, side: Side) -> None:
        """One pass, as a session makes it."""
        while not side.away:
            pools = self.desired.assignment.pools
            before = {*pools["web"].backends} if pools else set()
            self.desired.refresh(self.now)
            self.lost |= before - {*pools["web"].backends}
            ejections = self.desired.outliers.ejections
            self.store.save(self.desired.assignment, self.desired.unsaved, self.desired.flaps, ejections)
            self.desired.unsaved.clear()
            version, awaited = self.desired.version, self.desired.awaited(side.name)
            assignment = self.desired.assignment_of(side.name)
            want = wanted(self.config, assignment, self._neighbors(), self.desired.announced)
            if self.probing:
                want = self._with_probes(want)
            try:
                result = at_once(side.reconciler.apply(want))
            except Unreachable:
                side.switch.lose_after = None
                self.diverged |= self.settles
                if len(self.sides) > 1 and self.random.random() < 0.5:
                    self.cut(side)
                else:
                    self.begin_anew()
                continue
            assert result.complete, result
            for pool in awaited:
                self.desired.written(pool, self.now, side.name, version)
            return

    def cut(self, side: Side) -> None:
        """The controller loses one switch."""
        side.away = True
        self.desired.leave(side.name, self.now)

    def heal(self, side: Side) -> None:
        """It has it again."""
        side.away = False
        self._read_back(side)

    def cut_or_heal(self) -> None:
        side = self.random.choice(self.sides)
        if side.away:
            self.heal(side)
            self.bring_in_line()
        elif len(self.sides) > 1:
            self.cut(side)

    def long_absence(self) -> None:
        """A switch is away while much happens; its flows may be given to another, and it comes back."""
        side = self.random.choice(self.present or self.sides)
        if not side.away:
            self.cut(side)
        for _ in range(self.random.randint(3, 6)):
            self.turn()
            self.random.choice([self.change, self.change_one, self.change_health, self.remove, self.add])()
            self.bring_in_line()
            self.wait_for(self.random.choice([5.0, IDLE - 0.1]))
            self.look_at_counters()
        if self.random.random() < 0.5:
            self.reroute()
        if side.away:
            self.heal(side)
        self.bring_in_line()

    def _read_back(self, side: Side) -> None:
        side.reconciler = Reconciler(side.switch)  # type: ignore[arg-type]
        at_once(side.reconciler.read_back())
        self.desired.adopt(side.reconciler.holdings, self.now, side.name)
        self.diverged |= self._differs_from(side)

    def _neighbors(self) -> Rows:
        return {(wide(address),): forward(2, ROUTER, HOST, 0) for address in self.desired.backends()}

    def _with_probes(self, want: Wanted) -> Wanted:
        probed = [*self.desired.assignment.pools["web"].backends]
        probes: dict[Table, Rows] = {
            CURRENT_PROBED: {(number,): Do("current.is_probed") for number in probed},
            STANDBY_PROBED: {(number,): Do("standby.is_probed") for number in probed},
            ADDRESSES: {**want.rows[ADDRESSES], (wide(PROBER),): Do("prober", (ROUTER,))},
        }
        return replace(want, rows={**want.rows, **probes})

    def _differs_from(self, side: Side) -> bool:
        """Whether a bucket has another `previous` on some other switch."""
        buckets = side.switch.tables[BUCKETS]
        return any(
            key in buckets and buckets[key].values[1] != do.values[1]
            for other in self.sides
            if len(self.sides) > 1
            for key, do in other.switch.tables[BUCKETS].items()
        )

    def _check_assignment(self, before: set[int]) -> None:
        """New flows go to those who serve, and those are no more tiers than it takes; `before` had them."""
        if not self.present:
            return
        assigned, roles = self.desired.assignment.pools["web"], self.desired.roles["web"]
        serving = {
            number
            for number, identity in assigned.backends.items()
            if identity.removed is None and identity.name in dict(roles.weights)
        }
        tiers = {backend.name: backend.tier for backend in self.pool.backends}
        below = [name for name, _ in roles.weights if tiers[name] < roles.tier]
        assert roles.panic or len(below) < self.pool.tier_minimum
        if self.desired.announced:
            return
        new = {*assigned.buckets.current.tolist()}
        if serving:
            assert new <= serving, f"{new} get new flows, {serving} serve"
        elif not any(one.state is State.ACTIVE and one.weight for one in self.pool.backends):
            assert new == {0}, f"{new} get new flows, and nobody is to"
        else:
            # Somebody is to serve, and is not up: whoever had new flows, and is still there, keeps them.
            could = before & assigned.backends.keys()
            assert new == {0} if not could and len(self.sides) == 1 else 0 not in new or not could, (
                f"{new} get new flows, of {before}, while others are waited for"
            )
            assert len(self.sides) > 1 or new <= before | {0}, f"{new} take new flows again, of {before}"

    def begin_anew(self) -> None:
        """The controller was killed, or lost its connection, and goes on from what the switch holds."""
        self.crashes += 1
        for side in self.sides:
            side.switch.lose_after = None
        verdicts = self.desired.verdicts
        killed = self.random.random() < 0.7
        assignment, flaps = self.desired.assignment, self.desired.flaps
        ejections = before = self.desired.outliers.ejections
        if killed:
            assignment, flaps, ejections = self.store.load(), self.store.flaps(), self.store.ejections()
            names = {("web", backend.name) for backend in self.config.pools[0].backends}
            for kept in (flaps, ejections):
                kept.keep(names)
            if not self.desired.unsaved:  # by a session, of which there is none while all switches are away
                assert flaps.of("web") == self.desired.flaps.of("web"), "penalties outlive the controller"
                assert ejections.of("web") == before.of("web"), "ejections outlive the controller"
            self._check_when_they_came(assignment)
        assignment.backend_numbers.last_used = self.kind.numbers
        if killed and self.kind.numbers == LAST_BACKEND and self.random.random() < 0.3:
            # Its store is lost, too, which knew the numbers that rest.
            assignment, flaps, ejections = Assignment(), Flaps(), Ejections()
        self.desired = Desired(self.config, assignment, self.events, flaps, ejections)
        if not killed:
            self.desired.verdicts = verdicts
        sides = self.present
        if len(sides) > 1:
            self.random.shuffle(sides)
        for side in sides:
            self._read_back(side)
        if killed:  # the checks find out again
            for name, healthy in self.healthy.items():
                self.desired.set_health("web", name, healthy, "checked")

    def _check_when_they_came(self, stored: Assignment) -> None:
        """Slow starts go on where they were."""
        before = self.desired.assignment.pools
        kept = stored.pools["web"].backends if before else {}
        for number, identity in before["web"].backends.items() if before else ():
            assert number not in kept or kept[number].came == identity.came

    def restart(self) -> None:
        """The controller is killed between two writes."""
        self.begin_anew()
        self.bring_in_line()

    def look_at_counters(self) -> None:
        desired = self.desired
        for side in self.present:
            if isinstance(side.plane, Program):
                side.plane.compare_counters()
            member, now = desired.members[side.name], side.model.now
            slots = at_once(side.switch.packet_counts(MOVING_PREVIOUS, desired.moving_slots(side.name)))
            member.slots.observe(slots, now, now)
            traffic = at_once(side.switch.traffic(BACKENDS))
            counts = {number: value.packets for (number,), value in traffic.items()}
            member.backends.observe(counts, now, now)
        if not self.present:
            return
        if desired.settle(self.now):
            # Known residue: a SYN that finds no room in the moment between the last look and the settling
            # write.
            self.nobody_opens, self.settles = not self.kind.orderly, True
            if len(self.sides) > 1 and self.random.random() < 0.2:
                self.random.choice(self.sides).switch.lose_after = self.random.randint(0, 12)
            self.bring_in_line()
            self.nobody_opens = self.settles = False
            for side in self.sides:
                side.switch.lose_after = None

    def probe(self, *, all_answer: bool = False) -> None:
        """A probe round, to which some backends answer. Who is silent for a while is suspected, rightly or
        not."""
        if not self.probing:
            return
        self.plane.begin_round()
        for (number,) in [*self.switch.tables[BACKENDS]]:
            if all_answer or self.kind.orderly or self.random.random() < 0.6:
                self.plane.hear(number)

    # the operator, and fate

    def configure(self, *, drain: bool = True, **parts: object) -> None:
        pool = self.pool.model_copy(update=parts)
        self.config = self.config.model_copy(update={"pools": (pool,)})
        self.desired.configure(self.config, drain=drain)

    def _born(self) -> Backend:
        self.born += 1
        name = f"b{self.born}"
        address = ip_address(f"10.0.{1 + self.born // 250}.{1 + self.born % 250}")
        weight = self.random.randint(1, 3)
        tier = self.random.choice([0, 0, 0, 1, 2]) if self.kind.tiers else 0
        return Backend(name=name, address=address, port=80, weight=weight, tier=tier)

    def add(self) -> None:
        backend = self._born()
        if len(self.pool.backends) < MOST_BACKENDS:
            self.configure(backends=(*self.pool.backends, backend))
            self.healthy[backend.name] = True
            self.desired.set_health("web", backend.name, True, "checked")

    def remove(self) -> None:
        if self.pool.backends:
            gone = self.random.choice(self.pool.backends)
            rest = tuple(backend for backend in self.pool.backends if backend is not gone)
            self.configure(drain=self.kind.orderly or self.random.random() < 0.8, backends=rest)
            self.healthy.pop(gone.name, None)
            self.unchecked.discard(gone.name)

    def replace_all(self) -> None:
        """All backends go, and others come whom no check has seen yet; or those that went come back."""
        gone = self.pool.backends
        if self.replaced and self.random.random() < 0.4:
            come = self.replaced
        else:
            come = tuple(self._born() for _ in range(self.random.randint(1, 3)))
        self.configure(backends=come)
        self.replaced = gone
        self.healthy.clear()
        self.unchecked = {one.name for one in come}

    def first_check(self) -> None:
        """Of one that is new. Or one that was removed, and serves still, fails."""
        removed = {one.name for one in self.desired.stand_ins.checked.pools[0].backends if NUMBER in one.name}
        if removed and not self.kind.orderly and self.random.random() < 0.3:
            self.desired.set_health("web", self.random.choice(sorted(removed)), False, "checked")
        elif self.unchecked:
            name = self.random.choice(sorted(self.unchecked))
            self.unchecked.discard(name)
            self.healthy[name] = self.kind.orderly or self.random.random() < 0.7
            self.desired.set_health("web", name, self.healthy[name], "checked")

    def change_one(self) -> None:
        if self.pool.backends:
            one = self.random.choice(self.pool.backends)
            weights = [6, 3, 0 if self.kind.orderly else 1]
            state = self.random.choices([*State], weights=weights)[0]
            new = one.model_copy(update={"state": state, "weight": self.random.randint(0, 3)})
            self.configure(backends=tuple(new if b is one else b for b in self.pool.backends))

    def change_health(self) -> None:
        if self.healthy and not self.kind.orderly:
            name = self.random.choice([*self.healthy])
            self.healthy[name] = not self.healthy[name] or self.random.random() < 0.5
            self.desired.set_health("web", name, self.healthy[name], "checked")

    def change_policy(self) -> None:
        """When backups serve, whether checks are believed, how those who come begin."""
        self.configure(
            tier_minimum=self.random.choice([1, 1, 2, 3]),
            panic=self.random.choice([0.0, 0.0, 0.5, 1.0]),
            slow_start=self.random.choice([0.0, 10.0, 60.0]),
            damping=self.random.choice([None, Damping(half_life=10, suppress=2, longest=30)]),
        )

    def eject(self) -> None:
        """One refuses its clients, so that it gets no new flows for a while. Those that it has stay."""
        assigned = self.desired.assignment.pools.get("web")
        numbers = [n for n, one in assigned.backends.items() if one.removed is None] if assigned else []
        if self.kind.orderly or not numbers or not self.present:
            return
        refusing, listening = self.random.choice(numbers), Listening()
        for look in range(LOOKS + 1):
            syns = 10 * look
            counts = {
                n: Handshakes(syns, 0, syns) if n == refusing else Handshakes(syns, syns, 0) for n in numbers
            }
            listening.observe(counts, dict.fromkeys(numbers, self.pool.passive), syns)
        self.desired.hear(listening, 10 * LOOKS, self.now)

    def grow(self) -> None:
        if self.pool.buckets < MOST_BUCKETS:
            self.configure(buckets=self.pool.buckets * 2)

    def change(self) -> None:
        """One or two changes, and what the controller makes of them; it may be killed on the way."""
        changes = {
            self.add: 4,
            self.remove: 2,
            self.change_one: 4,
            self.change_health: 4,
            self.change_policy: 1,
            self.eject: 2,
            self.grow: 1,
            self.replace_all: 1,
            self.first_check: 12 if self.unchecked else 0,
        }
        for change in self.random.choices([*changes], [*changes.values()], k=self.random.choice([1, 1, 2])):
            change()
        side = self.side
        if self.random.random() < 0.3:
            side.switch.lose_after = self.random.randint(0, 12)
        self.bring_in_line()
        side.switch.lose_after = None

    # time

    def wait(self) -> None:
        """Time passes, at most as much as a live flow may be silent; what was announced is done when it is
        due."""
        self.wait_for(self.random.choice([0.3, 1.0, 4.0, IDLE - 0.1]))

    def wait_for(self, seconds: float) -> None:
        self.pass_time(seconds)
        due = self.desired.due(self.now)
        if due is not None and due <= self.now:
            self.bring_in_line()

    # all of it

    def step(self) -> None:
        event = self.random.random()
        self.turn()
        if len(self.sides) > 1 and self.random.random() < 0.1:
            several = [self.cut_or_heal, self.cut_or_heal, self.reroute, self.long_absence]
            self.random.choice(several)()
        if event < 0.28:
            self.open()
        elif event < 0.50:
            self.send_one()
        elif event < 0.57:
            self.send_one(fin=True)
        elif event < 0.60:
            self.repeat_syn()
        elif event < 0.62:
            self.vanish()
        elif event < 0.65:
            self.flood()
        elif event < 0.68:
            self.probe()
        elif event < 0.82:
            self.wait()
        elif event < 0.92:
            self.look_at_counters()
        elif event < 0.93:
            self.restart()
        else:
            self.change()
