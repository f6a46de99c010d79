"""The controller's part in the data plane's liveness: whom the switch asks in each round, and what it heard.

The switch takes a backend for suspect by itself (p4src/liveness.p4). It needs three things from here: a
target for each backend that is asked, groups of backends that one order is copied for, and the orders that
begin rounds. In return its counters say who answers, which is shown, and makes the checks hurry.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count, groupby
from typing import Protocol as Interface

from controller.assignment import Assignment
from controller.health.settings import NoCheck
from controller.identities import Identity
from controller.model import Config, Mode, Pool, Probe, Protocol, own_address_towards
from controller.program import (
    ADDRESSES,
    CURRENT_PROBED,
    GROUP_BITS,
    INSTANCE_BITS,
    PROBE_GROUPS,
    PROBE_TARGETS,
    PROBES_AT_ONCE,
    STANDBY_PROBED,
    Do,
    Rows,
    Table,
    wide,
)
from controller.values import Address

LAST_INSTANCE = (1 << INSTANCE_BITS) - 1
LAST_OF_PAGE = (1 << GROUP_BITS) - 1

WayTo = Callable[[Address], Do | None]
"""The `forward` of the next hop towards an address, while it is known."""


@dataclass(frozen=True, slots=True)
class Question:
    """What one backend is asked: by a SYN to `port`, or without one by an echo request, from `source`."""

    source: Address
    destination: Address
    port: int | None


@dataclass(frozen=True, slots=True)
class Target:
    """A question and the next hop (an action `forward`) that it goes to."""

    question: Question
    hop: Do


@dataclass(frozen=True, slots=True)
class _Asked:
    """Whom of a pool the switch asks, and what that was decided by."""

    sources: tuple[object, ...]
    targets: Mapping[int, Target]

    def made_of(self, sources: tuple[object, ...]) -> bool:
        return len(sources) == len(self.sources) and all(map(operator.is_, sources, self.sources))


class Probes:
    """Which backends are asked, and in which group. Places in groups stay, so that few groups change."""

    def __init__(self) -> None:
        self.targets: Mapping[int, Target] = {}
        self._places: dict[int, int] = {}
        """Of those who are asked, among those of their page."""
        self._pools: dict[str, _Asked] = {}
        self._rows: tuple[int, dict[Table, Rows]] | None = None

    def adopt(self, groups: Rows) -> None:
        """Goes on with the groups that a switch holds."""
        self._places = {
            _number(group, instance): _first_place(group) + n
            for (group,), do in groups.items()
            for n, instance in enumerate(do.values[1::2])
        }
        self._rows = None

    def update(
        self, config: Config, assignment: Assignment, way_to: WayTo, neighbors: Rows | None = None
    ) -> None:
        """Follows the configuration, the backends in the tables and the next hops towards them.

        A backend whose next hop is lost keeps the one it had: silence is what a round is to find out.
        `way_to` goes by `neighbors` and the configuration: the same objects, the same ways. Without them
        it is asked for every backend each time.
        """
        before, pools = self._pools, dict[str, _Asked]()
        attached = (*config.interfaces, *config.routes)
        for pool in config.pools:
            backends = assignment.pools[pool.name].backends
            sources = (pool, backends, neighbors, *config.vips_of(pool.name), *attached)
            known = before.get(pool.name)
            if known is None or neighbors is None or not known.made_of(sources):
                known = _Asked(sources, self._targets_of(config, pool, backends, way_to))
            pools[pool.name] = known
        self._pools = pools
        if pools.keys() == before.keys() and all(pools[name] is before[name] for name in pools):
            return
        self._ask({n: target for asked in pools.values() for n, target in asked.targets.items()})

    def _targets_of(
        self, config: Config, pool: Pool, backends: Mapping[int, Identity], way_to: WayTo
    ) -> dict[int, Target]:
        targets: dict[int, Target] = {}
        for number, identity in backends.items():
            question = question_for(config, pool, identity)
            if question is None:
                continue
            before = self.targets.get(number)
            if hop := way_to(identity.address) or (before.hop if before else None):
                targets[number] = Target(question, hop)
        return targets

    def _ask(self, targets: dict[int, Target]) -> None:
        if targets == self.targets and targets.keys() == self._places.keys():
            return
        self.targets, self._rows = targets, None
        self._places = {number: place for number, place in self._places.items() if number in targets}
        for page, numbers in groupby(sorted(targets), key=_page):
            self._give_places(page, [*numbers])

    def _give_places(self, page: int, numbers: list[int]) -> None:
        """To those of a page who have none."""
        taken = {place for number, place in self._places.items() if _page(number) == page}
        free = (place for place in count() if place not in taken)
        for number in numbers:
            if number not in self._places:
                self._places[number] = next(free)

    def rows(self, mac: int) -> dict[Table, Rows]:
        """The entries for all that, the same object until something changes; `mac` is the switch's own."""
        if self._rows is None or self._rows[0] != mac:
            self._rows = mac, self._made(mac)
        return self._rows[1]

    def _made(self, mac: int) -> dict[Table, Rows]:
        groups: dict[int, list[int]] = {}
        for number in sorted(self.targets):
            copies = groups.setdefault(_group(number, self._places[number]), [])
            copies += self.targets[number].hop.values[0], number & LAST_INSTANCE
        return {
            PROBE_TARGETS: {(number,): _target(target) for number, target in self.targets.items()},
            PROBE_GROUPS: {(group,): Do("replicas", tuple(copies)) for group, copies in groups.items()},
            CURRENT_PROBED: {(number,): Do("current.is_probed") for number in self.targets},
            STANDBY_PROBED: {(number,): Do("standby.is_probed") for number in self.targets},
            ADDRESSES: {
                (wide(target.question.source),): Do("prober", (mac,)) for target in self.targets.values()
            },
        }


def _page(number: int) -> int:
    return number >> INSTANCE_BITS


def _group(number: int, place: int) -> int:
    """Which group a backend is in. None has number 0, which means that there is no group."""
    return _page(number) << GROUP_BITS | 1 + place // PROBES_AT_ONCE


def _first_place(group: int) -> int:
    return ((group & LAST_OF_PAGE) - 1) * PROBES_AT_ONCE


def _number(group: int, instance: int) -> int:
    """The backend that a copy is for."""
    return group >> GROUP_BITS << INSTANCE_BITS | instance


def _target(target: Target) -> Do:
    port, source_mac, destination_mac, vlan = target.hop.values
    del port  # it is the group's
    question = target.question
    frame = (source_mac, destination_mac, vlan, wide(question.source), wide(question.destination))
    return Do("echo", frame) if question.port is None else Do("syn", (*frame, question.port))


def question_for(config: Config, pool: Pool, identity: Identity) -> Question | None:
    """What the switch asks a backend; None if it is not to be asked, or cannot be.

    Who is on the way out gets no new connections, so nobody needs to know. A dsr backend is asked for the
    VIP, as clients ask it; one behind a tunnel by its own address, since the switch only sends packets of
    clients through tunnels.
    """
    kind = probe_of(config, pool)
    if kind is Probe.NONE or identity.removed is not None:
        return None
    source = own_address_towards(config, identity.address)
    vips = config.vips_of(pool.name)
    direct = pool.mode is Mode.DSR
    if source is None or (direct and not vips):
        return None
    if kind is Probe.ICMP:
        return Question(source, vips[0].address if direct else identity.address, None)
    for vip in vips:
        port = identity.port or vip.port
        if vip.protocol is Protocol.TCP and isinstance(port, int):
            return Question(source, vip.address if direct else identity.address, port)
    return None


def probe_of(config: Config, pool: Pool) -> Probe:
    """The kind of probe, with `auto` decided."""
    if pool.probe is not Probe.AUTO:
        return pool.probe
    serves_tcp = any(vip.protocol is Protocol.TCP for vip in config.vips_of(pool.name))
    return Probe.TCP if serves_tcp and not isinstance(pool.health, NoCheck) else Probe.NONE


class Heard(Interface):
    """What is known of who answers."""

    @property
    def suspects(self) -> frozenset[int]: ...

    def answers(self, number: int) -> int | None: ...


@dataclass(slots=True)
class _Heard:
    """How many answers a backend's counter showed, and in which round that was new."""

    answers: int
    round: int


class Silence:
    """Who has not answered, as far as the counters tell, which are read now and then.

    So it lags behind the switch's own opinion, and never contradicts it for longer than between two looks.
    """

    def __init__(self) -> None:
        self.rounds = 0
        """Begun since we count."""
        self.suspects: frozenset[int] = frozenset()
        self._heard: dict[int, _Heard] = {}

    def forget(self) -> None:
        """The switch may be another one, or have begun anew."""
        self._heard.clear()
        self.suspects = frozenset()

    def observe(self, answers: Mapping[int, int], rounds: int, misses: int) -> frozenset[int]:
        """Takes in the counters of all who are asked, read when `rounds` had begun.

        Returns those who are suspect now and were not, or the reverse.
        """
        before = self.suspects
        self._heard = {number: self._heard_of(number, count, rounds) for number, count in answers.items()}
        self.suspects = frozenset(
            number for number, heard in self._heard.items() if rounds - heard.round > misses
        )
        return before ^ self.suspects

    def _heard_of(self, number: int, answers: int, rounds: int) -> _Heard:
        before = self._heard.get(number)
        return before if before and before.answers == answers else _Heard(answers, rounds)

    def answers(self, number: int) -> int | None:
        """How often it has answered; None if it is not asked."""
        heard = self._heard.get(number)
        return heard.answers if heard else None
