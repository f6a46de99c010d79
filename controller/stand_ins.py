"""Backends that serve in the place of others: who is to leave, while nobody who is to serve is up.

Who stands in is decided in `assignment`, and written down in the pool's `serving.Roles`. Those that are still
configured are checked as ever. Here is how the removed ones are, whom the configuration does not know: the
checks know them by their name and number, so that a newcomer of the same name is not mistaken for one.
"""

from controller.assignment import Assignment, PoolAssignment
from controller.health.checks import NUMBER
from controller.identities import Identity, server_of
from controller.model import Backend, Config, Pool, State
from controller.report import STILL, waiting_for
from controller.serving import NOBODY_SERVES, Roles


def label(identity: Identity) -> str:
    """What the checks call a removed backend."""
    return f"{identity.name}{NUMBER}{identity.id}"


def removed(pool: Pool, assigned: PoolAssignment | None, roles: Roles) -> list[Identity]:
    """Those that stand in and are no longer configured."""
    if assigned is None or not roles.stand_ins:
        return []
    configured = {server_of(backend) for backend in pool.backends}
    standing = [assigned.backends[n] for n in sorted(roles.stand_ins) if n in assigned.backends]
    return [identity for identity in standing if identity.server not in configured]


def news(assigned: PoolAssignment, roles: Roles) -> tuple[str, str]:
    """What is told when others than before stand in, or nobody does any more; and why."""
    if roles.stand_ins:
        names = [assigned.backends[number].name for number in sorted(roles.stand_ins)]
        return f"{', '.join(names)} {STILL}", waiting_for(roles.awaited)
    if roles.weights:
        return "who was to leave gets no new connections any more", f"{_up(roles)} up"
    why = "who stood in for others has gone" if roles.awaited else "nobody is to"
    return "nobody gets new connections", why


def _up(roles: Roles) -> str:
    up = [name for name, _ in roles.weights]
    return f"{', '.join(up)} {'is' if len(up) == 1 else 'are'}"


def with_stand_ins(config: Config, assignment: Assignment, roles: dict[str, Roles]) -> Config:
    """`config` with the removed backends that stand in, as those who make the checks are to have it."""

    def with_its_own(pool: Pool) -> Pool:
        standing = removed(pool, assignment.pools.get(pool.name), roles.get(pool.name, NOBODY_SERVES))
        backends = (*pool.backends, *map(_as_configured, standing))
        return pool.model_copy(update={"backends": backends}) if standing else pool

    return config.model_copy(update={"pools": tuple(map(with_its_own, config.pools))})


def _as_configured(identity: Identity) -> Backend:
    return Backend.model_construct(
        name=label(identity), address=identity.address, port=identity.port, weight=0, state=State.DRAIN
    )
