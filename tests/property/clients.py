"""Switches, and clients of one VIP whose flows go through them: what they send, and what they believe.

A live flow stays where it is unless its backend is lost. Each packet that breaks this raises AssertionError.
"""

import random
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address
from typing import Protocol

from controller.program import BACKENDS, VIPS, Do, wide
from controller.reconciler import Reconciler
from controller.trace import Decision
from controller.values import LAST_BACKEND, mac_to_int
from tests.fakes.compiled import CompiledSwitch, Loaded, Program
from tests.fakes.data_plane import DataPlane, Flow, Verdict
from tests.fakes.switch import FakeSwitch

IDLE = 20.0
EMBRYO = 14.9
"""Seconds; a client that hears nothing has sent its SYN again by then."""
YOUNG = 3.0
"""Seconds within which a SYN may arrive twice."""
ANNOUNCEMENT = 4.0
VIP = (wide(ip_address("10.0.0.100")), 6, 80)
EPOCH = 1_000_000.0
MOST_FLOWS = 60
FIRST_CLIENT = IPv4Address("172.16.0.1")
ROUTER = mac_to_int("02:00:00:00:00:01")
CLIENT = mac_to_int("02:00:00:00:01:00")
PROBER = IPv4Address("10.0.0.7")


class Plane(Protocol):
    """What takes packets."""

    def decide(self, flow: Flow, *, syn: bool = False, fin: bool = False) -> Verdict: ...

    def begin_round(self) -> None: ...

    def hear(self, backend: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Kind:
    """What may happen in a history.

    `slots` of each way of the exception table. An `orderly` pool's backends neither die nor are cut off,
    are never suspected, and its table has room for all: then a SYN may arrive twice, too.
    """

    slots: int
    announcement: float = ANNOUNCEMENT
    orderly: bool = False
    tiers: bool = True
    """Some backends stand by for others."""
    switches: int = 1
    numbers: int = LAST_BACKEND
    """As many backends can be told apart."""


@dataclass(slots=True)
class Connection:
    """What a client knows. Times are in seconds."""

    owner: int
    server: Do
    opened: float
    sent: float
    confirmed: bool = False

    @property
    def patience(self) -> float:
        """For how long it may be silent."""
        return IDLE if self.confirmed else EMBRYO


@dataclass(slots=True)
class Side:
    """One switch, and the flows that upstream routers give to it."""

    name: str
    switch: FakeSwitch
    model: DataPlane
    plane: Plane
    reconciler: Reconciler
    away: bool = False
    """The controller does not reach it. It forwards as before."""
    flows: dict[Flow, Connection] = field(default_factory=dict)
    ended: list[Flow] = field(default_factory=list)


class Clients:
    """Of one or several switches, over the model alone or, given a compiled program, over both at once.

    Each method is something that happens, and draws what it needs from `random`. `client` is their MAC.
    """

    def __init__(
        self, kind: Kind, seed: int, switches: tuple[str, ...], program: Loaded | None, client: int
    ) -> None:
        self.kind, self.random, self.seed = kind, random.Random(seed), seed
        self.sides = [self._side(name, program, client) for name in switches]
        self.side = self.sides[0]
        """Where the next packet comes in."""
        self.opened = 0
        self.lost: set[int] = set()
        """Identities whose flows are lost: dead, disabled or cut."""
        self.nobody_opens = self.diverged = False
        """`diverged`: the switches may have, or have had, a `previous` of their own."""

    def _side(self, name: str, program: Loaded | None, client: int) -> Side:
        switch = FakeSwitch() if program is None else CompiledSwitch(program.start())
        model = DataPlane(switch, self.kind.slots)
        plane: Plane = model
        if isinstance(switch, CompiledSwitch):
            plane = Program(switch, model, client, ROUTER, PROBER)
        switch.between = self.packets_meanwhile
        return Side(name, switch, model, plane, Reconciler(switch))  # type: ignore[arg-type]

    def close(self) -> None:
        for side in self.sides:
            if isinstance(side.switch, CompiledSwitch):
                side.switch.engine.close()

    @property
    def switch(self) -> FakeSwitch:
        return self.side.switch

    @property
    def model(self) -> DataPlane:
        return self.side.model

    @property
    def plane(self) -> Plane:
        return self.side.plane

    @property
    def flows(self) -> dict[Flow, Connection]:
        return self.side.flows

    @property
    def ended(self) -> list[Flow]:
        return self.side.ended

    @property
    def present(self) -> list[Side]:
        return [side for side in self.sides if not side.away]

    def turn(self) -> None:
        """Another side may have the next packet."""
        if len(self.sides) > 1:
            self.side = self.random.choice(self.sides)

    @property
    def now(self) -> float:
        return EPOCH + self.model.now

    def _new_flow(self) -> Flow:
        self.opened += 1
        return Flow(FIRST_CLIENT + self.opened, 1024 + self.random.getrandbits(15), VIP)

    def open(self) -> None:
        """A flow begins, often from the tuple of one that ended; its handshake may take a while."""
        if len(self.flows) >= MOST_FLOWS:
            return
        again = [flow for flow in self.ended[-10:] if flow not in self.flows]
        flow = self.random.choice(again) if again and self.random.random() < 0.4 else self._new_flow()
        bucket = self.model.bucket(flow)
        owner, decision = self.plane.decide(flow, syn=True)
        if decision not in (Decision.EXCEPTION, Decision.NO_ROOM):
            assert owner in (bucket.current, bucket.standby), (
                f"{flow} begins at {owner}: {bucket}, {decision}"
            )
        if owner:
            server = self.switch.tables[BACKENDS][owner,]
            self.flows[flow] = Connection(owner, server, self.model.now, self.model.now)
            if self.random.random() < 0.7:
                self.send(flow)

    def flood(self) -> None:
        """SYNs that nothing follows."""
        for _ in range(self.random.randint(1, 8)):
            self.plane.decide(self._new_flow(), syn=True)

    def send(self, flow: Flow, *, fin: bool = False, syn: bool = False) -> None:
        """A packet of a live flow, which must go where all before it went, unless that is lost."""
        verdict, connection = self.plane.decide(flow, fin=fin, syn=syn), self.flows[flow]
        connection.sent = self.model.now
        connection.confirmed |= not syn
        owner, got = connection.owner, verdict.owner
        server = self.switch.tables[BACKENDS].get((owner,))
        gone = server is None
        if got == owner != 0:
            assert server == connection.server, (
                f"{flow} of a dead backend is sent to whoever has its number now"
            )
        if got != owner:
            lost = owner in self.lost
            where = f"seed {self.seed}, {self.model.now:g} s: {flow}"
            assert lost, f"{where} went from {owner} to {got} ({verdict.decision.name})"
        if got != owner or gone or fin:
            self._forget(flow)

    def _forget(self, flow: Flow) -> None:
        del self.flows[flow]
        self.ended.append(flow)

    def send_one(self, *, fin: bool = False) -> None:
        if self.flows:
            self.send(self.random.choice([*self.flows]), fin=fin)

    def repeat_syn(self) -> None:
        """SYNs arrive again: soon after the first in an orderly pool; in others, of all recorded flows."""
        again = [
            flow
            for flow, connection in self.flows.items()
            if (
                self.model.now - connection.opened <= YOUNG
                if self.kind.orderly
                else self.model.is_recorded(flow) and connection.owner not in self.lost
            )
        ]
        for flow in again:
            self.send(flow, syn=True)

    def reroute(self) -> None:
        """Upstream routers give flows to another switch, as when theirs has died.

        It must treat them as they were, but for those that only the other switch had recorded, or kept for
        itself. One that is cut off is not given any, since it knows of no change.
        """
        here, there = self.random.sample(self.sides, 2)
        if there.away or self.diverged:
            return
        for flow, connection in [*here.flows.items()]:
            known = here.model.is_recorded(flow) or there.model.is_recorded(flow)
            if connection.confirmed and connection.owner not in self.lost and not known:
                del here.flows[flow]
                there.flows[flow] = connection
                self.side = there
                self.send(flow)

    def vanish(self) -> None:
        """A client that says no more for the idle timeout, and then something nobody waits for."""
        if self.flows:
            flow = self.random.choice([*self.flows])
            self._forget(flow)
            self.pass_time(IDLE - 0.1)
            self.pass_time(self.random.choice([0.05, 0.7]))
            self.plane.decide(flow)

    def packets_meanwhile(self) -> None:
        self.turn()
        if self.random.random() < 0.3:
            if self.flows and self.random.random() < 0.7:
                self.send(self.random.choice([*self.flows]))
            elif not self.nobody_opens and VIP in self.switch.tables[VIPS]:
                self.open()

    def pass_time(self, seconds: float) -> None:
        """Live flows are never silent for longer than they may be."""
        for side in self.sides:
            self.side = side
            for flow, connection in [*side.flows.items()]:
                if side.model.now + seconds - connection.sent >= connection.patience:
                    self.send(flow)
        for side in self.sides:
            side.model.now += seconds
