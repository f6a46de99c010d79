"""Makes checks of every kind, each within its time."""

from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from controller.health import checks
from controller.health.checks import Watch, within
from controller.health.datagram import udp
from controller.health.echo import Echoes
from controller.health.program import run
from controller.health.pulse import Pulse
from controller.health.settings import ExecCheck, HttpCheck, HttpsCheck, IcmpCheck, TcpCheck, UdpCheck
from controller.health.web import web


class Asker:
    """`programs` is the folder of the programs that `exec` checks may run.

    What is not in there is not run: whoever may change the configuration is not thereby given a shell on this
    machine.
    """

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._echoes = Echoes()
        self._pulse = Pulse()

    def __enter__(self) -> "Asker":
        self._pulse.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._pulse.stop()
        self._echoes.close()

    async def ask(self, watch: Watch) -> str:
        """One check; returns what was seen, or raises CheckError."""
        return await within(watch.check.timeout, self._check(watch), self._pulse)

    def _check(self, watch: Watch) -> Coroutine[Any, Any, str]:
        target = watch.target
        match watch.check:
            case TcpCheck():
                return checks.tcp(target)
            case HttpCheck() | HttpsCheck() as check:
                return web(target, check)
            case IcmpCheck():
                return self._echoes.ask(target)
            case UdpCheck() as check:
                return udp(target, check)
            case ExecCheck() as check:
                return run(watch, check, self._programs)
