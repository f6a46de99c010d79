"""The program reflector.c, for tests of the ports without a P4 program."""

import ctypes
from collections.abc import Mapping
from pathlib import Path

from switch.build import build
from switch.worker import MAX_PORT

SOURCE = Path(__file__).with_suffix(".c")
NOWHERE = MAX_PORT


class _State(ctypes.Structure):
    _fields_ = (("port", ctypes.c_uint32 * (MAX_PORT + 1)), ("quiesced", ctypes.c_uint64))


class Reflector:
    """ports: where packets of each ingress port go; those of others go NOWHERE."""

    def __init__(self, ports: Mapping[int, int]) -> None:
        self._library = ctypes.CDLL(str(build("reflector", [SOURCE])))
        self._state = _State()
        for number in range(MAX_PORT + 1):
            self._state.port[number] = ports.get(number, NOWHERE)
        self.state = ctypes.addressof(self._state)
        self.process_address = ctypes.cast(self._library.program_process, ctypes.c_void_p).value or 0
        self.quiesce_address = ctypes.cast(self._library.program_quiesce, ctypes.c_void_p).value or 0

    @property
    def quiesced(self) -> int:
        """How often the worker said that it holds no reference."""
        return self._state.quiesced
