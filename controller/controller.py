"""The controller: the desired state on one side, the switch on the other, and one path between them."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from controller.events import EventLog
from controller.model import Config
from controller.report import Report
from controller.revision import Revision
from controller.store import Store
from controller.wire import SwitchTarget

CHANGE_WAIT = 5.0
"""Seconds that a change waits for the switch before it answers `applied=False`."""


@dataclass(frozen=True, slots=True)
class ChangeResult:
    """What became of a change. It is stored in any case; `applied` says whether the switch has it already.

    `moved_buckets` counts buckets that got another backend for new flows. `detail` is for the operator: why
    it is not applied yet, or "".
    """

    revision: int
    applied: bool
    moved_buckets: int
    detail: str


class Controller:
    """Keeps one switch as the configuration, the health of the backends and the neighbors say.

    One event loop; no method may be called from another thread.
    """

    events: EventLog

    def __init__(
        self,
        config: Config,
        store: Store,
        *,
        target: SwitchTarget,
        p4info: Path,
        pipeline: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`config` is the operator's file.

        It becomes a revision when it differs from the file of the last start; otherwise the store's latest
        revision stands, with the changes made since.
        """
        raise NotImplementedError

    async def run(self) -> None:
        """Until cancelled: connects, reconciles, settles, keeps neighbors; reconnects by itself."""
        raise NotImplementedError

    @property
    def config(self) -> Config:
        raise NotImplementedError

    @property
    def revision(self) -> Revision:
        raise NotImplementedError

    def on_config(self, listener: Callable[[Config], None]) -> None:
        """`listener` is called with the configuration after every change."""
        raise NotImplementedError

    async def change(
        self,
        what: str,
        edit: Callable[[Config], Config],
        *,
        who: str,
        expected_revision: int | None = None,
        drain: bool = True,
        wait: float = CHANGE_WAIT,
    ) -> ChangeResult:
        """Makes a new revision of what `edit` returns, stores it, and waits until the switch has it.

        With `drain=False` backends that the change takes away leave at once and their connections are cut;
        otherwise they stay, shown as `removing`, until nobody needs them. An `edit` that changes nothing
        makes no revision. Raises what `edit` raises, InvalidConfig, RevisionConflict, StoreError.
        """
        raise NotImplementedError

    def preview(self, edit: Callable[[Config], Config]) -> ChangeResult:
        """What `change` would do, without doing it."""
        raise NotImplementedError

    def set_health(self, pool: str, backend: str, healthy: bool, reason: str) -> None:
        """A verdict of the health checks. Names that are no longer configured are ignored."""
        raise NotImplementedError

    def report(self) -> Report:
        raise NotImplementedError
