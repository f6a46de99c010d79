"""A process above the one that makes the checks, so that no program of theirs is left when that is killed.

    daemon ── guard ── the checks ── programs, and what they start

The guard is the *subreaper* of all that is below it (prctl(2)): whoever loses its parent becomes a child of
the guard, whatever session or process group it is in. When the process of the checks ends, however that
comes about, the guard ends all that it has left, and then itself. It does nothing else, so that nothing can
hold it up. If it is the guard that dies, the process of the checks is sent SIGTERM by the kernel, and ends
the process groups of its programs; the signal belongs to the thread that has forked (PR_SET_PDEATHSIG in
prctl(2)), and the guard has but one.
"""

import ctypes
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
"""From <linux/prctl.h>."""

CLEARING = 1.0
"""Seconds within which what is left has to be gone; what the kernel holds up is not waited for."""

LOOK = 0.005


def guarded() -> None:
    """Forks, and returns in the child alone. The parent is its guard, and ends as the child does.

    To be called while there is one thread. SIGTERM ends the guard with all that is below it.
    """
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    guard = os.getpid()
    child = os.fork()
    if child:
        _guard(child)
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != guard:  # it was gone before we asked to be told
        os.kill(os.getpid(), signal.SIGTERM)


def _guard(child: int) -> None:
    """Never returns."""
    nobody = os.open(os.devnull, os.O_RDWR)
    for ours in (0, 1):  # only the child's ends of the pipes are to keep them open
        os.dup2(nobody, ours)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGKILL))
    while (ended := os.wait())[0] != child:
        pass  # others, who had lost their parents
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _clear()
    status = os.waitstatus_to_exitcode(ended[1])
    if status < 0:
        os.kill(os.getpid(), -status)
    os._exit(status)


def _clear() -> None:
    """Ends all that is below us: those whom we end leave us their children."""
    end = time.monotonic() + CLEARING
    while time.monotonic() < end:
        for process in children_of(os.getpid()):
            with suppress(OSError):  # it may belong to another user
                os.kill(process, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(LOOK)


def children_of(process: int) -> Iterator[int]:
    """As /proc has them, those that nobody has asked about since they ended among them."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            if status.read_text().rpartition(")")[2].split()[1] == str(process):
                yield int(status.parent.name)


def _prctl(option: int, argument: int) -> None:
    """Raises OSError."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(option, ctypes.c_ulong(argument), 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
