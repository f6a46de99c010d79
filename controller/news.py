"""What is told of decisions, once each: who serves and why, what has drained, what waits for a switch."""

from collections.abc import Sequence

from controller import stand_ins
from controller.assignment import Outcome, PoolAssignment
from controller.events import EventLog, Kind, Severity
from controller.identities import server_of
from controller.members import Members
from controller.model import Pool, State
from controller.report import way_out, what_waits
from controller.serving import STEPS, Roles
from controller.settle import Settling
from controller.values import format_share

Assigned = Sequence[tuple[Pool, PoolAssignment]]


class News:
    """As events; remembers what was told already."""

    def __init__(self, events: EventLog) -> None:
        self._events = events
        self._drained: dict[str, set[int]] = {}
        """By pool, backends of which it was told that they have drained."""
        self._away: list[str] = []
        """Switches that are away, of which it was told that something waits for them."""

    def of_roles(self, pool: Pool, assigned: PoolAssignment, roles: Roles, before: Roles) -> None:
        """Panic, tiers that join or leave, and who stands in for others."""
        if roles.stand_ins != before.stand_ins:
            text, cause = stand_ins.news(assigned, roles)
            severity = Severity.INFO if roles.weights else Severity.WARNING
            self._events.record(Kind.HEALTH, pool.name, text, cause, severity)
        if roles.panic != before.panic:
            text = "in panic: all backends serve, whatever the checks say"
            cause = f"{roles.healthy} of {roles.may_serve} backends are healthy"
            if roles.panic:
                cause = f"{cause}, fewer than {format_share(pool.panic)}"
            severity = Severity.WARNING if roles.panic else Severity.INFO
            self._events.record(
                Kind.HEALTH, pool.name, text if roles.panic else "no longer in panic", cause, severity
            )
        if roles.tier != before.tier:
            self._of_tiers(pool, roles, before)

    def _of_tiers(self, pool: Pool, roles: Roles, before: Roles) -> None:
        joins, serving = roles.tier > before.tier, [name for name, _ in roles.weights]
        below = sum(pool.backend(name).tier < roles.tier for name in serving) if joins else len(serving)
        text = f"tier {roles.tier} serves, too" if joins else f"tier {before.tier} serves no longer"
        cause = f"{below} healthy in lower tiers, at least {pool.tier_minimum} are to serve"
        severity = Severity.WARNING if joins else Severity.INFO
        self._events.record(Kind.HEALTH, pool.name, text, cause, severity)

    def of_drains(self, pools: Assigned, settling: Settling) -> None:
        """Each backend that was set to drain and has: it can be switched off now."""
        before, self._drained = self._drained, {}
        for pool, assigned in pools:
            draining = {server_of(one) for one in pool.backends if one.state is State.DRAIN}
            drained = {
                number
                for number, identity in (assigned.backends.items() if draining else ())
                if identity.server in draining and settling.is_drained(pool, assigned, identity)
            }
            for number in drained - before.get(pool.name, set()):
                name = f"{pool.name}/{assigned.backends[number].name}"
                self._events.record(Kind.CHANGE, name, "has drained: no flow is left")
            if drained:
                self._drained[pool.name] = drained

    def of_absence(self, pools: Assigned, settling: Settling, members: Members) -> None:
        """Switches that are away and hold up what nobody else needs."""
        found = [settling.held_up(pool, assigned) for pool, assigned in pools]
        waiting = what_waits(sum(buckets for buckets, _ in found), sum(backends for _, backends in found))
        away = [name for name, member in members.items() if not member.present] if waiting else []
        if away and away != self._away:
            text, cause = f"is away, and {waiting}", way_out(away)
            self._events.record(Kind.SWITCH, ", ".join(away), text, cause, Severity.WARNING)
        self._away = away


def cause_of(outcome: Outcome, before: Roles) -> str:
    """Why buckets move, as far as the backends that serve tell; "" where they are as before."""
    came, left = (
        [f"{i.name} {how}" for i in of] for of, how in ((outcome.came, "came"), (outcome.left, "left"))
    )
    now = outcome.roles.ejected
    out = [f"{name} is ejected" for name in sorted(now - before.ejected)]
    back = [f"{name} is ejected no longer" for name in sorted(before.ejected & outcome.roles.present - now)]
    slow = [f"slow start of {name}, step {steps} of {STEPS}" for name, steps in outcome.roles.slow]
    return ", ".join([*came, *left, *out, *back, *slow] or _of_weights(before, outcome.roles))


def _of_weights(before: Roles, now: Roles) -> list[str]:
    """By the weights of those that get new flows, if that is known of before."""
    if not before.weights:
        return []
    old, new = dict(before.weights), dict(now.weights)
    return [
        *(f"{name} serves again" for name in sorted(new.keys() - old.keys())),
        *(f"{name} serves no longer" for name in sorted(old.keys() - new.keys())),
        *(f"weight of {name}" for name in sorted(old.keys() & new.keys()) if old[name] != new[name]),
    ]
