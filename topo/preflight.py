"""Whether this machine can run a lab, asked before anything is started.

Only the standard library, so that it works before the virtual environment exists:

    python3.11 -m topo.preflight rights     root, and the right to make namespaces
    python3.11 -m topo.preflight tools      what `topo.install` should have brought
"""

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CLONE_NEWNET = 0x40000000

BUSY_LOAD = 2.0
"""Processes for each processor. The demonstration alone is about one."""


@dataclass(frozen=True)
class Problem:
    """Something that is missing, and what to do about it."""

    what: str
    remedy: str


def root() -> Problem | None:
    if os.geteuid() == 0:
        return None
    return Problem("not root: network namespaces and packet sockets need it", "run it as root: sudo make ...")


def namespaces() -> Problem | None:
    """Try, in a child, to get a namespace of our own."""
    pid = os.fork()
    if pid == 0:
        os._exit(ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) and ctypes.get_errno())
    _, status = os.waitpid(pid, 0)
    error = os.waitstatus_to_exitcode(status)
    if error == 0:
        return None
    return Problem(
        f"no network namespace can be made here ({os.strerror(abs(error))})",
        "give CAP_SYS_ADMIN and CAP_NET_ADMIN; a container: docker run --privileged ...",
    )


def virtual_ethernet() -> Problem | None:
    """Try to make a veth pair in a namespace that ends with the command."""
    command = ["unshare", "--net", "ip", "link", "add", "type", "veth"]
    return _attempt(command, "no veth pair can be made", "the kernel needs its module: modprobe veth")


def vxlan() -> Problem | None:
    """Try to make a VXLAN interface likewise; with it a backend takes off what the switch put on."""
    command = ["unshare", "--net", "ip", "link", "add", "vx", "type", "vxlan", "id", "7", "dstport", "4789"]
    return _attempt(command, "no VXLAN interface can be made", "the kernel needs its module: modprobe vxlan")


def tun() -> Problem | None:
    """Whether TUN interfaces can be made: `topo.decapsulate` hands packets to the kernel through one."""
    device = Path("/dev/net/tun")
    remedy = "modprobe tun; a container: docker run --device /dev/net/tun ..."
    try:
        os.close(os.open(device, os.O_RDWR))
    except OSError as error:
        return Problem(f"{device} cannot be opened ({error.strerror})", remedy)
    return None


def run_directory() -> Problem | None:
    if os.access("/run", os.W_OK):
        return None
    return Problem("/run cannot be written", "it holds the sockets and pids; mount it writable (tmpfs)")


def busy() -> str:
    """What to say, when something failed or took too long, of a machine that has more to do than it can."""
    load, processors = os.getloadavg()[0], len(os.sched_getaffinity(0))
    if load <= BUSY_LOAD * processors:
        return ""
    return f"This machine is busy, which may be why: a load of {load:.0f} on {processors} processors."


def ipv6_usable() -> bool:
    """Whether the kernel has IPv6 at all (it can be switched off at boot); labs do without."""
    return Path("/proc/sys/net/ipv6").exists()


def kernel_settings() -> Problem | None:
    if os.access("/proc/sys/net/ipv4/ip_forward", os.W_OK):
        return None
    return Problem(
        "/proc/sys is read-only, so hosts cannot be set up", "a container: docker run --privileged ..."
    )


def compiler() -> Problem | None:
    """Compile and link a shared object, as the embedded switch will."""
    name = shutil.which("cc") or shutil.which("gcc")
    remedy = "apt-get install gcc libc6-dev"
    if name is None:
        return Problem("there is no C compiler", remedy)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "try.c"
        source.write_text(
            "#include <linux/if_packet.h>\n#include <stdint.h>\nint tried(void) { return 1; }\n"
        )
        command = [name, "-shared", "-fPIC", "-o", str(source.with_suffix(".so")), str(source)]
        return _attempt(command, f"{name} cannot compile a small program", remedy)


def programs() -> Problem | None:
    """The programs that are run by name."""
    wanted = {"ip": "iproute2", "ethtool": "ethtool", "nsenter": "util-linux", "mnexec": "mininet"}
    missing = {name: package for name, package in wanted.items() if shutil.which(name) is None}
    if not missing:
        return None
    return Problem(f"missing: {', '.join(missing)}", f"apt-get install {' '.join(sorted(missing.values()))}")


CHECKS: dict[str, tuple[Callable[[], Problem | None], ...]] = {
    "rights": (root, namespaces, run_directory, kernel_settings),
    "tools": (programs, virtual_ethernet, vxlan, tun, compiler),
}


def first_problem(group: str) -> Problem | None:
    """What is wrong, if anything. Only the first: it may be the cause of all others."""
    return next((problem for check in CHECKS[group] if (problem := check()) is not None), None)


def _attempt(command: list[str], what: str, remedy: str) -> Problem | None:
    try:
        result = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError as error:
        return Problem(f"{what}: {error.filename} is missing", remedy)
    if result.returncode == 0:
        return None
    return Problem(f"{what}:\n{result.stderr.strip()}", remedy)


def main() -> int:
    if len(sys.argv) != 2 or sys.argv[1] not in CHECKS:
        print(f"usage: python3.11 -m topo.preflight {'|'.join(CHECKS)}", file=sys.stderr)
        return 2
    problem = first_problem(sys.argv[1])
    if problem is None:
        return 0
    print(f"Cannot run here: {problem.what}\nWhat to do:      {problem.remedy}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
