"""Backends that serve in the place of others: who is to leave, while nobody who is to serve is up.

Who stands in is decided in `assignment`, and written down in the pool's `serving.Roles`. Those that are still
configured are checked as ever. Here is how the removed ones are, whom the configuration does not know: the
checks know them by their name and number, so that a newcomer of the same name is not mistaken for one.
"""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from controller.assignment import Assignment, PoolAssignment
from controller.errors import InvalidConfig, Problem, UnknownName
from controller.health.checks import NUMBER
from controller.identities import Identity, Server, server_of
from controller.model import Backend, Config, Pool, State
from controller.report import STILL, waiting_for
from controller.serving import NOBODY_SERVES, Roles

Cut = Mapping[str, frozenset[Server]]
"""Backends that are configured no longer and are to leave at once, by pool."""

NOBODY_CUT: Cut = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class StandIns:
    """Those of all pools, by what was decided last."""

    config: Config
    assignment: Assignment
    roles: Mapping[str, Roles]

    def removed(self, pool: Pool) -> list[Identity]:
        """Those of a pool that stand in and are no longer configured."""
        assigned, roles = self.assignment.pools.get(pool.name), self._roles_of(pool.name)
        if assigned is None or not roles.stand_ins:
            return []
        configured = {server_of(backend) for backend in pool.backends}
        standing = [assigned.backends[n] for n in sorted(roles.stand_ins) if n in assigned.backends]
        return [identity for identity in standing if identity.server not in configured]

    def labelled(self, pool: str, label: str) -> frozenset[Server]:
        """The removed one that the checks call so, while it stands in."""
        if not self._roles_of(pool).stand_ins:
            return frozenset()
        pools = [one for one in self.config.pools if one.name == pool]
        removed = [identity for one in pools for identity in self.removed(one)]
        return frozenset(identity.server for identity in removed if label_of(identity) == label)

    def checked_as(self, pool: str, identity: Identity) -> str:
        """What the checks call a backend."""
        label = label_of(identity)
        return label if identity.server in self.labelled(pool, label) else identity.name

    @property
    def checked(self) -> Config:
        """The configuration with all whom the checks are to ask."""

        def with_its_own(pool: Pool) -> Pool:
            removed = self.removed(pool)
            backends = (*pool.backends, *map(_as_configured, removed))
            return pool.model_copy(update={"backends": backends}) if removed else pool

        return self.config.model_copy(update={"pools": tuple(map(with_its_own, self.config.pools))})

    def awaited_by(self, pool: str, identity: Identity) -> tuple[str, ...]:
        """Those for whom a backend stands in."""
        roles = self._roles_of(pool)
        return roles.awaited if identity.id in roles.stand_ins else ()

    def told(self) -> list[str]:
        """Of each pool in which somebody stands in, who does, and why."""
        return [self._told(pool) for pool, roles in self._assigned() if roles.stand_ins]

    def unserved(self, pools: Container[str]) -> list[str]:
        """Of each of these pools that has nobody for new connections, that it is so, and why."""
        return [
            self._told(pool)
            for pool, roles in self._assigned()
            if pool in pools and not roles.weights and not roles.stand_ins
        ]

    def leaving(self, pool: str, backend: str) -> Cut:
        """The servers of that name that are in the tables, and not configured any more; never none.

        Raises UnknownName, and InvalidConfig when such a backend is configured.
        """
        configured = {server_of(one) for one in self.config.pool(pool).backends}
        assigned = self.assignment.pools.get(pool)
        gone = (assigned.by_server().keys() if assigned else set()) - configured
        servers = frozenset(server for server in gone if server[0] == backend)
        if servers:
            return {pool: servers}
        if any(name == backend for name, *_ in configured):
            text = "is configured: `sluice backend disable` takes it out at once, or `remove --force`"
            raise InvalidConfig([Problem(f"pools[{pool}].backends[{backend}]", text)])
        raise UnknownName("removed backend", backend, {name for name, *_ in gone})

    def _roles_of(self, pool: str) -> Roles:
        return self.roles.get(pool, NOBODY_SERVES)

    def _assigned(self) -> Iterator[tuple[str, Roles]]:
        return ((name, roles) for name, roles in self.roles.items() if name in self.assignment.pools)

    def _told(self, pool: str) -> str:
        return f"{pool}: {': '.join(news(self.assignment.pools[pool], self.roles[pool]))}"


def label_of(identity: Identity) -> str:
    """What the checks call a removed backend."""
    return f"{identity.name}{NUMBER}{identity.id}"


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


def _as_configured(identity: Identity) -> Backend:
    return Backend.model_construct(
        name=label_of(identity), address=identity.address, port=identity.port, weight=0, state=State.DRAIN
    )
