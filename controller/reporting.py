"""The present as a report: what is wanted, what is known of the backends, and what the switch has counted."""

import time
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from controller.apportion import quotas
from controller.assignment import PoolAssignment
from controller.buckets import Buckets
from controller.counters import Counters
from controller.desired import Desired
from controller.identities import Identity, server_of
from controller.model import Backend, Pool, State, Vip
from controller.probes import Heard
from controller.report import (
    BackendReport,
    NeighborReport,
    PoolReport,
    Report,
    SwitchReport,
    Traffic,
    VipReport,
)
from controller.services import place_of
from controller.serving import NOBODY_SERVES, STEPS

HEALTH: dict[bool | None, Literal["healthy", "down", "unknown"]] = {
    True: "healthy",
    False: "down",
    None: "unknown",
}


def report(
    revision: int,
    switch: SwitchReport,
    desired: Desired,
    neighbors: tuple[NeighborReport, ...],
    counters: Counters,
    silence: Heard,
    path_mtus: Mapping[int, int],
    switches: tuple[SwitchReport, ...] = (),
) -> Report:
    return Report(
        time=time.time(),
        revision=revision,
        counted=counters.read,
        switch=switch,
        switches=switches,
        pools=tuple(_pool(pool, desired, counters, silence, path_mtus) for pool in desired.config.pools),
        vips=tuple(_vip(vip, counters) for vip in desired.config.vips),
        neighbors=neighbors,
        drops={reason: Traffic(**traffic._asdict()) for reason, traffic in counters.drops.items()},
        punts={reason: Traffic(**traffic._asdict()) for reason, traffic in counters.punts.items()},
    )


def _vip(vip: Vip, counters: Counters) -> VipReport:
    _, key = place_of(vip)
    traffic = counters.vips.get(key)
    return VipReport(
        name=vip.name,
        address=str(vip.address),
        protocol=vip.protocol,
        port=vip.port if isinstance(vip.port, int) else str(vip.port),
        pool=vip.pool,
        packets=traffic.packets if traffic else 0,
        bytes=traffic.bytes if traffic else 0,
    )


def _pool(
    pool: Pool, desired: Desired, counters: Counters, silence: Heard, path_mtus: Mapping[int, int]
) -> PoolReport:
    not_yet = PoolAssignment(0, Buckets.of_nobody(pool.buckets))
    assigned = desired.assignment.pools.get(pool.name, not_yet)
    facts = _Facts(pool, assigned, desired, counters, silence, path_mtus)
    configured = {server_of(backend) for backend in pool.backends}
    removed = [identity for identity in assigned.backends.values() if identity.server not in configured]
    buckets_held_up, backends_held_up = desired.settling.held_up(pool, assigned)
    return PoolReport(
        name=pool.name,
        id=assigned.id,
        mode=pool.mode,
        buckets=len(assigned.buckets),
        moving=int(assigned.buckets.moving.sum()),
        unmoved=counters.unmoved.get(pool.name, 0),
        panic=facts.roles.panic,
        tier=facts.roles.tier,
        awaited=facts.roles.awaited,
        held_up_buckets=buckets_held_up,
        held_up_backends=backends_held_up,
        backends=tuple(
            [facts.backend(backend) for backend in pool.backends]
            + [facts.removed(identity) for identity in removed]
        ),
    )


class _Facts:
    """What there is to say about the backends of one pool."""

    def __init__(
        self,
        pool: Pool,
        assigned: PoolAssignment,
        desired: Desired,
        counters: Counters,
        silence: Heard,
        path_mtus: Mapping[int, int],
    ) -> None:
        self._pool, self._assigned, self._desired = pool, assigned, desired
        self._counters, self._silence, self._path_mtus = counters, silence, path_mtus
        buckets = assigned.buckets
        self._identities = assigned.by_server()
        self._held = np.bincount(buckets.current, minlength=1)
        self._previous = np.bincount(buckets.previous[buckets.moving], minlength=1)
        self.roles = desired.roles.get(pool.name, NOBODY_SERVES)
        weights = dict(self.roles.weights)
        self._weights = {
            backend.name: weights.get(backend.name, 0) if server_of(backend) in self._identities else 0
            for backend in pool.backends
        }
        self._sum_of_weights = sum(self._weights.values())
        self._slow = dict(self.roles.slow)
        self._held_back = desired.flaps.held(pool.name)
        self._quotas = self._apportioned()

    def _apportioned(self) -> dict[str, int]:
        """Buckets by backend: by the very rule that hands them out, so that what is shown adds up."""
        present = [backend for backend in self._pool.backends if self._weights[backend.name]]
        weights = np.array([self._weights[one.name] for one in present], dtype=np.int64)
        held = np.array([_at(self._held, self._identities[server_of(one)].id) for one in present], np.int64)
        shares = quotas(weights, len(self._assigned.buckets), held).tolist()
        return {one.name: share for one, share in zip(present, shares, strict=True)}

    def backend(self, backend: Backend) -> BackendReport:
        identity = self._identities.get(server_of(backend))
        weight = self._weights[backend.name]
        share = weight / self._sum_of_weights if self._sum_of_weights else 0.0
        stays = self._as_stand_in(identity)
        drains = identity is not None and not weight
        name = self._pool.name, backend.name
        return BackendReport(
            name=backend.name,
            address=str(backend.address),
            port=backend.port,
            weight=backend.weight,
            tier=backend.tier,
            state=backend.state,
            health=HEALTH[self._desired.verdicts.is_up(self._pool, backend.name)],
            reason=self._desired.verdicts.reason(self._pool, backend.name),
            share_wanted=stays / len(self._assigned.buckets) if stays else share,
            buckets_wanted=stays or self._quotas.get(backend.name, 0),
            stands_in=bool(stays),
            slow_start=self._slow.get(backend.name, STEPS) / STEPS,
            penalty=self._desired.flaps.penalty(name, time.time(), self._pool.damping),
            held_back=backend.name in self._held_back,
            **self._passive(backend.name),
            drained=drains and self._is_drained(identity) if identity else backend.state is not State.ACTIVE,
            deadline=backend.deadline.at.timestamp() if backend.deadline else None,
            at_deadline=backend.deadline.then if backend.deadline else None,
            **self._in_tables(identity),
        )

    def _passive(self, backend: str) -> dict[str, Any]:
        """What clients' connections say of it."""
        outliers, pool = self._desired.outliers, self._pool.name
        signal = outliers.signal((pool, backend))
        return {
            "signal": signal.kind if signal else "",
            "ejected": outliers.until(pool, backend),
            "ejected_for": outliers.reason(pool, backend),
        }

    def _as_stand_in(self, identity: Identity | None) -> int:
        """How many buckets it has for new flows, and keeps, because it stands in for others."""
        stands_in = identity is not None and identity.id in self.roles.stand_ins
        return _at(self._held, identity.id) if identity and stands_in else 0

    def removed(self, identity: Identity) -> BackendReport:
        stays = self._as_stand_in(identity)
        return BackendReport(
            name=identity.name,
            address=str(identity.address),
            port=identity.port,
            weight=0,
            tier=0,
            state="removing",
            health="unknown",
            reason="",
            share_wanted=stays / len(self._assigned.buckets),
            buckets_wanted=stays,
            stands_in=bool(stays),
            slow_start=1.0,
            penalty=0.0,
            held_back=False,
            drained=self._is_drained(identity),
            **self._in_tables(identity),
        )

    def _is_drained(self, identity: Identity) -> bool:
        return self._desired.settling.is_drained(self._pool, self._assigned, identity)

    def _in_tables(self, identity: Identity | None) -> dict[str, Any]:
        number = identity.id if identity else 0
        held = _at(self._held, number) if number else 0
        traffic = self._counters.backends.get(number)
        handshakes = self._counters.handshakes.get(number)
        return {
            "id": number,
            "buckets": held,
            "previous_buckets": _at(self._previous, number) if number else 0,
            "share": held / len(self._assigned.buckets),
            "packets": traffic.packets if traffic else 0,
            "bytes": traffic.bytes if traffic else 0,
            "syns": self._counters.syns.get(number, 0),
            "accepted": handshakes.accepts if handshakes else None,
            "refused": handshakes.refusals if handshakes else None,
            "suspect": number in self._silence.suspects,
            "probe_answers": self._silence.answers(number),
            "suspected": self._counters.suspected.get(number, 0),
            "path_mtu": self._path_mtus.get(number),
        }


def _at(counts: np.ndarray, number: int) -> int:
    return int(counts[number]) if number < len(counts) else 0
