"""The one network namespace that a lab lives in, so that nothing of the machine's own network is touched."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from topo.errors import LabBusy, StartFailed

NAMED = Path("/run/netns")


def create(name: str) -> int:
    """Make the namespace; returns its inode, by which it can be told from another one of the same name."""
    if (NAMED / name).exists():
        raise LabBusy(
            f"a network namespace called {name!r} exists already and is not this project's.\n"
            f"Choose another name (make ... NAME=other), or delete it if nobody needs it: ip netns del {name}"
        )
    result = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if result.returncode != 0:
        raise StartFailed(
            f"cannot create a network namespace: {result.stderr.strip()}\n"
            "This needs root with CAP_SYS_ADMIN and CAP_NET_ADMIN; in a container: --privileged."
        )
    return (NAMED / name).stat().st_ino


def delete(name: str, inode: int) -> None:
    """Delete the namespace with everything in it, if it is still the one that `create` made."""
    try:
        if (NAMED / name).stat().st_ino != inode:
            return
    except FileNotFoundError:
        return
    subprocess.run(["ip", "netns", "del", name], check=True)


def inside(name: str, command: Sequence[str]) -> list[str]:
    """`command` as it has to be started to run in the namespace (its pid is the command's own)."""
    return ["ip", "netns", "exec", name, *command]


def inside_host(pid: int, command: Sequence[str]) -> list[str]:
    """`command` as it has to be started to run in the namespace of a Mininet host with this shell pid."""
    return ["nsenter", f"--net=/proc/{pid}/ns/net", "--", *command]
