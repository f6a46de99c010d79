"""SIGHUP: the configuration's file, the tokens and the certificate are read again.

What is not right is told in an event, and leaves everything as it was. As at a start, the file counts only if
it has changed since it was last read: otherwise the changes that commands have made since stay.
"""

import asyncio
from pathlib import Path

from controller import config as documents
from controller.api.listening import Tcp
from controller.controller import Controller
from controller.errors import InvalidConfig, SluiceError
from controller.events import Kind, Severity
from sluice import notify


class Reload:
    """Reads everything again whenever it was asked to."""

    def __init__(self, controller: Controller, file: Path, tcp: Tcp | None) -> None:
        self._controller, self._file, self._tcp = controller, file, tcp
        self._asked = asyncio.Event()

    def ask(self) -> None:
        self._asked.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            notify.tell(*notify.reloading())
            await self._read_file()
            await self._read_access()
            notify.tell(notify.READY)

    async def _read_file(self) -> None:
        try:
            config = await asyncio.to_thread(documents.load, self._file)
            result = await self._controller.take_file(config)
        except SluiceError as error:
            self._record(f"keeps its configuration: {self._file} is refused", error)
            return
        if result is None:
            self._record(f"keeps its configuration: {self._file} has not changed since it was read")
        else:
            self._record(f"has taken {self._file}: revision {result.revision}")

    async def _read_access(self) -> None:
        if not self._tcp:
            return
        try:
            await asyncio.to_thread(self._tcp.reload)
        except SluiceError as error:
            self._record("keeps its tokens and its certificate", error)
        else:
            self._record("has read its tokens and its certificate again")

    def _record(self, text: str, error: SluiceError | None = None) -> None:
        severity = Severity.WARNING if error else Severity.INFO
        self._controller.events.record(Kind.DAEMON, "daemon", text, _cause(error), severity)


def _cause(error: SluiceError | None) -> str:
    """The error, or the first mistake of several."""
    if not isinstance(error, InvalidConfig):
        return str(error or "")
    first, *others = error.problems
    return f"{first}; and {len(others)} more" if others else str(first)
