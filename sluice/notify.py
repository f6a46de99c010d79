"""What a service tells systemd: that it is ready, alive, reloading, about to end (sd_notify(3)).

Where systemd did not ask for it, nothing is said.
"""

import contextlib
import os
import socket
import time

READY, STOPPING, ALIVE = "READY=1", "STOPPING=1", "WATCHDOG=1"


def tell(*assignments: str) -> None:
    """Sends assignments, such as READY. A systemd that does not listen is no reason to fail."""
    place = os.environ.get("NOTIFY_SOCKET", "")
    if not place:
        return
    if place.startswith("@"):  # an abstract address
        place = "\0" + place[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto("\n".join(assignments).encode(), place)


def reloading() -> tuple[str, str]:
    """To be told before the configuration is read again; READY afterwards."""
    return "RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"


def watchdog_interval() -> float | None:
    """How often to say ALIVE, in seconds: half of what systemd waits for; None if it does not."""
    given, process = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID")
    if not given.isdecimal() or int(given) == 0 or process not in (None, str(os.getpid())):
        return None
    return int(given) / 1e6 / 2
