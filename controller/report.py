"""What the controller knows about the present, as data: the answer to `sluice status` and its like."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict

from controller.model import AtDeadline, Mode, Protocol, State


class Fact(BaseModel):
    """A piece of a report."""

    model_config = ConfigDict(frozen=True)


class Traffic(Fact):
    """Since the switch began counting."""

    packets: int = 0
    bytes: int = 0


class Role(StrEnum):
    """What a controller is to its switch."""

    ALONE = "alone"  # it has no peer
    UNDECIDED = "undecided"  # it has not heard from the switch yet
    ACTIVE = "active"
    STANDBY = "standby"


class SwitchReport(Fact):
    """The connection to the switch. `error` is why it is not as it should be, "" if it is."""

    address: str
    device_id: int
    connected: bool
    primary: bool
    synchronized: bool
    """The switch holds what is wanted, as far as is known."""
    cookie: int | None
    """Of the pipeline that it runs."""
    error: str
    role: Role = Role.ALONE
    """What we are to the switch, beside our peer."""
    name: str = ""
    """Of one of several."""
    packets: int = 0
    """That came for VIPs."""
    bytes: int = 0
    dropped: int = 0
    """Packets."""
    suspects: int = 0
    """Backends that do not answer its probes."""


class BackendReport(Fact):
    """One backend of a pool. `id` is 0 while it is in no table.

    `buckets` have it for new flows, `previous_buckets` only still for old ones. `share` is buckets in
    relation to all of the pool's, `share_wanted` what weights and health would have, both from 0 to 1.
    `drained`: it takes no new flows, no bucket needs it, and no packet went to it for the idle timeout.
    `penalty` is for going up and down; who is `held_back` for it does not come back yet. `signal` is what
    clients' connections say of it now, "" if it is nothing bad; who is `ejected` gets no new flows for that
    until then (seconds since the epoch), for the reason `ejected_for`. Who `stands_in` is to leave, but gets
    new flows still, since nobody is up of those whom the pool waits for (`PoolReport.awaited`).
    """

    name: str
    address: str
    port: int | None
    weight: int
    tier: int
    state: State | Literal["removing"]
    health: Literal["healthy", "down", "unknown"]
    reason: str
    id: int
    buckets: int
    previous_buckets: int
    share_wanted: float
    buckets_wanted: int
    """`share_wanted` in whole buckets: those of a pool add up."""
    share: float
    slow_start: float
    """The part of its weight that it has got to; 1 when its slow start is over."""
    penalty: float
    held_back: bool
    signal: Literal["", "silent", "refusing"] = ""
    ejected: float | None = None
    ejected_for: str = ""
    stands_in: bool = False
    drained: bool
    packets: int
    bytes: int
    syns: int
    """TCP connections begun: SYNs sent to it."""
    accepted: int | None = None
    """SYNs that it answered with a SYN-ACK; None if nobody listens for that."""
    refused: int | None = None
    """Likewise, with a reset."""
    suspect: bool
    """The switch has no answers to its probes from it: new connections go to its standbys."""
    probe_answers: int | None
    """None if it is not probed."""
    suspected: int
    """New flows that went to its standbys while it was suspect."""
    path_mtu: int | None = None
    """Bytes that its tunnel carries at most, as the underlay has complained; None if nothing was said."""
    deadline: float | None = None
    """When its drain is to be over, in seconds since the epoch."""
    at_deadline: AtDeadline | None = None
    """What becomes then of the flows that are left; None without a deadline."""


def is_overdue(backend: BackendReport, now: float) -> bool:
    """Whether it still has flows after its drain's deadline; `now` in seconds since the epoch."""
    return backend.deadline is not None and backend.deadline <= now and not backend.drained


class PoolReport(Fact):
    """A pool. `moving` buckets have two backends; `unmoved` counts SYNs that found no room to move.

    In `panic` all backends serve, because too few are healthy for the checks to be believed. `tier` is the
    last one that serves. When nobody serves whom the configuration wants to, `awaited` are those that would
    as soon as they are up.
    """

    name: str
    id: int
    mode: Mode
    buckets: int
    moving: int
    unmoved: int
    panic: bool
    tier: int
    awaited: tuple[str, ...] = ()
    held_up_buckets: int = 0
    """That would have settled by all that those switches tell that are connected."""
    held_up_backends: int = 0
    """Removed ones that would have gone."""
    backends: tuple[BackendReport, ...]

    @property
    def standing_in(self) -> str:
        """Who serves in whose place, and why; "" if nobody does."""
        names = [one.name for one in self.backends if one.stands_in]
        return f"{', '.join(names)} {STILL}: {waiting_for(self.awaited)}" if names else ""


ANNOUNCED = "announced to the switch"

STILL = "to leave, but still with new connections"


def waiting_for(awaited: Sequence[str]) -> str:
    """Why backends that are to leave serve still."""
    return f"{awaited[0]} is not up" if len(awaited) == 1 else f"none of {', '.join(awaited)} is up"


class VipReport(Fact):
    """A VIP and what came for it."""

    name: str
    address: str
    protocol: Protocol
    port: int | str
    """Or a range as it is configured, such as 8000-8099."""
    pool: str
    packets: int
    bytes: int


class NeighborReport(Fact):
    """A next hop. `resolving` and `failed` ones have no MAC address yet, or none any more."""

    address: str
    state: Literal["static", "reachable", "probing", "resolving", "failed"]
    interface: str
    port: int | None
    mac: str | None
    switch: str = ""
    """Of one of several."""


class Report(Fact):
    """Everything. `counted` is when the counters were last read (seconds since the epoch), 0 for never.

    Of several `switches` all counters are added up, and `switch` is what holds for all of them: it is
    connected when all are.
    """

    time: float
    revision: int
    counted: float
    switch: SwitchReport
    switches: tuple[SwitchReport, ...] = ()
    """Each of several; empty for one alone."""
    pools: tuple[PoolReport, ...]
    vips: tuple[VipReport, ...]
    neighbors: tuple[NeighborReport, ...]
    drops: dict[str, Traffic]
    """By reason, as the P4 program names it."""
    punts: dict[str, Traffic]
    """Packets that the switch handed to the controller, by reason."""

    @property
    def away(self) -> list[str]:
        """Which of several switches are not connected."""
        return [one.name for one in self.switches if not one.connected]

    @property
    def held_up(self) -> str:
        """What waits for the switches that are away, "" for nothing."""
        buckets = sum(pool.held_up_buckets for pool in self.pools)
        return what_waits(buckets, sum(pool.held_up_backends for pool in self.pools)) if self.away else ""


def what_waits(buckets: int, backends: int) -> str:
    """`12 buckets and 1 removed backend wait for it`; "" for none."""
    found = [
        f"{count} {what}{'' if count == 1 else 's'}"
        for count, what in ((buckets, "bucket"), (backends, "removed backend"))
        if count
    ]
    return f"{' and '.join(found)} {'waits' if buckets + backends == 1 else 'wait'} for it" if found else ""


def way_out(switches: Sequence[str]) -> str:
    """What to do about switches that hold up what waits for them."""
    return (
        "it may still forward by what it holds; if it is gone for good, take it out: "
        f"`sluice get > sluice.yaml`, delete {', '.join(switches)} below `switches`, "
        "`sluice apply -f sluice.yaml`"
    )


class DrainReport(Fact):
    """One backend that gets no new flows, or is about to. Times are in seconds since the epoch.

    `buckets` have it for old flows, of `buckets_at_first`. Of `busy` ones packets were counted since they
    moved, of `unheard` ones none yet. `flows` is an estimate for the buckets, None when all are busy and it
    could be any number; `at_least` is certain. `recorded` flows are exceptions: counted, None where the
    switch does not tell. `new_flow_buckets` still give it new flows, while the move is being announced.
    """

    pool: str
    backend: str
    state: State | Literal["removing"]
    drained: bool
    new_flow_buckets: int
    buckets: int
    buckets_at_first: int
    busy: int
    unheard: int
    flows: int | None
    recorded: int | None
    at_least: int
    packets: int
    """Sent to it since the switch began counting."""
    counted: float
    """When `packets` was read."""
    began: float | None
    ends: float | None
    """When the pool's drain deadline settles its last bucket, whoever still needs it."""
    deadline: float | None = None
    """When this drain is to be over."""
    at_deadline: AtDeadline | None = None
    overdue: bool = False
    """The deadline has passed."""
    awaited: tuple[str, ...] = ()
    """Until one of these is up, it goes on getting new flows."""


def flows_left(found: DrainReport) -> str:
    """How many flows: `about 12 flows`, `at least 256 flows`, `no flow that was heard`."""
    recorded = found.recorded or 0
    if found.flows is None:
        return f"at least {found.at_least} flows"
    if found.flows:
        return f"about {found.flows + recorded} flows"
    if recorded:
        return f"{recorded} flow{'' if recorded == 1 else 's'}"
    return "no flow that was heard" if found.unheard else "no flow"


class Recorded(Fact):
    """`used` of `room` places hold a flow that is not over; `by_backend` are those of each, by its number.

    `exact` is False where the switch's clock is not known, since no probe rounds tell it: then flows that are
    over may be among them.
    """

    time: float
    used: int
    room: int
    exact: bool
    by_backend: dict[int, int]
