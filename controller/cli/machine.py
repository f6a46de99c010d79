"""What `sluice doctor` finds out without the daemon: this machine, this user, what is installed."""

import ctypes
import os
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from controller.diagnosis import Finding, State

# capabilities(7)
CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13}

TIME_ERROR = 5
"""What adjtimex(2) returns when the clock is not synchronised."""

SIZE_OF_TIMEX = 256
"""Bytes; struct timex is smaller."""

# What is looked for on PATH, and what for
TOOLS = {
    "cc": "the embedded switch compiles P4 with it",
    "p4c-bm2-ss": "only for changing p4src/",
    "simple_switch_grpc": "only for running on BMv2",
}


def findings() -> Iterator[Finding]:
    packages = ", ".join(f"{name} {version(name)}" for name in ("sluice", "finsy", "grpcio"))
    yield Finding(subject="versions", state=State.OK, text=f"{packages}, Python {platform.python_version()}")
    yield from _tools()
    yield _rights()
    yield _clock()


def _tools() -> Iterator[Finding]:
    for tool, use in TOOLS.items():
        if path := shutil.which(tool):
            yield Finding(subject=tool, state=State.OK, text=path)
        else:
            needed = tool == "cc"
            remedy = "install a C compiler, such as Debian's package gcc" if needed else ""
            state = State.WARNING if needed else State.NOTE
            yield Finding(subject=tool, state=state, text=f"not on PATH: {use}", remedy=remedy)


def _rights() -> Finding:
    """Whether this user may open network interfaces as the embedded switch does."""
    status = dict(
        text.split(":\t", 1) for text in Path("/proc/self/status").read_text().splitlines() if ":\t" in text
    )
    effective = int(status["CapEff"], 16)
    missing = [name for name, bit in CAPABILITIES.items() if not effective >> bit & 1]
    if not missing:
        return Finding(subject="rights", state=State.OK, text="may open interfaces")
    text = f"without {' and '.join(missing)}: this user cannot start the embedded switch on interfaces"
    return Finding(subject="rights", state=State.NOTE, text=text)


def _clock() -> Finding:
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(SIZE_OF_TIMEX))
    except AttributeError:  # not Linux
        state = -1
    if state == TIME_ERROR:
        remedy = "run a time service such as chrony or systemd-timesyncd"
        return Finding(subject="clock", state=State.NOTE, text="not synchronised", remedy=remedy)
    return Finding(subject="clock", state=State.OK, text="synchronised" if state >= 0 else "not asked")


def barred(socket: Path) -> Finding | None:
    """Why this user cannot speak to the daemon's socket, if it is for lack of rights."""
    try:
        if not socket.exists() or os.access(socket, os.R_OK | os.W_OK):
            return None
        owner = socket.owner()
    except (OSError, KeyError):  # a folder that may not be entered; a user without a name
        owner = "another user"
    text = f"{socket} belongs to {owner}, and is not for this user"
    return Finding(subject="daemon", state=State.WRONG, text=text, remedy=f"run as {owner}")
