"""Checks by a program of the operator's: it ends with status 0 if the backend is well."""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, STDOUT
from contextlib import suppress
from pathlib import Path

from controller.health.checks import CheckFailed, CheckNotMade, Watch, name_of
from controller.health.settings import ExecCheck

MAX_OUTPUT = 4096
"""Bytes of what it says that are kept, from the end."""

PIPE_SIZE = 65536
"""Bytes that a pipe holds (pipe(7))."""

SHOWN = 200
"""Characters of its last line that a verdict's reason shows."""

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


async def run(watch: Watch, check: ExecCheck, folder: Path) -> str:
    """Passes if the program ends with status 0. Whoever stops waiting ends it, with all that it started.

    It sees nothing of our environment, and learns whom to look at from SLUICE_POOL, SLUICE_BACKEND,
    SLUICE_ADDRESS and, where they are known, SLUICE_PORT and SLUICE_SOURCE.
    """
    name, *arguments = check.command
    program = folder / name
    with _Output() as output:
        try:
            process = await asyncio.create_subprocess_exec(
                program,
                *arguments,
                stdin=DEVNULL,
                stdout=output.end,
                stderr=STDOUT,
                env=_environment(watch),
                cwd="/",
                start_new_session=True,  # and so a process group of its own
            )
        except OSError as error:
            raise CheckNotMade(f"cannot run {program}: {(error.strerror or str(error)).lower()}") from error
        try:
            status = await process.wait()
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        last = output.last_line()
    if status:
        how = f"status {status}" if status > 0 else signal.Signals(-status).name
        raise CheckFailed(f"{name} ended with {how}{f': {last}' if last else ''}")
    return last or f"{name} ended with status 0"


def _environment(watch: Watch) -> dict[str, str]:
    target = watch.target
    known = {
        "PATH": PATH,
        "SLUICE_POOL": watch.pool,
        "SLUICE_BACKEND": name_of(watch.backend),
        "SLUICE_ADDRESS": str(target.address),
    }
    if target.port:
        known["SLUICE_PORT"] = str(target.port)
    if target.source:
        known["SLUICE_SOURCE"] = str(target.source)
    return known


class _Output:
    """A pipe that is read as it fills, so that whoever writes to it need not wait.

    asyncio's own would be waited for until all ends are closed, also those that a program has left to others.
    """

    def __init__(self) -> None:
        self._mine, self.end = os.pipe()
        os.set_blocking(self._mine, False)
        self._said = bytearray()
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> "_Output":
        self._loop.add_reader(self._mine, self._read)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.remove_reader(self._mine)
        os.close(self._mine)
        os.close(self.end)

    def _read(self) -> None:
        with suppress(BlockingIOError):
            self._said += os.read(self._mine, PIPE_SIZE)
            del self._said[:-MAX_OUTPUT]

    def last_line(self) -> str:
        """Of what has been said until now, fit for a message."""
        self._read()
        lines = [line.strip() for line in self._said.decode(errors="replace").splitlines() if line.strip()]
        last = lines[-1][:SHOWN] if lines else ""
        return "".join(character if character.isprintable() else "?" for character in last)
