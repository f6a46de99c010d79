"""Checks of real sockets and processes, on loopback."""

from ipaddress import ip_address
from pathlib import Path

from controller.health.checks import Target, Watch
from controller.health.settings import Check, ExecCheck

PATIENT = 10.0
"""Seconds; a check that needs this long has hung."""

SHORT = 0.1


def watch(check: Check, port: int = 0, address: str = "127.0.0.1", source: str | None = None) -> Watch:
    target = Target(ip_address(address), port, ip_address(source) if source else None)
    return Watch("web", "b1", target, check)


def program(folder: Path, text: str) -> ExecCheck:
    """A shell script as the program of a check."""
    file = folder / "check"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o700)
    return ExecCheck(type="exec", command=("check", "$HOME", "two words"), timeout=PATIENT)


def runs(process: int) -> bool:
    """Whether it is there, and no mere entry in the table of processes that nobody has asked about yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # gone, or gone while it was read
        return False
