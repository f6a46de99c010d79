"""What the health checks have said about the backends."""

from dataclasses import dataclass

from controller.errors import UnknownName
from controller.health.settings import NoCheck
from controller.model import Backend, Config, Pool

UNCHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The latest word about a backend, and what it was when that was said."""

    backend: Backend
    healthy: bool
    reason: str

    def is_about(self, backend: Backend) -> bool:
        """Whether `backend` is still the server that was checked."""
        return (self.backend.address, self.backend.port) == (backend.address, backend.port)


class Verdicts:
    """By pool and name. What nobody has checked yet is neither up nor down."""

    def __init__(self) -> None:
        self._latest: dict[tuple[str, str], Verdict] = {}

    def copy(self) -> "Verdicts":
        other = Verdicts()
        other._latest = dict(self._latest)
        return other

    def set(self, config: Config, pool: str, backend: str, healthy: bool, reason: str) -> bool:
        """Notes a verdict; True if it changes something."""
        try:
            checked = config.pool(pool).backend(backend)
        except UnknownName:
            return False  # it was removed while its check was under way
        before = self._latest.get((pool, backend))
        self._latest[pool, backend] = Verdict(checked, healthy, reason)
        return before is None or before.healthy != healthy

    def update(self, config: Config) -> None:
        """Forgets what was said about servers that are not configured any more."""
        configured = {
            (pool.name, backend.name): backend for pool in config.pools for backend in pool.backends
        }
        self._latest = {
            name: verdict
            for name, verdict in self._latest.items()
            if name in configured and verdict.is_about(configured[name])
        }

    def healthy(self, pool: str, backend: str) -> bool:
        """Whether it was the last time that anybody has looked."""
        verdict = self._latest.get((pool, backend))
        return verdict is not None and verdict.healthy

    def is_up(self, pool: Pool, backend: str) -> bool | None:
        """None while nobody knows."""
        if isinstance(pool.health, NoCheck):
            return True
        verdict = self._latest.get((pool.name, backend))
        return verdict.healthy if verdict else None

    def reason(self, pool: Pool, backend: str) -> str:
        if isinstance(pool.health, NoCheck):
            return UNCHECKED
        verdict = self._latest.get((pool.name, backend))
        return verdict.reason if verdict else ""
